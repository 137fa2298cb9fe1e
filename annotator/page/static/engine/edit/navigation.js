// Which slices are open: cursor, steps, and telling the server where we look.

import { axisNames, planeName } from "../geometry.js";

const LOOK_MS = 60; // a scroll through many slices sends one message

export class Navigation {
  constructor({ state, settings, planes, link, notices, signal, clock, prompts, proposals }) {
    Object.assign(this, { state, settings, planes, link, notices, signal });
    Object.assign(this, { clock, prompts, proposals });
    this.direction = 1;
    this.after = null; // what to do once another image is open
  }

  gotoSlice(axis, index) {
    if (!this.state.image) return;
    this.planes.activate(this.planes.views[axis]);
    const position = [...this.state.cursor];
    position[axis] = index;
    this.moveCursor(position);
  }

  /** The crosshair goes to [z, y, x]; views whose slice changes are drawn anew. */
  moveCursor(position) {
    const { image, cursor: old, drawing } = this.state;
    const next = position.map((v, i) => Math.min(image.shape[i] - 1, Math.max(0, Math.round(v))));
    if (next.every((v, i) => v === old[i])) return;
    // a stroke ends on the slice it began on
    if (drawing && next[drawing.axis] !== old[drawing.axis]) return;
    this.state.moveCursor(next);
    for (const view of this.planes.views) {
      if (next[view.axis] === old[view.axis]) view.redrawOverlay();
      else view.sliceChanged();
    }
    const { active } = this.planes;
    if (next[active.axis] !== old[active.axis]) {
      this.direction = Math.sign(next[active.axis] - old[active.axis]);
      this.entered(active);
    }
    this.notices.changed();
  }

  /** Another image is open, or the connection is back: the server shall know. */
  tellOpen() {
    this.link.send({ t: "open", image: this.state.image.id });
  }

  /** A slice was opened for work. */
  entered(view) {
    this.clock.restart();
    this.state.pixels.prefetch(view.axis, view.index, this.direction);
    this.prompts.resume(view.ref);
    this.look();
  }

  /** Tell the server which slice is open, so that it prepares it and its neighbours. */
  look() {
    if (this.looking) return;
    this.looking = setTimeout(() => {
      this.looking = null;
      const { image } = this.state;
      if (!image || this.signal.aborted) return;
      const { ref } = this.planes.active;
      const seen = { window: this.settings.window, looks: this.state.pixels.seen };
      this.link.send({ t: "look", image: image.id, ...ref, ...seen, direction: this.direction });
    }, LOOK_MS);
  }

  /** Steps along the active view's axis; infinite for the first or last slice. */
  step(count) {
    const { axis, index } = this.planes.active;
    const last = this.state.image.shape[axis] - 1;
    this.gotoSlice(axis, Math.min(last, Math.max(0, index + count)));
  }

  /** The crosshair by some rows and columns of the active view. */
  nudge(down, right) {
    const position = [...this.state.cursor];
    const [rowAxis, colAxis] = [0, 1, 2].filter((axis) => axis !== this.planes.active.axis);
    position[rowAxis] += down;
    position[colAxis] += right;
    this.moveCursor(position);
  }

  /** The crosshair under the pointer of a view. */
  point(view, { row, col }) {
    if (this.state.image.kind === "volume") this.moveCursor(view.position(row, col));
  }

  /** Jump to the slice worth labelling next, in whatever plane it lies, and say why. */
  async gotoProposed() {
    const step = await this.proposals.nextStep();
    if (!step) return;
    const { axis, index, reason } = step;
    if (!this.planes.views[axis].shown) this.planes.layout(axisNames[axis]);
    this.gotoSlice(axis, index);
    this.notices.say(
      "info",
      `${capital(planeName(this.state.image, axis))} slice ${index + 1}: ${reason}`,
    );
  }

  /** Ask the page for another image; `act` follows once it is open. */
  moveTo({ image, axis, index }, act) {
    this.after = { image, axis, index, act };
    this.notices.navigate({ image, axis, index });
  }

  arrived() {
    const { after } = this;
    this.after = null;
    if (after?.image !== this.state.image.id) return;
    this.gotoSlice(after.axis, after.index);
    after.act();
  }
}

function capital(word) {
  return word[0].toUpperCase() + word.slice(1);
}
