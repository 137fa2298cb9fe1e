// Confidence as colour: nothing where the app is sure, then yellow, red and violet the more it
// doubts.

import { word } from "../elements.js";

const NOT_WORTH = 0.06; // doubt too small to show
const STOPS = [
  { doubt: 0, color: [253, 224, 71] },
  { doubt: 0.45, color: [239, 68, 68] },
  { doubt: 1, color: [126, 34, 206] },
];

/** A word of image data for each confidence 0..255. */
export const heat = Uint32Array.from({ length: 256 }, (_, sure) => {
  const doubt = 1 - sure / 255;
  return word(between(doubt), Math.round(200 * Math.min(1, 2.2 * Math.max(0, doubt - NOT_WORTH))));
});

function between(doubt) {
  const upper = STOPS.find((stop) => doubt <= stop.doubt);
  const lower = STOPS[Math.max(0, STOPS.indexOf(upper) - 1)];
  const share = upper === lower ? 0 : (doubt - lower.doubt) / (upper.doubt - lower.doubt);
  return lower.color.map((from, i) => Math.round(from + share * (upper.color[i] - from)));
}
