/**
 * Frames of the websocket: u32 length of the json | json padded with spaces | payload on a multiple
 * of 4.
 */

/** Bytes. The server refuses a longer frame before it reads it: see MAX_FRAME in frames.py. */
export const MAX_FRAME = 14 * 2 ** 20;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One binary frame of a message and its payload (ArrayBuffer, typed array or nothing). */
export function pack(message, payload) {
  const text = encoder.encode(JSON.stringify(message));
  const length = text.length + ((4 - ((4 + text.length) % 4)) % 4);
  const body = bytesOf(payload);
  const frame = new Uint8Array(4 + length + body.length);
  new DataView(frame.buffer).setUint32(0, length, true);
  frame.fill(0x20, 4, 4 + length);
  frame.set(text, 4);
  frame.set(body, 4 + length);
  return frame.buffer;
}

/** The message and payload of a frame; throws RangeError or SyntaxError where it is not one. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const message = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  return { message, payload: buffer.slice(4 + length) };
}

/** The bytes of a payload, without a copy. */
export function bytesOf(payload) {
  if (!payload) return new Uint8Array(0);
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
}
