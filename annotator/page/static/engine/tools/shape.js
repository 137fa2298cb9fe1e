// Lasso (one freehand loop) and polygon (vertex by vertex); the right button or Alt takes away
// instead.

import { ERASED, UNLABELLED } from "../codec.js";
import { instanceAt, mayDraw } from "../edit/drawing.js";
import { fillPolygon, union } from "../geometry.js";
import { colorOf } from "../settings.js";
import { strokeTwice, tracePoints } from "../view/overlay.js";

const CLOSE_REACH = 9; // CSS pixels around the first vertex that close the polygon
const DOUBLE_MS = 350;

/** Commit the inside of a closed outline [[row, col]...]; right for both tools. */
function commitOutline({ editor, notices }, view, outline, { value, instance }) {
  let box = null;
  const spans = [];
  fillPolygon(outline, view.size, (row, c0, c1) => {
    spans.push([row, c0, c1]);
    box = union(box, { r0: row, c0, r1: row + 1, c1 });
  });
  if (!box) return notices.say("info", "The outline contains no pixel; draw a larger one.");
  const width = box.c1 - box.c0;
  const classes = new Uint8Array(width * (box.r1 - box.r0)).fill(UNLABELLED);
  for (const [row, c0, c1] of spans) {
    const start = (row - box.r0) * width - box.c0;
    classes.fill(value, start + c0, start + c1);
  }
  editor.commit(view.ref, { box, classes }, { instance });
}

function intent({ settings }, view, point, event) {
  const value = event.button === 2 || event.altKey ? ERASED : settings.classId;
  return { value, instance: value === ERASED ? 0 : instanceAt(settings, view, point) };
}

function drawOutline({ settings }, view, pen, { points, value, closed }) {
  tracePoints(pen, view.camera, points, closed);
  if (value === ERASED) pen.setLineDash([5 * view.camera.dpr, 4 * view.camera.dpr]);
  strokeTwice(pen, view.camera.dpr, value === ERASED ? "#ffffff" : colorOf(settings, value));
  pen.setLineDash([]);
}

export class LassoTool {
  static title = "Lasso";
  static key = "l";
  static group = "draw";
  static icon =
    '<path d="M12 4c5 0 8.5 2.4 8.5 5.700S17 15.5 12 15.500c-1.7 0-3.3-.3-4.6-.8C5 13.8' +
    ' 3.5 12 3.5 9.7 3.5 6.4 7 4 12 4z"/>' +
    '<path d="M7.4 14.700c-1.9.2-3 1.3-2.6 2.5.5 1.4 2.9 1 3.1-.6.1-1-.2-1.5-.5-1.900z' +
    'M5.5 18c.2 1.3 0 2.3-.8 3"/>';

  constructor(kit) {
    this.kit = kit;
    this.cursor = "crosshair";
    this.points = null;
  }

  down(view, point, event) {
    if (!mayDraw(this.kit, view)) return;
    this.view = view;
    this.intent = intent(this.kit, view, point, event);
    this.points = [[point.row, point.col]];
  }

  move(view, points) {
    if (!this.points) return;
    for (const { row, col } of points) this.points.push([row, col]);
    view.redrawOverlay();
  }

  up(view) {
    const { points } = this;
    this.points = null;
    view.redrawOverlay();
    if (points?.length > 2) commitOutline(this.kit, view, points, this.intent);
  }

  cancel() {
    const had = this.points !== null;
    this.points = null;
    this.view?.redrawOverlay();
    return had;
  }

  draw(view, pen) {
    if (view === this.view && this.points)
      drawOutline(this.kit, view, pen, {
        points: this.points,
        value: this.intent.value,
        closed: true,
      });
  }
}

export class PolygonTool {
  static title = "Polygon";
  static key = "p";
  static group = "draw";
  static icon =
    '<path d="m5 8.5 8-4 6.5 6.5-3 8H7z"/><g fill="currentColor" stroke="none">' +
    '<circle cx="5" cy="8.5" r="1.8"/><circle cx="13" cy="4.5" r="1.8"/>' +
    '<circle cx="19.5" cy="11" r="1.8"/><circle cx="16.5" cy="19" r="1.8"/>' +
    '<circle cx="7" cy="19" r="1.8"/></g>';

  constructor(kit) {
    this.kit = kit;
    this.cursor = "crosshair";
    this.points = null;
  }

  down(view, point, event) {
    if (this.points && this.view === view && this.index === view.index)
      return this.#extend(point, event);
    if (!mayDraw(this.kit, view)) return;
    Object.assign(this, { view, index: view.index, intent: intent(this.kit, view, point, event) });
    this.points = [[point.row, point.col]];
    this.last = { ...point, time: event.timeStamp };
    view.redrawOverlay();
  }

  hover(view) {
    if (this.points && view === this.view) view.redrawOverlay();
  }

  /** Enter closes, Backspace takes back a vertex, Escape gives up. */
  key(name) {
    if (!this.points) return false;
    if (name === "Enter") this.#close();
    else if (name === "Backspace" || name === "Delete") this.#dropVertex();
    else return false;
    return true;
  }

  cancel() {
    const had = this.points !== null;
    this.points = null;
    this.view?.redrawOverlay();
    return had;
  }

  /** Undo while drawing: the last vertex. */
  undo() {
    return this.key("Backspace");
  }

  draw(view, pen) {
    if (view !== this.view || !this.points || view.index !== this.index) return;
    const { camera } = view;
    const ends = view.pointer ? [[view.pointer.row, view.pointer.col]] : [];
    drawOutline(this.kit, view, pen, {
      points: [...this.points, ...ends],
      value: this.intent.value,
      closed: false,
    });
    for (const [i, [row, col]] of this.points.entries()) {
      const { x, y } = camera.toScreen(row, col);
      const half = (i ? 3 : 4.5) * camera.dpr;
      pen.fillStyle = "#ffffff";
      pen.fillRect(x - half, y - half, 2 * half, 2 * half);
      pen.lineWidth = camera.dpr;
      pen.strokeStyle = "#020617";
      pen.strokeRect(x - half, y - half, 2 * half, 2 * half);
    }
  }

  #extend(point, event) {
    const { camera } = this.view;
    const again =
      Math.hypot(point.x - this.last.x, point.y - this.last.y) < 4 * camera.dpr &&
      event.timeStamp - this.last.time < DOUBLE_MS;
    const first = camera.toScreen(...this.points[0]);
    const home =
      this.points.length > 2 &&
      Math.hypot(point.x - first.x, point.y - first.y) < CLOSE_REACH * camera.dpr;
    if (again || home) return this.#close();
    this.points.push([point.row, point.col]);
    this.last = { ...point, time: event.timeStamp };
    this.view.redrawOverlay();
  }

  #close() {
    const { points, view } = this;
    if (points.length < 3)
      return this.kit.notices.say("info", "A polygon needs three corners; click some more.");
    this.points = null;
    view.redrawOverlay();
    commitOutline(this.kit, view, points, this.intent);
  }

  #dropVertex() {
    this.points.pop();
    if (!this.points.length) this.points = null;
    this.view.redrawOverlay();
  }
}
