// The prompts of one slice: as a question to the server, and what an accepted mask says.

import { ERASED, UNLABELLED, unpackBits } from "../codec.js";
import { union } from "../geometry.js";

const MAX_SCRIBBLE_POINTS = 400; // sent per scribble
// prompts from which on the mask they correct goes along; as in models/prompt.py, which says why
const HANDED_BACK = 3;
const MAX_HANDED_PIXELS = 16_000_000; // of its box

/** Nothing is prompted on a slice yet. */
export function newPromptSet(axis, index) {
  return {
    axis,
    index,
    items: [],
    taken: [], // back, by undo
    refine: null, // what Shift+click pointed at, as in pointed_part.js
    candidates: [], // {box, mask, score}
    chosen: 0, // candidate on show
    seq: 0, // of the newest question
    waiting: false,
    acceptAs: null, // the class of a mask that was accepted ahead of its coming
    // {item, time, ref} and {accept, classId} of the next objects, in the order they were said
    later: [],
  };
}

/** The prompts of a set in the words of the protocol. */
export function question(set) {
  const given = handedMask(set);
  return {
    ...wordsOf(set),
    mask_box: given ? [given.box.r0, given.box.c0, given.box.r1, given.box.c1] : null,
    mend: Boolean(set.refine?.mends),
  };
}

/** Its clicks, box and scribbles, and where they are. */
export function slicePrompts(set) {
  return { axis: set.axis, index: set.index, ...wordsOf(set) };
}

function wordsOf(set) {
  const points = set.items.filter((item) => item.kind === "point");
  const box = set.items.find((item) => item.kind === "box");
  const scribbles = set.items.filter((item) => item.kind === "scribble");
  return {
    points: points.map(({ row, col }) => [round(row), round(col)]),
    labels: points.map(({ label }) => label),
    box: box ? [box.r0, box.c0, box.r1, box.c1] : null,
    scribbles: scribbles.map(({ label, closed, points: path }) => ({
      label,
      ...(closed && { closed }),
      points: thin(path).map(([r, c]) => [round(r), round(c)]),
    })),
  };
}

/**
 * The mask that goes along, or null: what the newest prompt corrects, once there are enough of them
 * or where a person picked another candidate than the first; else the label or proposal to refine.
 * A candidate that mends a proposal is one part of it, and no mask of the object.
 */
export function handedMask({ items, refine }) {
  const { corrects, picked } = items.at(-1) ?? {};
  if (refine?.mends || !corrects || !(picked || items.length >= HANDED_BACK)) return refine;
  const { r0, c0, r1, c1 } = corrects.box;
  return (r1 - r0) * (c1 - c0) <= MAX_HANDED_PIXELS ? corrects : refine;
}

function thin(points) {
  const every = Math.ceil(points.length / MAX_SCRIBBLE_POINTS);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

function round(value) {
  return Math.round(value * 100) / 100;
}

export function decodeMask({ box: [r0, c0, r1, c1], score, offset, bytes }, payload) {
  const mask = unpackBits(payload.subarray(offset, offset + bytes), r1 - r0, c1 - c0);
  return { box: { r0, c0, r1, c1 }, score, mask };
}

/**
 * The classes an accepted mask says; a refinement also takes back what the old mask had and the new
 * one lacks.
 */
export function patchOf(candidate, refined) {
  const refine = refined?.mends ? null : refined;
  const box = refine ? union(candidate.box, refine.box) : candidate.box;
  const width = box.c1 - box.c0;
  const classes = new Uint8Array(width * (box.r1 - box.r0)).fill(UNLABELLED);
  const lay = (part, value) => {
    const w = part.box.c1 - part.box.c0;
    part.mask.forEach((on, i) => {
      const row = Math.floor(i / w) + part.box.r0 - box.r0;
      if (on) classes[row * width + (i % w) + part.box.c0 - box.c0] = value;
    });
  };
  if (refine) lay(refine, ERASED);
  lay(candidate, candidate.classId);
  return { box, classes };
}

/** Why nothing is on offer. */
export function nothingFound({ refine }) {
  if (refine?.mends) return "The model would change nothing there; draw the part with the brush.";
  return "The model found nothing there; add a click or draw a box.";
}

/** {place, patch, how}: a mask on offer as a label, for the editor. */
export function labelOf(set, candidate, { mends, instance }) {
  const { axis, index, model, chosen, refine } = set;
  const how = { model, candidate: chosen, score: candidate.score, ...mends };
  const source = refine ? "refined" : "prompted";
  const prompts = { ...question(set), ...how };
  return {
    place: { axis, index },
    patch: patchOf(candidate, refine),
    how: { source, prompts, instance },
  };
}
