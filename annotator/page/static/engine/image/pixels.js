// Pixels of one image: whole in memory up to a limit, resliced here; above it slice by slice with a
// cache.

import { sliceShape } from "../geometry.js";
import { get, inParallel, slabsOutwards } from "./loader.js";

export const WHOLE_LIMIT_BYTES = 256 * 1024 * 1024;
const SLAB = 16; // slices per request
const CACHED_SLICES = 256;
const CACHE_LIMIT_BYTES = 256 * 1024 * 1024;
const AHEAD = 4; // neighbours fetched in the direction of travel
const TYPES = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, float32: Float32Array };

export class PixelSource {
  /** `image` as the server describes it; `changed()` is called when a slice or slab came in. */
  constructor(image, { signal, changed, failed, limit = WHOLE_LIMIT_BYTES, channel = null }) {
    this.image = image;
    this.channel = channel; // its number where the image has several; null: the picture
    this.signal = signal;
    this.changed = changed;
    this.failed = failed;
    this.Type = TYPES[image.dtype];
    const voxels = image.shape.reduce((a, b) => a * b, 1) * image.channels;
    this.keepsWhole = voxels * this.Type.BYTES_PER_ELEMENT <= limit;
    this.whole = this.keepsWhole ? new this.Type(voxels) : null;
    this.here = new Uint8Array(image.shape[0]); // which z are in `whole`
    this.done = 0;
    this.cache = new Map(); // "axis/index" -> array, oldest use first
    this.asked = new Map(); // "axis/index" -> promise
    this.buffers = [null, null, null];
  }

  get bytes() {
    return this.whole?.byteLength ?? Infinity;
  }

  /** The value at a voxel of an open slice of this axis; null while it is not here. */
  value(position, axis) {
    const [z, y, x] = position;
    const { shape } = this.image;
    if (this.keepsWhole && this.here[z]) return this.whole[(z * shape[1] + y) * shape[2] + x];
    const { cols } = sliceShape(shape, axis);
    const [row, col] = position.filter((_, i) => i !== axis);
    return this.cache.get(`${axis}/${position[axis]}`)?.[row * cols + col] ?? null;
  }

  get total() {
    return this.keepsWhole ? this.image.shape[0] : 0;
  }

  /**
   * The slice (rows * cols * channels), or null while it is fetched. Valid until the next call for
   * this axis.
   */
  slice(axis, index) {
    if (this.#inMemory(axis, index)) return this.#reslice(axis, index);
    const key = `${axis}/${index}`;
    const cached = this.cache.get(key);
    if (cached) this.#touch(key, cached);
    else this.fetchSlice(axis, index).catch(this.failed);
    return cached ?? null;
  }

  /**
   * Ask for what a person who moves in `direction` sees next; nothing to do for a volume kept
   * whole.
   */
  prefetch(axis, index, direction) {
    if (this.keepsWhole) return;
    for (let i = 1; i <= AHEAD; i++) {
      const next = index + (i === AHEAD ? -direction : i * direction);
      if (next >= 0 && next < this.image.shape[axis])
        this.fetchSlice(axis, next).catch(this.failed);
    }
  }

  /** Fetch one slice into the cache (once). */
  fetchSlice(axis, index) {
    const key = `${axis}/${index}`;
    if (this.cache.has(key) || this.#inMemory(axis, index)) return Promise.resolve();
    if (!this.asked.has(key)) {
      const fetched = this.#fetch(`slice/${axis}/${index}`).then((array) =>
        this.#touch(key, array),
      );
      this.asked.set(key, fetched.finally(() => this.asked.delete(key)).then(this.changed));
    }
    return this.asked.get(key);
  }

  /** Load the whole volume in slabs, the one around `middle` first. */
  async load(middle) {
    if (!this.keepsWhole) return;
    await inParallel(slabsOutwards(this.image.shape[0], SLAB, middle), 2, async ([z0, z1]) => {
      const slab = await this.#fetch(`pixels?z0=${z0}&z1=${z1}`);
      this.whole.set(slab, z0 * this.#area);
      this.here.fill(1, z0, z1);
      this.done += z1 - z0;
      this.changed();
    });
    this.cache.clear();
  }

  get #area() {
    return this.image.shape[1] * this.image.shape[2] * this.image.channels;
  }

  #inMemory(axis, index) {
    if (!this.keepsWhole) return false;
    return axis === 0 ? this.here[index] === 1 : this.done === this.image.shape[0];
  }

  async #fetch(path) {
    const of =
      this.channel === null ? "" : `${path.includes("?") ? "&" : "?"}channel=${this.channel}`;
    const response = await get(`/api/images/${this.image.id}/${path}${of}`, this.signal);
    return new this.Type(await response.arrayBuffer());
  }

  #touch(key, array) {
    this.cache.delete(key);
    this.cache.set(key, array);
    let bytes = 0;
    for (const kept of this.cache.values()) bytes += kept.byteLength;
    for (const [oldest, kept] of this.cache) {
      if (this.cache.size <= CACHED_SLICES && bytes <= CACHE_LIMIT_BYTES) break;
      if (oldest === key) break;
      bytes -= kept.byteLength;
      this.cache.delete(oldest);
    }
  }

  #reslice(axis, index) {
    const [depth, height, width] = this.image.shape;
    const k = this.image.channels;
    if (axis === 0) return this.whole.subarray(index * this.#area, (index + 1) * this.#area);
    const { rows, cols } = sliceShape(this.image.shape, axis);
    const out = (this.buffers[axis] ??= new this.Type(rows * cols * k));
    if (axis === 1) {
      for (let z = 0; z < depth; z++) {
        const from = (z * height + index) * width * k;
        out.set(this.whole.subarray(from, from + width * k), z * width * k);
      }
      return out;
    }
    for (let z = 0, to = 0; z < depth; z++)
      for (let y = 0, from = (z * height * width + index) * k; y < height; y++, from += width * k)
        for (let channel = 0; channel < k; channel++) out[to++] = this.whole[from + channel];
    return out;
  }
}
