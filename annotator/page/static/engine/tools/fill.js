// Fill holes: those of the component under the pointer, or the gap under it that the class
// encloses.

import { UNLABELLED } from "../codec.js";
import { instanceAt, instanceBeside, mayDraw } from "../edit/drawing.js";
import { component, cut, holes } from "../geometry.js";

/** The patch that fills `mask` (1 = fill) over `box` with a class. */
function patch(mask, box, classId) {
  return { box, classes: mask.map((on) => (on ? classId : UNLABELLED)) };
}

/** Fill the holes of the component of the current class at a pixel, or the enclosed gap there. */
export function fillAt(app, view, point) {
  const { classId } = app.settings;
  const { size, labels } = view;
  const seed = Math.round(point.row) * size.cols + Math.round(point.col);
  if (labels[seed] === classId) {
    const { mask, box } = component(size, seed, (i) => labels[i] === classId);
    return commitHoles(app, view, {
      mask: cut(mask, size.cols, box),
      box,
      instance: Math.max(0, instanceAt(app, view, point)),
    });
  }
  const { mask, box } = component(size, seed, (i) => labels[i] !== classId);
  const open = box.r0 === 0 || box.c0 === 0 || box.r1 === size.rows || box.c1 === size.cols;
  if (open)
    return app.say("info", "Nothing to fill here: the current class does not enclose this place.");
  return app.editor.commit(view.ref, patch(cut(mask, size.cols, box), box, classId), {
    instance: instanceBeside(app, view, seed),
  });
}

/** Fill every hole of the current class on the slice. */
export function fillAll(app, view) {
  const { classId } = app.settings;
  return commitHoles(app, view, {
    mask: view.labels.map((c) => (c === classId ? 1 : 0)),
    box: view.whole,
  });
}

function commitHoles(app, view, { mask, box, instance = 0 }) {
  const gaps = holes(mask, { rows: box.r1 - box.r0, cols: box.c1 - box.c0 });
  if (!gaps.includes(1)) return app.say("info", "There is no hole to fill.");
  return app.editor.commit(view.ref, patch(gaps, box, app.settings.classId), { instance });
}

export class FillTool {
  constructor(app) {
    this.app = app;
    this.cursor = "cell";
  }

  down(view, point, event) {
    const { row, col } = point;
    const outside =
      row < -0.5 || col < -0.5 || row >= view.size.rows - 0.5 || col >= view.size.cols - 0.5;
    if (event.button === 0 && !outside && mayDraw(this.app, view)) fillAt(this.app, view, point);
  }
}
