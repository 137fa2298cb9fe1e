// What is proposed becomes labels, or is said to be background: by slice, by range, as a whole.

import { BACKGROUND, UNLABELLED } from "../codec.js";
import { cut } from "../geometry.js";
import { isOpen, isProposed, nothingProposed } from "../image/proposals.js";
import { mayDraw } from "./drawing.js";

export class Acceptance {
  constructor({ state, settings, planes, link, notices, clock, ...parts }) {
    const { editor, proposals, prompts } = parts;
    Object.assign(this, { state, settings, planes, link, notices, clock });
    Object.assign(this, { editor, proposals, prompts });
  }

  /** Accept what is proposed on the open slice. */
  acceptSlice() {
    const { active } = this.planes;
    const { axis, index, editable, proposed } = active;
    if (!this.state.image) return;
    if (editable && proposed?.any && !isOpen(active))
      return this.notices.say(
        "info",
        "Nothing to accept: this is labelled already, or below your confidence limit (, and .).",
      );
    this.#accept({ axis, lo: index, hi: index + 1 });
  }

  /** Accept slices lo..hi - 1 of the active plane; the whole image without them. */
  acceptRange(lo = 0, hi = undefined) {
    const { image } = this.state;
    if (!image) return;
    const { axis } = this.planes.active;
    this.#accept({ axis, lo, hi: hi ?? image.shape[axis] });
  }

  /** Say that what is proposed on the open slice is background. */
  rejectSlice() {
    const view = this.planes.active;
    if (!this.state.image || !mayDraw(this, view)) return;
    const { shown } = this.proposals;
    const obstacle = this.#obstacle;
    if (obstacle) return this.notices.say("info", obstacle);
    const classes = view.labels.map((_, at) => (isProposed(view, at) ? BACKGROUND : UNLABELLED));
    if (classes.every((value) => value === UNLABELLED))
      return this.notices.say("info", nothingProposed(this.state.image));
    const { producer, id } = shown;
    const prompts = { rejected: { producer, id } };
    this.editor.commit(view.ref, { box: view.whole, classes }, { prompts });
  }

  /** Why nothing is to be accepted or rejected now, or null. A key meant for a mask takes nothing. */
  get #obstacle() {
    const prompted = this.prompts.on(this.planes.active.ref)?.items.length;
    return prompted
      ? "A mask is open on this slice; accept it (Enter) or clear it (Esc) first."
      : this.proposals.obstacle;
  }

  /** Say that what nobody labelled in a box of the open slice is background; whether it was said. */
  rejectBox(box, prompts) {
    const view = this.planes.active;
    if (!this.state.image || !mayDraw(this, view)) return false;
    const said = cut(view.labels, view.size.cols, box);
    if (!said.includes(UNLABELLED)) return true;
    const classes = said.map((value) => (value === UNLABELLED ? BACKGROUND : UNLABELLED));
    return this.editor.commit(view.ref, { box, classes }, { prompts });
  }

  /** As sure as the person asks. The server lays the voxels; they are undone as one. */
  #accept({ axis, lo, hi }) {
    const { shown, prediction } = this.proposals;
    const obstacle = this.#obstacle;
    if (obstacle) return this.notices.say("info", obstacle);
    const id = this.link.newId();
    const { id: image, name } = this.state.image;
    const index = Math.min(hi - 1, Math.max(lo, this.state.cursor[axis]));
    const { minConfidence, instances: number } = this.settings;
    const place = { image, axis, lo, hi };
    const what = { min_confidence: minConfidence, producer: shown.producer, prediction, number };
    this.link.enqueue({ t: "accept", id, ...place, ...what, seconds: this.clock.seconds });
    this.editor.did({ id, image, name, axis, index, act: "accepted" });
  }
}
