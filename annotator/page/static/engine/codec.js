// Wire formats of labels and masks: u16 runs (value, count), packed bits (little bit order, each
// row on its own).

export const BACKGROUND = 0;
export const ERASED = 254; // in a label only: unknown again
export const UNLABELLED = 255; // nothing is said here

const LONGEST_RUN = 65535;

/** Runs of `values` (any integers up to 65535) as u16 pairs (value, count), in order. */
export function encodeRuns(values) {
  const pairs = [];
  for (let start = 0; start < values.length;) {
    const value = values[start];
    let end = start + 1;
    while (end < values.length && values[end] === value && end - start < LONGEST_RUN) end++;
    pairs.push(value, end - start);
    start = end;
  }
  return Uint16Array.from(pairs);
}

/** Fill `out` from u16 pairs; throws a RangeError where the counts do not fill it exactly. */
export function decodeRuns(pairs, out) {
  let at = 0;
  for (let i = 0; i < pairs.length; i += 2) {
    out.fill(pairs[i], at, at + pairs[i + 1]);
    at += pairs[i + 1];
  }
  if (at !== out.length) throw new RangeError(`runs cover ${at} of ${out.length} pixels`);
  return out;
}

/** Mask (rows * cols, 0 or not) to bits: bit i of byte k of a row is column 8k + i. */
export function packBits(mask, rows, cols) {
  const stride = (cols + 7) >> 3;
  const bits = new Uint8Array(rows * stride);
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++)
      if (mask[row * cols + col]) bits[row * stride + (col >> 3)] |= 1 << (col & 7);
  return bits;
}

/** The other way round: Uint8Array (rows * cols) of 0 and 1. */
export function unpackBits(bits, rows, cols) {
  const stride = (cols + 7) >> 3;
  const mask = new Uint8Array(rows * cols);
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++)
      mask[row * cols + col] = (bits[row * stride + (col >> 3)] >> (col & 7)) & 1;
  return mask;
}

/** The bytes of a payload, whether it came as an ArrayBuffer or as a view of one. */
export function bytesOf(payload) {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
}

/** The u16 values of a payload; copies only where the bytes are not aligned. */
export function wordsOf(payload, from = 0, count = undefined) {
  const bytes = bytesOf(payload).subarray(from, count === undefined ? undefined : from + 2 * count);
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 1);
}
