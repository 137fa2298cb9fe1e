/**
 * Numbers about proposals as people read them. What people's labels have not calibrated has no
 * number.
 */

/** "0.62–0.80", the range of a Dice; "" without one. */
export function rangeText(range) {
  if (!range) return "";
  const [low, high] = range.map((end) => end.toFixed(2));
  return low === high ? low : `${low}–${high}`;
}

/** How often voxels of such confidence (0..1) were right, in percent; null where nobody knows. */
export function percentRight(sure, shares) {
  if (!shares) return null;
  const at = Math.min(shares.length - 1, Math.floor(sure * shares.length));
  return Math.round(100 * shares[at]);
}
