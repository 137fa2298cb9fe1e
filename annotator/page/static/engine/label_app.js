// LabelApp: the canvas as the page knows it. Settings, commands, events; the work is in the other
// modules.

import { BACKGROUND, UNLABELLED } from "./codec.js";
import { handleKey } from "./edit/canvas_keys.js";
import { mayDraw } from "./edit/drawing.js";
import { Editor } from "./edit/editor.js";
import { Input } from "./edit/input.js";
import { Navigation } from "./edit/navigation.js";
import { PromptStore } from "./edit/prompts.js";
import { element, loadStyle } from "./elements.js";
import { axisNames } from "./geometry.js";
import { Opening } from "./image/opening.js";
import { WHOLE_LIMIT_BYTES } from "./image/pixels.js";
import { isOpen, isProposed, nothingProposed, Proposals } from "./image/proposals.js";
import { NO_STATES } from "./image/slice_states.js";
import { listen } from "./messages.js";
import { stateOf } from "./state.js";
import { fillAll, fillAt } from "./tools/fill.js";
import { TOOLS } from "./tools/index.js";
import { Frames } from "./view/frames.js";
import { PlaneView } from "./view/view.js";

const PLAIN = "#94a3b8"; // a class nobody told us about

/**
 * Events: "change", "hover" (detail null when the pointer leaves), "message", "navigate",
 * "classless". `window.__slicewise` is the newest instance: a handle for tests and benchmarks,
 * nothing in the page relies on it.
 */
export class LabelApp extends EventTarget {
  constructor(root, { link, signal, wholeLimit = WHOLE_LIMIT_BYTES, proposes = true }) {
    super();
    Object.assign(this, {
      root,
      link,
      wholeLimit,
      proposes,
      session: null,
      cursor: [0, 0, 0],
      stroke: null,
      drawing: null,
      loadProblem: null,
    });
    this.ending = new AbortController();
    this.signal = this.ending.signal;
    signal?.addEventListener("abort", () => this.destroy(), { once: true });
    this.settings = {
      classes: new Map(),
      classId: 1,
      window: [0, 255],
      radius: 8,
      opacity: 0.45,
      style: "both",
      protect: false,
      instances: false,
      showUnknown: false,
      visible: true,
      proposals: true,
      uncertainty: false,
      trust: false,
      minConfidence: 0,
    };
    this.frames = new Frames(this);
    this.editor = new Editor(this);
    this.prompts = new PromptStore(this);
    this.proposals = new Proposals(this);
    this.navigation = new Navigation(this);
    this.opening = new Opening(this);
    this.tools = Object.fromEntries(
      Object.entries(TOOLS).map(([name, make]) => [name, make(this)]),
    );
    this.#build();
    listen(this);
    this.#watchEnd();
    this.setTool("click");
    window.__slicewise = this;
  }

  /**
   * Show an image. Resolves to its description once its first slices are drawn, to null (after a
   * "message") if it cannot be opened.
   */
  open(imageId) {
    return this.opening.open(imageId);
  }

  get stats() {
    return this.frames.stats;
  }
  get image() {
    return this.session?.image ?? null;
  }
  get pixels() {
    return this.session.pixels;
  }
  get labels() {
    return this.session.labels;
  }
  get rev() {
    return this.session.rev;
  }

  get states() {
    return this.session?.states ?? NO_STATES;
  }
  get layoutName() {
    return this.grid.dataset.layout;
  }
  get state() {
    return stateOf(this);
  }

  // Settings

  setTool(name) {
    if (!this.tools[name])
      throw new RangeError(
        `there is no tool "${name}"; choose one of ${Object.keys(this.tools).join(", ")}`,
      );
    this.tool?.cancel?.();
    this.tool = this.tools[name];
    this.toolName = name;
    for (const view of this.views) {
      view.overlay.style.cursor = this.tool.cursor;
      view.redrawOverlay();
    }
    this.changed();
  }

  setClass(id) {
    this.settings.classId = id;
    this.#restyle();
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

  setBrushRadius(radius) {
    this.settings.radius = Math.min(400, Math.max(0.5, radius));
    for (const view of this.views) view.redrawOverlay();
    this.changed();
  }

  /** `dragging`: more is to come; large slices are painted coarsely meanwhile. */
  setWindow(lo, hi, dragging = false) {
    if (!(lo < hi)) return;
    this.settings.window = [lo, hi];
    if (this.image) for (const view of this.views) view.windowChanged(dragging);
    if (!dragging) this.windowSettled();
    this.changed();
  }

  windowSettled() {
    if (this.image) this.navigation.look();
  }

  // Commands

  accept() {
    return Boolean(this.image && this.prompts.accept(this.active.ref));
  }
  clearPrompts() {
    return Boolean(this.image && this.prompts.clear(this.active.ref));
  }
  nextCandidate() {
    return Boolean(this.image && this.prompts.cycle(this.active.ref));
  }
  setComplete(on) {
    if (this.image) this.editor.setComplete(Boolean(on));
  }

  /** Accept what is proposed on the open slice. */
  acceptSlice() {
    const { axis, index, editable, proposed } = this.active;
    if (!this.image) return;
    if (editable && proposed?.any && !isOpen(this.active))
      return this.say(
        "info",
        "What is proposed here is labelled already, or less sure than you ask.",
      );
    this.editor.acceptProposal({ axis, lo: index, hi: index + 1 });
  }

  /** Accept slices lo..hi - 1 of the active plane; the whole image without them. */
  acceptRange(lo = 0, hi = this.image?.shape[this.active.axis]) {
    if (this.image) this.editor.acceptProposal({ axis: this.active.axis, lo, hi });
  }

  /** Say that what is proposed on the open slice is background. */
  rejectSlice() {
    const view = this.active;
    if (!this.image || !mayDraw(this, view)) return;
    const { obstacle, shown } = this.proposals;
    if (obstacle) return this.say("info", obstacle);
    const classes = view.labels.map((_, at) => (isProposed(view, at) ? BACKGROUND : UNLABELLED));
    if (classes.every((value) => value === UNLABELLED))
      return this.say("info", nothingProposed(this.image));
    const { producer, id } = shown;
    this.editor.commit(
      view.ref,
      { box: view.whole, classes },
      { prompts: { rejected: { producer, id } } },
    );
  }

  /** Jump to the slice that is most worth labelling, and say why. */
  gotoProposed() {
    return this.image ? this.proposals.gotoNext() : undefined;
  }
  /**
   * Steps of a guided start, marked on the rulers: {steps: [{axis, index, done, reason}], now}, or
   * null.
   */
  setGuide(plan) {
    this.proposals.guide = plan;
    this.statesChanged();
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

  /** Fill the holes under the pointer, or those of the current class on the slice. */
  fillHoles() {
    const view = this.active;
    if (!this.image || !mayDraw(this, view)) return;
    const [row, col] = [Math.round(view.pointer?.row ?? -1), Math.round(view.pointer?.col ?? -1)];
    const inside = row >= 0 && col >= 0 && row < view.size.rows && col < view.size.cols;
    if (inside && view.labels[row * view.size.cols + col] === this.settings.classId)
      fillAt(this, view, { row, col });
    else fillAll(this, view);
  }

  undo() {
    if (!this.image || this.drawing) return;
    if (this.tool.undo?.() || this.prompts.undo(this.active.ref)) return;
    this.editor.undo();
  }

  redo() {
    if (!this.image || this.drawing || this.prompts.redo(this.active.ref)) return;
    this.editor.redo();
  }

  zoom(factor) {
    this.active.camera.zoomAt(factor);
    this.active.redraw();
    this.changed();
  }

  /** "three", or one plane alone: "axial", "coronal", "sagittal". A 2D image has one plane. */
  layout(name) {
    this.wanted = name;
    const shown = this.image?.kind === "volume" || !this.image ? name : "axial";
    this.grid.dataset.layout = shown;
    for (const view of this.views)
      view.setShown(shown === "three" || axisNames[view.axis] === shown);
    if (!this.active.shown) this.activate(this.views.find((view) => view.shown));
    this.changed();
  }

  /** Give up what is half done: a shape first, then the prompts of the slice. */
  escape() {
    return Boolean(this.tool.cancel?.()) || this.clearPrompts();
  }

  destroy() {
    if (this.signal.aborted) return;
    this.ending.abort();
    this.session?.close();
    this.frames.stop();
    this.grid.remove();
  }

  // For the other modules

  say(level, text) {
    this.dispatchEvent(new CustomEvent("message", { detail: { level, text } }));
  }

  /** Something in `state` changed; told once a frame. */
  changed() {
    this.frames.changed();
  }

  schedule() {
    this.frames.schedule();
  }

  activate(view) {
    if (this.active === view) return;
    this.active = view;
    for (const other of this.views) other.host.classList.toggle("cv-active", other === view);
    if (this.image) this.navigation.entered(view);
    this.changed();
  }

  colorOf(classId) {
    return this.settings.classes.get(classId)?.color ?? PLAIN;
  }

  /** A state of a slice that follows from what was just done. */
  noteSlice(axis, index, state) {
    if (this.states.note(axis, index, state)) this.statesChanged();
  }

  statesChanged() {
    for (const view of this.views) view.statesChanged();
    this.changed();
  }

  labelsChanged(box3) {
    for (const view of this.views) view.labelsChanged(box3);
  }

  pixelsCame() {
    for (const view of this.views) if (!view.pixels) view.sliceChanged();
    this.changed();
  }

  hover(view, point = null) {
    this.frames.hover(view, point);
  }

  #set(change) {
    Object.assign(this.settings, change);
    this.#restyle();
  }

  #restyle() {
    if (this.image) for (const view of this.views) view.restyle();
    this.changed();
  }

  #build() {
    loadStyle();
    this.grid = element("div", { class: "cv-grid", "data-layout": "three" });
    this.root.append(this.grid);
    this.views = [0, 1, 2].map((axis) => new PlaneView(this, axis));
    for (const view of this.views) new Input(this, view);
    this.activate(this.views[0]);
    this.layout("three");
  }

  #watchEnd() {
    const { signal } = this;
    window.addEventListener(
      "keyup",
      (event) => event.code === "Space" && this.navigation.releaseSpace(),
      {
        signal,
      },
    );
    window.addEventListener("blur", () => this.navigation.releaseSpace(), { signal });
    const watch = new MutationObserver(() => !this.root.isConnected && this.destroy());
    watch.observe(document.documentElement, { childList: true, subtree: true });
    signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  }
}
