// Borders of labels as vector paths, so that they stay one screen line wide at every zoom.

const NOBODY = -1;

/**
 * Borders of a slice as Map(class -> Path2D) in pixel-edge coordinates (x = column, y = row).
 * `key(index)` tells regions apart, `owner(key)` is the class that draws a border or -1; `step` samples every n-th pixel.
 */
export function borders(size, { key, owner, step = 1 }) {
  const paths = new Map();
  const rows = Math.ceil(size.rows / step);
  const cols = Math.ceil(size.cols / step);
  const at = (row, col) => (row < 0 || col < 0 || row >= rows || col >= cols ? NOBODY : key(row * step * size.cols + col * step));
  const own = (k) => (k === NOBODY ? NOBODY : owner(k));
  const side = (a, b) => (a === b ? NOBODY : Math.max(own(a), own(b)));
  const line = (id, r0, c0, r1, c1) => {
    if (!paths.has(id)) paths.set(id, new Path2D());
    paths.get(id).moveTo(c0 * step, r0 * step);
    paths.get(id).lineTo(c1 * step, r1 * step);
  };
  const open = Array.from({ length: cols + 1 }, () => ({ id: NOBODY, from: 0 }));
  for (let row = 0; row <= rows; row++) {
    tops(row, cols, (col) => side(at(row - 1, col), at(row, col)), line);
    for (let col = 0; col <= cols; col++) {
      const id = row < rows ? side(at(row, col - 1), at(row, col)) : NOBODY;
      if (open[col].id === id) continue;
      if (open[col].id !== NOBODY) line(open[col].id, open[col].from, col, row, col);
      open[col] = { id, from: row };
    }
  }
  return paths;
}

/** The horizontal border above one row, neighbouring stretches of one class joined. */
function tops(row, cols, side, line) {
  let id = NOBODY;
  let from = 0;
  for (let col = 0; col <= cols; col++) {
    const next = col < cols ? side(col) : NOBODY;
    if (next === id) continue;
    if (id !== NOBODY) line(id, row, from, row, col);
    id = next;
    from = col;
  }
}

/** The path moved and scaled to the screen: stroke it with the identity transform. */
export function onScreen(path, view, offset = { row: 0, col: 0 }) {
  const moved = new Path2D();
  moved.addPath(path, {
    a: view.sx, b: 0, c: 0, d: view.sy,
    e: view.tx + offset.col * view.sx,
    f: view.ty + offset.row * view.sy,
  });
  return moved;
}
