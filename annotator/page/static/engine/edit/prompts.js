// Prompts of each slice and the masks offered for them. The newest question wins; older answers are
// dropped.

import { bytesOf, packBits } from "../codec.js";
import { numbersObjects } from "../settings.js";
import { hasClass } from "./drawing.js";
import { pointedPart, proposedUnder } from "./pointed_part.js";
import { decodeMask, handedMask, labelOf, nothingFound, question } from "./prompt_set.js";
import { PromptSets } from "./prompt_sets.js";

const PATIENCE_MS = 5000; // for masks accepted ahead of their coming, before another image opens
const LOOK_MS = 20;

export class PromptStore {
  constructor({ state, settings, planes, link, notices, ...parts }) {
    const { stats, editor, mending, proposals, chooseClass, whole } = parts;
    Object.assign(this, { state, settings, planes, link, notices });
    Object.assign(this, { stats, editor, mending, proposals, chooseClass, whole });
    this.sets = new PromptSets(state);
    this.seq = 0;
    this.said = 0; // prompts, in the order of a person's hand
    this.warned = false;
  }

  /** The prompts of a slice, or undefined. */
  on(ref) {
    return this.sets.on(ref);
  }

  /** The mask on offer on a slice, or undefined: {box, mask, score, classId}. */
  shownCandidate(ref) {
    const set = this.on(ref);
    const candidate = set?.candidates[set.chosen] ?? this.whole.part(ref);
    if (candidate) candidate.classId = set?.refine?.value ?? set?.acceptAs ?? this.settings.classId;
    return candidate;
  }

  /** The proposals that are in the way of what is prompted on a slice, or null: (rows * cols). */
  hides(view) {
    const set = this.on(view.ref);
    if (!set?.items.length || set.refine?.mends) return null;
    const { cols } = view.size;
    const points = set.items.filter(({ kind, label }) => kind === "point" && label);
    const at = points.map(({ row, col }) => Math.round(row) * cols + Math.round(col));
    return proposedUnder(view, set.candidates[set.chosen], at);
  }

  /**
   * Add a point, box or scribble; `time` is the pointer event's. A new box replaces the old one.
   * After a mask was accepted that has not come yet, it belongs to the next object, and waits until
   * that mask is a label. Where each click is accepted at once, the first that points at an object
   * is; Shift+click corrects its label.
   */
  add(ref, item, time) {
    const set = this.sets.open(ref);
    const ahead = (this.whole.together && this.sets.awaited[0]) || set;
    if (ahead.acceptAs !== null) return this.#later(ahead, { item, time, ref });
    if (item.kind === "box") set.items = set.items.filter((other) => other.kind !== "box");
    const corrects = this.whole.together ? undefined : set.candidates[set.chosen];
    set.items.push({ ...item, n: ++this.said, corrects, picked: set.chosen > 0 });
    set.taken = [];
    this.predict(ref, time);
    const first =
      set.items.length === 1 && !set.refine && item.kind !== "scribble" && item.label !== 0;
    if (this.settings.atOnce && first) this.accept(ref);
  }

  /**
   * Improve the label under a pixel, or mend the proposal there; false where there is neither.
   */
  refine(view, point, time) {
    const part = pointedPart(view, point);
    if (!part) return false;
    this.clear(view.ref);
    this.sets.open(view.ref).refine = part;
    if (!part.mends) this.chooseClass(part.classId);
    const { row, col } = point;
    this.add(view.ref, { kind: "point", row, col, label: part.label }, time);
    return true;
  }

  /** Undo among prompts; false where there is none left. */
  undo(ref) {
    const set = this.#newest(ref);
    if (!set?.items.length) return false;
    if (set.later.length) return this.#forget(set);
    set.taken.push(set.items.pop());
    this.#settle(set);
    return true;
  }

  /** Redo among prompts. */
  redo(ref) {
    const set = this.on(ref);
    if (!set?.taken.length) return false;
    set.items.push(set.taken.pop());
    this.#settle(set);
    return true;
  }

  clear(ref) {
    if (this.whole.here) return this.#forgetObject();
    const had = this.on(ref);
    if (had?.refine?.mends) this.mending.drop();
    if (had) this.#forgetSet(ref);
    return Boolean(had);
  }

  /** Drop what was said since the last mask that was accepted, though that mask has not come yet. */
  giveUp(ref) {
    const set = this.on(ref);
    if (!set) return;
    if (set.acceptAs === null) return void this.clear(ref);
    while (set.later.length && !set.later.at(-1).accept) set.later.pop();
    this.#shown(set);
  }

  cycle(ref) {
    const set = this.on(ref);
    if (!set || set.candidates.length < 2) return false;
    set.chosen = (set.chosen + 1) % set.candidates.length;
    this.#mend(set);
    this.#shown(ref);
    return true;
  }

  /** Ask for the mask of a slice's prompts. */
  predict(ref, time = performance.now()) {
    const set = this.on(ref);
    this.#shown(ref);
    if (!this.link.online) {
      set.waiting = true;
      if (!this.warned)
        this.notices.say(
          "warn",
          "The server cannot be reached; use the brush, lasso or polygon until it is back.",
        );
      this.warned = true;
      return;
    }
    Object.assign(set, { seq: ++this.seq, waiting: true, askedAt: time });
    const given = handedMask(set);
    const bits = given && packBits(given.mask, ...sidesOf(given.box)).buffer;
    const seen = { window: this.settings.window, looks: this.state.pixels.seen };
    const where = { image: this.state.image.id, ...ref, ...seen };
    const asked = {
      ...where,
      view: this.#seen(ref),
      ...question(set),
      ...this.whole.elsewhere(set, this.sets.here),
    };
    this.link.send({ t: "predict", seq: this.seq, ...asked }, bits);
  }

  /** Another model was chosen: the prompts stay, the mask is its own. */
  again(ref) {
    const set = this.on(ref);
    if (!set?.items.length) return;
    for (const item of set.items) item.corrects = undefined;
    this.predict(ref);
  }

  /** A slice is open again, or (`lost`) the connection is back: ask again what was not answered. */
  resume(ref, lost = false) {
    if (lost) this.warned = false;
    const set = this.on(ref);
    if (set?.items.length && set.waiting && (lost || set.seq !== this.seq)) this.predict(ref);
  }

  /** A "mask" message. Anything but the newest question's answer is dropped. */
  receive(message, payload) {
    const set = this.#asked(message.seq);
    if (!set) return;
    const bytes = bytesOf(payload);
    set.candidates = message.candidates
      .filter(({ box }) => box[2] > box[0] && box[3] > box[1])
      .map((one) => decodeMask(one, bytes));
    if (message.volume)
      for (const other of this.sets.here) Object.assign(other, { candidates: [], waiting: false });
    if (message.volume || this.whole.here) this.whole.take(message.volume, bytes);
    Object.assign(set, { chosen: 0, waiting: false, model: message.model, saw: message.saw ?? [] });
    this.stats.answered({
      seq: message.seq,
      askedAt: set.askedAt,
      model_ms: message.ms,
      candidates: set.candidates.length,
    });
    if (!set.candidates.length && !message.volume) this.notices.say("info", nothingFound(set));
    this.#mend(set);
    this.#shown(set);
    if (set.acceptAs !== null) this.#acceptArrived(set);
    this.#askOvertaken();
  }

  /** A "refused" message for a question. */
  refused({ seq, message }) {
    const set = this.#asked(seq);
    if (!set) return;
    Object.assign(set, { waiting: false, acceptAs: null, later: [] });
    this.notices.say("warn", message);
    this.#shown(set);
    this.#askOvertaken();
  }

  /**
   * Until the masks of the open image that were accepted ahead of their coming are labels, or it
   * takes too long.
   */
  async allAccepted() {
    const end = performance.now() + PATIENCE_MS;
    while (this.link.online && this.sets.awaited.length && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }

  /**
   * A question on another slice came before the answer to an accepted one: now that nothing is
   * asked, ask it again.
   */
  #askOvertaken() {
    const sets = this.sets.awaited;
    if (!sets.length || sets.some((set) => set.seq === this.seq)) return;
    const { axis, index } = sets[0];
    this.predict({ axis, index });
  }

  /**
   * Commit the mask on offer, now or as soon as it comes, as the class of now. Whether there was
   * anything to accept.
   */
  accept(ref, classId = this.settings.classId) {
    const whole = this.whole.here;
    const set = whole ? this.#newest(ref) : this.on(ref);
    const candidate = set && (whole ?? this.shownCandidate(ref));
    if (!candidate && !set?.waiting) return false;
    if (!hasClass(this)) return true; // the mask waits for its class
    if (set.waiting) {
      if (set.acceptAs !== null && set.later.length) this.#later(set, { accept: true, classId });
      else set.acceptAs = this.link.online ? classId : null;
      this.notices.changed();
      return true;
    }
    if (whole) return this.whole.accept(set, classId, this.sets.here) && this.#forgetObject();
    const instance = set.refine
      ? set.refine.object
      : numbersObjects(this.settings, classId)
        ? -1
        : 0;
    const mends = set.refine?.mends && { mends: { producer: this.proposals.shown?.producer } };
    const { place, patch, how } = labelOf(set, candidate, { mends, instance });
    const done = this.editor.commit(place, patch, how);
    if (done && mends) this.mending.accept();
    if (done) this.#forgetSet(place);
    return true;
  }

  #later(set, what) {
    set.later.push(what);
    this.#shown(set);
  }

  /** Take back the newest prompt of those that wait for the mask before theirs. */
  #forget(set) {
    while (set.later.pop()?.accept);
    this.#shown(set);
    return true;
  }

  /**
   * The mask that was accepted ahead of its coming, then what was said since about the next
   * objects.
   */
  #acceptArrived(set) {
    const { axis, index, later } = set;
    set.later = [];
    this.accept(set);
    set.acceptAs = null;
    // the mask waits for a class
    if (!later.length || (set.candidates.length && this.on(set) === set)) return;
    this.clear(set);
    for (const { accept, item, time, ref, classId } of later) {
      if (accept) this.accept({ axis, index }, classId);
      else this.add(ref, item, time);
    }
  }

  #forgetSet(ref) {
    this.sets.forget(ref);
    this.#shown(ref);
  }

  /** A wrong part of a proposal is on offer: what would it change in the volume? */
  #mend(set) {
    if (!set.refine?.mends) return;
    const part = set.candidates[set.chosen];
    if (part) this.mending.ask(set, { ...part, value: set.refine.value });
    else this.mending.drop();
  }

  /** All prompts of the object in the open volume, and its mask. */
  #forgetObject() {
    this.whole.drop();
    for (const set of this.sets.here) this.#forgetSet(set);
    return true;
  }

  /** Of the object in the volume the set of the newest prompt; without one that of the slice. */
  #newest(ref) {
    return this.whole.here ? this.sets.newest : this.on(ref);
  }

  #asked(seq) {
    return seq === this.seq ? this.sets.here.find((set) => set.seq === seq) : null;
  }

  #settle(set) {
    Object.assign(set, { acceptAs: null, later: [] });
    if (set.items.length) return this.predict(set);
    this.seq++; // an answer on its way is to the question just taken back
    if (set.refine?.mends) this.mending.drop();
    Object.assign(set, { candidates: [], waiting: false, refine: null });
    const rest = this.whole.here ? this.sets.newest : undefined;
    if (rest) return this.predict(rest);
    this.whole.drop();
    this.#shown(set);
  }

  #seen({ axis }) {
    const { r0, c0, r1, c1 } = this.planes.views[axis].camera.seen;
    return [r0, c0, r1, c1];
  }

  #shown({ axis }) {
    this.planes.views[axis].promptsChanged();
    this.notices.changed();
  }
}

function sidesOf({ r0, c0, r1, c1 }) {
  return [r1 - r0, c1 - c0];
}
