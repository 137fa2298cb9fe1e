// One open image: its pixels and labels as they come in, and what the server says about it
// meanwhile.

import { bytesOf, wordsOf } from "../codec.js";
import { ChannelSource } from "./channel_source.js";
import { LabelVolume } from "./labels.js";
import { get, getJson, slabsOutwards } from "./loader.js";
import { PixelSource } from "./pixels.js";
import { SliceStates } from "./slice_states.js";

const SMALL_BYTES = 8 * 1024 * 1024; // loaded at once instead of slices first
const LABEL_SLAB_BYTES = 16 * 1024 * 1024;

export class ImageSession {
  /** `image` is the server's description; `replay` lays what is not acknowledged over labels. */
  constructor(image, { state, planes, notices, replay, wholeLimit }) {
    Object.assign(this, { state, planes, notices, replay });
    this.image = image;
    this.rev = image.rev;
    this.abort = new AbortController();
    this.labels = new LabelVolume(image.shape);
    this.states = new SliceStates(image.slices);
    this.regions = null; // the server's messages while labels are on their way
    const { signal } = this.abort;
    const changed = () => this.#pixelsCame();
    const Source = image.named?.length ? ChannelSource : PixelSource;
    this.pixels = new Source(image, {
      signal,
      changed,
      failed: (error) => this.#failed(error),
      limit: wholeLimit,
    });
  }

  close() {
    this.abort.abort();
  }

  /** Resolves when the open slices can be drawn; the rest follows behind. */
  async start(cursor) {
    const small = this.pixels.keepsWhole && this.pixels.bytes <= SMALL_BYTES;
    const labels = this.loadLabels(cursor[0]);
    const first = small ? this.pixels.load(cursor[0]) : this.#firstSlices(cursor);
    labels.catch((error) => this.#failed(error));
    await first;
    if (!small) this.pixels.load(cursor[0]).catch((error) => this.#failed(error));
  }

  /** All labels from the server, the middle first; what is not yet acknowledged is laid on top. */
  async loadLabels(middle) {
    const { shape } = this.image;
    const thickness = Math.max(
      1,
      Math.min(64, Math.floor(LABEL_SLAB_BYTES / (shape[1] * shape[2]))),
    );
    const kept = (this.regions = []);
    let oldest = Infinity;
    for (const [z0, z1] of slabsOutwards(shape[0], thickness, middle)) {
      const seen = await this.#loadSlab(z0, z1, kept);
      oldest = Math.min(oldest, seen);
    }
    if (this.regions === kept) this.regions = null;
    this.rev = Math.max(this.rev, oldest);
    this.replay();
    this.planes.labelsChanged(this.#everything());
  }

  /** The server says what lies in a box now. */
  region(message, payload) {
    this.regions?.push({ message, payload });
    this.#lay(message, payload);
    this.rev = Math.max(this.rev, message.rev);
    if (!this.labels.missing) this.replay();
    this.planes.labelsChanged(message.box);
  }

  /** After a lost connection: load the labels again if somebody wrote meanwhile. */
  async refresh(middle) {
    const now = await getJson(`/api/images/${this.image.id}`, this.abort.signal);
    this.states.replace(now.slices);
    this.planes.statesChanged();
    if (now.rev !== this.rev) await this.loadLabels(middle);
  }

  get progress() {
    return { done: this.pixels.done, total: this.pixels.total };
  }

  async #firstSlices(cursor) {
    const { shape } = this.image;
    const planes = shape[0] > 1 ? [0, 1, 2] : [0];
    await Promise.all(planes.map((axis) => this.pixels.fetchSlice(axis, cursor[axis])));
  }

  async #loadSlab(z0, z1, kept) {
    const classes = await this.#fetch("labels", z0, z1);
    const labelled = this.labels.loadSlab(z0, new Uint8Array(classes.buffer));
    const objects = labelled ? await this.#fetch("instances", z0, z1) : null;
    if (objects) this.labels.loadObjects(z0, new Uint16Array(objects.buffer));
    const seen = Math.min(classes.rev, objects?.rev ?? Infinity);
    for (const { message, payload } of kept) if (message.rev > seen) this.#lay(message, payload);
    const { shape } = this.image;
    this.planes.labelsChanged([z0, z1, 0, shape[1], 0, shape[2]]);
    return classes.rev;
  }

  async #fetch(kind, z0, z1) {
    const response = await get(
      `/api/images/${this.image.id}/${kind}?z0=${z0}&z1=${z1}`,
      this.abort.signal,
    );
    return {
      buffer: await response.arrayBuffer(),
      rev: Number(response.headers.get("x-revision")),
    };
  }

  #lay(message, payload) {
    const [z0, z1, y0, y1, x0, x1] = message.box;
    const count = (z1 - z0) * (y1 - y0) * (x1 - x0);
    const objects = message.instances ? wordsOf(payload, count + (count % 2), count) : null;
    this.labels.writeRegion(message.box, bytesOf(payload).subarray(0, count), objects);
  }

  #everything() {
    const { shape } = this.image;
    return [0, shape[0], 0, shape[1], 0, shape[2]];
  }

  #pixelsCame() {
    if (!this.abort.signal.aborted) this.planes.pixelsCame();
  }

  #failed(error) {
    if (this.abort.signal.aborted) return;
    const sentence = `This part of the image could not be loaded: ${error.message}`;
    this.state.loadFailed(sentence);
    this.notices.say("error", sentence);
    this.planes.pixelsCame();
  }
}
