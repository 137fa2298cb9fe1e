// Prompts of each slice and the masks offered for them. The newest question wins; older answers are
// dropped.

import { bytesOf, ERASED, packBits, UNLABELLED, unpackBits } from "../codec.js";
import { component, cut, union } from "../geometry.js";
import { isProposed } from "../image/proposals.js";
import { hasClass } from "./drawing.js";

const PROPOSAL_MARGIN = 0.1; // of the component's sides
const LONGEST_SCRIBBLE = 400; // points sent per scribble
// prompts from which on the mask they correct goes along; as in models/prompt.py, which says why
const HANDED_BACK = 3;
const LARGEST_HANDED = 16_000_000; // pixels of its box
const PATIENCE_MS = 5000; // for masks accepted ahead of their coming, before another image opens
const LOOK_MS = 20;

export class PromptStore {
  constructor(app) {
    this.app = app;
    this.sets = new Map(); // "image/axis/index" -> set
    this.seq = 0;
    this.warned = false;
  }

  /** The prompts of a slice, or undefined. */
  on({ axis, index }) {
    return this.sets.get(`${this.app.image?.id}/${axis}/${index}`);
  }

  /** The mask on offer on a slice, or undefined: {box, mask, score, classId}. */
  shownCandidate(ref) {
    const set = this.on(ref);
    const candidate = set?.candidates[set.chosen];
    if (candidate)
      candidate.classId = set.refine?.classId ?? set.acceptAs ?? this.app.settings.classId;
    return candidate;
  }

  /**
   * Add a point, box or scribble; `time` is the pointer event's. A new box replaces the old one.
   * After a mask was accepted that has not come yet, it belongs to the next object, and waits until
   * that mask is a label.
   */
  add(ref, item, time) {
    const set = this.#open(ref);
    if (set.acceptAs !== null) return this.#later(set, { item, time });
    if (item.kind === "box") set.items = set.items.filter((other) => other.kind !== "box");
    set.items.push({ ...item, corrects: set.candidates[set.chosen], picked: set.chosen > 0 });
    set.taken = [];
    this.predict(ref, time);
  }

  /**
   * Take the labelled or proposed component under a pixel as a mask to improve; false where there
   * is none.
   */
  refine(view, point, time) {
    const seed = Math.round(point.row) * view.size.cols + Math.round(point.col);
    const proposed = isProposed(view, seed);
    const classId = proposed ? view.proposed.classes[seed] : view.labels[seed];
    if (classId === 0 || classId >= ERASED) return false;
    const object = view.objects?.[seed] ?? 0;
    const labelled = (i) => view.labels[i] === classId && (!object || view.objects[i] === object);
    const offered = (i) => isProposed(view, i) && view.proposed.classes[i] === classId;
    const { mask, box } = component(view.size, seed, proposed ? offered : labelled);
    this.clear(view.ref);
    const set = this.#open(view.ref);
    set.refine = { classId, object, box, mask: cut(mask, view.size.cols, box) };
    if (proposed) set.items.push({ kind: "box", ...widened(box, view.whole) });
    this.app.setClass(classId);
    this.add(view.ref, { kind: "point", row: point.row, col: point.col, label: 1 }, time);
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
    this.sets.delete(`${this.app.image?.id}/${ref.axis}/${ref.index}`);
    if (had) this.#shown(ref);
    return Boolean(had);
  }

  cycle(ref) {
    const set = this.on(ref);
    if (!set || set.candidates.length < 2) return false;
    set.chosen = (set.chosen + 1) % set.candidates.length;
    this.#shown(ref);
    return true;
  }

  /** Ask for the mask of a slice's prompts. */
  predict(ref, time = performance.now()) {
    const set = this.on(ref);
    const { app } = this;
    this.#shown(ref);
    if (!app.link.online) {
      set.waiting = true;
      if (!this.warned)
        app.say(
          "warn",
          "No connection: masks need the server. Brush, lasso and polygon work meanwhile.",
        );
      this.warned = true;
      return;
    }
    Object.assign(set, { seq: ++this.seq, waiting: true, askedAt: time });
    const given = handed(set);
    const bits =
      given &&
      packBits(given.mask, given.box.r1 - given.box.r0, given.box.c1 - given.box.c0).buffer;
    app.link.send(
      {
        t: "predict",
        seq: this.seq,
        image: app.image.id,
        ...ref,
        window: app.settings.window,
        view: this.#seen(ref),
        ...question(set),
      },
      bits,
    );
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
      .map((c) => decode(c, bytes));
    Object.assign(set, { chosen: 0, waiting: false, model: message.model });
    this.app.stats.answered({
      seq: message.seq,
      askedAt: set.askedAt,
      model_ms: message.ms,
      candidates: set.candidates.length,
    });
    if (!set.candidates.length)
      this.app.say("info", "The model found nothing there; add a click or draw a box.");
    this.#shown(set);
    if (set.acceptAs !== null) this.#acceptArrived(set);
    this.#askOvertaken();
  }

  /** A "refused" message for a question. */
  refused({ seq, message }) {
    const set = this.#asked(seq);
    if (!set) return;
    Object.assign(set, { waiting: false, acceptAs: null, later: [] });
    this.app.say("warn", message);
    this.#shown(set);
    this.#askOvertaken();
  }

  /**
   * Until the masks of the open image that were accepted ahead of their coming are labels, or it
   * takes too long.
   */
  async allAccepted() {
    const end = performance.now() + PATIENCE_MS;
    while (this.app.link.online && this.#awaited().length && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }

  /** Sets of the open image whose mask was accepted and has not come. */
  #awaited() {
    const here = `${this.app.image?.id}/`;
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
  accept(ref, classId = this.app.settings.classId) {
    const set = this.on(ref);
    const candidate = set && this.shownCandidate(ref);
    if (!candidate && !set?.waiting) return false;
    if (!hasClass(this.app)) return true; // the mask waits for its class
    if (set.waiting) {
      if (set.acceptAs !== null && set.later.length) this.#later(set, { accept: true, classId });
      else set.acceptAs = this.app.link.online ? classId : null;
      this.app.changed();
      return true;
    }
    const instance = set.refine ? set.refine.object : this.app.settings.instances ? -1 : 0;
    const place = { axis: set.axis, index: set.index };
    const prompts = {
      ...question(set),
      model: set.model,
      candidate: set.chosen,
      score: candidate.score,
    };
    const source = set.refine ? "refined" : "prompted";
    const done = this.app.editor.commit(place, patchOf(candidate, set.refine), {
      source,
      prompts,
      instance,
    });
    if (done) this.clear(place);
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

  #open({ axis, index }) {
    const key = `${this.app.image.id}/${axis}/${index}`;
    if (!this.sets.has(key)) {
      const fresh = {
        axis,
        index,
        items: [],
        taken: [],
        refine: null,
        candidates: [],
        chosen: 0,
        seq: 0,
        waiting: false,
        acceptAs: null, // the class of a mask that was accepted ahead of its coming
        // {item, time} and {accept, classId} of the next objects, in the order they were said
        later: [],
      };
      this.sets.set(key, fresh);
    }
    return this.sets.get(key);
  }

  #asked(seq) {
    if (seq !== this.seq) return null;
    for (const [key, set] of this.sets)
      if (set.seq === seq && key.startsWith(`${this.app.image?.id}/`)) return set;
    return null;
  }

  #settle(ref, set) {
    Object.assign(set, { acceptAs: null, later: [] });
    if (set.items.length) return this.predict(ref);
    this.seq++; // an answer on its way is to the question just taken back
    Object.assign(set, { candidates: [], waiting: false, refine: null });
    this.#shown(ref);
  }

  #seen({ axis }) {
    const { r0, c0, r1, c1 } = this.app.views[axis].camera.seen;
    return [r0, c0, r1, c1];
  }

  #shown({ axis }) {
    this.app.views[axis].redraw();
    this.app.changed();
  }
}

/** The prompts of a set in the words of the protocol. */
function question(set) {
  const points = set.items.filter((item) => item.kind === "point");
  const box = set.items.find((item) => item.kind === "box");
  const scribbles = set.items.filter((item) => item.kind === "scribble");
  const given = handed(set);
  return {
    points: points.map(({ row, col }) => [round(row), round(col)]),
    labels: points.map(({ label }) => label),
    box: box ? [box.r0, box.c0, box.r1, box.c1] : null,
    scribbles: scribbles.map(({ label, points: path }) => ({
      label,
      points: thin(path).map(([r, c]) => [round(r), round(c)]),
    })),
    mask_box: given ? [given.box.r0, given.box.c0, given.box.r1, given.box.c1] : null,
  };
}

/**
 * The mask that goes along, or null: what the newest prompt corrects, once there are enough of them
 * or where a person picked another candidate than the first; else the label or proposal to refine.
 */
function handed({ items, refine }) {
  const { corrects, picked } = items.at(-1) ?? {};
  if (!corrects || !(picked || items.length >= HANDED_BACK)) return refine;
  const { r0, c0, r1, c1 } = corrects.box;
  return (r1 - r0) * (c1 - c0) <= LARGEST_HANDED ? corrects : refine;
}

/** Room around a proposed component: it may be too small as well as too large. */
function widened({ r0, c0, r1, c1 }, whole) {
  const down = Math.max(1, Math.round((r1 - r0) * PROPOSAL_MARGIN));
  const right = Math.max(1, Math.round((c1 - c0) * PROPOSAL_MARGIN));
  return {
    r0: Math.max(whole.r0, r0 - down),
    c0: Math.max(whole.c0, c0 - right),
    r1: Math.min(whole.r1, r1 + down),
    c1: Math.min(whole.c1, c1 + right),
  };
}

function thin(points) {
  const every = Math.ceil(points.length / LONGEST_SCRIBBLE);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

function round(value) {
  return Math.round(value * 100) / 100;
}

function decode({ box: [r0, c0, r1, c1], score, offset, bytes }, payload) {
  const mask = unpackBits(payload.subarray(offset, offset + bytes), r1 - r0, c1 - c0);
  return { box: { r0, c0, r1, c1 }, score, mask };
}

/**
 * The classes an accepted mask says; a refinement also takes back what the old mask had and the new
 * one lacks.
 */
function patchOf(candidate, refine) {
  const box = refine ? union(candidate.box, refine.box) : candidate.box;
  const width = box.c1 - box.c0;
  const classes = new Uint8Array(width * (box.r1 - box.r0)).fill(UNLABELLED);
  const lay = (part, value) => {
    const w = part.box.c1 - part.box.c0;
    part.mask.forEach((on, i) => {
      const row = Math.floor(i / w) + part.box.r0 - box.r0;
      if (on) classes[row * width + (i % w) + part.box.c0 - box.c0] = value;
    });
  };
  if (refine) lay(refine, ERASED);
  lay(candidate, candidate.classId);
  return { box, classes };
}
