// What lies under the overlay of a view: pixels, label fill, hatch over the unknown, the mask on offer.

import { UNLABELLED } from "./codec.js";
import { element, rgb, word } from "./dom.js";
import { halve, isTiled, paintLabels, Raster, WindowTable } from "./raster.js";

const SURROUND = "#0b0e13";
const DRAG_PIXELS = 700_000; // painted per step while the window is dragged
const SETTLE_MS = 120;
const BACKGROUND_ALPHA = 110;

export class Picture {
  constructor(view) {
    this.view = view;
    const { rows, cols } = view.camera;
    this.channels = view.app.image.channels;
    this.tiled = isTiled(rows, cols);
    this.table = new WindowTable(view.app.image.dtype);
    this.palette = new Uint32Array(256);
    this.levels = []; // pixels, halved again and again where needed
    this.base = new Raster(rows, cols, (tile, area) => this.table.paint(tile, area, this.#level(tile.level)));
    this.fill = new Raster(rows, cols, (tile, area) => this.#paintFill(tile, area));
    this.unknown = new Raster(rows, cols, (tile, area) => this.#paintUnknown(tile, area));
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
    this.fill.invalidate(box);
    this.unknown.invalidate(box);
  }

  /** The slice is complete, or no longer; returns whether that shows. */
  stateChanged() {
    return this.#recolour();
  }

  styleChanged() {
    this.#recolour();
    this.fill.invalidate();
  }

  /** While dragging, a large slice is painted from a reduced copy and in full once the hand rests. */
  windowChanged(dragging) {
    const { app, camera } = this.view;
    this.table.set(...app.settings.window);
    this.base.invalidate();
    this.coarse = dragging
      ? Math.max(0, Math.ceil(Math.log2((camera.rows * camera.cols) / DRAG_PIXELS) / 2))
      : 0;
    clearTimeout(this.settling);
    if (this.coarse)
      this.settling = setTimeout(() => this.windowChanged(false) ?? this.view.redraw(), SETTLE_MS);
  }

  draw(context) {
    const { app, camera } = this.view;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = SURROUND;
    context.fillRect(0, 0, camera.width, camera.height);
    if (!this.view.pixels) return;
    const level = this.tiled ? Math.max(0, Math.floor(-Math.log2(Math.min(camera.sx, camera.sy)))) : 0;
    context.imageSmoothingEnabled = !camera.crisp;
    this.base.draw(context, camera, Math.max(level, this.coarse));
    context.imageSmoothingEnabled = false;
    const { style, opacity, visible, showUnknown } = app.settings;
    if (visible && showUnknown) this.#drawUnknown(context, level);
    context.globalAlpha = opacity;
    if (visible && style !== "outline" && opacity > 0) this.fill.draw(context, camera, level);
    context.globalAlpha = 1;
    this.#drawOffer(context);
  }

  #level(level) {
    const { rows, cols } = this.view.camera;
    this.levels[0] ??= { data: this.view.pixels, rows, cols, channels: this.channels };
    for (let i = 1; i <= level; i++) this.levels[i] ??= halve(this.levels[i - 1]);
    return this.levels[level];
  }

  #recolour() {
    const { app } = this.view;
    const { palette } = this;
    const before = palette.join();
    palette.fill(0);
    for (const { id, color, hidden } of app.settings.classes.values())
      if (!hidden) palette[id] = word(rgb(color));
    const complete = app.states.get(this.view.axis, this.view.index) === "complete";
    const ground = app.settings.classes.get(0);
    palette[0] = complete || ground?.hidden ? 0 : word(rgb(ground?.color ?? "#64748b"), BACKGROUND_ALPHA);
    palette[UNLABELLED] = 0;
    const different = palette.join() !== before;
    if (different) this.fill.invalidate();
    return different;
  }

  #paintFill(tile, area) {
    return paintLabels(tile, area, this.view.labels, { cols: this.view.camera.cols, palette: this.palette });
  }

  #paintUnknown(tile, area) {
    return paintLabels(tile, area, this.view.labels, {
      cols: this.view.camera.cols,
      palette: UNKNOWN_PALETTE,
    });
  }

  /** A faint hatch, fixed to the screen, wherever nobody has said anything. */
  #drawUnknown(context, level) {
    const { camera } = this.view;
    this.scratch ??= element("canvas");
    if (this.scratch.width !== camera.width || this.scratch.height !== camera.height)
      Object.assign(this.scratch, { width: camera.width, height: camera.height });
    const hatch = this.scratch.getContext("2d");
    hatch.globalCompositeOperation = "copy";
    hatch.clearRect(0, 0, camera.width, camera.height);
    hatch.globalCompositeOperation = "source-over";
    hatch.imageSmoothingEnabled = false;
    this.unknown.draw(hatch, camera, level);
    hatch.globalCompositeOperation = "source-in";
    hatch.fillStyle = this.pattern ??= hatch.createPattern(hatchTile(camera.dpr), "repeat");
    hatch.fillRect(0, 0, camera.width, camera.height);
    context.drawImage(this.scratch, 0, 0);
  }

  /** The model's mask, not yet accepted. */
  #drawOffer(context) {
    const { app, camera } = this.view;
    const offer = app.prompts.offerOn(this.view.ref);
    if (!offer) return;
    const surface = offerSurface(offer, app.colorOf(offer.classId));
    context.globalAlpha = Math.max(0.3, Math.min(0.6, app.settings.opacity));
    context.setTransform(camera.sx, 0, 0, camera.sy, camera.tx, camera.ty);
    context.drawImage(surface, offer.box.c0, offer.box.r0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = 1;
  }
}

const UNKNOWN_PALETTE = new Uint32Array(256);
UNKNOWN_PALETTE[UNLABELLED] = 0xffffffff;

function hatchTile(dpr) {
  const size = Math.round(9 * dpr);
  const tile = element("canvas", { width: size, height: size });
  const pen = tile.getContext("2d");
  pen.strokeStyle = "rgba(148, 178, 214, 0.34)";
  pen.lineWidth = dpr;
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift - 1, size + 1);
    pen.lineTo(shift + size + 1, -1);
  }
  pen.stroke();
  return tile;
}

/** The mask as a small canvas in one colour, kept with the offer. */
function offerSurface(offer, color) {
  if (offer.surface && offer.surfaceColor === color) return offer.surface;
  const { r0, c0, r1, c1 } = offer.box;
  offer.surface = element("canvas", { width: c1 - c0, height: r1 - r0 });
  offer.surfaceColor = color;
  const pen = offer.surface.getContext("2d");
  const image = pen.createImageData(c1 - c0, r1 - r0);
  const words = new Uint32Array(image.data.buffer);
  const paint = word(rgb(color));
  for (let i = 0; i < words.length; i++) if (offer.mask[i]) words[i] = paint;
  pen.putImageData(image, 0, 0);
  return offer.surface;
}
