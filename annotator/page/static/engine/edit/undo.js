// Undo and redo of this person's events, newest first: on the open image, elsewhere only on request.

import { planeName } from "../geometry.js";

const WORDS = {
  drawn: "a drawing",
  prompted: "a mask",
  refined: "a correction",
  accepted: "what you accepted",
  imported: "an import",
  complete: "“complete”",
  reopened: "the reopening",
  cleared: "the clearing",
  merged: "the merging of objects",
  split: "the splitting of an object",
  deleted: "the deleting of objects",
  reclassed: "the new class of objects",
  numbered: "the numbering of objects",
  filled: "the filling of holes",
};
const ASK = { undo: "Ctrl+Alt+Z", redo: "Ctrl+Alt+Y" };
const DONE = { undo: "Undone", redo: "Redone" };

export class UndoRedo {
  constructor({ state, link, notices, clock, editor, planes, navigation }) {
    Object.assign(this, { state, link, notices, clock, editor, planes, navigation });
  }

  /**
   * Take back the newest event of the open image, moving to its slice first. `anywhere`: of any
   * image.
   */
  undo({ anywhere = false } = {}) {
    this.#newest("undo", anywhere);
  }

  redo({ anywhere = false } = {}) {
    this.#newest("redo", anywhere);
  }

  /** What is accepted on the open image becomes a proposal again; the labels made since correct it. */
  refill() {
    const { history } = this.editor;
    const accepted = history.acceptedOn(this.state.image.id);
    if (!accepted.length)
      return this.notices.say(
        "info",
        "You accepted nothing on this image; there is nothing to fill anew.",
      );
    for (const entry of accepted.toReversed()) {
      history.stepBack(entry);
      this.editor.send(entry, { t: "undo", id: this.link.newId(), target: entry.id });
    }
    this.notices.say("info", "Filling anew from your labels; accept it again when it fits.");
    this.notices.changed();
  }

  #newest(direction, anywhere) {
    const { history } = this.editor;
    const list = direction === "undo" ? history.done : history.undone;
    const here = list.findLast(({ image }) => image === this.state.image.id);
    const entry = anywhere ? list.at(-1) : here;
    if (entry) this.#step(entry, direction);
    else this.notices.say("info", nothing(direction, list.at(-1)));
  }

  #step(entry, direction) {
    const { history, local } = this.editor;
    if (entry.image !== this.state.image.id) return this.#stepElsewhere(entry, direction);
    this.navigation.gotoSlice(entry.axis, entry.index);
    if (direction === "undo") this.#revert(history.stepBack(entry));
    else local.apply(history.stepForward(entry));
    this.editor.send(entry, { t: direction, id: this.link.newId(), target: entry.id });
    this.#tell(entry, direction);
    this.clock.restart();
    this.notices.changed();
  }

  #stepElsewhere(entry, direction) {
    if (this.link.online) this.navigation.moveTo(entry, () => this.#step(entry, direction));
    else
      this.notices.say(
        "warn",
        `The next change to ${direction} is on another image; try again when the connection is back.`,
      );
  }

  #tell(entry, direction) {
    const offline = !this.link.online && !entry.before;
    const when = offline ? "; the page shows it when the connection is back" : "";
    this.notices.say("info", `${DONE[direction]}: ${whatOf(entry)}${this.#where(entry)}${when}.`);
  }

  #where({ axis, index }) {
    const { image } = this.state;
    return image.kind === "volume" ? ` on ${planeName(image, axis)} slice ${index + 1}` : "";
  }

  #revert(entry) {
    this.editor.local.revert(entry);
    if (entry.kind === "complete")
      this.planes.noteSlice(entry.axis, entry.index, entry.on ? "labelled" : "complete");
  }
}

function whatOf({ act }) {
  return WORDS[act] ?? "a change";
}

function nothing(direction, elsewhere) {
  const none = `Nothing to ${direction}`;
  if (!elsewhere) return `${none}.`;
  const where = elsewhere.name ? `“${elsewhere.name}”` : "another image";
  return `${none} on this image. Press ${ASK[direction]} to ${direction} ${whatOf(elsewhere)} on ${where}.`;
}
