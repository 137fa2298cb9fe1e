// Arrays to screen: window/level tables, and rasters cut into tiles so that a large image costs
// what is visible.

const TILE = 1024;
const UNTILED = 2048 * 2048; // up to here one tile holds the slice
const KEPT_TILES = 48;
const OPAQUE = 0xff000000;

/** Intensities to grey words for one window; 8 and 16 bit through a table. */
export class WindowTable {
  constructor(dtype) {
    this.dtype = dtype;
    const entries = { uint8: 256, int16: 65536, uint16: 65536 }[dtype] ?? 0;
    this.words = new Uint32Array(entries);
    this.levels = new Uint8Array(256); // one channel of a colour image
  }

  set(lo, hi) {
    this.lo = lo;
    this.scale = 255 / Math.max(hi - lo, Number.MIN_VALUE);
    for (let i = 0; i < this.words.length; i++)
      this.words[i] = this.word(this.dtype === "int16" ? (i << 16) >> 16 : i);
    for (let i = 0; i < 256; i++) this.levels[i] = this.grey(i);
  }

  grey(value) {
    const level = (value - this.lo) * this.scale;
    return level > 0 ? (level < 255 ? level : 255) : 0;
  }

  word(value) {
    const level = this.grey(value) | 0;
    return (OPAQUE | (level << 16) | (level << 8) | level) >>> 0;
  }

  /**
   * Paint `area` (pixels of the tile's level) of a grey or colour source {data, cols, channels}.
   */
  paint(tile, area, source) {
    const { data, cols, channels } = source;
    for (let row = area.r0; row < area.r1; row++) {
      const to = (row - tile.r0) * tile.cols + area.c0 - tile.c0;
      const from = (row * cols + area.c0) * channels;
      this.#paintRow(tile.words, { to, from, count: area.c1 - area.c0 }, data, channels);
    }
    return area;
  }

  #paintRow(out, { to, from, count }, data, channels) {
    const { words, levels } = this;
    if (channels === 3) {
      for (let i = 0; i < count; i++, from += 3)
        out[to + i] =
          OPAQUE |
          (levels[data[from + 2]] << 16) |
          (levels[data[from + 1]] << 8) |
          levels[data[from]];
    } else if (words.length) {
      const last = words.length - 1;
      for (let i = 0; i < count; i++) out[to + i] = words[data[from + i] & last];
    } else {
      for (let i = 0; i < count; i++) out[to + i] = this.word(data[from + i]);
    }
  }
}

/** Halve an array in both directions by means: {data, rows, cols, channels} -> the next level. */
export function halve(source) {
  const { data, rows, cols, channels: k } = source;
  const half = { rows: (rows + 1) >> 1, cols: (cols + 1) >> 1, channels: k };
  half.data = new data.constructor(half.rows * half.cols * k);
  for (let row = 0, to = 0; row < half.rows; row++) {
    const upper = 2 * row * cols * k;
    const lower = Math.min(2 * row + 1, rows - 1) * cols * k;
    for (let col = 0; col < half.cols; col++) {
      const left = 2 * col * k;
      const right = Math.min(2 * col + 1, cols - 1) * k;
      for (let c = 0; c < k; c++)
        half.data[to++] =
          (data[upper + left + c] +
            data[upper + right + c] +
            data[lower + left + c] +
            data[lower + right + c]) /
          4;
    }
  }
  return half;
}

/**
 * Paint classes (every 2^level-th pixel) with a palette of 256 words. Returns the box that holds
 * everything visible, or null.
 */
export function paintLabels(tile, area, labels, { cols, palette }) {
  const { level, words } = tile;
  let ink = null;
  for (let row = area.r0; row < area.r1; row++) {
    let to = (row - tile.r0) * tile.cols + area.c0 - tile.c0;
    const from = (row << level) * cols;
    let first = -1;
    let last = -1;
    for (let col = area.c0; col < area.c1; col++) {
      const paint = palette[labels[from + (col << level)]];
      words[to++] = paint;
      if (paint === 0) continue;
      if (first < 0) first = col;
      last = col;
    }
    if (first >= 0) ink = grow(ink, { r0: row, c0: first, r1: row + 1, c1: last + 1 });
  }
  return ink;
}

/**
 * Paint what `wordAt(offset in the slice)` answers; returns the box of what is not transparent, or
 * null.
 */
export function paintPixels(tile, area, cols, wordAt) {
  const { level, words } = tile;
  let ink = null;
  for (let row = area.r0; row < area.r1; row++) {
    let to = (row - tile.r0) * tile.cols + area.c0 - tile.c0;
    const from = (row << level) * cols;
    let first = -1;
    let last = -1;
    for (let col = area.c0; col < area.c1; col++) {
      const paint = wordAt(from + (col << level));
      words[to++] = paint;
      if (paint === 0) continue;
      if (first < 0) first = col;
      last = col;
    }
    if (first >= 0) ink = grow(ink, { r0: row, c0: first, r1: row + 1, c1: last + 1 });
  }
  return ink;
}

/** Is a slice of this many pixels cut into tiles, with coarser levels for zooming out? */
export function isTiled(rows, cols) {
  return rows * cols > UNTILED;
}

/**
 * A picture of a slice; `fill(tile, area)` paints pixels [r0, r1) x [c0, c1) of level `tile.level`
 * into tile.words and returns the box of what is not transparent.
 */
export class Raster {
  constructor(rows, cols, fill) {
    this.rows = rows;
    this.cols = cols;
    this.fill = fill;
    this.size = isTiled(rows, cols) ? TILE : Math.max(rows, cols);
    this.tiles = new Map();
  }

  /** What was painted no longer holds, everywhere or in a box of full-size pixels. */
  invalidate(box = null) {
    for (const tile of this.tiles.values()) {
      const whole = { r0: tile.r0, c0: tile.c0, r1: tile.r0 + tile.rows, c1: tile.c0 + tile.cols };
      tile.stale = box ? grow(tile.stale, clip(coarser(box, tile.level), whole)) : whole;
    }
  }

  /**
   * Draw the part of the slice that `view` {sx, sy, tx, ty} shows on a canvas of `width` x
   * `height`.
   */
  draw(context, view, level = 0) {
    const { width, height } = context.canvas;
    const step = 1 << level;
    const rows = Math.ceil(this.rows / step);
    const cols = Math.ceil(this.cols / step);
    const seen = {
      r0: Math.max(0, Math.floor(-view.ty / view.sy / step) - 1),
      c0: Math.max(0, Math.floor(-view.tx / view.sx / step) - 1),
      r1: Math.min(rows, Math.ceil((height - view.ty) / view.sy / step) + 1),
      c1: Math.min(cols, Math.ceil((width - view.tx) / view.sx / step) + 1),
    };
    for (let ty = Math.floor(seen.r0 / this.size); ty * this.size < seen.r1; ty++)
      for (let tx = Math.floor(seen.c0 / this.size); tx * this.size < seen.c1; tx++) {
        const tile = this.#tile(level, ty, tx, { rows, cols });
        const part = tile.ink && clip(seen, tile.ink);
        if (part) drawPart(context, tile, part, view);
      }
  }

  #tile(level, ty, tx, { rows, cols }) {
    const key = `${level}/${ty}/${tx}`;
    let tile = this.tiles.get(key);
    if (tile) this.tiles.delete(key);
    else tile = this.#make(level, { r0: ty * this.size, c0: tx * this.size }, { rows, cols });
    this.tiles.set(key, tile);
    if (this.tiles.size > KEPT_TILES) this.tiles.delete(this.tiles.keys().next().value);
    if (tile.stale) this.#repaint(tile);
    return tile;
  }

  #make(level, corner, limit) {
    const rows = Math.min(this.size, limit.rows - corner.r0);
    const cols = Math.min(this.size, limit.cols - corner.c0);
    const canvas = document.createElement("canvas");
    canvas.width = cols;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    const image = context.createImageData(cols, rows);
    const stale = { ...corner, r1: corner.r0 + rows, c1: corner.c0 + cols };
    return {
      ...corner,
      level,
      rows,
      cols,
      canvas,
      context,
      image,
      words: new Uint32Array(image.data.buffer),
      stale,
      ink: null,
    };
  }

  #repaint(tile) {
    const area = tile.stale;
    const ink = this.fill(tile, area);
    const all = area.r1 - area.r0 === tile.rows && area.c1 - area.c0 === tile.cols;
    const changed = all ? grow(tile.ink, ink) : area;
    tile.ink = all ? ink : grow(tile.ink, ink);
    tile.stale = null;
    if (!changed) return;
    const { r0, c0, r1, c1 } = changed;
    tile.context.putImageData(tile.image, 0, 0, c0 - tile.c0, r0 - tile.r0, c1 - c0, r1 - r0);
  }
}

function drawPart(context, tile, part, view) {
  const step = 1 << tile.level;
  // Whole device pixels: neighbouring tiles would show a seam otherwise.
  const x0 = Math.round(part.c0 * step * view.sx + view.tx);
  const x1 = Math.round(part.c1 * step * view.sx + view.tx);
  const y0 = Math.round(part.r0 * step * view.sy + view.ty);
  const y1 = Math.round(part.r1 * step * view.sy + view.ty);
  const from = [part.c0 - tile.c0, part.r0 - tile.r0, part.c1 - part.c0, part.r1 - part.r0];
  context.drawImage(tile.canvas, ...from, x0, y0, Math.max(1, x1 - x0), Math.max(1, y1 - y0));
}

function coarser(box, level) {
  const step = 1 << level;
  return {
    r0: Math.floor(box.r0 / step),
    c0: Math.floor(box.c0 / step),
    r1: Math.ceil(box.r1 / step),
    c1: Math.ceil(box.c1 / step),
  };
}

function clip(box, limit) {
  const r0 = Math.max(box.r0, limit.r0);
  const c0 = Math.max(box.c0, limit.c0);
  const r1 = Math.min(box.r1, limit.r1);
  const c1 = Math.min(box.c1, limit.c1);
  return r0 < r1 && c0 < c1 ? { r0, c0, r1, c1 } : null;
}

function grow(box, other) {
  if (!box || !other) return box ?? other;
  return {
    r0: Math.min(box.r0, other.r0),
    c0: Math.min(box.c0, other.c0),
    r1: Math.max(box.r1, other.r1),
    c1: Math.max(box.c1, other.c1),
  };
}
