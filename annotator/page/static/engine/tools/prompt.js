// Pointing at things for the model: click, box, scribble.

import { drawBox, drawScribble } from "../view/overlay.js";

const STILL = 4; // CSS pixels a hand may tremble within one click
const DOUBLE_MS = 350;

function isNegative(event) {
  return event.button === 2 || event.altKey;
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
  static title = "Click prompt";
  static key = "q";
  static group = "prompt";
  static icon =
    '<path d="M12 2.5v5M12 16.5v5M2.5 12h5M16.5 12h5"/>' +
    '<circle cx="12" cy="12" r="2.2" fill="currentColor" stroke="none"/>';

  constructor(kit) {
    this.kit = kit;
    this.cursor = "crosshair";
    this.last = null;
  }

  down(view, point, event) {
    if (!view.holds(point) || event.button === 1) return;
    if (this.#isDouble(view, point, event)) {
      this.last = null;
      this.kit.prompts.accept(view.ref);
      return;
    }
    const { index } = view.ref;
    this.last = {
      view,
      index,
      x: point.x,
      y: point.y,
      time: event.timeStamp,
      button: event.button,
    };
    if (event.shiftKey && this.kit.prompts.refine(view, point, event.timeStamp)) return;
    const label = isNegative(event) ? 0 : 1;
    this.kit.prompts.add(
      view.ref,
      { kind: "point", ...clipped(view, point), label },
      event.timeStamp,
    );
  }

  #isDouble(view, point, event) {
    const { last } = this;
    if (!last || event.button !== 0 || last.button !== 0) return false;
    // a quick hand goes on to the next slice, and points at the same place there
    if (last.view !== view || last.index !== view.ref.index) return false;
    const near = Math.hypot(point.x - last.x, point.y - last.y) < STILL * view.camera.dpr;
    return near && event.timeStamp - last.time < DOUBLE_MS;
  }
}

/** Drag a box around the object. */
export class BoxTool {
  static title = "Box prompt";
  static key = "w";
  static group = "prompt";
  static icon =
    '<path d="M4 8V5.5A1.5 1.5 0 0 1 5.5 4H8M16 4h2.500A1.5 1.5 0 0 1 20 5.500V8' +
    'M20 16v2.500a1.5 1.5 0 0 1-1.5 1.500H16M8 20H5.500A1.5 1.5 0 0 1 4 18.500V16"/>' +
    '<path d="M11 4h2M11 20h2M4 11v2M20 11v2"/>';

  constructor(kit) {
    this.kit = kit;
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
    if (box) this.kit.prompts.add(view.ref, { kind: "box", ...box }, event.timeStamp);
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

/**
 * Draw a line over the object (right button or Alt: over what is not it). With Shift the line is an
 * outline: all within it is meant.
 */
export class ScribbleTool {
  static title = "Scribble prompt";
  static about = "Scribble prompt; with Shift an outline";
  static key = "s";
  static group = "prompt";
  static icon =
    '<path d="M3 16c2.5-7 5-9 6.5-7.500S7 14 8.5 15s4.5-5 6-4-1.5 4.5 0 5.5 3.5-1.5' +
    ' 6.5-4.5"/>';

  constructor(kit) {
    this.kit = kit;
    this.cursor = "crosshair";
    this.stroke = null;
  }

  down(view, point, event) {
    this.view = view;
    const { row, col } = clipped(view, point);
    const how = { label: isNegative(event) ? 0 : 1, closed: event.shiftKey };
    this.stroke = { kind: "scribble", ...how, points: [[row, col]] };
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
    this.kit.prompts.add(view.ref, stroke, event.timeStamp);
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
