// Label borders of the slice in a view, made when asked for and kept until something changes.

import { ERASED } from "../codec.js";
import { colorOf, numbersAny } from "../settings.js";
import { borders, onScreen } from "./outline.js";

const HIDDEN = -1;
// a larger slice is looked at where it is on screen only, no finer than the screen shows
const WHOLE = 1024 * 1024;

export class SliceBorders {
  constructor(view) {
    this.view = view;
    this.paths = null;
    this.step = 1;
    this.box = null;
  }

  changed() {
    this.paths = null;
  }

  /**
   * Stroke every border in its class colour, one line of `width` device pixels whatever the zoom.
   */
  draw(pen, width) {
    const { settings, camera } = this.view;
    const { sx, sy, rows, cols } = camera;
    const large = rows * cols > WHOLE;
    const step = large ? Math.max(1, Math.floor(1 / Math.min(sx, sy))) : 1;
    if (!this.paths || step !== this.step || !holds(this.box, camera.seen, this.view.whole)) {
      this.step = step;
      this.box = large ? padded(camera.seen, this.view.whole) : this.view.whole;
      this.#make();
    }
    pen.lineWidth = width;
    for (const [id, path] of this.paths) {
      pen.strokeStyle = colorOf(settings, id);
      pen.stroke(onScreen(path, camera));
    }
  }

  #make() {
    const { labels, objects, size, settings } = this.view;
    const { classes } = settings;
    const shown = Int16Array.from({ length: 256 }, (_, id) =>
      id > 0 && id < ERASED && !classes.get(id)?.hidden ? id : HIDDEN,
    );
    this.paths = borders(size, {
      labels,
      objects: numbersAny(settings) ? objects : null,
      shown,
      step: this.step,
      box: this.box,
    });
  }
}

/** A quarter more on every side, so that a small pan needs nothing new. */
function padded(seen, whole) {
  const down = 4 + ((seen.r1 - seen.r0) >> 2);
  const right = 4 + ((seen.c1 - seen.c0) >> 2);
  return {
    r0: Math.max(whole.r0, seen.r0 - down),
    c0: Math.max(whole.c0, seen.c0 - right),
    r1: Math.min(whole.r1, seen.r1 + down),
    c1: Math.min(whole.c1, seen.c1 + right),
  };
}

/** Is what is seen inside the box, and not at a rim of the box that is none of the slice? */
function holds(box, seen, whole) {
  const low = (edge, rim, limit) => edge === limit || rim > edge;
  const high = (edge, rim, limit) => edge === limit || rim < edge;
  return (
    low(box.r0, seen.r0, whole.r0) &&
    low(box.c0, seen.c0, whole.c0) &&
    high(box.r1, seen.r1, whole.r1) &&
    high(box.c1, seen.c1, whole.c1)
  );
}
