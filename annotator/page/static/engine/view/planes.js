// The three planes: which one is worked on, how they are laid out, and what of them is to be
// painted again.

import { element } from "../elements.js";
import { axisNames } from "../geometry.js";
import { PlaneView } from "./view.js";

export class Planes {
  views = [];
  active = null;

  #root;
  #parts = null;
  #wanted = "three";

  constructor(root) {
    this.#root = root;
    this.grid = element("div", { class: "cv-grid", "data-layout": "three" });
    root.append(this.grid);
  }

  /** Make the views, once the parts that they show exist. */
  build(parts) {
    this.#parts = parts;
    this.views = [0, 1, 2].map((axis) => new PlaneView({ ...parts, planes: this }, axis));
    this.activate(this.views[0]);
    this.layout("three");
  }

  get layoutName() {
    return this.grid.dataset.layout;
  }

  /** Work goes on in this view. */
  activate(view) {
    if (this.active === view) return;
    const { state, navigation, notices } = this.#parts;
    this.active = view;
    for (const other of this.views) other.host.classList.toggle("cv-active", other === view);
    if (state.image) navigation.entered(view);
    notices.changed();
  }

  /** "three", or one plane alone: "axial", "coronal", "sagittal". A 2D image has one plane. */
  layout(name) {
    const { image } = this.#parts.state;
    this.#wanted = name;
    const shown = image?.kind === "volume" || !image ? name : "axial";
    this.grid.dataset.layout = shown;
    for (const view of this.views)
      view.setShown(shown === "three" || axisNames[view.axis] === shown);
    if (!this.active.shown) this.activate(this.#firstShown);
    this.#parts.notices.changed();
  }

  /** Take up a new image. */
  open(image) {
    for (const view of this.views) view.open(image);
    this.layout(this.#wanted);
    this.activate(this.#firstShown);
  }

  /** No image is open. */
  close() {
    for (const view of this.views) view.close();
  }

  /** Whether the first slices of the open image are drawn: for tests and styles. */
  setReady(ready) {
    this.#root.dataset.ready = ready ? "1" : "0";
  }

  contains(node) {
    return this.#root.contains(node);
  }

  get isConnected() {
    return this.#root.isConnected;
  }

  /** Labels changed in a volume box: [z0, z1, y0, y1, x0, x1]. */
  labelsChanged(box3) {
    for (const view of this.views) view.labelsChanged(box3);
  }

  /** A state of a slice that follows from what was just done. */
  noteSlice(axis, index, state) {
    if (this.#parts.state.states.note(axis, index, state)) this.statesChanged();
  }

  statesChanged() {
    for (const view of this.views) view.statesChanged();
    this.#parts.notices.changed();
  }

  pixelsCame() {
    for (const view of this.views) if (!view.pixels) view.sliceChanged();
    this.#parts.notices.changed();
  }

  proposalsChanged() {
    for (const view of this.views) view.proposalsChanged();
    this.#parts.notices.changed();
  }

  redrawOverlays() {
    for (const view of this.views) view.redrawOverlay();
  }

  setPointer(cursor) {
    for (const view of this.views) view.overlay.style.cursor = cursor;
  }

  remove() {
    this.grid.remove();
  }

  get #firstShown() {
    return this.views.find((view) => view.shown);
  }
}
