// What the app proposes for the open image: a class and a confidence per voxel, and the slice worth
// labelling next.

import { bytesOf, ERASED, UNLABELLED } from "../codec.js";
import { boxOnSlice } from "../geometry.js";
import { LabelVolume } from "./labels.js";
import { get, getJson, slabsOutwards } from "./loader.js";
import { faintIn } from "./proposed_parts.js";

const SLAB_BYTES = 16 * 1024 * 1024; // of one answer, which holds classes and confidence

export class Proposals {
  constructor({ state, planes, notices, proposes }) {
    Object.assign(this, { state, planes, notices, proposes });
    this.reset();
  }

  /** Another image is open: nothing is known of its proposals yet. */
  reset(shape = null) {
    this.reading?.abort();
    this.facts = null; // the server's list of pseudo-labels and propagators
    this.prediction = null; // id of the one that is shown
    this.guide = null; // the plan of a guided start
    this.next = null; // {axis, index, reason}, `axis` null where nothing is in doubt
    this.fill = null; // the newest "fill" message while one runs
    this.mended = null; // {box, classes, sure, voxels, slices}: what a person is about to change
    this.classes = shape && new LabelVolume(shape);
    this.sure = shape && new LabelVolume(shape); // 0..255; what is not read yet has no class either
  }

  /**
   * The pseudo-label on show: the wished one, else the volume's fill, else the newest. Null without
   * any.
   */
  get shown() {
    const all = this.facts?.predictions ?? [];
    const wished = all.findLast((one) => one.producer === this.wished);
    return wished ?? all.findLast((one) => one.kind === "propagated") ?? all.at(-1) ?? null;
  }

  /**
   * Another one is known than was read: what a person sees here is not yet what they would accept.
   */
  get late() {
    return Boolean(this.shown) && this.prediction !== this.shown.id;
  }

  /** Why nothing can be accepted or rejected now; null where something can. */
  get obstacle() {
    if (!this.shown) return this.facts?.withheld ?? nothingProposed(this.state.image);
    return this.late ? "Newer proposals are coming; look at them, then try again." : null;
  }

  /** For the page: what can be shown, what is, and how the fill stands. */
  get summary() {
    const { shown, facts, fill, next } = this;
    return {
      sources: facts?.predictions ?? [],
      propagators: facts?.propagators ?? [],
      shown,
      withheld: facts?.withheld ?? null,
      here: Boolean(this.planes.active?.proposed?.any),
      late: this.late,
      running: Boolean(fill || facts?.running),
      progress: fill?.progress ?? null,
      redrawing: fill?.producer === "redrawn" ? fill.progress : null,
      finding: fill?.producer === "automatic_masks" ? fill.progress : null,
      next,
    };
  }

  /** Show another producer's proposals for every image that has them. */
  show(producer) {
    this.wished = producer;
    return this.refresh();
  }

  /** Read what there is now; the newest call wins. */
  async refresh() {
    const { session, image } = this.state;
    if (!session || !this.proposes) return;
    this.reading?.abort();
    this.reading = new AbortController();
    const signal = AbortSignal.any([this.reading.signal, session.abort.signal]);
    try {
      this.facts = await getJson(`/api/images/${image.id}/prediction`, signal);
      await (this.shown ? this.#read(signal) : this.#clear());
      await this.#askNext(signal);
    } catch (error) {
      if (!signal.aborted && this.facts)
        this.notices.say("warn", `The proposals could not be read: ${error.message}`);
    }
  }

  /** A "fill" message: a volume is being filled, or was. */
  filling(message) {
    const running = message.state === "running";
    this.fill = running ? message : null;
    if (message.state === "failed") this.notices.say("warn", message.message);
    if (running) this.notices.changed();
    else this.refresh();
  }

  /** The plan of a guided start, or null. */
  setGuide(plan) {
    this.guide = plan;
    this.planes.statesChanged();
  }

  /** Where the rulers point: to the guided start's open steps, else to the slice to label next. */
  get signposts() {
    const { guide, next } = this;
    if (guide && guide.now !== null)
      return guide.steps
        .map(({ axis, index, done }, at) => ({ axis, index, done, now: at === guide.now }))
        .filter(({ done }) => !done);
    return next && next.axis !== null ? [{ axis: next.axis, index: next.index, now: true }] : [];
  }

  /** The slice worth labelling next, {axis, index, reason}; null (and says why) without one. */
  async nextStep() {
    if (!this.proposes)
      return this.#none("Proposals are switched off; restart the server without --no-fill.");
    const step = this.guide?.steps[this.guide.now];
    if (step) return step;
    try {
      await this.#askNext(this.state.session.abort.signal);
    } catch (error) {
      return this.#none(`The next slice could not be found: ${error.message}`, "warn");
    }
    const { axis = null, reason } = this.next ?? {};
    return axis === null
      ? this.#none(reason ?? "No next slice to propose; look through the volume.")
      : this.next;
  }

  #none(why, level = "info") {
    this.notices.say(level, why);
    return null;
  }

  /**
   * Classes and confidence of a slice, each (rows * cols); null where nothing is proposed for this
   * image.
   */
  slice(axis, index, whole, kept) {
    if (this.prediction === null) return null;
    const count = (whole.r1 - whole.r0) * (whole.c1 - whole.c0);
    const out = kept ?? { classes: new Uint8Array(count), sure: new Uint8Array(count) };
    this.classes.read(axis, index, whole, out.classes);
    this.sure.read(axis, index, whole, out.sure);
    this.#readObjects(axis, index, whole, out);
    out.mended = this.#mendedOn(axis, index);
    if (out.mended) layOver(out, out.mended, whole);
    out.parts = out.faintBy = null;
    out.any = out.classes.some((c) => c !== UNLABELLED);
    return out;
  }

  /** `objects` (rows * cols) as the producer told them apart and `sizes` of each; else null. */
  #readObjects(axis, index, whole, out) {
    const { hasObjects } = this.classes;
    out.objects = hasObjects
      ? this.classes.readObjects(axis, index, whole, new Uint16Array(out.classes.length))
      : null;
    out.sizes = hasObjects ? sizesOf(out.objects) : null;
  }

  /** A "mended" message with what it changes, or null: back to what is proposed. */
  preview(message, payload) {
    if (!message && !this.mended) return;
    this.mended = null;
    if (message && message.prediction === this.prediction && message.voxels) {
      const { box, voxels, slices } = message;
      const both = bytesOf(payload);
      const [classes, sure] = [both.subarray(0, both.length / 2), both.subarray(both.length / 2)];
      this.mended = { box, classes, sure, voxels, slices };
    }
    this.planes.proposalsChanged();
  }

  /** What would change on a slice: {box, mask, classes, sure}, or null. */
  #mendedOn(axis, index) {
    const box = this.mended && boxOnSlice(axis, index, this.mended.box);
    if (!box) return null;
    const pick = (values) => sliceOf(values, this.mended.box, axis, index);
    const [classes, sure] = [pick(this.mended.classes), pick(this.mended.sure)];
    return { box, classes, sure, mask: classes.map((c) => (c === UNLABELLED ? 0 : 1)) };
  }

  async #read(signal) {
    const { image, cursor } = this.state;
    const { id, shape } = image;
    const producer = encodeURIComponent(this.shown.producer);
    const { objects } = this.shown;
    if (!objects) this.classes.forgetObjects();
    const thickness = Math.max(1, Math.floor(SLAB_BYTES / (2 * shape[1] * shape[2])));
    for (const [z0, z1] of slabsOutwards(shape[0], thickness, cursor[0])) {
      const url = `/api/images/${id}/prediction?z0=${z0}&z1=${z1}&producer=${producer}`;
      const response = await get(url, signal);
      if (response.status === 204) return; // nothing is proposed any more
      const both = new Uint8Array(await response.arrayBuffer());
      const prediction = Number(response.headers.get("x-prediction"));
      if (prediction !== this.prediction) this.mended = null;
      this.prediction = prediction;
      this.classes.loadSlab(z0, both.subarray(0, both.length / 2));
      this.sure.loadSlab(z0, both.subarray(both.length / 2));
      if (objects) await this.#readNumbers(id, `z0=${z0}&z1=${z1}&producer=${producer}`, signal);
      this.planes.proposalsChanged();
    }
  }

  async #readNumbers(id, which, signal) {
    const response = await get(`/api/images/${id}/prediction/objects?${which}`, signal);
    const z0 = Number(new URLSearchParams(which).get("z0"));
    if (Number(response.headers.get("x-prediction")) !== this.prediction) return; // of a newer one
    this.classes.loadObjects(z0, new Uint16Array(await response.arrayBuffer()));
  }

  #clear() {
    const { shape } = this.state.image;
    this.prediction = this.mended = null;
    this.classes = new LabelVolume(shape);
    this.sure = new LabelVolume(shape);
    this.planes.proposalsChanged();
  }

  async #askNext(signal) {
    const { image } = this.state;
    const { shown } = this;
    if (image.kind !== "volume") return;
    const from = shown ? `?producer=${encodeURIComponent(shown.producer)}` : "";
    this.next = await getJson(`/api/images/${image.id}/next-slice${from}`, signal);
    this.planes.statesChanged();
  }
}

/** One slice of a volume box's values. */
function sliceOf(values, [z0, z1, y0, y1, x0, x1], axis, index) {
  const [low, steps] = [[z0, y0, x0][axis], [(y1 - y0) * (x1 - x0), x1 - x0, 1]];
  const [rows, cols] = [z1 - z0, y1 - y0, x1 - x0].filter((_, i) => i !== axis);
  const [down, right] = steps.filter((_, i) => i !== axis);
  const start = (index - low) * steps[axis];
  const at = (i) => start + Math.floor(i / cols) * down + (i % cols) * right;
  return Uint8Array.from({ length: rows * cols }, (_, i) => values[at(i)]);
}

/** Pixels of each object number. */
function sizesOf(objects) {
  const sizes = new Uint32Array(objects.reduce((most, one) => Math.max(most, one), 0) + 1);
  for (const one of objects) sizes[one]++;
  return sizes;
}

/** Do two proposed pixels belong to one object, as far as the producer tells objects apart? */
export function sameObject({ proposed }, a, b) {
  return (
    proposed.classes[a] === proposed.classes[b] && proposed.objects?.[a] === proposed.objects?.[b]
  );
}

function layOver({ classes, sure }, mended, { c1: width }) {
  const { r0, c0, c1 } = mended.box;
  mended.mask.forEach((on, i) => {
    if (!on) return;
    const at = (Math.floor(i / (c1 - c0)) + r0) * width + (i % (c1 - c0)) + c0;
    classes[at] = mended.classes[i];
    sure[at] = mended.sure[i];
  });
}

/**
 * Is this voxel's proposal on show: unlabelled, of a class, as sure as the person asks, and of no
 * object that is hidden?
 */
export function isProposed({ labels, proposed, settings, size }, at) {
  if (!proposed || labels[at] !== UNLABELLED) return false;
  const value = proposed.classes[at];
  if (!value || value >= ERASED || proposed.sure[at] < settings.minConfidence * 255) return false;
  return !settings.limits || !faintIn({ proposed, settings, size })[at];
}

/**
 * Is anything on this slice left to accept: unlabelled, and proposed as sure as the person asks?
 */
export function isOpen({ labels, proposed, settings }) {
  const least = settings.minConfidence * 255;
  return labels.some(
    (said, at) =>
      said === UNLABELLED && proposed.classes[at] < ERASED && proposed.sure[at] >= least,
  );
}

/** Why there is nothing to accept or reject, and what brings something. */
export function nothingProposed({ kind }) {
  if (kind === "image")
    return "There is no proposal for this image yet; label a few images, and the app proposes the rest.";
  return "There is no proposal on this slice; label an object on one slice, and the app proposes the rest.";
}
