// Which slices are open: cursor, steps, arrow keys, and telling the server where we look.

const LOOK_MS = 60; // a scroll through many slices sends one message

export class Navigation {
  constructor(app) {
    this.app = app;
    this.direction = 1;
    this.after = null; // what to do once another image is open
  }

  gotoSlice(axis, index) {
    const { app } = this;
    if (!app.image) return;
    app.activate(app.views[axis]);
    const position = [...app.cursor];
    position[axis] = index;
    this.moveCursor(position);
  }

  /** The crosshair goes to [z, y, x]; views whose slice changes are drawn anew. */
  moveCursor(position) {
    const { app } = this;
    const next = position.map((v, i) =>
      Math.min(app.image.shape[i] - 1, Math.max(0, Math.round(v))),
    );
    const old = app.cursor;
    if (next.every((v, i) => v === old[i])) return;
    // a stroke ends on the slice it began on
    if (app.drawing && next[app.drawing.axis] !== old[app.drawing.axis]) return;
    app.cursor = next;
    for (const view of app.views) {
      if (next[view.axis] === old[view.axis]) view.redrawOverlay();
      else view.sliceChanged();
    }
    const { axis } = app.active;
    if (next[axis] !== old[axis]) {
      this.direction = Math.sign(next[axis] - old[axis]);
      this.entered(app.active);
    }
    app.changed();
  }

  /** A slice was opened for work. */
  entered(view) {
    const { app } = this;
    app.editor.restartClock();
    app.pixels.prefetch(view.axis, view.index, this.direction);
    app.prompts.resume(view.ref);
    this.look();
  }

  /** Tell the server which slice is open, so that it prepares it and its neighbours. */
  look() {
    if (this.looking) return;
    this.looking = setTimeout(() => {
      this.looking = null;
      const { app } = this;
      if (!app.image || app.signal.aborted) return;
      app.link.send({
        t: "look",
        image: app.image.id,
        ...app.active.ref,
        window: app.settings.window,
        direction: this.direction,
      });
    }, LOOK_MS);
  }

  /** Steps along the active view's axis; infinite for the first or last slice. */
  step(count) {
    const { active, image } = this.app;
    this.gotoSlice(
      active.axis,
      Math.min(image.shape[active.axis] - 1, Math.max(0, active.index + count)),
    );
  }

  /** Arrow keys move the crosshair while that tool is in hand, and through the slices otherwise. */
  arrow(down, right, by) {
    const { app } = this;
    if (app.toolName !== "crosshair") return this.step((down || right) * by);
    const position = [...app.cursor];
    const [rowAxis, colAxis] = [0, 1, 2].filter((axis) => axis !== app.active.axis);
    position[rowAxis] += down * by;
    position[colAxis] += right * by;
    this.moveCursor(position);
  }

  /** The crosshair under the pointer of a view. */
  point(view, { row, col }) {
    if (this.app.image.kind === "volume") this.moveCursor(view.position(row, col));
  }

  /** Ask the page for another image; `act` follows once it is open. */
  moveTo({ image, axis, index }, act) {
    this.after = { image, axis, index, act };
    this.app.dispatchEvent(new CustomEvent("navigate", { detail: { image, axis, index } }));
  }

  arrived() {
    const { after } = this;
    this.after = null;
    if (after?.image !== this.app.image.id) return;
    this.gotoSlice(after.axis, after.index);
    after.act();
  }

  holdSpace() {
    this.app.spaceHeld = true;
    for (const view of this.app.views) view.overlay.style.cursor = "grab";
  }

  releaseSpace() {
    if (!this.app.spaceHeld) return;
    this.app.spaceHeld = false;
    for (const view of this.app.views) view.overlay.style.cursor = this.app.tool.cursor;
  }
}
