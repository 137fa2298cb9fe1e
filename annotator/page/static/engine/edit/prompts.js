// Prompts of each slice and the masks offered for them. The newest question wins; older answers are
// dropped.

import { bytesOf, packBits } from "../codec.js";
import { numbersObjects } from "../settings.js";
import { hasClass } from "./drawing.js";
import { pointedPart, proposedUnder } from "./pointed_part.js";
import { decodeMask, handedMask, newPromptSet, patchOf, question } from "./prompt_set.js";

const PATIENCE_MS = 5000; // for masks accepted ahead of their coming, before another image opens
const LOOK_MS = 20;

export class PromptStore {
  constructor({ state, settings, planes, link, notices, ...parts }) {
    const { stats, editor, mending, proposals, chooseClass } = parts;
    Object.assign(this, { state, settings, planes, link, notices });
    Object.assign(this, { stats, editor, mending, proposals, chooseClass });
    this.sets = new Map(); // "image/axis/index" -> set
    this.seq = 0;
    this.warned = false;
  }

  /** The prompts of a slice, or undefined. */
  on({ axis, index }) {
    return this.sets.get(`${this.state.image?.id}/${axis}/${index}`);
  }

  /** The mask on offer on a slice, or undefined: {box, mask, score, classId}. */
  shownCandidate(ref) {
    const set = this.on(ref);
    const candidate = set?.candidates[set.chosen];
    if (candidate) candidate.classId = set.refine?.value ?? set.acceptAs ?? this.settings.classId;
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
    const set = this.#open(ref);
    if (set.acceptAs !== null) return this.#later(set, { item, time });
    if (item.kind === "box") set.items = set.items.filter((other) => other.kind !== "box");
    set.items.push({ ...item, corrects: set.candidates[set.chosen], picked: set.chosen > 0 });
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
    this.#open(view.ref).refine = part;
    if (!part.mends) this.chooseClass(part.classId);
    const { row, col } = point;
    this.add(view.ref, { kind: "point", row, col, label: part.label }, time);
    return true;
  }

  /** Undo among prompts; false where there is none left. */
  undo(ref) {
    const set = this.on(ref);
    if (!set?.items.length) return false;
    if (set.later.length) return this.#forget(set);
    set.taken.push(set.items.pop());
    this.#settle(ref, set);
    return true;
  }

  /** Redo among prompts. */
  redo(ref) {
    const set = this.on(ref);
    if (!set?.taken.length) return false;
    set.items.push(set.taken.pop());
    this.#settle(ref, set);
    return true;
  }

  clear(ref) {
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
    const asked = { ...where, view: this.#seen(ref), ...question(set) };
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
    Object.assign(set, { chosen: 0, waiting: false, model: message.model, saw: message.saw ?? [] });
    this.stats.answered({
      seq: message.seq,
      askedAt: set.askedAt,
      model_ms: message.ms,
      candidates: set.candidates.length,
    });
    if (!set.candidates.length) this.notices.say("info", nothingFound(set));
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
    while (this.link.online && this.#awaited().length && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }

  /** Sets of the open image whose mask was accepted and has not come. */
  #awaited() {
    const here = `${this.state.image?.id}/`;
    return [...this.sets]
      .filter(([key, set]) => key.startsWith(here) && set.acceptAs !== null)
      .map(([, set]) => set);
  }

  /**
   * A question on another slice came before the answer to an accepted one: now that nothing is
   * asked, ask it again.
   */
  #askOvertaken() {
    const sets = this.#awaited();
    if (!sets.length || sets.some((set) => set.seq === this.seq)) return;
    const { axis, index } = sets[0];
    this.predict({ axis, index });
  }

  /**
   * Commit the mask on offer, now or as soon as it comes, as the class of now. Whether there was
   * anything to accept.
   */
  accept(ref, classId = this.settings.classId) {
    const set = this.on(ref);
    const candidate = set && this.shownCandidate(ref);
    if (!candidate && !set?.waiting) return false;
    if (!hasClass(this)) return true; // the mask waits for its class
    if (set.waiting) {
      if (set.acceptAs !== null && set.later.length) this.#later(set, { accept: true, classId });
      else set.acceptAs = this.link.online ? classId : null;
      this.notices.changed();
      return true;
    }
    const instance = set.refine
      ? set.refine.object
      : numbersObjects(this.settings, classId)
        ? -1
        : 0;
    const place = { axis: set.axis, index: set.index };
    const { model, chosen, refine } = set;
    const mends = refine?.mends && { mends: { producer: this.proposals.shown?.producer } };
    const how = { model, candidate: chosen, score: candidate.score, ...mends };
    const prompts = { ...question(set), ...how };
    const source = set.refine ? "refined" : "prompted";
    const done = this.editor.commit(place, patchOf(candidate, set.refine), {
      source,
      prompts,
      instance,
    });
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
    for (const { accept, item, time, classId } of later) {
      if (accept) this.accept({ axis, index }, classId);
      else this.add({ axis, index }, item, time);
    }
  }

  #forgetSet(ref) {
    this.sets.delete(`${this.state.image?.id}/${ref.axis}/${ref.index}`);
    this.#shown(ref);
  }

  /** A wrong part of a proposal is on offer: what would it change in the volume? */
  #mend(set) {
    if (!set.refine?.mends) return;
    const part = set.candidates[set.chosen];
    if (part) this.mending.ask(set, { ...part, value: set.refine.value });
    else this.mending.drop();
  }

  #open({ axis, index }) {
    const key = `${this.state.image.id}/${axis}/${index}`;
    if (!this.sets.has(key)) this.sets.set(key, newPromptSet(axis, index));
    return this.sets.get(key);
  }

  #asked(seq) {
    if (seq !== this.seq) return null;
    for (const [key, set] of this.sets)
      if (set.seq === seq && key.startsWith(`${this.state.image?.id}/`)) return set;
    return null;
  }

  #settle(ref, set) {
    Object.assign(set, { acceptAs: null, later: [] });
    if (set.items.length) return this.predict(ref);
    this.seq++; // an answer on its way is to the question just taken back
    if (set.refine?.mends) this.mending.drop();
    Object.assign(set, { candidates: [], waiting: false, refine: null });
    this.#shown(ref);
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

function nothingFound({ refine }) {
  if (refine?.mends) return "The model would change nothing there; draw the part with the brush.";
  return "The model found nothing there; add a click or draw a box.";
}

function sidesOf({ r0, c0, r1, c1 }) {
  return [r1 - r0, c1 - c0];
}
