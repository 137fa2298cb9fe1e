/** The grid of regions over the overview of a scene: states in colours, a cursor, and where clicks fall. */

const FILLS = {
  todo: "rgb(255 255 255 / 16%)",
  proposed: "rgb(56 132 255 / 38%)",
  work: "rgb(255 176 32 / 42%)",
  done: "rgb(40 190 110 / 46%)",
};
const LINE = "rgb(255 255 255 / 34%)";
const CURSOR = "#ffffff";
const HERE = "#ffb020";

/** `scene`: as the server tells it; a canvas that fills its parent. */
export class RegionGrid {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.cursor = [0, 0, 0];
    this.here = null; // the region that is open
  }

  /** What was opened at the cursor, or undefined. */
  get region() {
    return this.#find(this.cursor);
  }

  /** The region at a place of the page on the slab of the cursor. */
  at(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const row = this.#line(1, (clientY - box.top) / box.height);
    const column = this.#line(2, (clientX - box.left) / box.width);
    return [this.cursor[0], row, column];
  }

  /** Move the cursor, as far as there are regions. */
  move(by) {
    const { counts } = this.scene;
    this.cursor = this.cursor.map((at, n) => Math.min(counts[n] - 1, Math.max(0, at + by[n])));
    this.draw();
  }

  draw() {
    const { canvas, scene } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const pen = canvas.getContext("2d");
    this.#drawLines(pen);
    for (const { at, state } of scene.regions) {
      if (at[0] !== this.cursor[0]) continue;
      pen.fillStyle = FILLS[state];
      pen.fillRect(...this.#box(at));
    }
    if (this.here?.[0] === this.cursor[0]) this.#frame(pen, this.here, HERE, ratio);
    this.#frame(pen, this.cursor, CURSOR, ratio);
  }

  #drawLines(pen) {
    const { width, height } = this.canvas;
    const [, rows, columns] = this.scene.counts;
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = LINE;
    for (let row = 1; row < rows; row++) pen.fillRect(0, this.#edge(1, row) * height, width, 1);
    for (let at = 1; at < columns; at++) pen.fillRect(this.#edge(2, at) * width, 0, 1, height);
  }

  #frame(pen, at, color, ratio) {
    const [left, top, width, height] = this.#box(at);
    pen.strokeStyle = color;
    pen.lineWidth = 2 * ratio;
    pen.strokeRect(left, top, width, height);
  }

  #box([, row, column]) {
    const { width, height } = this.canvas;
    const [left, right] = [this.#edge(2, column) * width, this.#edge(2, column + 1) * width];
    const [top, bottom] = [this.#edge(1, row) * height, this.#edge(1, row + 1) * height];
    return [left, top, right - left, bottom - top];
  }

  /** Where line `n` of the grid lies along an axis, 0 to 1; the last region takes what is left. */
  #edge(axis, n) {
    const { size, counts, region } = this.scene;
    return n >= counts[axis] ? 1 : (n * region[axis]) / size[axis];
  }

  #line(axis, share) {
    const { size, counts, region } = this.scene;
    const at = Math.floor((share * size[axis]) / region[axis]);
    return Math.min(counts[axis] - 1, Math.max(0, at));
  }

  #find(place) {
    return this.scene.regions.find(({ at }) => at.every((one, n) => one === place[n]));
  }
}
