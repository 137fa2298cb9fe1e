/** Next and previous image of the queue, whether the Images panel is on screen or not. */

import { call } from "../net/api.js";
import { toast } from "../ui/toasts.js";
import { session } from "./session.js";

const PAGE = 1000;

/**
 * Open the image `step` places after the open one in queue order (the first, where none is open).
 */
export async function stepImage(step) {
  try {
    const total = session.project.images_total;
    if (!total) return;
    const place = session.image ? await placeOf(session.image.id) : -1;
    const next = place + step;
    if (next < 0 || next >= total)
      toast(step > 0 ? "This is the last image." : "This is the first image.");
    else await session.open((await call(`/api/images?offset=${next}&limit=1`)).items[0].id);
  } catch (error) {
    toast(error.message, "error");
  }
}

/** Open the image that the ranker thinks most useful to label, and say why. */
export async function openMostUseful() {
  try {
    toast("Looking for the most useful image…", "info");
    const { items } = await call("/api/queue?count=2&images=true");
    const item = items.find((one) => one.image !== session.image?.id);
    if (!item) return toast("No other image is waiting for labels.", "info");
    await session.open(item.image, item);
    toast(`${item.name}: ${item.why}`, "info");
  } catch (error) {
    toast(error.message, "error");
  }
}

const walked = new Set(); // images whose proposed objects were shown one by one

/** Open the next image in the list that is only proposed, and whose objects were not walked. */
export async function openNextObjects() {
  try {
    walked.add(session.image.id);
    const { items } = await call(`/api/images?state=proposed&limit=${PAGE}`);
    const item = items.find(({ id }) => !walked.has(id));
    if (!item) return toast("No other image has proposals that you have not seen.", "info");
    await session.open(item.id);
    toast(`${item.name}: Tab shows its least certain object.`, "info");
  } catch (error) {
    toast(error.message, "error");
  }
}

let lastPlace = 0; // where the open image probably stands: looked at first

/** The Images panel knows where the image stands that it opens. */
export function rememberPlace(place) {
  lastPlace = place;
}

/** Where an image stands in the queue, -1 where it does not. */
export async function placeOf(id) {
  const total = session.project.images_total;
  const near = await placeOnPage(id, Math.max(0, lastPlace - 1), 3);
  if (near >= 0) return near;
  for (let offset = 0; offset < total; offset += PAGE) {
    const place = await placeOnPage(id, offset, PAGE);
    if (place >= 0) return place;
  }
  return -1;
}

async function placeOnPage(id, offset, limit) {
  const { items } = await call(`/api/images?offset=${offset}&limit=${limit}`);
  const at = items.findIndex((item) => item.id === id);
  if (at < 0) return -1;
  lastPlace = offset + at;
  return lastPlace;
}
