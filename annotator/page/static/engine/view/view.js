// One plane on screen: its elements, the slice it shows, and when what has to be painted again.

import { UNLABELLED } from "../codec.js";
import { element } from "../elements.js";
import { axisNames, boxOnSlice, sliceShape } from "../geometry.js";
import { SliceBorders } from "./borders.js";
import { Camera } from "./camera.js";
import { drawOverlay } from "./overlay.js";
import { Picture } from "./picture.js";
import { Ruler } from "./ruler.js";
import { Trust } from "./trust.js";

export class PlaneView {
  #pixels = null; // of the slice as the server sent them, null while they are on their way
  #labels = null; // (rows * cols) classes of the slice as drawn, strokes in progress included
  #objects = null; // (rows * cols) numbers, null while the image has none
  #proposed = null; // {classes, sure, any} of the slice

  constructor(app, axis) {
    this.app = app;
    this.axis = axis;
    this.camera = new Camera();
    this.shown = false;
    this.pointer = null; // {row, col} under the mouse
    this.#build();
  }

  get index() {
    return this.app.cursor[this.axis];
  }

  get size() {
    return { rows: this.camera.rows, cols: this.camera.cols };
  }

  get ref() {
    return { axis: this.axis, index: this.index };
  }

  get whole() {
    return { r0: 0, c0: 0, r1: this.camera.rows, c1: this.camera.cols };
  }

  // What is known of the open slice. It is read for the next frame, or when it is asked for before
  // that: a key that opens a slice and a click on it may come within one frame.
  get pixels() {
    this.#fresh();
    return this.#pixels;
  }

  get labels() {
    this.#fresh();
    return this.#labels;
  }

  get objects() {
    this.#fresh();
    return this.#objects;
  }

  get proposed() {
    this.#fresh();
    return this.#proposed;
  }

  /** May this slice be drawn on: are its pixels and its labels here? */
  get editable() {
    return this.pixels !== null && this.app.labels.knows(this.axis, this.index);
  }

  /** Take up a new image. */
  open(image) {
    this.staleSlice = false; // until all of the old image is forgotten
    const { rows, cols } = sliceShape(image.shape, this.axis);
    const spacing = (image.spacing_mm ?? [1, 1, 1]).filter((_, i) => i !== this.axis);
    this.spacing = { row: spacing[0], col: spacing[1] };
    this.camera.show(rows, cols, this.spacing);
    this.#labels = new Uint8Array(rows * cols).fill(UNLABELLED);
    this.#objects = this.#proposed = this.#pixels = null;
    this.trust = new Trust(this);
    this.picture = new Picture(this);
    this.borders = new SliceBorders(this);
    this.pointer = null;
    this.ruler.open(image.shape[this.axis]);
    this.sliceChanged();
  }

  setShown(shown) {
    this.shown = shown;
    this.host.hidden = !shown;
    if (shown) this.sliceChanged();
  }

  /** Another slice is open, or its pixels came in. */
  sliceChanged() {
    this.staleSlice = true;
    this.app.schedule();
  }

  /** Labels changed in a volume box: [z0, z1, y0, y1, x0, x1]. */
  labelsChanged(box3) {
    if (!this.shown || this.staleSlice) return;
    const box = boxOnSlice(this.axis, this.index, box3);
    if (box) this.readLabels(box);
  }

  /** Take a box of labels from the volume, a stroke in progress on top. */
  readLabels(box) {
    const { labels } = this.app;
    const full = box.r1 - box.r0 === this.camera.rows && box.c1 - box.c0 === this.camera.cols;
    if (full) labels.read(this.axis, this.index, box, this.#labels);
    else this.#patch(this.#labels, box, (out) => labels.read(this.axis, this.index, box, out));
    this.#readObjects(box);
    this.app.stroke?.repaint(this, box);
    this.painted(box);
  }

  /** `labels` of this view were changed in place. */
  painted(box) {
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
    if (!this.shown || this.staleSlice || !this.app.image) return;
    this.#readProposals();
    this.trust.refresh();
    this.redraw();
  }

  /** The layer of trust was switched on or off. */
  trustChanged() {
    if (this.shown && this.app.image) this.trust.refresh();
  }

  windowChanged(dragging) {
    this.picture.windowChanged(dragging);
    this.redraw();
  }

  /** Which slices are labelled or complete changed. */
  statesChanged() {
    if (!this.app.image) return;
    this.ruler.draw();
    this.#describe();
    if (this.picture.stateChanged()) this.redraw();
  }

  redraw() {
    this.staleFrame = true;
    this.app.schedule();
  }

  redrawOverlay() {
    this.staleOverlay = true;
    this.app.schedule();
  }

  /** Called once a frame; returns "picture", "overlay" or null: what was painted. */
  frame() {
    if (!this.shown || !this.camera.width || !this.app.image) return null;
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
    if (this.staleSlice && this.shown && this.app.image) this.#takeSlice();
  }

  #takeSlice() {
    this.staleSlice = false;
    this.#pixels = this.app.pixels.slice(this.axis, this.index);
    this.picture.pixelsChanged();
    this.#readProposals();
    this.trust.refresh();
    this.readLabels(this.whole);
    this.ruler.draw();
    this.#describe();
  }

  #readProposals() {
    this.#proposed = this.app.proposals.slice(this.axis, this.index, this.whole, this.#proposed);
    this.picture.proposalsChanged();
  }

  #readObjects(box) {
    const { labels } = this.app;
    if (!labels.hasObjects) return;
    if (this.#objects)
      this.#patch(this.#objects, box, (out) => labels.readObjects(this.axis, this.index, box, out));
    else
      this.#objects = labels.readObjects(
        this.axis,
        this.index,
        this.whole,
        new Uint16Array(this.#labels.length),
      );
  }

  #patch(target, box, read) {
    const width = box.c1 - box.c0;
    const part = read(new target.constructor(width * (box.r1 - box.r0)));
    for (let row = box.r0, from = 0; row < box.r1; row++, from += width)
      target.set(part.subarray(from, from + width), row * this.camera.cols + box.c0);
  }

  /** The text of the tag; also what a screen reader hears about the canvas. */
  #describe() {
    const { image } = this.app;
    const total = image.shape[this.axis];
    const name = image.kind === "volume" ? axisNames[this.axis] : "image";
    const mm = image.spacing_mm
      ? ` · ${(this.index * image.spacing_mm[this.axis]).toFixed(1)} mm`
      : "";
    this.title.textContent = name;
    this.where.textContent = total > 1 ? `${this.index + 1} / ${total}${mm}` : "";
    this.badge.hidden = this.app.states.get(this.axis, this.index) !== "complete";
    this.tagReach = this.tag.offsetLeft + this.tag.offsetWidth;
    this.overlay.setAttribute(
      "aria-label",
      total > 1 ? `${name} slice ${this.index + 1} of ${total}` : `${name} ${image.name}`,
    );
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
    this.title = element("button", {
      class: "cv-plane",
      type: "button",
      title: "Double click: this plane alone, or all three",
    });
    this.where = element("span", { class: "cv-where" });
    this.zoomText = element("span", { class: "cv-zoom" });
    this.badge = element("span", { class: "cv-complete" }, "complete");
    this.tag = element("div", { class: "cv-tag" });
    this.tag.append(this.title, this.where, this.zoomText, this.badge);
    this.ruler = new Ruler(this);
    this.host.append(this.canvas, this.overlay, this.tag, this.ruler.host);
    this.app.grid.append(this.host);
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.overlayContext = this.overlay.getContext("2d");
    this.#observe();
  }

  #observe() {
    const { signal } = this.app;
    const observer = new ResizeObserver(() => this.#resize());
    observer.observe(this.host);
    signal.addEventListener("abort", () => observer.disconnect(), { once: true });
    const alone = () =>
      this.app.layout(this.app.layoutName === "three" ? axisNames[this.axis] : "three");
    this.tag.addEventListener("dblclick", alone, { signal });
    this.title.addEventListener("click", (event) => event.detail === 0 && alone(), { signal });
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
