// The one loop that paints: a frame only when something asked for it.

import { under } from "../state.js";
import { Stats } from "./stats.js";

const ANTS_MS = 110;
const ANTS_ROUND = 10; // CSS pixels of one dash and one gap

export class Frames {
  /** `tell(type, detail)` raises an event of the canvas. */
  constructor({ state, settings, planes, signal, tell }) {
    Object.assign(this, { state, settings, planes, signal, tell });
    this.stats = new Stats();
    this.antsPhase = 0;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  schedule() {
    if (!this.asked && !this.signal.aborted)
      this.asked = requestAnimationFrame(() => this.#frame());
  }

  /** The page hears of it once, at the end of the frame. */
  changed() {
    this.untold = true;
    this.schedule();
  }

  hover(view, point) {
    this.pointed = { view, point };
    this.moved = true;
    this.schedule();
  }

  /** Resolves at the end of a frame in which every open slice was there. */
  drawn() {
    return new Promise((resolve) => {
      this.onceDrawn = resolve;
      this.schedule();
    });
  }

  stop() {
    cancelAnimationFrame(this.asked);
    clearTimeout(this.ants);
  }

  #frame() {
    const { stats, state } = this;
    const { views } = this.planes;
    this.asked = 0;
    const start = performance.now();
    const painted = views.map((view) => view.frame());
    if (painted.includes("picture")) stats.frame(performance.now() - start);
    else if (painted.includes("overlay")) stats.overlays++;
    stats.painted();
    this.#march();
    if (state.image && views.every((view) => !view.shown || view.pixels)) this.onceDrawn?.();
    this.#report(painted.some(Boolean));
  }

  /**
   * What lies under a resting pointer changes too: with the wheel, by a key, when a label comes in.
   */
  #report(painted) {
    const { state, settings, pointed, moved, untold } = this;
    this.moved = this.untold = false;
    const { image } = state;
    if (image && (moved || (pointed?.view && painted)))
      this.tell("hover", under({ state, settings }, pointed.view, pointed.point));
    if (untold) this.tell("change");
  }

  /** Keep the dashes of a mask on offer moving, a few times a second. */
  #march() {
    clearTimeout(this.ants);
    if (!this.state.image || this.still.matches) return;
    const offering = this.planes.views.filter((view) => view.shown && view.candidate);
    if (!offering.length) return;
    this.ants = setTimeout(() => {
      this.antsPhase = (this.antsPhase + 1) % ANTS_ROUND;
      for (const view of offering) view.redrawOverlay();
    }, ANTS_MS);
  }
}
