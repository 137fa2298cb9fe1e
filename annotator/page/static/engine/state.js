// What the page may know of the canvas: its state, and what lies under the pointer.

import { ERASED, UNLABELLED } from "./codec.js";
import { partsIn } from "./image/proposed_parts.js";

const QUICK = 4 << 20; // pixels of a slice

/** The value of `LabelApp.state`. */
export function stateOf(app) {
  const { settings, image, editor } = app;
  const { active } = app.planes;
  const set = image && app.prompts.on(active.ref);
  const here = (entry) => entry.image === image?.id;
  const candidate = image && active.candidate;
  return {
    ...settings,
    classes: [...settings.classes.values()],
    tool: app.toolbox.name,
    held: app.toolbox.tool.summary ?? null,
    layout: app.planes.layoutName,
    image: image?.id ?? null,
    channels: app.channels.summary,
    saw: set?.saw ?? [],
    axis: active.axis,
    index: active.index,
    cursor: [...app.canvasState.cursor],
    zoom: active.camera.zoom,
    prompts: set?.items.length ?? 0,
    waiting: Boolean(set?.waiting),
    accepting: (set?.acceptAs ?? null) !== null,
    model: set?.model ?? null,
    mask: candidate
      ? {
          score: candidate.score,
          candidate: set?.chosen ?? 0,
          candidates: set?.candidates.length ?? 1,
          mends: mendsOf(app, set?.refine),
        }
      : null,
    whole: app.prompts.whole.here?.voxels ?? null,
    canUndo: Boolean(set?.items.length || app.prompts.whole.here || editor.history.done.some(here)),
    canRedo: Boolean(set?.taken.length || editor.history.undone.some(here)),
    canUndoElsewhere: editor.history.done.length > 0,
    canRedoElsewhere: editor.history.undone.length > 0,
    accepted: image ? editor.history.acceptedOn(image.id).length : 0,
    complete: active.sliceState === "complete",
    proposal: app.proposals.summary,
    editable: Boolean(image && active.editable),
    loading: app.session?.progress ?? { done: 0, total: 0 },
    rev: app.session?.rev ?? 0,
  };
}

/**
 * Of a mask that mends a proposal {adds, className, slices}, `slices` null until it is known; else
 * null.
 */
function mendsOf({ settings, proposals, mending }, refine) {
  if (!refine?.mends) return null;
  const slices = mending.askedAt === null ? (proposals.mended?.slices ?? 0) : null;
  return { adds: refine.label === 1, className: nameOf(settings, refine.classId), slices };
}

/** The detail of a "hover" event, or null outside the slice. */
export function under({ state, settings }, view, point) {
  const { image } = state;
  if (!view?.shown || !view.holds(point)) return null;
  const row = Math.round(point.row);
  const col = Math.round(point.col);
  const at = row * view.size.cols + col;
  const position = view.position(row, col);
  const said = view.labels[at];
  return {
    axis: view.axis,
    row,
    col,
    position,
    value: intensity(view.pixels, at, image.channels),
    channels: channelsAt(state, position, view.axis),
    mm: image.frames ? null : (image.spacing_mm?.map((step, i) => position[i] * step) ?? null),
    classId: said === UNLABELLED || said === ERASED ? null : said,
    className: nameOf(settings, said),
    instance: view.objects?.[at] ?? 0,
    pixels: labelledPixels(view, at),
    proposed: proposedAt(view, at),
  };
}

/** How many the labelled object under the object tool has on this slice, else 0. */
function labelledPixels({ toolbox, labels, objects }, at) {
  const part = toolbox.tool.under;
  const same = part?.classId === labels[at] && part.object === (objects?.[at] ?? 0);
  return same && !part.proposed ? part.pixels : 0;
}

/**
 * {classId, className, sure 0..1, object, pixels, place, others} where nothing is labelled and
 * something is proposed, else null. `place`: how many of the `others` are less certain.
 */
function proposedAt(view, at) {
  const { settings, labels, proposed } = view;
  if (!proposed || labels[at] !== UNLABELLED || proposed.classes[at] === UNLABELLED) return null;
  const classId = proposed.classes[at];
  const object = proposed.objects?.[at] ?? 0;
  const pixels = object ? proposed.sizes[object] : 0;
  const sure = proposed.sure[at] / 255;
  const found = { classId, className: nameOf(settings, classId), sure, object, pixels };
  return { ...found, ...amongOthers(view, at) };
}

/** Of an object on a slice that is looked through in a moment, with the object tool in hand. */
function amongOthers(view, at) {
  const { proposed, toolbox } = view;
  if (toolbox.name !== "objects" || (proposed.classes.length > QUICK && !proposed.parts)) return {};
  const { of, count, pixels, places } = partsIn(view);
  const part = of[at];
  return part ? { pixels: pixels[part], place: places[part] - 1, others: count - 1 } : {};
}

/** [{name, value}] of every channel, null where an image has none. */
function channelsAt({ session, image }, position, axis) {
  const { pixels } = session;
  if (!pixels.looks) return null;
  return pixels.values(position, axis).map((value, n) => ({ name: image.named[n].name, value }));
}

function intensity(pixels, at, channels) {
  if (!pixels) return null;
  return channels === 3 ? [...pixels.subarray(3 * at, 3 * at + 3)] : pixels[at];
}

function nameOf(settings, said) {
  if (said === UNLABELLED) return "unlabelled";
  return settings.classes.get(said)?.name ?? (said ? `class ${said}` : "background");
}
