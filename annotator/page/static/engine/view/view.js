// One plane on screen: its elements, the slice it shows, and when what has to be painted again.

import { element } from "../elements.js";
import { axisNames, boxOnSlice, sliceShape } from "../geometry.js";
import { SliceBorders } from "./borders.js";
import { Camera } from "./camera.js";
import { drawOverlay } from "./overlay.js";
import { Picture } from "./picture.js";
import { Ruler } from "./ruler.js";
import { SliceData } from "./slice_data.js";
import { Tag } from "./tag.js";
import { Trust } from "./trust.js";

export class PlaneView {
  #slice = null; // SliceData, once an image is open

  constructor({ state, settings, planes, frames, notices, signal, ...parts }, axis) {
    const { proposals, prompts, navigation, toolbox, proposes } = parts;
    Object.assign(this, { state, settings, planes, frames, notices, signal });
    Object.assign(this, { proposals, prompts, navigation, toolbox, proposes });
    this.axis = axis;
    this.camera = new Camera();
    this.shown = false;
    this.pointer = null; // {row, col} under the mouse
    this.changes = 0; // counts how often the labels or proposals on show changed
    this.#build();
  }

  get image() {
    return this.state.image;
  }

  get index() {
    return this.state.cursor[this.axis];
  }

  get size() {
    return { rows: this.camera.rows, cols: this.camera.cols };
  }

  get ref() {
    return { axis: this.axis, index: this.index };
  }

  /** "labelled", "complete" or null. */
  get sliceState() {
    return this.state.states.get(this.axis, this.index);
  }

  /** The mask on show for the prompts of this slice, or undefined. */
  get candidate() {
    return this.prompts.shownCandidate(this.ref);
  }

  get whole() {
    return { r0: 0, c0: 0, r1: this.camera.rows, c1: this.camera.cols };
  }

  // What is known of the open slice, null without an image. It is read for the next frame, or when it is asked for before
  // that: a key that opens a slice and a click on it may come within one frame.
  get pixels() {
    this.#fresh();
    return this.#slice?.pixels ?? null;
  }

  get labels() {
    this.#fresh();
    return this.#slice?.labels ?? null;
  }

  get objects() {
    this.#fresh();
    return this.#slice?.objects ?? null;
  }

  get proposed() {
    this.#fresh();
    return this.#slice?.proposed ?? null;
  }

  /** May this slice be drawn on: are its pixels and its labels here? */
  get editable() {
    return this.pixels !== null && this.state.labels.knows(this.axis, this.index);
  }

  /** Take up a new image. */
  open(image) {
    this.staleSlice = false; // until all of the old image is forgotten
    const { rows, cols } = sliceShape(image.shape, this.axis);
    const spacing = (image.spacing_mm ?? [1, 1, 1]).filter((_, i) => i !== this.axis);
    this.spacing = { row: spacing[0], col: spacing[1] };
    this.camera.show(rows, cols, this.spacing);
    this.#slice = new SliceData(this, { rows, cols });
    this.trust = new Trust(this);
    this.picture = new Picture(this);
    this.borders = new SliceBorders(this);
    this.pointer = null;
    this.ruler.open(image.shape[this.axis]);
    this.sliceChanged();
  }

  /** No image is open. */
  close() {
    this.#slice = null;
    this.staleSlice = false;
  }

  setShown(shown) {
    this.shown = shown;
    this.host.hidden = !shown;
    if (shown) this.sliceChanged();
  }

  /** Another slice is open, or its pixels came in. */
  sliceChanged() {
    this.staleSlice = true;
    this.frames.schedule();
  }

  /** Labels changed in a volume box: [z0, z1, y0, y1, x0, x1]. */
  labelsChanged(box3) {
    if (!this.shown || this.staleSlice) return;
    const box = boxOnSlice(this.axis, this.index, box3);
    if (box) this.readLabels(box);
  }

  /** Take a box of labels from the volume, a stroke in progress on top. */
  readLabels(box) {
    this.#slice.readLabels(box);
    this.state.stroke?.repaint(this, box);
    this.painted(box);
  }

  /** `labels` of this view were changed in place. */
  painted(box) {
    this.changes += 1;
    this.picture.labelsChanged(box);
    this.borders.changed();
    this.redraw();
  }

  /** Colours, opacity, style or window changed. */
  restyle() {
    this.picture.styleChanged();
    this.borders.changed();
    this.redraw();
  }

  /** Other proposals came in. */
  proposalsChanged() {
    if (!this.shown || this.staleSlice || !this.image) return;
    this.#readProposals();
    this.trust.refresh();
    this.redraw();
  }

  /** Prompts of this slice changed: proposals make way for what is prompted. */
  promptsChanged() {
    if (this.image && this.proposed?.any) this.picture.proposalsChanged();
    this.redraw();
  }

  /** The layer of trust was switched on or off. */
  trustChanged() {
    if (this.shown && this.image) this.trust.refresh();
  }

  /** Its channels are shown in another way. */
  looksChanged() {
    if (!this.shown || this.staleSlice || !this.image) return;
    this.#slice.readPixels();
    this.picture.pixelsChanged();
    this.redraw();
  }

  windowChanged(dragging) {
    this.picture.windowChanged(dragging);
    this.redraw();
  }

  /** Which slices are labelled or complete changed. */
  statesChanged() {
    if (!this.image) return;
    this.ruler.draw();
    this.tag.describe();
    if (this.picture.stateChanged()) this.redraw();
  }

  redraw() {
    this.staleFrame = true;
    this.frames.schedule();
  }

  redrawOverlay() {
    this.staleOverlay = true;
    this.frames.schedule();
  }

  /** Called once a frame; returns "picture", "overlay" or null: what was painted. */
  frame() {
    if (!this.shown || !this.camera.width || !this.image) return null;
    this.#fresh();
    const painted = this.staleFrame ? "picture" : this.staleOverlay ? "overlay" : null;
    if (!painted) return null;
    if (this.staleFrame) this.picture.draw(this.context);
    drawOverlay(this, this.overlayContext);
    this.staleFrame = this.staleOverlay = false;
    return painted;
  }

  fit() {
    this.camera.fit();
    this.redraw();
  }

  /** Does a point lie on the slice, to the outer edges of its pixels? */
  holds({ row, col }) {
    const { rows, cols } = this.camera;
    return row >= -0.5 && col >= -0.5 && row < rows - 0.5 && col < cols - 0.5;
  }

  /** Position of a pointer event in device pixels and on the slice. */
  locate(event) {
    const bounds = this.overlay.getBoundingClientRect();
    const x = (event.clientX - bounds.left) * this.camera.dpr;
    const y = (event.clientY - bounds.top) * this.camera.dpr;
    return { x, y, ...this.camera.toSlice(x, y) };
  }

  /** [z, y, x] of a pixel of this slice, clipped to the image. */
  position(row, col) {
    const clip = (value, end) => Math.min(end - 1, Math.max(0, Math.round(value)));
    const at = [clip(row, this.camera.rows), clip(col, this.camera.cols)];
    at.splice(this.axis, 0, this.index);
    return at;
  }

  #fresh() {
    if (this.staleSlice && this.shown && this.image) this.#takeSlice();
  }

  #takeSlice() {
    this.staleSlice = false;
    this.#slice.readPixels();
    this.picture.pixelsChanged();
    this.#readProposals();
    this.trust.refresh();
    this.readLabels(this.whole);
    this.ruler.draw();
    this.tag.describe();
  }

  #readProposals() {
    this.changes += 1;
    this.#slice.readProposals();
    this.picture.proposalsChanged();
  }

  #build() {
    this.host = element("div", { class: "cv-view", "data-axis": this.axis });
    this.canvas = element("canvas", { class: "cv-image", "aria-hidden": "true" });
    this.overlay = element("canvas", {
      class: "cv-overlay",
      tabindex: "0",
      role: "application",
      "aria-label": axisNames[this.axis],
    });
    this.tag = new Tag(this, () =>
      this.planes.layout(this.planes.layoutName === "three" ? axisNames[this.axis] : "three"),
    );
    this.ruler = new Ruler(this);
    this.host.append(this.canvas, this.overlay, this.tag.host, this.ruler.host);
    this.planes.grid.append(this.host);
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.overlayContext = this.overlay.getContext("2d");
    this.#observe();
  }

  #observe() {
    const { signal } = this;
    const observer = new ResizeObserver(() => this.#resize());
    observer.observe(this.host);
    signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  }

  #resize() {
    const dpr = window.devicePixelRatio || 1;
    const width = Math.round(this.host.clientWidth * dpr);
    const height = Math.round(this.host.clientHeight * dpr);
    if (!width || !height) return;
    for (const canvas of [this.canvas, this.overlay]) {
      canvas.width = width;
      canvas.height = height;
    }
    this.camera.resize(width, height, dpr);
    this.ruler.draw();
    this.redraw();
  }
}
