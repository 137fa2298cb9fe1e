// Objects on offer in a whole volume: what a model for volumes found by the prompts of all slices.

import { newestClass, numbersObjects } from "../settings.js";
import { boxOnSlice } from "../geometry.js";
import { question, slicePrompts } from "./prompt_set.js";

export class WholeObjects {
  constructor({ state, settings, planes, link, editor, clock }) {
    Object.assign(this, { state, settings, planes, link, editor, clock });
    this.on = false; // the chosen model answers for whole volumes
    this.found = new Map(); // image -> {box, bits, voxels, parts}
  }

  /** Do the prompts of all slices of the open image belong together? */
  get together() {
    return this.on && this.state.image?.kind === "volume";
  }

  /** The object on offer in the open image, or undefined. */
  get here() {
    return this.found.get(this.state.image?.id);
  }

  /** `volume` of a "mask" message; without one nothing is on offer in the volume. */
  take(volume, bytes) {
    if (volume) {
      const { box, offset, bytes: count, voxels } = volume;
      const bits = bytes.slice(offset, offset + count);
      this.found.set(this.state.image.id, { box, bits, voxels, parts: [null, null, null] });
    } else this.found.delete(this.state.image.id);
    for (const view of this.planes.views) view.promptsChanged();
  }

  drop() {
    if (this.here) this.take(null);
  }

  /** {box, mask, score} on a slice, the same as long as it is on show; undefined where it is not. */
  part({ axis, index }) {
    const { here } = this;
    const box = here && boxOnSlice(axis, index, here.box);
    if (!box) return undefined;
    if (here.parts[axis]?.index !== index) {
      const mask = maskOn(here, axis, index);
      here.parts[axis] = { index, part: mask.includes(1) ? { box, score: 1, mask } : undefined };
    }
    return here.parts[axis].part;
  }

  /** What was said of the same object on other slices than this set's. */
  elsewhere(set, sets) {
    if (!this.together || set.refine) return {};
    const others = sets.filter((one) => one !== set && one.items.length && !one.refine);
    return { elsewhere: others.map(slicePrompts) };
  }

  /** Make labels of it, one act; whether that could be. `set`: of the newest prompt. */
  accept(set, value, sets) {
    const { axis, index, model } = set;
    const { box, bits, voxels } = this.here;
    const prompts = { ...question(set), ...this.elsewhere(set, sets), model, voxels };
    const { image, rev } = this.state;
    const { classes, protect, looking } = this.settings;
    if (looking) return false;
    const id = this.link.newId();
    const writable = this.editor.writable(value);
    const keep = [...classes.keys()].filter((one) => one && !writable[one]);
    const instance = numbersObjects(this.settings, value) ? -1 : 0;
    const made = newestClass(this.settings);
    const what = { value, keep, apart: protect && instance !== 0, instance, prompts, made };
    const message = { t: "volume", id, image: image.id, axis, index, box, ...what, base_rev: rev };
    this.link.enqueue({ ...message, seconds: this.clock.seconds }, bits.buffer);
    const { id: imageId, name } = image;
    this.editor.did({ id, image: imageId, name, axis, index, act: "prompted" });
    return true;
  }
}

function maskOn({ box, bits }, axis, index) {
  const [z0, z1, y0, y1, x0, x1] = box;
  const [low, steps] = [[z0, y0, x0][axis], [(y1 - y0) * (x1 - x0), x1 - x0, 1]];
  const [rows, cols] = [z1 - z0, y1 - y0, x1 - x0].filter((_, i) => i !== axis);
  const [down, right] = steps.filter((_, i) => i !== axis);
  const start = (index - low) * steps[axis];
  const mask = new Uint8Array(rows * cols);
  for (let row = 0, to = 0; row < rows; row++)
    for (let at = start + row * down; to < (row + 1) * cols; at += right, to++)
      mask[to] = (bits[at >> 3] >> (at & 7)) & 1;
  return mask;
}
