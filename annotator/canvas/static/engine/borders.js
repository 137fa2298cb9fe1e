// Label borders of the slice in a view, made when asked for and kept until something changes.

import { ERASED } from "./codec.js";
import { borders, onScreen } from "./outline.js";
import { isTiled } from "./raster.js";

const HIDDEN = -1;

export class SliceBorders {
  constructor(view) {
    this.view = view;
    this.paths = null;
    this.step = 1;
  }

  changed() {
    this.paths = null;
  }

  /** Stroke every border in its class colour, one line of `width` device pixels whatever the zoom. */
  draw(pen, width) {
    const { app, camera } = this.view;
    const step = this.#step();
    if (!this.paths || step !== this.step) this.#make(step);
    pen.lineWidth = width;
    for (const [id, path] of this.paths) {
      pen.strokeStyle = app.colorOf(id);
      pen.stroke(onScreen(path, camera));
    }
  }

  /** A slice larger than the screen is sampled no finer than the screen shows. */
  #step() {
    const { rows, cols, sx, sy } = this.view.camera;
    return isTiled(rows, cols) ? Math.max(1, Math.floor(1 / Math.min(sx, sy))) : 1;
  }

  #make(step) {
    const { labels, objects, size, app } = this.view;
    const shown = Int16Array.from({ length: 256 }, (_, id) => (id > 0 && id < ERASED && !app.settings.classes.get(id)?.hidden ? id : HIDDEN));
    const split = objects && app.settings.instances;
    const key = split ? (i) => labels[i] | (objects[i] << 8) : (i) => labels[i];
    this.paths = borders(size, { key, owner: (k) => shown[k & 255], step });
    this.step = step;
  }
}
