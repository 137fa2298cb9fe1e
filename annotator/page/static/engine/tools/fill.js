// Fill holes: those of the component under the pointer, or the gap under it that the class
// encloses.

import { UNLABELLED } from "../codec.js";
import { instanceAt, instanceBeside, mayDraw } from "../edit/drawing.js";
import { component, cut, holes } from "../geometry.js";

export class FillTool {
  static title = "Fill holes";
  static key = "g";
  static group = "draw";
  static icon =
    '<circle cx="12" cy="12" r="8.2"/>' +
    '<circle cx="12" cy="12" r="3.2" fill="currentColor" stroke="none"/>';

  constructor(kit) {
    this.kit = kit;
    this.cursor = "cell";
  }

  down(view, point, event) {
    if (event.button === 0 && view.holds(point) && mayDraw(this.kit, view))
      this.#fillAt(view, point);
  }

  /** The key fills at once: the holes under the pointer, or those of the class on the slice. */
  picked() {
    const { state, planes, settings } = this.kit;
    const view = planes.active;
    if (!state.image || !mayDraw(this.kit, view)) return;
    const point = { row: view.pointer?.row ?? -1, col: view.pointer?.col ?? -1 };
    const at = Math.round(point.row) * view.size.cols + Math.round(point.col);
    if (view.holds(point) && view.labels[at] === settings.classId) this.#fillAt(view, point);
    else this.#fillAll(view);
  }

  /** The holes of the component of the current class at a pixel, or the enclosed gap there. */
  #fillAt(view, point) {
    const { settings, notices } = this.kit;
    const { size, labels } = view;
    const { classId } = settings;
    const seed = Math.round(point.row) * size.cols + Math.round(point.col);
    if (labels[seed] === classId) {
      const { mask, box } = component(size, seed, (i) => labels[i] === classId);
      const instance = Math.max(0, instanceAt(settings, view, point));
      return this.#commitHoles(view, { mask: cut(mask, size.cols, box), box, instance });
    }
    const { mask, box } = component(size, seed, (i) => labels[i] !== classId);
    const open = box.r0 === 0 || box.c0 === 0 || box.r1 === size.rows || box.c1 === size.cols;
    if (open)
      return notices.say("info", "Nothing to fill; click inside an outline of the current class.");
    const instance = instanceBeside(settings, view, seed);
    this.#commit(view, { mask: cut(mask, size.cols, box), box, instance });
  }

  /** Every hole of the current class on the slice. */
  #fillAll(view) {
    const { classId } = this.kit.settings;
    this.#commitHoles(view, {
      mask: view.labels.map((c) => (c === classId ? 1 : 0)),
      box: view.whole,
      instance: 0,
    });
  }

  #commitHoles(view, { mask, box, instance }) {
    const gaps = holes(mask, { rows: box.r1 - box.r0, cols: box.c1 - box.c0 });
    if (gaps.includes(1)) this.#commit(view, { mask: gaps, box, instance });
    else this.kit.notices.say("info", "This object has no hole to fill.");
  }

  /** `mask` (1 = fill) over `box`. */
  #commit(view, { mask, box, instance }) {
    const { classId } = this.kit.settings;
    const classes = mask.map((on) => (on ? classId : UNLABELLED));
    this.kit.editor.commit(view.ref, { box, classes }, { instance });
  }
}
