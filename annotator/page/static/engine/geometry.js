// Shapes on a slice. Coordinates are (row, column), whole numbers at pixel centres; a box is
// half-open.

const EDGE = 1e-9; // a centre exactly on the rim of a brush belongs to it

export const axisNames = ["axial", "coronal", "sagittal"];

/** What a plane is called: by its marks, where somebody said that the image lies otherwise. */
export function planeName({ marks }, axis) {
  const ends = marks?.[axis].join("") ?? "";
  const named = ["SI", "AP", "RL"].findIndex((pair) =>
    [...pair].every((end) => ends.includes(end)),
  );
  return axisNames[named < 0 ? axis : named];
}

/** The layout, by its axis, that shows the plane of this name alone; "three" stays. */
export function layoutOf(image, name) {
  const axis = axisNames.findIndex((_, at) => planeName(image ?? {}, at) === name);
  return axis < 0 ? name : axisNames[axis];
}

/** Rows and columns of a slice of a [z, y, x] volume. */
export function sliceShape(shape, axis) {
  const [rows, cols] = shape.filter((_, i) => i !== axis);
  return { rows, cols };
}

/** The [z0, z1, y0, y1, x0, x1] that a box {r0, c0, r1, c1} of one slice covers. */
export function boxInVolume(axis, index, box) {
  const ranges = [
    [box.r0, box.r1],
    [box.c0, box.c1],
  ];
  ranges.splice(axis, 0, [index, index + 1]);
  return ranges.flat();
}

/** What a volume box covers of the slice (axis, index), or null. */
export function boxOnSlice(axis, index, box3) {
  const ranges = [0, 1, 2].map((i) => [box3[2 * i], box3[2 * i + 1]]);
  const [low, high] = ranges[axis];
  if (index < low || index >= high) return null;
  const [rows, cols] = ranges.filter((_, i) => i !== axis);
  return { r0: rows[0], r1: rows[1], c0: cols[0], c1: cols[1] };
}

/** Grow `box` (or null) to hold another. */
export function union(box, other) {
  if (!box) return { ...other };
  return {
    r0: Math.min(box.r0, other.r0),
    c0: Math.min(box.c0, other.c0),
    r1: Math.max(box.r1, other.r1),
    c1: Math.max(box.c1, other.c1),
  };
}

/** The smallest box around what `said(value)` accepts, with its values; null where nothing does. */
export function shrink(box, values, said) {
  const width = box.c1 - box.c0;
  let tight = null;
  for (let row = box.r0, i = 0; row < box.r1; row++)
    for (let col = box.c0; col < box.c1; col++, i++)
      if (said(values[i])) tight = union(tight, { r0: row, c0: col, r1: row + 1, c1: col + 1 });
  if (!tight) return null;
  return { box: tight, values: cut(values, width, { ...tight }, box) };
}

/**
 * Copy the part `inner` of `values`, which lie over a box of `width` columns starting at `outer`.
 */
export function cut(values, width, inner, outer = { r0: 0, c0: 0 }) {
  const w = inner.c1 - inner.c0;
  const out = new values.constructor(w * (inner.r1 - inner.r0));
  for (let row = inner.r0, to = 0; row < inner.r1; row++, to += w) {
    const from = (row - outer.r0) * width + inner.c0 - outer.c0;
    out.set(values.subarray(from, from + w), to);
  }
  return out;
}

/**
 * A round brush drawn from one point to the next: calls span(row, c0, c1) with half-open columns
 * for every row. `radius` {row, col} in pixels (unequal where pixels are not square); the pixel
 * under each end is always painted.
 */
export function stampLine({ from, to, radius }, size, span) {
  const a = { u: from.col / radius.col, v: from.row / radius.row };
  const b = { u: to.col / radius.col, v: to.row / radius.row };
  const first = Math.max(0, Math.ceil((Math.min(a.v, b.v) - 1) * radius.row - EDGE));
  const last = Math.min(size.rows - 1, Math.floor((Math.max(a.v, b.v) + 1) * radius.row + EDGE));
  for (let row = first; row <= last; row++) {
    const reach = capsuleReach(a, b, row / radius.row);
    if (!reach) continue;
    const c0 = Math.max(0, Math.ceil(reach[0] * radius.col - EDGE));
    const c1 = Math.min(size.cols, Math.floor(reach[1] * radius.col + EDGE) + 1);
    if (c0 < c1) span(row, c0, c1);
  }
  for (const end of [from, to]) {
    const row = Math.round(end.row);
    const col = Math.round(end.col);
    if (row >= 0 && row < size.rows && col >= 0 && col < size.cols) span(row, col, col + 1);
  }
}

/** The stretch [u0, u1] at height v of all points within distance 1 of the segment a-b, or null. */
function capsuleReach(a, b, v) {
  const ends = [];
  for (const disc of [a, b]) {
    const left = 1 - (v - disc.v) ** 2;
    if (left >= -EDGE)
      ends.push(disc.u - Math.sqrt(Math.max(0, left)), disc.u + Math.sqrt(Math.max(0, left)));
  }
  const length = Math.hypot(b.u - a.u, b.v - a.v);
  if (length > EDGE) ends.push(...bandReach(a, b, v, length));
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}

/** Where the line at height v meets the two sides of the band of half-width 1 along a-b. */
function bandReach(a, b, v, length) {
  const normal = { u: -(b.v - a.v) / length, v: (b.u - a.u) / length };
  const ends = [];
  for (const side of [-1, 1]) {
    const p = { u: a.u + side * normal.u, v: a.v + side * normal.v };
    const q = { u: b.u + side * normal.u, v: b.v + side * normal.v };
    if (p.v === q.v) continue;
    const t = (v - p.v) / (q.v - p.v);
    if (t >= 0 && t <= 1) ends.push(p.u + t * (q.u - p.u));
  }
  return ends;
}

/**
 * Pixels whose centres lie inside a closed polygon [[row, col]...] (even-odd): span(row, c0, c1) as
 * above.
 */
export function fillPolygon(points, size, span) {
  const rows = points.map((p) => p[0]);
  const first = Math.max(0, Math.ceil(Math.min(...rows)));
  const last = Math.min(size.rows - 1, Math.floor(Math.max(...rows)));
  for (let row = first; row <= last; row++) {
    const crossings = crossingsAt(points, row);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const c0 = Math.max(0, Math.ceil(crossings[i]));
      const c1 = Math.min(size.cols, Math.ceil(crossings[i + 1]));
      if (c0 < c1) span(row, c0, c1);
    }
  }
}

function crossingsAt(points, row) {
  const found = [];
  for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
    const [r0, c0] = points[j];
    const [r1, c1] = points[i];
    if (r0 <= row !== r1 <= row) found.push(c0 + ((row - r0) / (r1 - r0)) * (c1 - c0));
  }
  return found.sort((x, y) => x - y);
}

/**
 * Pixels joined to `seed` (an index into a rows * cols array) over their edges while `same(index)`
 * holds. Returns {mask, box}, the mask over the whole array.
 */
export function component(size, seed, same) {
  const { rows, cols } = size;
  const mask = new Uint8Array(rows * cols);
  const stack = [seed];
  let box = null;
  mask[seed] = 1;
  while (stack.length) {
    const at = stack.pop();
    const row = Math.floor(at / cols);
    const col = at - row * cols;
    box = union(box, { r0: row, c0: col, r1: row + 1, c1: col + 1 });
    const visit = (next) => {
      if (!mask[next] && same(next)) {
        mask[next] = 1;
        stack.push(next);
      }
    };
    if (col > 0) visit(at - 1);
    if (col < cols - 1) visit(at + 1);
    if (row > 0) visit(at - cols);
    if (row < rows - 1) visit(at + cols);
  }
  return { mask, box };
}

/**
 * The holes of a mask (rows * cols): 1 where a pixel is off and no path of off pixels leads out of
 * the array.
 */
export function holes(mask, size) {
  const padded = { rows: size.rows + 2, cols: size.cols + 2 };
  const inside = (at) => {
    const row = Math.floor(at / padded.cols) - 1;
    const col = (at % padded.cols) - 1;
    return (
      row >= 0 && row < size.rows && col >= 0 && col < size.cols && mask[row * size.cols + col]
    );
  };
  const outside = component(padded, 0, (at) => !inside(at)).mask;
  return mask.map((on, i) => {
    const row = Math.floor(i / size.cols);
    return on || outside[(row + 1) * padded.cols + (i - row * size.cols) + 1] ? 0 : 1;
  });
}
