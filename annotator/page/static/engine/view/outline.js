// Borders of labels as vector paths, so that they stay one screen line wide at every zoom.

const NOBODY = -1;

/**
 * Borders of a slice as Map(class -> Path2D) in pixel-edge coordinates (x = column, y = row).
 * `labels` holds a class per pixel, `objects` (or null) a number that tells objects of a class
 * apart, `shown[class]` is the class or -1 for one without a border. Only `box` is looked at (the
 * whole slice without it); `step` samples every n-th pixel.
 */
export function borders(
  size,
  { labels, objects = null, shown, step = 1, box = { r0: 0, c0: 0, r1: size.rows, c1: size.cols } },
) {
  const rows = Math.ceil((box.r1 - box.r0) / step);
  const cols = Math.ceil((box.c1 - box.c0) / step);
  const lines = new Lines(step, box);
  const source = { labels, objects, shown, step };
  const open = { id: new Int16Array(cols + 1).fill(NOBODY), from: new Int32Array(cols + 1) };
  let above = new Int32Array(cols).fill(NOBODY);
  let here = new Int32Array(cols);
  let wasBlank = true;
  for (let row = 0; row <= rows; row++) {
    const blank =
      row === rows
        ? here.fill(NOBODY) && true
        : !readKeys(here, source, (box.r0 + row * step) * size.cols + box.c0);
    if (!blank || !wasBlank) {
      traceTops(lines, row, above, here);
      traceSides(lines, row, here, open);
    }
    wasBlank = blank;
    [above, here] = [here, above];
  }
  return lines.paths;
}

/** What tells the pixels of one row apart, NOBODY where nothing is drawn; whether anything is. */
function readKeys(keys, { labels, objects, shown, step }, start) {
  let anything = false;
  for (let col = 0, at = start; col < keys.length; col++, at += step) {
    const id = shown[labels[at]];
    if (id === NOBODY) keys[col] = NOBODY;
    else {
      keys[col] = objects ? id | (objects[at] << 8) : id;
      anything = true;
    }
  }
  return anything;
}

/**
 * The class that draws the line between two neighbours: the higher one, so that it is drawn once.
 */
function between(a, b) {
  if (a === b) return NOBODY;
  if (a === NOBODY) return b & 255;
  return b === NOBODY ? a & 255 : Math.max(a & 255, b & 255);
}

/** Horizontal borders above a row, neighbouring stretches of one class joined. */
function traceTops(lines, row, above, here) {
  let id = NOBODY;
  let from = 0;
  for (let col = 0; col <= here.length; col++) {
    const next = col < here.length ? between(above[col], here[col]) : NOBODY;
    if (next === id) continue;
    if (id !== NOBODY) lines.addRow(id, row, from, col);
    id = next;
    from = col;
  }
}

/** Vertical borders left of each pixel: they stay open from row to row until they change. */
function traceSides(lines, row, here, open) {
  for (let col = 0, left = NOBODY; col <= here.length; col++) {
    const right = col < here.length ? here[col] : NOBODY;
    const id = between(left, right);
    left = right;
    if (open.id[col] === id) continue;
    if (open.id[col] !== NOBODY) lines.addColumn(open.id[col], col, open.from[col], row);
    open.id[col] = id;
    open.from[col] = row;
  }
}

class Lines {
  constructor(step, origin) {
    this.step = step;
    this.origin = origin;
    this.paths = new Map();
  }

  /** Along the upper edge of a row, from a column to another. */
  addRow(id, row, from, to) {
    const path = this.#path(id);
    path.moveTo(this.#x(from), this.#y(row));
    path.lineTo(this.#x(to), this.#y(row));
  }

  /** Along the left edge of a column, from a row to another. */
  addColumn(id, col, from, to) {
    const path = this.#path(id);
    path.moveTo(this.#x(col), this.#y(from));
    path.lineTo(this.#x(col), this.#y(to));
  }

  #path(id) {
    let path = this.paths.get(id);
    if (!path) this.paths.set(id, (path = new Path2D()));
    return path;
  }

  #x(col) {
    return this.origin.c0 + col * this.step;
  }

  #y(row) {
    return this.origin.r0 + row * this.step;
  }
}

/** The path moved and scaled to the screen: stroke it with the identity transform. */
export function onScreen(path, view, offset = { row: 0, col: 0 }) {
  const moved = new Path2D();
  moved.addPath(path, {
    a: view.sx,
    b: 0,
    c: 0,
    d: view.sy,
    e: view.tx + offset.col * view.sx,
    f: view.ty + offset.row * view.sy,
  });
  return moved;
}
