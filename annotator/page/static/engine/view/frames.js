// The one loop that paints: a frame only when something asked for it.

import { under } from "../state.js";
import { Stats } from "./stats.js";

const ANTS_MS = 110;
const ANTS_ROUND = 10; // CSS pixels of one dash and one gap

export class Frames {
  constructor(app) {
    this.app = app;
    this.stats = new Stats();
    this.antsPhase = 0;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  schedule() {
    if (!this.asked && !this.app.signal.aborted)
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
    const { app, stats } = this;
    this.asked = 0;
    const start = performance.now();
    const painted = app.views.map((view) => view.frame());
    if (painted.includes("picture")) stats.frame(performance.now() - start);
    else if (painted.includes("overlay")) stats.overlays++;
    stats.painted();
    this.#march();
    if (app.image && app.views.every((view) => !view.shown || view.pixels)) this.onceDrawn?.();
    this.#tell(painted.some(Boolean));
  }

  /**
   * What lies under a resting pointer changes too: with the wheel, by a key, when a label comes in.
   */
  #tell(painted) {
    const { app, pointed, moved, untold } = this;
    this.moved = this.untold = false;
    if (app.image && (moved || (pointed?.view && painted)))
      app.dispatchEvent(
        new CustomEvent("hover", { detail: under(app, pointed.view, pointed.point) }),
      );
    if (untold) app.dispatchEvent(new CustomEvent("change"));
  }

  /** Keep the dashes of a mask on offer moving, a few times a second. */
  #march() {
    const { app } = this;
    clearTimeout(this.ants);
    if (!app.image || this.still.matches) return;
    const offering = app.views.filter((view) => view.shown && app.prompts.shownCandidate(view.ref));
    if (!offering.length) return;
    this.ants = setTimeout(() => {
      this.antsPhase = (this.antsPhase + 1) % ANTS_ROUND;
      for (const view of offering) view.redrawOverlay();
    }, ANTS_MS);
  }
}
