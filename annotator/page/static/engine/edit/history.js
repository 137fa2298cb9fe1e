// What this person did, newest last, over slices, images and restarts; with before-images while
// memory allows.

const KEPT_BYTES = 64 * 1024 * 1024;

/**
 * An entry: {id, image, name, axis, index, act}, and for what was done in this tab also {kind:
 * "label"|"complete", box, said: u16 runs, object, before: {classes: u16 runs, objects: u16
 * runs|null}}. `part`: of a slice's proposals, some objects were accepted.
 */
export class History {
  constructor() {
    this.done = [];
    this.undone = [];
  }

  /** Take over the server's lists; entries already known here keep their before-images. */
  seed({ undo, redo }) {
    const known = new Map([...this.done, ...this.undone].map((entry) => [entry.id, entry]));
    const merge = (list) => list.map((entry) => known.get(entry.id) ?? entry);
    const listed = new Set([...undo, ...redo].map((entry) => entry.id));
    this.done = [...merge(undo), ...this.done.filter((entry) => !listed.has(entry.id))];
    this.undone = merge(redo);
  }

  find(id) {
    return this.done.find((e) => e.id === id) ?? this.undone.find((e) => e.id === id);
  }

  /** The acceptances on an image that stand, oldest first. */
  acceptedOn(image) {
    return this.done.filter((entry) => entry.image === image && entry.act === "accepted");
  }

  /** A new edit: nothing can be redone any more. */
  push(entry) {
    this.done.push(entry);
    this.undone = [];
    this.#forgetOld();
  }

  stepBack(entry) {
    this.done = this.done.filter((one) => one !== entry);
    this.undone.push(entry);
    return entry;
  }

  stepForward(entry) {
    this.undone = this.undone.filter((one) => one !== entry);
    this.done.push(entry);
    return entry;
  }

  /** The server will never take this one. */
  drop(id) {
    this.done = this.done.filter((entry) => entry.id !== id);
    this.undone = this.undone.filter((entry) => entry.id !== id);
  }

  #forgetOld() {
    let bytes = 0;
    for (const entry of this.done.toReversed()) {
      bytes +=
        (entry.said?.byteLength ?? 0) +
        (entry.before?.classes.byteLength ?? 0) +
        (entry.before?.objects?.byteLength ?? 0);
      if (bytes > KEPT_BYTES) delete entry.before;
    }
  }
}
