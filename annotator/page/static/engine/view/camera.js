// Where a slice lies on its canvas. Screen units are device pixels; a pixel's centre is at (row,
// col) whole numbers.

const CLOSEST = 96; // device pixels per image pixel
const CRISP_FROM = 3; // CSS pixels per voxel from which voxels are shown as squares

export class Camera {
  constructor() {
    this.width = this.height = 0;
    this.dpr = 1;
    this.rows = this.cols = 0;
    this.sx = this.sy = 1;
    this.tx = this.ty = 0;
    this.fitted = true;
  }

  /** A slice of rows x cols whose pixels measure `spacing` {row, col} (mm, or 1 and 1). */
  show(rows, cols, spacing) {
    const unit = Math.min(spacing.row, spacing.col);
    Object.assign(this, {
      rows,
      cols,
      stretchRow: spacing.row / unit,
      stretchCol: spacing.col / unit,
      unitMm: unit,
    });
    this.fit();
  }

  resize(width, height, dpr) {
    Object.assign(this, { width, height, dpr });
    if (this.fitted) this.fit();
    else this.#keepInSight();
  }

  /** The whole slice, centred, with room for the letters at its edges and the ruler. */
  fit() {
    const room = Math.min(24 * this.dpr, this.width * 0.04);
    const across = Math.max(1, this.width - 2 * room);
    const down = Math.max(1, this.height - 2 * room);
    this.#scale(
      Math.min(across / (this.cols * this.stretchCol), down / (this.rows * this.stretchRow)),
    );
    this.tx = (this.width - this.cols * this.sx) / 2;
    this.ty = (this.height - this.rows * this.sy) / 2;
    this.fitted = true;
  }

  /** A box of pixels in the middle, with its surroundings: it fills a third of the canvas at most. */
  frame({ r0, c0, r1, c1 }) {
    const across = this.width / (3 * (c1 - c0) * this.stretchCol);
    const down = this.height / (3 * (r1 - r0) * this.stretchRow);
    this.#scale(Math.min(CLOSEST, across, down));
    this.tx = this.width / 2 - ((c0 + c1) / 2) * this.sx;
    this.ty = this.height / 2 - ((r0 + r1) / 2) * this.sy;
    this.fitted = false;
    this.#keepInSight();
  }

  /** Zoom by a factor; what lies under the screen point stays there. */
  zoomAt(factor, x = this.width / 2, y = this.height / 2) {
    const smallest =
      (0.25 * Math.min(this.width, this.height)) /
      Math.max(this.cols * this.stretchCol, this.rows * this.stretchRow);
    const wanted = Math.min(CLOSEST, Math.max(Math.min(smallest, this.zoom), this.zoom * factor));
    const ratio = wanted / this.zoom;
    this.tx = x - (x - this.tx) * ratio;
    this.ty = y - (y - this.ty) * ratio;
    this.#scale(wanted);
    this.fitted = false;
    this.#keepInSight();
  }

  pan(dx, dy) {
    this.tx += dx;
    this.ty += dy;
    this.fitted = false;
    this.#keepInSight();
  }

  /** Device pixels per image pixel along the finer direction. */
  get zoom() {
    return this.sx / this.stretchCol;
  }

  get crisp() {
    return Math.min(this.sx, this.sy) / this.dpr >= CRISP_FROM;
  }

  /** Screen point of a (row, col). */
  toScreen(row, col) {
    return { x: (col + 0.5) * this.sx + this.tx, y: (row + 0.5) * this.sy + this.ty };
  }

  /** (row, col) of a screen point; not clipped to the slice. */
  toSlice(x, y) {
    return { row: (y - this.ty) / this.sy - 0.5, col: (x - this.tx) / this.sx - 0.5 };
  }

  /** The part of the slice on screen as a half-open box of pixels. */
  get seen() {
    const low = this.toSlice(0, 0);
    const high = this.toSlice(this.width, this.height);
    return {
      r0: Math.min(this.rows - 1, Math.max(0, Math.floor(low.row + 0.5))),
      c0: Math.min(this.cols - 1, Math.max(0, Math.floor(low.col + 0.5))),
      r1: Math.max(1, Math.min(this.rows, Math.ceil(high.row + 0.5))),
      c1: Math.max(1, Math.min(this.cols, Math.ceil(high.col + 0.5))),
    };
  }

  #scale(zoom) {
    this.sx = zoom * this.stretchCol;
    this.sy = zoom * this.stretchRow;
  }

  /** A picture pushed off the screen is lost: keep a corner of it. */
  #keepInSight() {
    const margin = Math.min(60 * this.dpr, this.width / 3, this.height / 3);
    this.tx = Math.min(this.width - margin, Math.max(margin - this.cols * this.sx, this.tx));
    this.ty = Math.min(this.height - margin, Math.max(margin - this.rows * this.sy, this.ty));
  }
}
