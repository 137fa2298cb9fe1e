// What the object tool knows of a part of a slice: its box, its outline, whether it is still there.

import { union } from "../geometry.js";
import { borders, onScreen } from "../view/outline.js";
import { strokeTwice } from "../view/overlay.js";

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
