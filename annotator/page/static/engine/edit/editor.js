// From a drawn shape to a label event: protection, the local copy, the message.

import { encodeRuns, ERASED, UNLABELLED, wordsOf } from "../codec.js";
import { shrink } from "../geometry.js";
import { newestClass } from "../settings.js";
import { History } from "./history.js";
import { LocalLabels } from "./local_labels.js";

export class Editor {
  constructor({ state, settings, planes, link, notices, clock }) {
    Object.assign(this, { state, settings, planes, link, notices, clock });
    this.history = new History();
    this.local = new LocalLabels({ state, planes });
  }

  /** Table of 256: may a tool that writes `value` change a voxel of this class? */
  writable(value) {
    const { classes, protect, classId } = this.settings;
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
      this.notices.say(
        "info",
        "Nothing changed: those pixels are empty, locked or protected; see the Label tab.",
      );
      return false;
    }
    const id = this.link.newId();
    const said = encodeRuns(tight.values);
    const { rev, labels } = this.state;
    const entry = this.local.record({
      id,
      ...ref,
      kind: "label",
      act: source,
      box: tight.box,
      said,
    });
    entry.object = instance === -1 ? labels.nextObject(this.settings.classId) : instance;
    this.local.apply(entry);
    const made = newestClass(this.settings);
    const what = { source, base_rev: rev, instance, prompts, seconds: this.clock.seconds, made };
    this.send(ref, { t: "label", id, box: toList(tight.box), ...what }, said);
    this.did(entry);
    return true;
  }

  /** Everything else on the open slice is background, or no longer. */
  setComplete(on) {
    const { ref, whole } = this.planes.active;
    const { states, image } = this.state;
    if (!this.#ready() || (states.get(ref.axis, ref.index) === "complete") === on) return;
    const id = this.link.newId();
    const isMine = (e) => e.kind === "complete" && e.on && sameSlice(e, ref, image.id);
    const ground = on ? undefined : this.history.done.findLast(isMine)?.before;
    const act = on ? "complete" : "reopened";
    const entry = this.local.record({ id, ...ref, kind: "complete", act, on, box: whole, ground });
    this.local.apply(entry);
    this.send(ref, { t: "complete", id, on });
    this.did(entry);
  }

  /**
   * Take back every label of the open slice, or of the image. The server does it; it is undone as
   * one.
   */
  clear({ image: whole = false } = {}) {
    const { ref } = this.planes.active;
    const { states, image, rev } = this.state;
    const any = whole
      ? [0, 1, 2].some((axis) => states.of(axis).length)
      : states.get(ref.axis, ref.index);
    if (!any) return this.notices.say("info", nothingToClear(image, whole, states));
    const id = this.link.newId();
    const place = { image: image.id, ...(whole ? {} : ref) };
    this.link.enqueue({ t: "clear", id, ...place, base_rev: rev });
    this.did({ id, ...ref, image: image.id, name: image.name, act: "cleared" });
  }

  /** Events not yet acknowledged, laid over what the server says once more. */
  replay() {
    const { image } = this.state;
    for (const { message, payload } of this.link.pendingFor(image.id) ?? []) {
      if (message.t === "label" || message.t === "complete")
        this.local.write(this.history.find(message.id) ?? this.#adopt(message, payload));
      const target = this.history.find(message.target);
      if (!target || target.image !== image.id) continue;
      if (message.t === "undo") this.local.revert(target);
      if (message.t === "redo") this.local.write(target);
    }
  }

  /** A message about a slice: kept until the server has it. */
  send({ axis, index }, message, runs = undefined) {
    this.link.enqueue({ ...message, image: this.state.image.id, axis, index }, runs?.buffer);
  }

  /** An event was made: it can be undone. */
  did(entry) {
    this.history.push(entry);
    this.clock.restart();
    this.notices.changed();
  }

  /** An event of an earlier visit that is still on its way: known from the outbox only. */
  #adopt(message, payload) {
    const { id, axis, index, on, instance } = message;
    const { rows, cols } = this.planes.views[axis].size;
    const [r0, c0, r1, c1] = message.box ?? [0, 0, rows, cols];
    const said = payload && wordsOf(payload).slice();
    const act = message.source ?? (on ? "complete" : "reopened");
    const place = { id, axis, index, act, box: { r0, c0, r1, c1 } };
    const entry = this.local.record({ ...place, on, kind: message.t, said });
    entry.object = instance > 0 ? instance : 0;
    this.history.done.push(entry);
    return entry;
  }

  #ready() {
    const { active } = this.planes;
    if (!active?.editable)
      this.notices.say("info", "This slice is still loading; try again in a moment.");
    return active?.editable;
  }

  /**
   * A voxel keeps what it has where the tool may not write; separate objects too while others are
   * protected.
   */
  #withoutProtected({ axis, index }, { box, classes }, instance) {
    const { labels } = this.state;
    const size = classes.length;
    const current = labels.read(axis, index, box, new Uint8Array(size));
    const apart = instance !== 0 && this.settings.protect && labels.hasObjects;
    const objects = apart ? labels.readObjects(axis, index, box, new Uint16Array(size)) : null;
    const tables = new Map();
    return classes.map((value, i) => {
      if (value === UNLABELLED) return UNLABELLED;
      if (!tables.has(value)) tables.set(value, this.writable(value));
      if (!tables.get(value)[current[i]]) return UNLABELLED;
      const another = objects?.[i] && objects[i] !== instance && current[i] === value;
      return another ? UNLABELLED : value;
    });
  }
}

function nothingToClear({ kind }, whole, states) {
  if (kind === "image" || whole) return "Nothing is labelled on this image.";
  return [0, 1, 2].some((axis) => states.of(axis).length)
    ? "No label was made on this slice; what you see was made on slices that cross it."
    : "Nothing is labelled on this slice.";
}

function toList({ r0, c0, r1, c1 }) {
  return [r0, c0, r1, c1];
}

function sameSlice(entry, ref, image) {
  return entry.image === image && entry.axis === ref.axis && entry.index === ref.index;
}
