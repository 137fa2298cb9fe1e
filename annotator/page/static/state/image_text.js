/** An image in one line of text, and how far it is. */

export const STATES = { todo: "to do", proposed: "proposed", work: "in work", done: "done" };

/**
 * "256 × 256 × 128 · 0.9 × 0.9 × 3 mm": columns, rows, slices as people say them. Of a film
 * "256 × 256, 128 frames".
 */
export function describe({ kind, shape, frames, spacing_mm: spacing, modality }) {
  const keep = kind === "volume" && !frames ? [...shape].reverse() : [shape[2], shape[1]];
  const parts = [`${keep.join(" × ")}${frames ? `, ${shape[0]} frames` : ""}`];
  if (spacing)
    parts.push(
      `${[...spacing]
        .reverse()
        .slice(0, keep.length)
        .map((mm) => +mm.toFixed(2))
        .join(" × ")} mm`,
    );
  if (modality) parts.unshift(modality);
  return parts.join(" · ");
}

/**
 * One of STATES. `slices_labelled`: how many people worked on; `known`: the share of voxels they
 * spoke about, null while nobody counted.
 */
export function stateOf({ slices_labelled: labelled, known }, proposed) {
  if (labelled) return known === 1 ? "done" : "work";
  return proposed ? "proposed" : "todo";
}

/** "in work 12 %". */
export function stateText(state, known) {
  if (state !== "work" || !known) return STATES[state];
  const percent = Math.floor(100 * known); // 100 % is said of what is done alone
  return `${STATES.work} ${percent ? `${percent} %` : "< 1 %"}`;
}
