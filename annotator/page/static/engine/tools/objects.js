// Objects as wholes: accept or reject proposed ones, select labelled ones to merge, split, delete
// or give another class.

import { BACKGROUND, ERASED, UNLABELLED } from "../codec.js";
import { mayDraw } from "../edit/drawing.js";
import { pointedPart, proposedUnder } from "../edit/pointed_part.js";
import { compare, proposedObjects } from "../edit/proposed_objects.js";
import { cut } from "../geometry.js";
import { isProposed } from "../image/proposals.js";
import { faintIn } from "../image/proposed_parts.js";
import { colorOf } from "../settings.js";
import { drawBox, strokeTwice, tracePoints } from "../view/overlay.js";
import {
  around,
  boxBetween,
  crossedBy,
  outlinePart,
  pixelsOf,
  proposedIn,
  sameSlice,
} from "./object_parts.js";

const STILL = 4; // CSS pixels a hand may tremble within one click

export class ObjectTool {
  static title = "Objects";
  static about = "Objects: accept, reject, select";
  static key = "Shift+q";
  static group = "draw";
  static icon =
    '<circle cx="8" cy="8.500" r="4.500"/><circle cx="16.500" cy="15.500" r="4.500"/>' +
    '<path d="M14.500 4.500h5v5"/>';

  constructor(kit) {
    this.kit = kit;
    this.cursor = "pointer";
    this.selected = []; // {at: [z, y, x], classId, object, box, mask, ref, rev} of labelled objects
    this.under = null; // the object under the pointer, likewise; `proposed` where nobody labelled it
    this.judged = null; // the proposed object on show, while one walks from each to the next
    this.ended = null; // how many objects Tab left when it had walked through this image
    this.view = this.from = this.to = null;
  }

  /** For the page: what is selected, and what Enter would do with it. */
  get summary() {
    const { settings } = this.kit;
    const [one] = this.selected;
    const classes = new Set(this.selected.map(({ classId }) => classId));
    const other = one && [...classes].some((id) => id !== settings.classId);
    const enter = other ? "class" : this.selected.length > 1 ? "merge" : null;
    const { judged } = this;
    const count = this.selected.length;
    const shown = this.#shown;
    return {
      count,
      enter,
      shown,
      one: count === 1 ? one : null,
      judged: this.#stands(judged) && judged,
    };
  }

  /** [objects that the limits leave, all of them]; null where nothing is hidden. */
  get #shown() {
    const { settings, planes, state } = this.kit;
    const { active } = planes;
    if (!settings.limits || !state.image || !active.proposed) return null;
    faintIn(active);
    return [active.proposed.shown, active.proposed.parts.count];
  }

  down(view, point, event) {
    if (event.button === 1 || !view.holds(point) || !mayDraw(this.kit, view)) return;
    this.view = view;
    this.away = event.button === 2 || event.altKey;
    this.from = this.to = point;
  }

  move(view, points) {
    if (!this.from) return;
    this.to = points.at(-1);
    view.redrawOverlay();
  }

  up(view, point) {
    const { from } = this;
    this.from = this.to = null;
    if (!from || !view.editable) return;
    const far = Math.hypot(point.x - from.x, point.y - from.y) > STILL * view.camera.dpr;
    const crossed = this.#crossed(view, from, point);
    if (!far) this.#click(view, point);
    else if (this.selected.length === 1) this.#split(view, this.selected[0], from, point);
    else if (crossed) this.#split(view, this.#at(view, crossed), from, point);
    else this.#takeIn(view, from, point);
    this.#tell(view);
  }

  hover(view) {
    const { pointer, changes } = view;
    if (this.under?.changes === changes && this.#isOn(this.under, view, pointer)) return;
    this.under = view.editable && pointer && view.holds(pointer) ? this.#at(view, pointer) : null;
  }

  draw(view, pen) {
    this.#forgetGone(view);
    if (view.pointer) this.hover(view); // an act changes what lies under a resting pointer
    const { under, judged } = this;
    if (this.#stands(judged)) outlinePart(view, pen, judged, "#ffffff");
    if (under && view.pointer && !this.from)
      outlinePart(view, pen, under, colorOf(this.kit.settings, under.classId));
    for (const one of this.selected) outlinePart(view, pen, one, "#fde047");
    if (view !== this.view || !this.from || !this.to) return;
    if (this.selected.length === 1 || this.#crossed(view, this.from, this.to)) {
      tracePoints(pen, view.camera, [
        [this.from.row, this.from.col],
        [this.to.row, this.to.col],
      ]);
      strokeTwice(pen, view.camera.dpr, "#ffffff");
    } else drawBox(pen, view.camera, boxBetween(view, this.from, this.to));
  }

  key(name) {
    const { count, enter } = this.summary;
    const acts = { Enter: enter, Delete: "delete", G: "holes", S: count === 1 && "split" };
    const ours = count > 0 && acts[name];
    if (ours) this.change(ours);
    return Boolean(ours); // also where it is refused: Delete must not clear the slice then
  }

  cancel() {
    const had = this.from !== null || this.selected.length > 0 || this.judged !== null;
    this.from = this.to = this.judged = this.ended = null;
    this.selected = [];
    if (had) this.#tell(this.kit.planes.active);
    return had;
  }

  /** What is hidden is hidden by this tool's bar alone. */
  leave() {
    this.kit.settings.limits = this.ended = null;
    for (const view of this.kit.planes.views) view.promptsChanged();
  }

  /** Tab: show the next proposed object of the slice, or open the next image after the last. */
  next() {
    const left = this.ended === null ? null : proposedObjects(this.kit.planes.active).length;
    if (left !== null && left <= this.ended) this.kit.notices.walked();
    else this.#walk({ round: false });
    return true;
  }

  /** The least certain object first; `round`: after the last, those that were passed over. */
  #walk({ round }) {
    const view = this.kit.planes.active;
    const last = this.#stands(this.judged) ? this.judged : null;
    const all = proposedObjects(view);
    const at = last ? all.findIndex((one) => compare(one, last) > 0) : 0;
    const volume = this.kit.state.image.kind === "volume";
    this.judged = null;
    if (all.length && (at >= 0 || round || volume)) this.#judge(view, all, Math.max(0, at));
    else this.#end(all.length, volume);
    this.#tell(view);
  }

  #end(left, volume) {
    const { settings, notices } = this.kit;
    const what = left ? "That was the last object here" : "No object is left to judge here";
    const hides = settings.limits ? "; the sliders hide others" : "";
    const further = volume ? "J opens the next slice" : "Tab opens the next proposed image";
    if (!volume) this.ended = left;
    notices.say("info", `${what}${hides}. ${further}.`);
  }

  /** Accept the proposed object on show and go on; false where none is. */
  accept() {
    return this.#say((part) => this.kit.acceptance.acceptPart(part));
  }

  /** Reject it and go on; false where none is. */
  reject() {
    return this.#say((part) => this.kit.acceptance.rejectPart(part));
  }

  #judge(view, all, place) {
    this.ended = null;
    const found = all[place];
    const row = Math.floor(found.seed / view.size.cols);
    const part = this.#at(view, { row, col: found.seed % view.size.cols });
    this.judged = { ...part, ...found, place, of: all.length };
    view.camera.frame(part.box);
    view.redraw();
  }

  #say(judge) {
    if (!this.#stands(this.judged)) return false;
    judge(this.judged);
    this.#walk({ round: true });
    return true;
  }

  /** Is it of the open slice? */
  #stands(part) {
    return part !== null && sameSlice(part.ref, this.kit.planes.active.ref);
  }

  /** A number for every object of the current class that has none. */
  number() {
    const { classId } = this.kit.settings;
    return this.kit.objectActs.change("number", { value: classId, classes: [classId] });
  }

  /** Do something to what is selected: merge, class (the current one), split, holes, delete. */
  change(what) {
    const at = this.selected.map((one) => one.at);
    const classes = this.selected.map(({ classId }) => classId);
    const value = what === "class" ? this.kit.settings.classId : null;
    if (!this.kit.objectActs.change(what, { at, classes, value })) return false;
    this.selected = [];
    this.#tell(this.kit.planes.active);
    return true;
  }

  #click(view, point) {
    const part = this.#at(view, point);
    const { acceptance, notices } = this.kit;
    if (!part) {
      if (this.selected.length) this.selected = [];
      else notices.say("info", "There is no object; click a proposed or a labelled one.");
    } else if (part.proposed) {
      this.under = null;
      if (this.away) acceptance.rejectPart(part);
      else acceptance.acceptPart(part);
    } else if (this.away) {
      this.selected = [part];
      this.change("delete");
    } else this.#toggle(view, part);
  }

  #toggle(view, part) {
    const same = (one) => this.#isOn(one, view, this.#pointOf(view, part));
    const others = this.selected.filter((one) => !same(one));
    this.selected = others.length < this.selected.length ? others : [...others, part];
  }

  /** Accept or reject every proposed object that the rectangle touches. */
  #takeIn(view, from, to) {
    const seeds = proposedIn(view, from, to);
    const { acceptance, notices } = this.kit;
    if (!seeds.length) return notices.say("info", "No object is proposed in this rectangle.");
    const whole = proposedUnder(view, null, seeds);
    const box = around(whole, view.size);
    const part = { box, mask: cut(whole, view.size.cols, box) };
    if (this.away) acceptance.rejectPart(part);
    else acceptance.acceptPart(part);
  }

  /** Where a drag cuts a labelled object, with nothing proposed around it. */
  #crossed(view, from, to) {
    const place = this.away || this.selected.length ? null : crossedBy(view, from, to);
    return place && !proposedIn(view, from, to).length ? place : null;
  }

  #split(view, { at, classId }, from, to) {
    const line = [from.row, from.col, to.row, to.col];
    if (this.kit.objectActs.change("split", { at: [at], classes: [classId], line }))
      this.selected = [];
  }

  /** The object at a point, labelled or proposed, or null. */
  #at(view, point) {
    const row = Math.round(point.row);
    const col = Math.round(point.col);
    const seed = row * view.size.cols + col;
    const said = view.labels[seed];
    const proposed = said === UNLABELLED;
    if (proposed ? !isProposed(view, seed) : said === BACKGROUND || said >= ERASED) return null;
    const part = pointedPart(view, { row, col });
    if (!part) return null;
    const { rev } = this.kit.state;
    const pixels = pixelsOf(view, part);
    const { ref, changes } = view;
    return { ...part, proposed, pixels, at: view.position(row, col), ref, rev, changes };
  }

  #isOn(part, view, point) {
    if (!part || !point || !sameSlice(part.ref, view.ref) || part.rev !== this.kit.state.rev)
      return false;
    const { r0, c0, r1, c1 } = part.box;
    const [row, col] = [Math.round(point.row), Math.round(point.col)];
    if (row < r0 || col < c0 || row >= r1 || col >= c1) return false;
    return part.mask[(row - r0) * (c1 - c0) + col - c0] === 1;
  }

  #pointOf(view, { at }) {
    const [row, col] = at.filter((_, axis) => axis !== view.axis);
    return { row, col };
  }

  /** Labels changed, or another slice is open: what was selected is looked up anew, or forgotten. */
  #forgetGone(view) {
    const { rev } = this.kit.state;
    if (view !== this.kit.planes.active || this.selected.every((one) => one.rev === rev)) return;
    const found = this.selected.map((one) => {
      if (one.rev === rev || !sameSlice(one.ref, view.ref)) return { ...one, rev };
      const now = this.#at(view, this.#pointOf(view, one));
      return now && !now.proposed && now.classId === one.classId ? { ...now, at: one.at } : null;
    });
    this.selected = found.filter(Boolean);
  }

  #tell(view) {
    view.redrawOverlay();
    this.kit.notices.changed();
  }
}
