// The channels of one image as one picture: each in its window and gamma times its colour, all
// added up. How they look changes here alone; nothing is fetched for that.

import { sliceShape } from "../geometry.js";
import { PixelSource, WHOLE_LIMIT_BYTES } from "./pixels.js";

export class ChannelSource {
  /** As a PixelSource; `image.named` describes the channels. */
  constructor(image, { limit = WHOLE_LIMIT_BYTES, ...given }) {
    this.image = image;
    this.looks = image.named.map(lookOf);
    this.solo = null; // the channel that is shown alone, whatever the others' switches say
    this.sources = image.named.map(
      ({ dtype }, channel) =>
        new PixelSource(
          { ...image, channels: 1, dtype },
          { ...given, channel, limit: limit / image.named.length },
        ),
    );
    this.tables = image.named.map(() => ({ key: "" }));
    this.buffers = [null, null, null];
  }

  get keepsWhole() {
    return this.sources.every((source) => source.keepsWhole);
  }

  get bytes() {
    return this.sources.reduce((sum, source) => sum + source.bytes, 0);
  }

  get total() {
    return this.sources.reduce((sum, source) => sum + source.total, 0);
  }

  get done() {
    return this.sources.reduce((sum, source) => sum + source.done, 0);
  }

  /** How each channel is on screen now, as prompt models are told. */
  get seen() {
    return this.looks.map((look, n) => ({ ...look, shown: this.#isShown(n) }));
  }

  /** (rows * cols * 3), or null while a channel that is shown is fetched. */
  slice(axis, index) {
    const shown = this.#shown();
    const parts = shown.map((n) => this.sources[n].slice(axis, index));
    if (parts.some((part) => !part)) return null;
    const { rows, cols } = sliceShape(this.image.shape, axis);
    const out = (this.buffers[axis] ??= new Uint8Array(rows * cols * 3));
    blend(
      out,
      parts,
      shown.map((n) => this.#table(n)),
      shown.map((n) => this.looks[n].color),
    );
    return out;
  }

  /** The value of every channel at a voxel, null where it is not here yet. */
  values(position, axis) {
    return this.sources.map((source) => source.value(position, axis));
  }

  prefetch(axis, index, direction) {
    for (const n of this.#shown()) this.sources[n].prefetch(axis, index, direction);
  }

  fetchSlice(axis, index) {
    return Promise.all(this.#shown().map((n) => this.sources[n].fetchSlice(axis, index)));
  }

  /** What is shown first, then the rest. */
  async load(middle) {
    const shown = this.#shown();
    const rest = this.sources.map((_, n) => n).filter((n) => !shown.includes(n));
    for (const n of [...shown, ...rest]) await this.sources[n].load(middle);
  }

  #shown() {
    return this.looks.map((_, n) => n).filter((n) => this.#isShown(n));
  }

  #isShown(n) {
    return this.solo === null ? this.looks[n].shown : this.solo === n;
  }

  #table(n) {
    const { window, gamma } = this.looks[n];
    const key = `${window} ${gamma}`;
    if (this.tables[n].key !== key)
      this.tables[n] = levels(this.image.named[n].dtype, window, gamma, key);
    return this.tables[n];
  }
}

function lookOf({ color, window, gamma, shown }) {
  return { color, window: [...window], gamma, shown };
}

/** Value to level 0..255: a table for 8 and 16 bits, a function for others. */
function levels(dtype, [lo, hi], gamma, key) {
  const level = (value) => {
    const share = Math.min(1, Math.max(0, (value - lo) / (hi - lo)));
    return 255 * (gamma === 1 ? share : share ** gamma);
  };
  const entries = { uint8: 256, int16: 65536, uint16: 65536 }[dtype] ?? 0;
  const table = new Float32Array(entries);
  for (let i = 0; i < entries; i++) table[i] = level(dtype === "int16" ? (i << 16) >> 16 : i);
  return { key, level, table };
}

const BLOCK = 4096; // pixels added up at a time: their sums stay in the processor's cache
const JUST_SHORT = 1e-3; // sums of fractions fall short of whole numbers by less
const sums = new Float32Array(3 * BLOCK);

/** Fill `out` with what the channels add up to, as the server does for prompt models. */
function blend(out, parts, tables, colors) {
  const shares = colors.map((color) =>
    [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255),
  );
  for (let from = 0; 3 * from < out.length; from += BLOCK) {
    const count = Math.min(BLOCK, out.length / 3 - from);
    sums.fill(JUST_SHORT);
    parts.forEach((values, n) => {
      const block = values.subarray(from, from + count);
      (tables[n].table.length ? addByTable : addByLevel)(block, tables[n], shares[n]);
    });
    for (let i = 0, to = 3 * from; i < 3 * count; i++, to++)
      out[to] = sums[i] < 255 ? sums[i] : 255;
  }
}

function addByTable(values, { table }, [red, green, blue]) {
  const last = table.length - 1;
  for (let i = 0, to = 0; i < values.length; i++, to += 3) {
    const level = table[values[i] & last];
    sums[to] += red * level;
    sums[to + 1] += green * level;
    sums[to + 2] += blue * level;
  }
}

function addByLevel(values, { level }, [red, green, blue]) {
  for (let i = 0, to = 0; i < values.length; i++, to += 3) {
    const found = level(values[i]);
    sums[to] += red * found;
    sums[to + 1] += green * found;
    sums[to + 2] += blue * found;
  }
}
