// Lines and signs over a slice: borders, crosshair, marks, scale bar, prompts, the tool in hand.

import { colorOf, numbersAny } from "../settings.js";
import { borders, onScreen } from "./outline.js";

const POSITIVE = "#22c55e";
const NEGATIVE = "#ef4444";
const LINE = "rgba(125, 211, 252, 0.55)";
const BAR_STEPS = [1, 2, 5];
const MASK_SHOWN = Int16Array.of(-1, 1); // of a mask's 0 and 1, ones have a border

/** Paint the whole overlay of a view. */
export function drawOverlay(view, pen) {
  const { camera, settings } = view;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, camera.width, camera.height);
  view.tag.showZoom(camera.zoom / camera.dpr);
  if (!view.pixels) return drawWaiting(view, pen);
  const { style, visible } = settings;
  const split = numbersAny(settings) && view.state.labels.hasObjects;
  if (visible && (style !== "fill" || split)) view.borders.draw(pen, 1.75 * camera.dpr);
  drawCrosshair(view, pen);
  drawMended(view, pen);
  drawCandidate(view, pen);
  drawPrompts(view, pen);
  view.toolbox.tool.draw?.(view, pen);
  drawMarks(view, pen);
  drawScaleBar(view, pen);
}

/** A line that shows on bright and on dark: a wide dark one under a thin light one. */
export function strokeTwice(pen, dpr, color, path = undefined) {
  const stroke = () => (path ? pen.stroke(path) : pen.stroke());
  pen.lineWidth = 3 * dpr;
  pen.strokeStyle = "rgba(2, 6, 23, 0.7)";
  stroke();
  pen.lineWidth = 1.5 * dpr;
  pen.strokeStyle = color;
  stroke();
}

/** A polyline through [[row, col]...]. */
export function tracePoints(pen, camera, points, closed = false) {
  pen.beginPath();
  for (const [row, col] of points) {
    const { x, y } = camera.toScreen(row, col);
    pen.lineTo(x, y);
  }
  if (closed) pen.closePath();
}

/** A box of pixels {r0, c0, r1, c1}, dashed. */
export function drawBox(pen, camera, box) {
  const x = box.c0 * camera.sx + camera.tx;
  const y = box.r0 * camera.sy + camera.ty;
  pen.beginPath();
  pen.rect(x, y, (box.c1 - box.c0) * camera.sx, (box.r1 - box.r0) * camera.sy);
  pen.setLineDash([]);
  pen.lineWidth = 3 * camera.dpr;
  pen.strokeStyle = "rgba(2, 6, 23, 0.7)";
  pen.stroke();
  pen.setLineDash([6 * camera.dpr, 4 * camera.dpr]);
  pen.lineWidth = 1.5 * camera.dpr;
  pen.strokeStyle = "#fde047";
  pen.stroke();
  pen.setLineDash([]);
}

/** A scribble in the colour of its sign. */
export function drawScribble(pen, camera, { label: sign, points, closed }) {
  tracePoints(pen, camera, closed ? [...points, points[0]] : points);
  pen.lineCap = pen.lineJoin = "round";
  strokeTwice(pen, camera.dpr * 1.6, sign ? POSITIVE : NEGATIVE);
}

function drawWaiting(view, pen) {
  const { camera, state } = view;
  label(pen, camera, state.loadProblem ?? "loading…", {
    x: camera.width / 2,
    y: camera.height / 2,
    align: "center",
  });
}

function drawCrosshair(view, pen) {
  const { camera, image, state } = view;
  if (image.kind !== "volume") return;
  const [row, col] = state.cursor.filter((_, i) => i !== view.axis);
  const at = camera.toScreen(row, col);
  const gap = 14 * camera.dpr;
  const snap = (value) => Math.round(value) + 0.5;
  pen.beginPath();
  for (const [x0, x1] of [
    [0, at.x - gap],
    [at.x + gap, camera.width],
  ]) {
    pen.moveTo(x0, snap(at.y));
    pen.lineTo(x1, snap(at.y));
  }
  for (const [y0, y1] of [
    [0, at.y - gap],
    [at.y + gap, camera.height],
  ]) {
    pen.moveTo(snap(at.x), y0);
    pen.lineTo(snap(at.x), y1);
  }
  pen.lineWidth = 1;
  pen.strokeStyle = LINE;
  pen.stroke();
}

/** What the part on offer would change on this slice. */
function drawMended(view, pen) {
  const { proposed, settings, candidate } = view;
  if (proposed?.mended && !candidate && settings.proposals)
    drawMarching(view, pen, proposed.mended, "#fde047");
}

/** The border of the model's mask. */
function drawCandidate(view, pen) {
  const { candidate, settings } = view;
  if (candidate) drawMarching(view, pen, candidate, colorOf(settings, candidate.classId));
}

/** The border of a mask {box, mask} as a moving dashed line. */
function drawMarching(view, pen, part, color) {
  const { camera } = view;
  const { r0, c0, r1, c1 } = part.box;
  const size = { rows: r1 - r0, cols: c1 - c0 };
  part.path ??= borders(size, { labels: part.mask, shown: MASK_SHOWN }).get(1);
  if (!part.path) return;
  const path = onScreen(part.path, camera, { row: r0, col: c0 });
  strokeTwice(pen, camera.dpr, color, path);
  pen.setLineDash([5 * camera.dpr, 5 * camera.dpr]);
  pen.lineDashOffset = -view.frames.antsPhase * camera.dpr;
  pen.strokeStyle = "#ffffff";
  pen.stroke(path);
  pen.setLineDash([]);
}

function drawPrompts(view, pen) {
  const { camera } = view;
  const set = view.prompts.on(view.ref);
  if (!set) return;
  const items = [...set.items, ...set.later.flatMap(({ item }) => item ?? [])];
  for (const item of items) {
    if (item.kind === "box") drawBox(pen, camera, item);
    if (item.kind === "scribble") drawScribble(pen, camera, item);
  }
  for (const item of items) if (item.kind === "point") drawPoint(pen, camera, item);
}

/** A disc with a plus or a minus, so that its sign does not hang on colour alone. */
function drawPoint(pen, camera, { row, col, label: sign }) {
  const { x, y } = camera.toScreen(row, col);
  const d = camera.dpr;
  pen.beginPath();
  pen.arc(x, y, 6 * d, 0, 2 * Math.PI);
  pen.fillStyle = sign ? "#15803d" : "#b91c1c";
  pen.fill();
  pen.lineWidth = 1.75 * d;
  pen.strokeStyle = "#ffffff";
  pen.stroke();
  pen.fillStyle = "#ffffff";
  pen.fillRect(x - 3 * d, y - 0.75 * d, 6 * d, 1.5 * d);
  if (sign) pen.fillRect(x - 0.75 * d, y - 3 * d, 1.5 * d, 6 * d);
}

/** Anatomical letters at the four edges. */
function drawMarks(view, pen) {
  const { camera, image } = view;
  if (!image.marks) return;
  const [rows, cols] = image.marks.filter((_, i) => i !== view.axis);
  const inset = 13 * camera.dpr;
  const across = camera.width / 2;
  const down = camera.height / 2;
  const mark = (text, x, y) =>
    label(pen, camera, text, { x, y, align: "center", weight: 600, color: "#fcd34d", size: 13 });
  mark(
    rows[0],
    across,
    view.tag.reach * camera.dpr > across - inset ? inset + 24 * camera.dpr : inset,
  ); // below the tag
  mark(rows[1], across, camera.height - inset);
  mark(cols[0], inset, down);
  mark(cols[1], camera.width - inset - (view.ruler.host.hidden ? 0 : 14 * camera.dpr), down);
}

/** A bar of a round length in mm, or in pixels where the file says nothing of size. */
function drawScaleBar(view, pen) {
  const { camera, image } = view;
  if (image.frames && view.axis > 0) return; // time runs down it
  const spacing = image.spacing_mm;
  const perUnit = spacing ? camera.zoom / camera.unitMm : camera.zoom;
  const length = roundLength((110 * camera.dpr) / perUnit);
  const width = length * perUnit;
  const x = 12 * camera.dpr;
  const y = camera.height - 14 * camera.dpr;
  const tick = 4 * camera.dpr;
  const bar = new Path2D();
  bar.moveTo(x, y - tick);
  bar.lineTo(x, y);
  bar.lineTo(x + width, y);
  bar.lineTo(x + width, y - tick);
  strokeTwice(pen, camera.dpr, "#f1f5f9", bar);
  label(pen, camera, `${length} ${spacing ? "mm" : "px"}`, {
    x: x + width / 2,
    y: y - 9 * camera.dpr,
    align: "center",
    size: 11,
  });
}

/** The largest of 1, 2, 5, 10, 20... that fits. */
function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = BAR_STEPS.findLast((s) => s * power <= most) ?? 1;
  return Number((step * power).toPrecision(3));
}

function label(
  pen,
  camera,
  text,
  { x, y, align = "left", size = 12, weight = 500, color = "#f1f5f9" },
) {
  pen.font = `${weight} ${size * camera.dpr}px system-ui, sans-serif`;
  pen.textAlign = align;
  pen.textBaseline = "middle";
  pen.lineWidth = 3 * camera.dpr;
  pen.lineJoin = "round";
  pen.strokeStyle = "rgba(2, 6, 23, 0.75)";
  pen.strokeText(text, x, y);
  pen.fillStyle = color;
  pen.fillText(text, x, y);
}
