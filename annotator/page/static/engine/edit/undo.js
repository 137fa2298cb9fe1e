// Undo and redo of this person's events, newest first, over slices and images.

export class UndoRedo {
  constructor({ state, link, notices, clock, editor, planes, navigation }) {
    Object.assign(this, { state, link, notices, clock, editor, planes, navigation });
  }

  /** Take back the newest event, moving to its slice or image first. */
  undo() {
    this.#step(this.editor.history.next, "undo");
  }

  redo() {
    this.#step(this.editor.history.nextRedo, "redo");
  }

  #step(entry, direction) {
    const { history, local } = this.editor;
    if (!entry) {
      const nothing = direction === "undo" ? "Nothing to undo." : "Nothing to redo.";
      return this.notices.say("info", nothing);
    }
    if (entry.image !== this.state.image.id) return this.#stepElsewhere(entry, direction);
    this.navigation.gotoSlice(entry.axis, entry.index);
    if (direction === "undo") this.#revert(history.stepBack());
    else local.apply(history.stepForward());
    this.editor.send(entry, { t: direction, id: this.link.newId(), target: entry.id });
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

  #revert(entry) {
    if (!entry.before && !this.link.online)
      this.notices.say("info", "This will be undone when the connection is back.");
    this.editor.local.revert(entry);
    if (entry.kind === "complete")
      this.planes.noteSlice(entry.axis, entry.index, entry.on ? "labelled" : "complete");
  }
}
