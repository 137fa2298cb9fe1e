// The labels of one image as the browser knows them: a plane of classes per z, absent where nothing
// is said.

import { ERASED, UNLABELLED } from "../codec.js";

export class LabelVolume {
  /** `shape` is [z, y, x]. A plane is made only when something is said on it. */
  constructor(shape) {
    this.shape = shape;
    this.area = shape[1] * shape[2];
    this.classes = new Array(shape[0]).fill(null); // Uint8Array (y * x) or null: all UNLABELLED
    this.objects = new Array(shape[0]).fill(null); // Uint16Array (y * x) or null: all 0
    this.loaded = new Uint8Array(shape[0]);
    this.missing = shape[0];
    this.highest = new Map(); // class -> highest object number met
  }

  /** May this slice be edited: do we know what lies on it? */
  knows(axis, index) {
    return axis === 0 ? this.loaded[index] === 1 : this.missing === 0;
  }

  /** Classes of a box of a slice, (rows * cols) into `out`. */
  read(axis, index, box, out) {
    return this.#copyOut(this.classes, UNLABELLED, { axis, index, box }, out);
  }

  /** Object numbers of a box of a slice. */
  readObjects(axis, index, box, out) {
    return this.#copyOut(this.objects, 0, { axis, index, box }, out);
  }

  /** Lay a label over a slice: UNLABELLED says nothing, ERASED becomes `unknown`. */
  write({ axis, index, box }, said, { unknown = UNLABELLED, object = 0 } = {}) {
    this.#eachPixel(axis, index, box, (z, at, i) => {
      if (said[i] === UNLABELLED) return;
      this.#set(z, at, said[i] === ERASED ? unknown : said[i]);
      this.#setObject(z, at, said[i] === ERASED ? 0 : object);
    });
    if (object) this.#meet(said.find((c) => c < ERASED) ?? 0, object);
  }

  /** Put back exactly what was there before: UNLABELLED included. */
  restore({ axis, index, box }, classes, objects) {
    this.#eachPixel(axis, index, box, (z, at, i) => {
      this.#set(z, at, classes[i]);
      if (objects || this.objects[z]) this.#setObject(z, at, objects ? objects[i] : 0);
    });
  }

  /** The server's word about a box [z0, z1, y0, y1, x0, x1]; `objects` may be null (unchanged). */
  writeRegion(box3, classes, objects) {
    const [z0, z1, y0, y1, x0, x1] = box3;
    for (let z = z0, i = 0; z < z1; z++)
      for (let y = y0; y < y1; y++)
        for (let x = x0; x < x1; x++, i++) {
          this.#set(z, y * this.shape[2] + x, classes[i]);
          if (!objects) continue;
          this.#setObject(z, y * this.shape[2] + x, objects[i]);
          if (objects[i]) this.#meet(classes[i], objects[i]);
        }
  }

  /**
   * Whole planes z0.. as loaded from the server. Returns true where any pixel of a class (not 0) is
   * in them.
   */
  loadSlab(z0, bytes) {
    let anything = false;
    for (let z = z0, from = 0; from < bytes.length; z++, from += this.area) {
      const plane = bytes.subarray(from, from + this.area);
      const blank = plane.every((c) => c === UNLABELLED);
      this.classes[z] = blank ? null : plane.slice();
      anything ||= !blank && plane.some((c) => c > 0 && c < ERASED);
      if (!this.loaded[z]) this.missing--;
      this.loaded[z] = 1;
    }
    return anything;
  }

  /** Object numbers of whole planes z0.. as loaded from the server. */
  loadObjects(z0, numbers) {
    for (let z = z0, from = 0; from < numbers.length; z++, from += this.area) {
      const plane = numbers.subarray(from, from + this.area);
      this.objects[z] = plane.some((n) => n) ? plane.slice() : null;
      if (!this.objects[z] || !this.classes[z]) continue;
      for (let i = 0; i < this.area; i++) if (plane[i]) this.#meet(this.classes[z][i], plane[i]);
    }
  }

  /** No object has a number any more. */
  forgetObjects() {
    this.objects.fill(null);
    this.highest.clear();
  }

  /** The number the server will most likely give the next object of a class. */
  nextObject(classId) {
    return (this.highest.get(classId) ?? 0) + 1;
  }

  get hasObjects() {
    return this.highest.size > 0;
  }

  #meet(classId, object) {
    if (object > (this.highest.get(classId) ?? 0)) this.highest.set(classId, object);
  }

  #set(z, at, value) {
    if (!this.classes[z]) {
      if (value === UNLABELLED) return;
      this.classes[z] = new Uint8Array(this.area).fill(UNLABELLED);
    }
    this.classes[z][at] = value;
  }

  #setObject(z, at, number) {
    if (!this.objects[z]) {
      if (!number) return;
      this.objects[z] = new Uint16Array(this.area);
    }
    this.objects[z][at] = number;
  }

  /** Where a row of a slice lies: plane z, first offset and step between columns. */
  #line(axis, index, row) {
    const width = this.shape[2];
    if (axis === 0) return { z: index, start: row * width, step: 1 };
    if (axis === 1) return { z: row, start: index * width, step: 1 };
    return { z: row, start: index, step: width };
  }

  #eachPixel(axis, index, box, visit) {
    for (let row = box.r0, i = 0; row < box.r1; row++) {
      const { z, start, step } = this.#line(axis, index, row);
      for (let col = box.c0; col < box.c1; col++, i++) visit(z, start + col * step, i);
    }
  }

  #copyOut(planes, absent, { axis, index, box }, out) {
    const width = box.c1 - box.c0;
    for (let row = box.r0, to = 0; row < box.r1; row++, to += width) {
      const { z, start, step } = this.#line(axis, index, row);
      const plane = planes[z];
      if (!plane) out.fill(absent, to, to + width);
      else if (step === 1) out.set(plane.subarray(start + box.c0, start + box.c1), to);
      else
        for (let i = 0, at = start + box.c0 * step; i < width; i++, at += step)
          out[to + i] = plane[at];
    }
    return out;
  }
}
