/** Regions of scenes as images: opening one, and its neighbours. */

import { call } from "../../net/api.js";
import { session } from "../../state/session.js";
import { takeAway, toast } from "../../ui/toasts.js";

/** From one region to the next: slab, row, column. */
export const STEPS = {
  ArrowUp: [0, -1, 0],
  ArrowDown: [0, 1, 0],
  ArrowLeft: [0, 0, -1],
  ArrowRight: [0, 0, 1],
  PageUp: [-1, 0, 0],
  PageDown: [1, 0, 0],
};
const READING = "Reading the region…";
const SLOW_MS = 400; // what is quicker needs no word

/** A place in the grid, counted from 1, in words. */
export function placeText([slab, row, column], [slabs]) {
  const where = `row ${row + 1}, column ${column + 1}`;
  return slabs > 1 ? `slab ${slab + 1}, ${where}` : where;
}

/** Open the region at `at` = [slab, row, column]; whether it is open. */
export async function openRegion(scene, at) {
  const word = setTimeout(() => toast(READING, "info"), SLOW_MS);
  try {
    const { image, problem } = await call(`/api/scenes/${scene}/open`, { at });
    await session.open(image);
    if (problem) toast(problem, "warn");
    return true;
  } catch (error) {
    toast(error.message, "error");
    return false;
  } finally {
    clearTimeout(word);
    takeAway(READING);
  }
}

/** The region beside the open one, in the direction of an arrow key or a slab away. */
export async function openNeighbour(key) {
  const { scene } = session.image ?? {};
  if (!scene) return toast("The open image is no region of a scene.", "info");
  const at = scene.at.map((place, axis) => place + STEPS[key][axis]);
  if (at.some((place, axis) => place < 0 || place >= scene.counts[axis]))
    return toast("The scene ends here.", "info");
  await openRegion(scene.id, at);
}
