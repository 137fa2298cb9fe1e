/** An image in one line of text. */

/** "256 × 256 × 128 · 0.9 × 0.9 × 3 mm": columns, rows, slices as people say them. */
export function describe({ kind, shape, spacing_mm: spacing, modality }) {
  const keep = kind === "volume" ? [...shape].reverse() : [shape[2], shape[1]];
  const parts = [keep.join(" × ")];
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
