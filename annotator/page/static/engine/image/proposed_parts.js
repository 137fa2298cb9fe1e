// The objects that are proposed on a slice, whatever was labelled of them since: which pixels are of
// which, how many they are, and which are the least certain.

import { ERASED } from "../codec.js";

const LOWEST = 0.1; // of an object's pixels: what tells true objects from false ones best
const LEVELS = 256;

/** The parts of a view's slice, found once: {of, count, pixels, certainty, places}. */
export function partsIn({ proposed, size }) {
  proposed.parts ??= partsOf(proposed, size.cols);
  return proposed.parts;
}

/** (rows * cols) 1 where an object is hidden by the person's limits. */
export function faintIn({ proposed, settings, size }) {
  const { limits } = settings;
  if (proposed.faintBy !== limits) {
    const { of, count, pixels, places } = partsIn({ proposed, size });
    const hidden = Uint8Array.from(pixels, (many, part) =>
      part && (many < limits.smallest || places[part] <= limits.leastCertain * count) ? 1 : 0,
    );
    proposed.faint = new Uint8Array(of.length);
    for (let at = 0; at < of.length; at++) proposed.faint[at] = hidden[of[at]];
    proposed.faintBy = limits;
    proposed.shown = count - hidden.reduce((sum, one) => sum + one, 0);
  }
  return proposed.faint;
}

/**
 * `of` (rows * cols): 1, 2, ... and 0 where no object is. Objects are those of the producer, else
 * pixels of one class that touch over their edges. By part: `pixels`, `certainty` 0..255, and its
 * place from 1, the least certain.
 */
export function partsOf(proposed, cols) {
  const { of, count } = numbered(proposed, cols);
  const pixels = new Uint32Array(count + 1);
  const levels = new Uint32Array((count + 1) * LEVELS);
  for (let at = 0; at < of.length; at++) {
    if (of[at]) pixels[of[at]]++;
    if (of[at]) levels[of[at] * LEVELS + proposed.sure[at]]++;
  }
  const certainty = Uint8Array.from(pixels, (many, part) => lowest(levels, part, LOWEST * many));
  const order = Array.from({ length: count }, (_, at) => at + 1);
  order.sort((a, b) => certainty[a] - certainty[b] || a - b);
  const places = new Uint32Array(count + 1);
  order.forEach((part, place) => (places[part] = place + 1));
  return { of, count, pixels, certainty, places };
}

function lowest(levels, part, enough) {
  let [level, seen] = [0, 0];
  while (level < LEVELS - 1 && (seen += levels[part * LEVELS + level]) <= enough) level++;
  return level;
}

/** Pixels that touch get one number each object, in the order of their first pixels. */
function numbered({ classes, objects }, cols) {
  const of = new Uint32Array(classes.length);
  const parent = [0];
  const named = new Map(); // class and number of a producer's object -> its part
  const root = (part) => {
    while (parent[part] !== part) part = parent[part] = parent[parent[part]];
    return part;
  };
  const join = (a, b) => {
    if (!a || !b) return a || b;
    const [one, other] = [root(a), root(b)];
    return (parent[Math.max(one, other)] = Math.min(one, other));
  };
  for (let at = 0; at < classes.length; at++) {
    const value = classes[at];
    if (!value || value >= ERASED) continue;
    const object = objects ? objects[at] : 0;
    const same = (other) => classes[other] === value && (!objects || objects[other] === object);
    let part = at % cols && same(at - 1) ? of[at - 1] : 0;
    if (at >= cols && same(at - cols) && of[at - cols] !== part) part = join(part, of[at - cols]);
    if (object && !part) {
      const name = object * LEVELS + value;
      part = named.get(name) ?? 0;
      if (!part) named.set(name, (part = parent.push(parent.length) - 1));
    } else if (!part) part = parent.push(parent.length) - 1;
    of[at] = part;
  }
  return compact(
    of,
    parent.map((_, part) => root(part)),
  );
}

function compact(of, roots) {
  const names = new Uint32Array(roots.length);
  let count = 0;
  roots.forEach((part, at) => (names[at] = part === at && at ? ++count : 0));
  for (let at = 0; at < of.length; at++) of[at] = names[roots[of[at]]];
  return { of, count };
}
