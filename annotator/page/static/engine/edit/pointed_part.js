// What Shift+click points at: a label to improve, or a part of a proposal that is wrong. And the
// proposals that keep out of the way while somebody prompts.

import { BACKGROUND, ERASED, UNLABELLED } from "../codec.js";
import { component, cut } from "../geometry.js";
import { isProposed, sameObject } from "../image/proposals.js";

const NEAR = 64; // pixels: how far from its object a missing piece may lie

/**
 * {classId, value, object, box, mask, mends, label} for a pixel, or null where there is nothing to
 * improve. `value` is what the new mask says, `label` the sign of the prompt. `mends`: the mask to
 * come is one part of the proposal, and not the object.
 */
export function pointedPart(view, { row, col }) {
  const seed = Math.round(row) * view.size.cols + Math.round(col);
  if (view.labels[seed] !== UNLABELLED) return labelledAt(view, seed);
  if (!view.settings.proposals) return null; // what is hidden is not meant
  if (isProposed(view, seed))
    return { ...proposedAt(view, seed), value: BACKGROUND, label: 0, mends: true };
  const beside = nearestProposed(view, { row: Math.round(row), col: Math.round(col) });
  if (beside === null) return null;
  const part = proposedAt(view, beside);
  return { ...part, value: part.classId, label: 1, mends: true };
}

/** The proposals of a slice that touch a mask or one of the pixels `at`: (rows * cols) of 0 and 1. */
export function proposedUnder(view, candidate, at) {
  const hidden = new Uint8Array(view.labels.length);
  for (const seed of [...at, ...pixelsOf(candidate, view.size)]) {
    if (hidden[seed] || !isProposed(view, seed)) continue;
    const { mask } = proposedAt(view, seed, true);
    mask.forEach((on, i) => on && (hidden[i] = 1));
  }
  return hidden;
}

function labelledAt(view, seed) {
  const classId = view.labels[seed];
  if (classId === BACKGROUND || classId >= ERASED) return null;
  const object = view.objects?.[seed] ?? 0;
  const same = (i) => view.labels[i] === classId && (!object || view.objects[i] === object);
  const { mask, box } = component(view.size, seed, same);
  const part = { classId, value: classId, object, label: 1, mends: false };
  return { ...part, box, mask: cut(mask, view.size.cols, box) };
}

function proposedAt(view, seed, whole = false) {
  const classId = view.proposed.classes[seed];
  const same = (i) => isProposed(view, i) && sameObject(view, i, seed);
  const { mask, box } = component(view.size, seed, same);
  return { classId, object: 0, box, mask: whole ? mask : cut(mask, view.size.cols, box) };
}

function nearestProposed(view, { row, col }) {
  const { rows, cols } = view.size;
  let [best, least] = [null, NEAR * NEAR + 1];
  for (let r = Math.max(0, row - NEAR); r < Math.min(rows, row + NEAR + 1); r++)
    for (let c = Math.max(0, col - NEAR); c < Math.min(cols, col + NEAR + 1); c++) {
      const away = (r - row) ** 2 + (c - col) ** 2;
      if (away < least && isProposed(view, r * cols + c)) [best, least] = [r * cols + c, away];
    }
  return best;
}

function* pixelsOf(candidate, { cols }) {
  if (!candidate) return;
  const { box, mask } = candidate;
  const width = box.c1 - box.c0;
  for (let i = 0; i < mask.length; i++)
    if (mask[i]) yield (Math.floor(i / width) + box.r0) * cols + (i % width) + box.c0;
}
