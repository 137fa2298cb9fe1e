// What is known of the slice that a view shows: copies, which a stroke may change in place.

import { UNLABELLED } from "../codec.js";

export class SliceData {
  pixels = null; // as the server sent them, null while they are on their way
  objects = null; // (rows * cols) numbers, null while the image has none
  proposed = null; // {classes, sure, any}

  constructor(view, { rows, cols }) {
    this.view = view;
    this.cols = cols;
    this.labels = new Uint8Array(rows * cols).fill(UNLABELLED); // classes, strokes included
  }

  readPixels() {
    const { state, axis, index } = this.view;
    this.pixels = state.pixels.slice(axis, index);
  }

  readProposals() {
    const { proposals, axis, index, whole } = this.view;
    this.proposed = proposals.slice(axis, index, whole, this.proposed);
  }

  /** Take a box of labels and object numbers from the volume. */
  readLabels(box) {
    const { axis, index } = this.view;
    const { labels } = this.view.state;
    const full = (box.r1 - box.r0) * (box.c1 - box.c0) === this.labels.length;
    if (full) labels.read(axis, index, box, this.labels);
    else this.#patch(this.labels, box, (out) => labels.read(axis, index, box, out));
    if (labels.hasObjects) this.#readObjects(labels, box);
  }

  #readObjects(labels, box) {
    const { axis, index, whole } = this.view;
    const read = (part) => (out) => labels.readObjects(axis, index, part, out);
    if (this.objects) this.#patch(this.objects, box, read(box));
    else this.objects = read(whole)(new Uint16Array(this.labels.length));
  }

  #patch(target, box, read) {
    const width = box.c1 - box.c0;
    const part = read(new target.constructor(width * (box.r1 - box.r0)));
    for (let row = box.r0, from = 0; row < box.r1; row++, from += width)
      target.set(part.subarray(from, from + width), row * this.cols + box.c0);
  }
}
