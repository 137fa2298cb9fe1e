// What the object tool knows of a part of a slice: its box, its outline, whether it is still there.

import { BACKGROUND, ERASED } from "../codec.js";
import { union } from "../geometry.js";
import { isProposed } from "../image/proposals.js";
import { borders, onScreen } from "../view/outline.js";
import { strokeTwice } from "../view/overlay.js";

const LEVELS = 256; // classes
const ON = Int16Array.of(-1, 1); // of a mask's 0 and 1, ones have a border

export function outlinePart(view, pen, part, color) {
  if (!sameSlice(part.ref, view.ref)) return;
  const { r0, c0, r1, c1 } = part.box;
  const size = { rows: r1 - r0, cols: c1 - c0 };
  part.path ??= borders(size, { labels: part.mask, shown: ON }).get(1);
  if (!part.path) return;
  strokeTwice(pen, view.camera.dpr, color, onScreen(part.path, view.camera, { row: r0, col: c0 }));
}

export function boxBetween(view, from, to) {
  const clip = (value, end) => Math.min(end - 1, Math.max(0, Math.round(value)));
  const rows = [from.row, to.row].map((row) => clip(row, view.size.rows));
  const cols = [from.col, to.col].map((col) => clip(col, view.size.cols));
  return {
    r0: Math.min(...rows),
    c0: Math.min(...cols),
    r1: Math.max(...rows) + 1,
    c1: Math.max(...cols) + 1,
  };
}

/** Where something is proposed in the rectangle between two points. */
export function proposedIn(view, from, to) {
  const { r0, c0, r1, c1 } = boxBetween(view, from, to);
  const seeds = [];
  for (let row = r0; row < r1; row++)
    for (let col = c0; col < c1; col++) {
      const at = row * view.size.cols + col;
      if (isProposed(view, at)) seeds.push(at);
    }
  return seeds;
}

/**
 * A place on the one labelled object that a line crosses from side to side; null where it crosses
 * none or several, or ends on one.
 */
export function crossedBy(view, from, to) {
  const steps = Math.ceil(Math.max(Math.abs(to.row - from.row), Math.abs(to.col - from.col)));
  let crossed = null;
  for (let step = 0; step <= steps; step++) {
    const row = Math.round(from.row + ((to.row - from.row) * step) / steps);
    const col = Math.round(from.col + ((to.col - from.col) * step) / steps);
    const name = objectAt(view, row, col);
    if (!name) continue;
    if (step === 0 || step === steps || (crossed && crossed.name !== name)) return null;
    crossed ??= { name, row, col };
  }
  return crossed;
}

/** Class and number of what is labelled there, as one number; 0 where no object is. */
function objectAt({ labels, objects, size }, row, col) {
  if (row < 0 || col < 0 || row >= size.rows || col >= size.cols) return 0;
  const at = row * size.cols + col;
  const value = labels[at];
  return value === BACKGROUND || value >= ERASED ? 0 : value + (objects?.[at] ?? 0) * LEVELS;
}

/** How many a part has: all of its number on the slice, also where they do not touch. */
export function pixelsOf({ labels, objects }, { classId, object, mask }) {
  let count = 0;
  if (!object) for (const on of mask) count += on;
  else for (let at = 0; at < labels.length; at++) count += isOf(at) ? 1 : 0;
  return count;

  function isOf(at) {
    return labels[at] === classId && objects[at] === object;
  }
}

export function sameSlice(a, b) {
  return a.axis === b.axis && a.index === b.index;
}

export function around(mask, { cols }) {
  let box = null;
  mask.forEach((on, at) => {
    if (!on) return;
    const row = Math.floor(at / cols);
    const col = at - row * cols;
    box = union(box, { r0: row, c0: col, r1: row + 1, c1: col + 1 });
  });
  return box;
}
