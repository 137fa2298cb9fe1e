// What is proposed becomes labels, or is said to be background: by slice, by range, as a whole.

import { BACKGROUND, encodeRuns, UNLABELLED } from "../codec.js";
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
    if (this.settings.limits) this.#acceptShown(active);
    else this.#accept({ axis, lo: index, hi: index + 1 });
  }

  /** The objects that the limits leave; what is around them stays unsaid. */
  #acceptShown(view) {
    const { axis, index, proposed, whole } = view;
    const classes = view.labels.map((_, at) =>
      isProposed(view, at) ? proposed.classes[at] : UNLABELLED,
    );
    if (classes.every((value) => value === UNLABELLED))
      return this.notices.say("info", "Your limits hide every object here; move the sliders.");
    this.#accept({ axis, lo: index, hi: index + 1 }, { box: whole, classes });
  }

  /** Accept slices lo..hi - 1 of the active plane; the whole image without them. */
  acceptRange(lo = 0, hi = undefined) {
    const { image } = this.state;
    if (!image) return;
    if (this.settings.limits)
      return this.notices.say(
        "info",
        "Some objects are hidden by your limits; accept slice by slice (Y), or show all first.",
      );
    const { axis } = this.planes.active;
    this.#accept({ axis, lo, hi: hi ?? image.shape[axis] });
  }

  /** Accept what is proposed within a mask {box, mask} of the open slice, as it is on screen. */
  acceptPart({ box, mask }) {
    const { axis, index, proposed, size } = this.planes.active;
    const shown = cut(proposed.classes, size.cols, box);
    const classes = shown.map((value, at) => (mask[at] ? value : UNLABELLED));
    this.#accept({ axis, lo: index, hi: index + 1 }, { box, classes });
  }

  /** Say that what is proposed within a mask {box, mask} of the open slice is background. */
  rejectPart({ box, mask }) {
    const view = this.planes.active;
    const obstacle = this.#openMask;
    if (obstacle) return this.notices.say("info", obstacle);
    const { producer, id } = this.proposals.shown ?? {};
    const classes = mask.map((on) => (on ? BACKGROUND : UNLABELLED));
    this.editor.commit(view.ref, { box, classes }, { prompts: { rejected: { producer, id } } });
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

  /** Why nothing is to be accepted or rejected now, or null. */
  get #obstacle() {
    return this.#openMask ?? this.proposals.obstacle;
  }

  /** A key meant for a mask takes nothing. */
  get #openMask() {
    const prompted = this.prompts.on(this.planes.active.ref)?.items.length;
    return prompted
      ? "A mask is open on this slice; accept it (Enter) or clear it (Esc) first."
      : null;
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

  /**
   * As sure as the person asks, or the {box, classes} of a `part` of a slice, whatever newer
   * proposals say of it. The server lays the voxels; they are undone as one.
   */
  #accept({ axis, lo, hi }, part = null) {
    const { shown, prediction } = this.proposals;
    const obstacle = part ? this.#openMask : this.#obstacle;
    if (obstacle) return this.notices.say("info", obstacle);
    const id = this.link.newId();
    const { id: image, name } = this.state.image;
    const index = Math.min(hi - 1, Math.max(lo, this.state.cursor[axis]));
    const { minConfidence, instances, classes } = this.settings;
    const counted = [...classes.values()].filter(({ objects }) => objects).map((one) => one.id);
    const number = instances || counted;
    const place = { image, axis, lo, hi };
    const what = { min_confidence: minConfidence, producer: shown?.producer, prediction, number };
    const { r0, c0, r1, c1 } = part?.box ?? {};
    const message = { t: "accept", id, ...place, ...what, box: part && [r0, c0, r1, c1] };
    const runs = part ? encodeRuns(part.classes).buffer : undefined;
    this.link.enqueue({ ...message, seconds: this.clock.seconds }, runs);
    this.editor.did({ id, image, name, axis, index, act: "accepted", part: part !== null });
  }
}
