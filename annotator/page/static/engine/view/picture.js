// What lies under the overlay of a view: pixels, label fill, hatch over the unknown, the mask on
// offer.

import { UNLABELLED } from "../codec.js";
import { element, rgb, word } from "../elements.js";
import { isProposed } from "../image/proposals.js";
import { colorOf } from "../settings.js";
import { heat } from "./heat.js";
import { halve, isTiled, paintLabels, paintPixels, Raster, WindowTable } from "./raster.js";

const SURROUND = "#0b0e13";
const DRAG_PIXELS = 700_000; // painted per step while the window is dragged
const SETTLE_MS = 120;
const BACKGROUND_ALPHA = 110;

export class Picture {
  constructor(view) {
    this.view = view;
    const { rows, cols } = view.camera;
    this.channels = view.image.channels;
    this.tiled = isTiled(rows, cols);
    this.table = new WindowTable(view.image.dtype);
    this.palette = new Uint32Array(256);
    this.levels = []; // pixels, halved again and again where needed
    this.base = new Raster(rows, cols, (tile, area) =>
      this.table.paint(tile, area, this.#level(tile.level)),
    );
    this.fill = new Raster(rows, cols, (tile, area) => this.#paintFill(tile, area));
    this.unknown = new Raster(rows, cols, (tile, area) => this.#paintUnknown(tile, area));
    this.proposal = new Raster(rows, cols, (tile, area) => this.#paintProposal(tile, area));
    this.doubt = new Raster(rows, cols, (tile, area) => this.#paintDoubt(tile, area));
    this.trust = new Raster(rows, cols, (tile, area) =>
      paintPixels(tile, area, cols, (at) => view.trust.paint(at)),
    );
    this.coarse = 0;
    this.styleChanged();
    this.windowChanged(false);
  }

  pixelsChanged() {
    this.levels = [];
    this.base.invalidate();
    this.#recolour(); // the palette depends on the slice being complete
  }

  labelsChanged(box) {
    if (this.#someUnknown() !== this.someUnknown) this.#recolour();
    for (const raster of [this.fill, this.unknown, this.proposal, this.doubt, this.trust])
      raster.invalidate(box);
  }

  proposalsChanged() {
    this.inTheWay = null; // of the prompts on this slice
    this.proposal.invalidate();
    this.doubt.invalidate();
  }

  /** The slice is complete, or no longer; returns whether that shows. */
  stateChanged() {
    return this.#recolour();
  }

  styleChanged() {
    this.#recolour();
    this.fill.invalidate();
    this.proposalsChanged();
  }

  /**
   * While dragging, a large slice is painted from a reduced copy and in full once the hand rests.
   */
  windowChanged(dragging) {
    const { settings, camera } = this.view;
    const composite = this.view.image.named?.length; // it comes in its windows
    this.table.set(...(composite ? [0, 255] : settings.window));
    this.base.invalidate();
    this.coarse = dragging
      ? Math.max(0, Math.ceil(Math.log2((camera.rows * camera.cols) / DRAG_PIXELS) / 2))
      : 0;
    clearTimeout(this.settling);
    if (this.coarse)
      this.settling = setTimeout(() => this.windowChanged(false) ?? this.view.redraw(), SETTLE_MS);
  }

  draw(context) {
    const { settings, camera } = this.view;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = SURROUND;
    context.fillRect(0, 0, camera.width, camera.height);
    if (!this.view.pixels) return;
    const level = this.tiled
      ? Math.max(0, Math.floor(-Math.log2(Math.min(camera.sx, camera.sy))))
      : 0;
    context.imageSmoothingEnabled = !camera.crisp;
    this.base.draw(context, camera, Math.max(level, this.coarse));
    context.imageSmoothingEnabled = false;
    const { style, opacity, visible, showUnknown } = settings;
    if (visible && showUnknown)
      this.#drawThrough(context, this.unknown, {
        level,
        pattern: UNKNOWN_HATCH,
        mode: "source-in",
      });
    if (visible) this.#drawProposals(context, level);
    context.globalAlpha = opacity;
    if (visible && style !== "outline" && opacity > 0) this.fill.draw(context, camera, level);
    context.globalAlpha = 1;
    if (visible && settings.trust) this.trust.draw(context, camera, level);
    this.#drawCandidate(context);
  }

  #level(level) {
    const { rows, cols } = this.view.camera;
    this.levels[0] ??= { data: this.view.pixels, rows, cols, channels: this.channels };
    for (let i = 1; i <= level; i++) this.levels[i] ??= halve(this.levels[i - 1]);
    return this.levels[level];
  }

  /** Whether there is anything that background must be told from. */
  #someUnknown() {
    const { sliceState, labels } = this.view;
    return sliceState !== "complete" && labels.includes(UNLABELLED);
  }

  #recolour() {
    const { settings } = this.view;
    const { palette } = this;
    const before = palette.join();
    palette.fill(0);
    for (const { id, color, hidden } of settings.classes.values())
      if (!hidden) palette[id] = word(rgb(color));
    const ground = settings.classes.get(0);
    this.someUnknown = this.#someUnknown();
    const veiled = this.someUnknown && !ground?.hidden;
    palette[0] = veiled ? word(rgb(ground?.color ?? "#64748b"), BACKGROUND_ALPHA) : 0;
    palette[UNLABELLED] = 0;
    const different = palette.join() !== before;
    if (different) this.fill.invalidate();
    return different;
  }

  #paintFill(tile, area) {
    return paintLabels(tile, area, this.view.labels, {
      cols: this.view.camera.cols,
      palette: this.palette,
    });
  }

  #paintUnknown(tile, area) {
    return paintLabels(tile, area, this.view.labels, {
      cols: this.view.camera.cols,
      palette: UNKNOWN_PALETTE,
    });
  }

  #paintProposal(tile, area) {
    const { view, palette } = this;
    this.inTheWay ??= view.prompts.hides(view) ?? NOTHING;
    return paintPixels(tile, area, view.camera.cols, (at) =>
      isProposed(view, at) && !this.inTheWay[at] && !borders(view, at)
        ? palette[view.proposed.classes[at]]
        : 0,
    );
  }

  #paintDoubt(tile, area) {
    const { proposed, labels, camera } = this.view;
    return paintPixels(tile, area, camera.cols, (at) => {
      const open = proposed && labels[at] === UNLABELLED && proposed.classes[at] !== UNLABELLED;
      return open ? heat[proposed.sure[at]] : 0;
    });
  }

  /**
   * Stripes in the class colour, so that nobody takes a proposal for a label; the doubt about it on
   * top.
   */
  #drawProposals(context, level) {
    const { proposals, uncertainty, opacity } = this.view.settings;
    if (!this.view.proposed?.any || !proposals) return;
    const alpha = Math.max(0.35, Math.min(0.9, opacity * 1.4));
    this.#drawThrough(context, this.proposal, {
      level,
      pattern: PROPOSAL_STRIPES,
      mode: "destination-in",
      alpha,
    });
    if (uncertainty) this.doubt.draw(context, this.view.camera, level);
  }

  /** A raster through a pattern that is fixed to the screen. */
  #drawThrough(context, raster, { level, pattern, mode, alpha = 1 }) {
    const { camera } = this.view;
    this.scratch ??= element("canvas");
    if (this.scratch.width !== camera.width || this.scratch.height !== camera.height)
      Object.assign(this.scratch, { width: camera.width, height: camera.height });
    const pen = this.scratch.getContext("2d");
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, camera.width, camera.height);
    pen.imageSmoothingEnabled = false;
    raster.draw(pen, camera, level);
    pen.globalCompositeOperation = mode;
    pen.fillStyle = pattern(pen, camera.dpr);
    pen.fillRect(0, 0, camera.width, camera.height);
    context.globalAlpha = alpha;
    context.drawImage(this.scratch, 0, 0);
    context.globalAlpha = 1;
  }

  /** The model's mask, not yet accepted. */
  #drawCandidate(context) {
    const { camera, candidate, settings } = this.view;
    if (!candidate) return;
    const surface = candidateSurface(candidate, colorOf(settings, candidate.classId));
    context.globalAlpha = Math.max(0.3, Math.min(0.6, settings.opacity));
    context.setTransform(camera.sx, 0, 0, camera.sy, camera.tx, camera.ty);
    context.drawImage(surface, candidate.box.c0, candidate.box.r0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
  }
}

/** Does another proposed object begin right of this pixel, or below it? */
function borders({ proposed: { objects }, size: { cols } }, at) {
  if (!objects?.[at]) return false;
  const other = (to) => objects[to] > 0 && objects[to] !== objects[at];
  return ((at + 1) % cols > 0 && other(at + 1)) || other(at + cols);
}

const NOTHING = new Uint8Array(0);
const UNKNOWN_PALETTE = new Uint32Array(256);
UNKNOWN_PALETTE[UNLABELLED] = 0xffffffff;

/** A pattern of diagonal lines over a ground, made once for each canvas. */
function diagonals({ size, width, line, ground }) {
  const made = new WeakMap();
  return (pen, dpr) => {
    if (!made.has(pen)) {
      const side = Math.round(size * dpr);
      const tile = element("canvas", { width: side, height: side });
      const brush = tile.getContext("2d");
      brush.fillStyle = ground;
      brush.fillRect(0, 0, side, side);
      brush.strokeStyle = line;
      brush.lineWidth = width * dpr;
      for (const shift of [-side, 0, side]) {
        brush.moveTo(shift - 2, side + 2);
        brush.lineTo(shift + side + 2, -2);
      }
      brush.stroke();
      made.set(pen, pen.createPattern(tile, "repeat"));
    }
    return made.get(pen);
  };
}

const UNKNOWN_HATCH = diagonals({
  size: 9,
  width: 1,
  line: "rgba(148, 178, 214, 0.34)",
  ground: "transparent",
});
const PROPOSAL_STRIPES = diagonals({
  size: 8,
  width: 2.8,
  line: "#000",
  ground: "rgba(0, 0, 0, 0.18)",
});

/** The mask as a small canvas in one colour, kept with it. */
function candidateSurface(candidate, color) {
  if (candidate.surface && candidate.surfaceColor === color) return candidate.surface;
  const { r0, c0, r1, c1 } = candidate.box;
  candidate.surface = element("canvas", { width: c1 - c0, height: r1 - r0 });
  candidate.surfaceColor = color;
  const pen = candidate.surface.getContext("2d");
  const image = pen.createImageData(c1 - c0, r1 - r0);
  const words = new Uint32Array(image.data.buffer);
  const paint = word(rgb(color));
  for (let i = 0; i < words.length; i++) if (candidate.mask[i]) words[i] = paint;
  pen.putImageData(image, 0, 0);
  return candidate.surface;
}
