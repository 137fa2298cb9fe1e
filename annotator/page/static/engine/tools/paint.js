// Brush and eraser: a round stamp from sample to sample, one label event per stroke.

import { ERASED, UNLABELLED } from "../codec.js";
import { instanceAt, mayDraw } from "../edit/drawing.js";
import { cut, stampLine, union } from "../geometry.js";
import { colorOf } from "../settings.js";
import { strokeTwice } from "../view/overlay.js";

const THINNEST = 0.5; // a stamp thinner than a pixel would leave gaps

/** A stroke in progress: which pixels it has touched, and how they look meanwhile. */
class Stroke {
  constructor(view, value, writable) {
    Object.assign(this, { view, value, writable, box: null, last: null });
    this.mask =
      view.strokeMask?.length === view.labels.length
        ? view.strokeMask
        : new Uint8Array(view.labels.length);
    view.strokeMask = this.mask; // all zero between strokes
    const complete = view.sliceState === "complete";
    this.shown = value === ERASED ? (complete ? 0 : UNLABELLED) : value;
  }

  /** Paint on to a point {row, col}. */
  to(point, radius) {
    const { size } = this.view;
    let touched = null;
    stampLine({ from: this.last ?? point, to: point, radius }, size, (row, c0, c1) => {
      this.#span(row, c0, c1);
      touched = union(touched, { r0: row, c0, r1: row + 1, c1 });
    });
    this.last = point;
    if (!touched) return;
    this.box = union(this.box, touched);
    this.view.painted(touched);
  }

  /** Labels under the stroke came in anew: lay the stroke over them again. */
  repaint(view, box) {
    if (view !== this.view) return;
    for (let row = box.r0; row < box.r1; row++)
      for (let i = row * view.size.cols + box.c0; i < row * view.size.cols + box.c1; i++)
        if (this.mask[i]) view.labels[i] = this.shown;
  }

  /** What the stroke says, {box, classes}, or null; the mask is clean again afterwards. */
  finish() {
    const { box, view } = this;
    if (!box) return null;
    const classes = cut(this.mask, view.size.cols, box).map((on) => (on ? this.value : UNLABELLED));
    for (let row = box.r0; row < box.r1; row++)
      this.mask.fill(0, row * view.size.cols + box.c0, row * view.size.cols + box.c1);
    return { box, classes };
  }

  #span(row, c0, c1) {
    const { labels, size } = this.view;
    for (let i = row * size.cols + c0, end = row * size.cols + c1; i < end; i++) {
      if (this.mask[i] || !this.writable[labels[i]]) continue;
      this.mask[i] = 1;
      labels[i] = this.shown;
    }
  }
}

/** Brush or eraser. The right button does the opposite. */
class PaintTool {
  constructor(kit, { erases }) {
    this.kit = kit;
    this.erases = erases;
    this.cursor = "none";
  }

  down(view, point, event) {
    if (!mayDraw(this.kit, view)) return;
    const value = this.erases !== (event.button === 2) ? ERASED : this.kit.settings.classId;
    this.instance = value === ERASED ? 0 : instanceAt(this.kit.settings, view, point);
    const stroke = new Stroke(view, value, this.kit.editor.writable(value));
    this.kit.state.beginStroke(stroke);
    stroke.to(point, this.#radius(view));
  }

  move(view, points) {
    for (const point of points) this.kit.state.stroke?.to(point, this.#radius(view));
  }

  up(view) {
    const stroke = this.kit.state.endStroke();
    const drawn = stroke?.finish();
    if (drawn && !this.kit.editor.commit(view.ref, drawn, { instance: this.instance }))
      view.readLabels(drawn.box);
  }

  cancel() {
    const stroke = this.kit.state.endStroke();
    const drawn = stroke?.finish();
    if (drawn) stroke.view.readLabels(drawn.box);
    return Boolean(stroke);
  }

  draw(view, pen) {
    if (!view.pointer) return;
    const { camera } = view;
    const radius = this.#radius(view);
    const { x, y } = camera.toScreen(view.pointer.row, view.pointer.col);
    pen.beginPath();
    pen.ellipse(x, y, radius.col * camera.sx, radius.row * camera.sy, 0, 0, 2 * Math.PI);
    if (this.erases) pen.setLineDash([4 * camera.dpr, 3 * camera.dpr]);
    strokeTwice(
      pen,
      camera.dpr,
      this.erases ? "#ffffff" : colorOf(this.kit.settings, this.kit.settings.classId),
    );
    pen.setLineDash([]);
    pen.beginPath();
    pen.arc(x, y, camera.dpr, 0, 2 * Math.PI);
    pen.fillStyle = "#ffffff";
    pen.fill();
  }

  /** The radius counts pixels of the finer direction, so that the brush is round in mm. */
  #radius(view) {
    const { radius } = this.kit.settings;
    const unit = Math.min(view.spacing.row, view.spacing.col);
    return {
      row: Math.max(THINNEST, (radius * unit) / view.spacing.row),
      col: Math.max(THINNEST, (radius * unit) / view.spacing.col),
    };
  }
}

export class BrushTool extends PaintTool {
  static title = "Brush";
  static key = "b";
  static group = "draw";
  static icon =
    '<path d="M14.5 4.5 20 10l-8.5 7-4.5-4.500z"/>' +
    '<path d="M7 12.500C4.5 13.5 5.5 17 3 19.500c4 .8 7.5 0 8.5-2.5"/>';

  constructor(kit) {
    super(kit, { erases: false });
  }
}

export class EraserTool extends PaintTool {
  static title = "Eraser";
  static about = "Eraser: make pixels unknown again";
  static key = "e";
  static group = "draw";
  static icon =
    '<path d="M9.5 19.5 4 14a1.5 1.5 0 0 1 0-2.100L12.4 3.500a1.5 1.5 0 0 1 2.1 0l5.5' +
    ' 5.500a1.5 1.5 0 0 1 0 2.100l-8.4 8.400z"/>' +
    '<path d="m8.5 7.5 7.5 7.500M8 19.500h12"/>';

  constructor(kit) {
    super(kit, { erases: true });
  }
}
