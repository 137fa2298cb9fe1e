// From a drawn shape to a label event: protection, the local copy, the message, undo and redo.

import { BACKGROUND, decodeRuns, encodeRuns, ERASED, UNLABELLED, wordsOf } from "../codec.js";
import { boxInVolume, shrink } from "../geometry.js";
import { History } from "./history.js";

const LONGEST_SECONDS = 300;

export class Editor {
  constructor(app) {
    this.app = app;
    this.history = new History();
    this.since = performance.now();
  }

  /** Another slice was opened: the time spent counts from now. */
  restartClock() {
    this.since = performance.now();
  }

  /** Table of 256: may a tool that writes `value` change a voxel of this class? */
  writable(value) {
    const { classes, protect, classId } = this.app.settings;
    const table = new Uint8Array(256).fill(1);
    const own = value === ERASED ? classId : value;
    if (protect) for (let c = 1; c < ERASED; c++) table[c] = c === own ? 1 : 0;
    for (const { id, locked } of classes.values()) if (locked) table[id] = 0;
    if (value === ERASED) table[UNLABELLED] = 0;
    return table;
  }

  /**
   * Commit what was drawn on a slice: `classes` over `box`, UNLABELLED where nothing was said.
   * Voxels that are protected are left out. Returns false (and says why) where nothing remains.
   */
  commit(ref, { box, classes }, { source = "drawn", prompts = {}, instance = 0 } = {}) {
    const allowed = this.#withoutProtected(ref, { box, classes }, instance);
    const tight = shrink(box, allowed, (c) => c !== UNLABELLED);
    if (!tight) {
      this.app.say(
        "info",
        "Nothing changed: every voxel there is protected, locked or empty already.",
      );
      return false;
    }
    const id = this.app.link.newId();
    const said = encodeRuns(tight.values);
    const entry = this.#record({ id, ...ref, kind: "label", box: tight.box, said });
    entry.object =
      instance === -1 ? this.app.labels.nextObject(this.app.settings.classId) : instance;
    this.#apply(entry);
    this.#send(
      ref,
      {
        t: "label",
        id,
        box: toList(tight.box),
        source,
        base_rev: this.app.rev,
        instance,
        prompts,
        seconds: this.#seconds(),
      },
      said,
    );
    this.#did(entry);
    return true;
  }

  /** Everything else on the open slice is background, or no longer. */
  setComplete(on) {
    const { ref, whole } = this.app.active;
    if (!this.#ready() || (this.app.states.get(ref.axis, ref.index) === "complete") === on) return;
    const id = this.app.link.newId();
    const undoes = on
      ? null
      : this.history.done.findLast(
          (e) => e.kind === "complete" && e.on && sameSlice(e, ref, this.app.image.id),
        );
    const entry = this.#record({
      id,
      ...ref,
      kind: "complete",
      on,
      box: whole,
      ground: undoes?.before,
    });
    this.#apply(entry);
    this.#send(ref, { t: "complete", id, on });
    this.#did(entry);
  }

  /**
   * Accept proposed voxels of slices lo..hi - 1 as sure as the person asks. The server lays them;
   * undone as one.
   */
  acceptProposal({ axis, lo, hi }) {
    const { app } = this;
    const { shown, prediction, obstacle } = app.proposals;
    if (obstacle) return app.say("info", obstacle);
    const id = app.link.newId();
    const index = Math.min(hi - 1, Math.max(lo, app.cursor[axis]));
    const { minConfidence, instances: number } = app.settings;
    const what = { min_confidence: minConfidence, producer: shown.producer, prediction, number };
    app.link.enqueue({
      t: "accept",
      id,
      image: app.image.id,
      axis,
      lo,
      hi,
      ...what,
      seconds: this.#seconds(),
    });
    this.#did({ id, image: app.image.id, axis, index });
  }

  /** Take back the newest event of this person, moving to its slice or image first. */
  undo() {
    this.#step(this.history.next, "undo");
  }

  redo() {
    this.#step(this.history.nextRedo, "redo");
  }

  /** Events not yet acknowledged, laid over what the server says once more. */
  replay() {
    const { app } = this;
    for (const { message, payload } of app.link.pendingFor(app.image.id) ?? []) {
      if (message.t === "label" || message.t === "complete")
        this.#write(this.history.find(message.id) ?? this.#adopt(message, payload));
      const target = this.history.find(message.target);
      if (!target || target.image !== app.image.id) continue;
      if (message.t === "undo") this.#revert(target);
      if (message.t === "redo") this.#write(target);
    }
  }

  /** An event of an earlier visit that is still on its way: known from the outbox only. */
  #adopt(message, payload) {
    const { id, axis, index, on, instance } = message;
    const { rows, cols } = this.app.views[axis].size;
    const [r0, c0, r1, c1] = message.box ?? [0, 0, rows, cols];
    const entry = this.#record({
      id,
      axis,
      index,
      on,
      kind: message.t,
      box: { r0, c0, r1, c1 },
      said: payload && wordsOf(payload).slice(),
    });
    entry.object = instance > 0 ? instance : 0;
    this.history.done.push(entry);
    return entry;
  }

  #ready() {
    if (!this.app.active?.editable)
      this.app.say("info", "This slice is still loading; try again in a moment.");
    return this.app.active?.editable;
  }

  /**
   * A voxel keeps what it has where the tool may not write; separate objects too while others are
   * protected.
   */
  #withoutProtected(ref, { box, classes }, instance) {
    const { app } = this;
    const size = classes.length;
    const current = app.labels.read(ref.axis, ref.index, box, new Uint8Array(size));
    const apart = instance !== 0 && app.settings.protect && app.labels.hasObjects;
    const objects = apart
      ? app.labels.readObjects(ref.axis, ref.index, box, new Uint16Array(size))
      : null;
    const tables = new Map();
    return classes.map((value, i) => {
      if (value === UNLABELLED) return UNLABELLED;
      if (!tables.has(value)) tables.set(value, this.writable(value));
      if (!tables.get(value)[current[i]]) return UNLABELLED;
      return objects?.[i] && objects[i] !== instance && current[i] === value ? UNLABELLED : value;
    });
  }

  /** The event with a picture of what it is about to change. */
  #record(event) {
    const { labels, image } = this.app;
    const { axis, index, box } = event;
    const count = (box.r1 - box.r0) * (box.c1 - box.c0);
    const classes = encodeRuns(labels.read(axis, index, box, new Uint8Array(count)));
    const objects = labels.hasObjects
      ? encodeRuns(labels.readObjects(axis, index, box, new Uint16Array(count)))
      : null;
    return { ...event, image: image.id, before: { classes, objects } };
  }

  #send(ref, message, runs = undefined) {
    this.app.link.enqueue(
      { ...message, image: this.app.image.id, axis: ref.axis, index: ref.index },
      runs?.buffer,
    );
  }

  #did(entry) {
    this.history.push(entry);
    this.restartClock();
    this.app.changed();
  }

  #seconds() {
    return Math.min(LONGEST_SECONDS, Math.round((performance.now() - this.since) / 100) / 10);
  }

  #step(entry, direction) {
    const { app } = this;
    if (!entry)
      return app.say("info", direction === "undo" ? "Nothing left to undo." : "Nothing to redo.");
    if (entry.image !== app.image.id) return this.#stepElsewhere(entry, direction);
    app.gotoSlice(entry.axis, entry.index);
    if (direction === "undo") this.#revert(this.history.stepBack(), true);
    else this.#apply(this.history.stepForward());
    this.#send(entry, { t: direction, id: app.link.newId(), target: entry.id });
    this.restartClock();
    app.changed();
  }

  #stepElsewhere(entry, direction) {
    const { app } = this;
    if (app.link.online) app.navigation.moveTo(entry, () => this.#step(entry, direction));
    else
      app.say(
        "warn",
        `The next change to ${direction} is on another image, which opens when the connection is back.`,
      );
  }

  #apply(entry) {
    if (!entry.kind) return; // of an earlier visit: what it said comes with the server's `region`
    this.#write(entry);
    this.app.labelsChanged(boxInVolume(entry.axis, entry.index, entry.box));
    if (entry.kind === "complete")
      this.app.noteSlice(entry.axis, entry.index, entry.on ? "complete" : "labelled");
    else if (entry.kind === "label")
      this.app.noteSlice(
        entry.axis,
        entry.index,
        this.app.states.get(entry.axis, entry.index) ?? "labelled",
      );
  }

  /** Into the local copy only. */
  #write(entry) {
    if (!entry.box) return; // what it said comes with the server's `region`
    const { labels } = this.app;
    const { axis, index, box } = entry;
    const count = (box.r1 - box.r0) * (box.c1 - box.c0);
    if (entry.kind === "label") {
      const unknown = this.app.states.get(axis, index) === "complete" ? BACKGROUND : UNLABELLED;
      labels.write(entry, decodeRuns(entry.said, new Uint8Array(count)), {
        unknown,
        object: entry.object,
      });
    } else if (entry.kind === "complete") {
      const now = labels.read(axis, index, box, new Uint8Array(count));
      labels.write(entry, entry.on ? completed(now) : this.#uncompleted(now, entry));
    }
  }

  /**
   * Background that came from "complete" is unknown again, where this tab remembers what it was.
   */
  #uncompleted(now, entry) {
    if (!entry.ground) return new Uint8Array(now.length).fill(UNLABELLED);
    const was = decodeRuns(entry.ground.classes, new Uint8Array(now.length));
    return now.map((c, i) => (c === BACKGROUND && was[i] === UNLABELLED ? ERASED : UNLABELLED));
  }

  #revert(entry, announce = false) {
    const { app } = this;
    if (announce && !entry.before && !app.link.online)
      app.say("info", "This will be undone when the connection is back.");
    if (entry.before) {
      const count = (entry.box.r1 - entry.box.r0) * (entry.box.c1 - entry.box.c0);
      const objects =
        entry.before.objects && decodeRuns(entry.before.objects, new Uint16Array(count));
      app.labels.restore(entry, decodeRuns(entry.before.classes, new Uint8Array(count)), objects);
      app.labelsChanged(boxInVolume(entry.axis, entry.index, entry.box));
    }
    if (announce && entry.kind === "complete")
      app.noteSlice(entry.axis, entry.index, entry.on ? "labelled" : "complete");
  }
}

function toList({ r0, c0, r1, c1 }) {
  return [r0, c0, r1, c1];
}

function sameSlice(entry, ref, image) {
  return entry.image === image && entry.axis === ref.axis && entry.index === ref.index;
}

/** Only the unknown pixels are said to be background. */
function completed(classes) {
  return classes.map((c) => (c === UNLABELLED ? BACKGROUND : UNLABELLED));
}
