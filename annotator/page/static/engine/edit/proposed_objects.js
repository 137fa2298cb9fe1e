// The objects that are proposed on a slice, the least certain first.

import { isProposed, sameObject } from "../image/proposals.js";
import { partsIn } from "../image/proposed_parts.js";

/**
 * [{seed, sure, pixels}]: pixels of one class that touch over their edges, and of one object where
 * the producer tells objects apart; `sure` puts them in an order and is no probability, 0..255.
 */
export function proposedObjects(view) {
  const { classes } = view.proposed ?? { classes: [] };
  const seen = new Uint8Array(classes.length);
  const found = [];
  for (let seed = 0; seed < classes.length; seed++) {
    if (seen[seed] || !isProposed(view, seed)) continue;
    found.push(measured(view, seed, seen));
  }
  return found.sort((a, b) => compare(a, b));
}

/** By certainty, then by place: an order that stays while objects are taken out of it. */
export function compare(a, b) {
  return a.sure - b.sure || a.seed - b.seed;
}

function measured(view, seed, seen) {
  const { classes } = view.proposed;
  const { cols } = view.size;
  const { of, certainty } = partsIn(view);
  const stack = [seed];
  let pixels = 0;
  seen[seed] = 1;
  const visit = (at) => {
    if (seen[at] || !sameObject(view, at, seed) || !isProposed(view, at)) return;
    seen[at] = 1;
    stack.push(at);
  };
  while (stack.length) {
    const at = stack.pop();
    const col = at % cols;
    pixels += 1;
    if (col > 0) visit(at - 1);
    if (col < cols - 1) visit(at + 1);
    if (at >= cols) visit(at - cols);
    if (at + cols < classes.length) visit(at + cols);
  }
  return { seed, sure: certainty[of[seed]], pixels };
}
