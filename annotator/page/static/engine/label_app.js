// LabelApp: the canvas as the page knows it. Settings, commands, events; the work is in the other
// modules.

import { BACKGROUND } from "./codec.js";
import { handleKey } from "./edit/canvas_keys.js";
import { loadStyle } from "./elements.js";
import { WHOLE_LIMIT_BYTES } from "./image/pixels.js";
import { makeParts } from "./parts.js";
import { stateOf } from "./state.js";

/**
 * Events: "change", "hover" (detail null when the pointer leaves), "message", "navigate",
 * "classless", "walked". `window.__slicewise` is the newest instance: a handle for tests and benchmarks,
 * nothing in the page relies on it.
 */
export class LabelApp extends EventTarget {
  constructor(root, { link, signal, wholeLimit = WHOLE_LIMIT_BYTES, ...wishes }) {
    super();
    const { proposes = true, keepLook = () => {} } = wishes;
    this.ending = new AbortController();
    this.signal = this.ending.signal;
    signal?.addEventListener("abort", () => this.destroy(), { once: true });
    loadStyle();
    const commands = {
      tell: (type, detail) => this.dispatchEvent(new CustomEvent(type, { detail })),
      chooseClass: (id) => this.setClass(id),
      setWindow: (...window) => this.setWindow(...window),
      keepLook,
    };
    const given = { link, signal: this.signal, wholeLimit, proposes };
    Object.assign(this, makeParts(root, { ...given, ...commands }));
    this.#watchEnd();
    window.__slicewise = this;
  }

  /**
   * Show an image. Resolves to its description once its first slices are drawn, to null (after a
   * "message") if it cannot be opened.
   */
  open(imageId) {
    return this.opening.open(imageId);
  }

  /** The open image is gone: show none. */
  close() {
    this.opening.close();
  }

  get stats() {
    return this.frames.stats;
  }

  get views() {
    return this.planes.views;
  }

  /** The view that keys and buttons are about. */
  get active() {
    return this.planes.active;
  }

  get session() {
    return this.canvasState.session;
  }

  get image() {
    return this.canvasState.image;
  }

  get labels() {
    return this.canvasState.labels;
  }

  get states() {
    return this.canvasState.states;
  }

  get state() {
    return stateOf(this);
  }

  // Settings

  setTool(name) {
    this.toolbox.take(name);
    this.notices.changed();
  }

  /** As its key does: some tools act at once. */
  pickTool(name) {
    this.setTool(name);
    this.toolbox.tool.picked?.();
  }

  setClass(id) {
    this.#set({ classId: id });
  }

  /** [{id, name, color "#rrggbb", hidden, locked}] */
  setClasses(classes) {
    this.settings.classes = new Map(classes.map((c) => [c.id, c]));
    const first = classes.find((c) => c.id !== BACKGROUND);
    if (first && !this.settings.classes.has(this.settings.classId))
      this.settings.classId = first.id;
    this.#restyle();
  }

  setOpacity(opacity) {
    this.#set({ opacity: Math.min(1, Math.max(0, opacity)) });
  }

  setStyle(style) {
    this.#set({ style });
  }

  setInstances(instances) {
    this.#set({ instances: Boolean(instances) });
  }

  setAtOnce(atOnce) {
    this.#set({ atOnce: Boolean(atOnce) });
  }

  setShowUnknown(showUnknown) {
    this.#set({ showUnknown: Boolean(showUnknown) });
  }

  setProtectOthers(protect) {
    this.#set({ protect: Boolean(protect) });
  }

  setLabelsVisible(visible) {
    this.#set({ visible: Boolean(visible) });
  }

  setProposalsVisible(proposals) {
    this.#set({ proposals: Boolean(proposals) });
  }

  setUncertainty(uncertainty) {
    this.#set({ uncertainty: Boolean(uncertainty) });
  }

  setTrust(trust) {
    this.#set({ trust: Boolean(trust) });
    for (const view of this.views) view.trustChanged();
  }

  /** 0..1: less certain proposals are neither shown nor accepted. */
  setMinConfidence(share) {
    this.#set({ minConfidence: Math.min(1, Math.max(0, share)) });
  }

  /** Hide the least certain share of a slice's proposed objects, and those of fewer pixels. */
  setObjectLimits({ leastCertain = 0, smallest = 0 }) {
    this.settings.limits = leastCertain || smallest ? { leastCertain, smallest } : null;
    for (const view of this.views) view.promptsChanged();
    this.notices.changed();
  }

  /** Why nothing can be changed, "" where it can: tools that change labels are put away. */
  setLooking(why) {
    this.#set({ looking: why });
    if (why) this.toolbox.takeHarmless();
  }

  setBrushRadius(radius) {
    this.settings.radius = Math.min(400, Math.max(0.5, radius));
    this.planes.redrawOverlays();
    this.notices.changed();
  }

  /** Of channels of the chosen one. `dragging`: more is to come; large slices are painted coarsely meanwhile. */
  setWindow(lo, hi, dragging = false) {
    if (!(lo < hi)) return;
    if (this.channels.summary)
      return this.channels.set(this.channels.chosen, { window: [lo, hi] }, dragging);
    this.settings.window = [lo, hi];
    if (this.image) for (const view of this.views) view.windowChanged(dragging);
    if (this.image && !dragging) this.navigation.look();
    this.notices.changed();
  }

  // Commands

  accept() {
    return Boolean(this.#mayChange && this.prompts.accept(this.active.ref));
  }

  clearPrompts() {
    return Boolean(this.image && this.prompts.clear(this.active.ref));
  }

  nextCandidate() {
    if (!this.image) return false;
    return this.prompts.cycle(this.active.ref) || Boolean(this.toolbox.tool.next?.());
  }

  setComplete(on) {
    if (this.#mayChange) this.editor.setComplete(Boolean(on));
  }

  /** Accept what is proposed on the open slice. */
  acceptSlice() {
    if (this.#mayChange && !this.toolbox.tool.accept?.()) this.acceptance.acceptSlice();
  }

  /** Accept slices lo..hi - 1 of the active plane; the whole image without them. */
  acceptRange(lo, hi) {
    if (this.#mayChange) this.acceptance.acceptRange(lo, hi);
  }

  /** Say that what is proposed on the open slice is background. */
  rejectSlice() {
    if (this.#mayChange && !this.toolbox.tool.reject?.()) this.acceptance.rejectSlice();
  }

  /** Show a box of the open slice with its surroundings, and ask the prompt model what it holds. */
  promptBox(box) {
    if (!this.#mayChange) return;
    const { active } = this;
    this.prompts.giveUp(active.ref);
    active.camera.frame(box);
    active.redraw();
    this.prompts.add(active.ref, { kind: "box", ...box });
  }

  /** Give up prompts, but for those of masks that were accepted and are still to come. */
  giveUpPrompts() {
    this.prompts.giveUp(this.active.ref);
  }

  /** Say that what nobody labelled in a box of the open slice is background; whether it was said. */
  rejectBox(box, prompts) {
    return this.#mayChange && this.acceptance.rejectBox(box, prompts);
  }

  /** Jump to the slice that is most worth labelling, and say why. */
  gotoProposed() {
    return this.image ? this.navigation.gotoProposed() : undefined;
  }

  /**
   * Steps of a guided start, shown on the rulers: {steps: [{axis, index, done, reason}], now}, or
   * null.
   */
  setGuide(plan) {
    this.proposals.setGuide(plan);
  }

  fit() {
    this.active.fit();
  }

  gotoSlice(axis, index) {
    this.navigation.gotoSlice(axis, index);
  }

  key(event) {
    return handleKey(this, event);
  }

  /** Take back every label of the open slice; `{image: true}`: of the image. */
  clear(options) {
    if (this.#mayChange && !this.canvasState.drawing) this.editor.clear(options);
  }

  /** What is half done first, then the newest event of this image; `{anywhere: true}`: of any. */
  undo(options) {
    if (!this.#mayChange || this.canvasState.drawing) return;
    if (this.toolbox.tool.undo?.() || this.prompts.undo(this.active.ref)) return;
    this.undoRedo.undo(options);
  }

  /** Fill anew what was accepted on this image, from the labels made since. */
  refill() {
    if (this.#mayChange && !this.canvasState.drawing) this.undoRedo.refill();
  }

  redo(options) {
    if (!this.#mayChange || this.canvasState.drawing || this.prompts.redo(this.active.ref)) return;
    this.undoRedo.redo(options);
  }

  zoom(factor) {
    this.active.camera.zoomAt(factor);
    this.active.redraw();
    this.notices.changed();
  }

  /** "three", or one plane alone: "axial", "coronal", "sagittal". A 2D image has one plane. */
  layout(name) {
    this.planes.layout(name);
  }

  /** Give up what is half done: a shape first, then the prompts of the slice. */
  escape() {
    return Boolean(this.toolbox.tool.cancel?.()) || this.clearPrompts();
  }

  destroy() {
    if (this.signal.aborted) return;
    this.ending.abort();
    this.session?.close();
    this.frames.stop();
    this.planes.remove();
  }

  /** Whether an image is open that may be changed; says why it may not. */
  get #mayChange() {
    const { looking } = this.settings;
    if (looking) this.notices.say("info", looking);
    return Boolean(this.image) && !looking;
  }

  #set(change) {
    Object.assign(this.settings, change);
    this.#restyle();
  }

  #restyle() {
    if (this.image) for (const view of this.views) view.restyle();
    this.notices.changed();
  }

  #watchEnd() {
    const { signal, toolbox, planes } = this;
    const release = () => toolbox.releaseSpace();
    window.addEventListener("keyup", (event) => event.code === "Space" && release(), { signal });
    window.addEventListener("blur", release, { signal });
    const watch = new MutationObserver(() => !planes.isConnected && this.destroy());
    watch.observe(document.documentElement, { childList: true, subtree: true });
    signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  }
}
