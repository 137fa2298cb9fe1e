// Pointing at things for the model: click, box, scribble.

import { drawBox, drawScribble } from "../view/overlay.js";

const STILL = 4; // CSS pixels a hand may tremble within one click
const DOUBLE_MS = 350;

function isNegative(event) {
  return event.button === 2 || event.altKey;
}

function inside(view, { row, col }) {
  return row >= -0.5 && col >= -0.5 && row < view.size.rows - 0.5 && col < view.size.cols - 0.5;
}

function clipped(view, { row, col }) {
  const clip = (value, end) => Math.min(end - 1, Math.max(0, value));
  return { row: clip(row, view.size.rows), col: clip(col, view.size.cols) };
}

/**
 * Left: this belongs to it; right or Alt: this does not; Shift on a label: improve that one;
 * double: accept.
 */
export class ClickTool {
  constructor(app) {
    this.app = app;
    this.cursor = "crosshair";
    this.last = null;
  }

  down(view, point, event) {
    if (!inside(view, point) || event.button === 1) return;
    if (this.#isDouble(view, point, event)) {
      this.last = null;
      this.app.prompts.accept(view.ref);
      return;
    }
    this.last = { view, x: point.x, y: point.y, time: event.timeStamp, button: event.button };
    if (event.shiftKey && this.app.prompts.refine(view, point, event.timeStamp)) return;
    const label = isNegative(event) ? 0 : 1;
    this.app.prompts.add(
      view.ref,
      { kind: "point", ...clipped(view, point), label },
      event.timeStamp,
    );
  }

  #isDouble(view, point, event) {
    const { last } = this;
    if (!last || last.view !== view || event.button !== 0 || last.button !== 0) return false;
    const near = Math.hypot(point.x - last.x, point.y - last.y) < STILL * view.camera.dpr;
    return near && event.timeStamp - last.time < DOUBLE_MS;
  }
}

/** Drag a box around the object. */
export class BoxTool {
  constructor(app) {
    this.app = app;
    this.cursor = "crosshair";
    this.from = this.to = null;
  }

  down(view, point) {
    this.view = view;
    this.from = this.to = point;
  }

  move(view, points) {
    if (!this.from) return; // given up by Escape
    this.to = points.at(-1);
    view.redrawOverlay();
  }

  up(view, point, event) {
    if (!this.from) return;
    const box = this.#box(view, point);
    this.cancel();
    if (box) this.app.prompts.add(view.ref, { kind: "box", ...box }, event.timeStamp);
  }

  cancel() {
    const had = this.from !== null;
    this.from = this.to = null;
    this.view?.redrawOverlay();
    return had;
  }

  draw(view, pen) {
    if (view !== this.view || !this.from) return;
    const box = this.#box(view, this.to);
    if (box) drawBox(pen, view.camera, box);
  }

  /** Pixels touched by the drag, at least 2 x 2, or null for a mere click. */
  #box(view, to) {
    const a = clipped(view, this.from);
    const b = clipped(view, to);
    const box = {
      r0: Math.round(Math.min(a.row, b.row)),
      c0: Math.round(Math.min(a.col, b.col)),
      r1: Math.round(Math.max(a.row, b.row)) + 1,
      c1: Math.round(Math.max(a.col, b.col)) + 1,
    };
    return box.r1 - box.r0 > 1 && box.c1 - box.c0 > 1 ? box : null;
  }
}

/** Draw a line over the object (right button or Alt: over what is not it). */
export class ScribbleTool {
  constructor(app) {
    this.app = app;
    this.cursor = "crosshair";
    this.stroke = null;
  }

  down(view, point, event) {
    this.view = view;
    const { row, col } = clipped(view, point);
    this.stroke = { kind: "scribble", label: isNegative(event) ? 0 : 1, points: [[row, col]] };
    view.redrawOverlay();
  }

  move(view, points) {
    if (!this.stroke) return;
    for (const point of points) {
      const { row, col } = clipped(view, point);
      const [lastRow, lastCol] = this.stroke.points.at(-1);
      if (Math.hypot(row - lastRow, col - lastCol) >= 0.5) this.stroke.points.push([row, col]);
    }
    view.redrawOverlay();
  }

  up(view, point, event) {
    const { stroke } = this;
    this.stroke = null;
    if (!stroke) return;
    this.app.prompts.add(view.ref, stroke, event.timeStamp);
  }

  cancel() {
    const had = this.stroke !== null;
    this.stroke = null;
    this.view?.redrawOverlay();
    return had;
  }

  draw(view, pen) {
    if (view === this.view && this.stroke) drawScribble(pen, view.camera, this.stroke);
  }
}
