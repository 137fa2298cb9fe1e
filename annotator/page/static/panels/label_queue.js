/**
 * What is most useful to label next, in whose opinion and why; each item opens its slice, or is
 * left out.
 */

import { axisNames } from "../engine/geometry.js";
import { call } from "../net/api.js";
import { learning } from "../state/learning.js";
import { session } from "../state/session.js";
import { element, iconButton, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const COUNT = 8;

/**
 * Fill the element that Gradio gives us. The list is made on demand: a first look at all images
 * takes seconds.
 */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  const list = element("ol.sw-upnext", { "aria-label": "Most useful next" });
  const why = element("p.sw-count", { role: "status" });
  const ranker = element("select.sw-select", { "aria-label": "Order of the queue" });
  const ask = element("button.sw-button.small", { type: "button" }, "Suggest");
  const search = element("input.sw-select.sw-queue-search", {
    type: "search",
    placeholder: "Search by name",
    "aria-label": "Search the queue",
  });
  const back = element(
    "button.sw-button.small",
    { type: "button", hidden: true },
    "Put back what you left out last",
  );
  root.replaceChildren(element("div.sw-row", {}, ranker, ask), search, why, back, list);
  let asked = false;
  const read = async () => {
    asked = ask.disabled = true;
    if (!list.children.length) setText(why, "Looking at the images…");
    try {
      const queue = await call(
        `/api/queue?${new URLSearchParams({ count: COUNT, search: search.value.trim() })}`,
      );
      setText(
        why,
        queue.items.length
          ? `This order is good for: ${queue.why}.`
          : "No image is waiting for labels.",
      );
      list.replaceChildren(...queue.items.map((item) => itemRow(item, leaveOut)));
    } catch (error) {
      setText(why, error.message);
    }
    ask.disabled = false;
  };
  const leftOut = [];
  const leaveOut = async (item, on) => {
    try {
      const { image, axis, index } = item;
      await call("/api/queue/skip", { image, axis, index, on });
      if (on) leftOut.push(item);
      back.hidden = !leftOut.length;
      await read();
    } catch (error) {
      toast(error.message, "error");
    }
  };
  back.addEventListener("click", () => leaveOut(leftOut.pop(), false));
  search.addEventListener("change", read);
  ask.addEventListener("click", read);
  ranker.addEventListener("change", () => chooseRanker(ranker.value).then(read));
  learning.addEventListener("overview", () => drawRankers(root, ranker));
  await learning.start();
  drawRankers(root, ranker);
  session.link.addEventListener("mark", () => asked && read());
  session.link.addEventListener(
    "queue",
    () => asked && !list.contains(document.activeElement) && read(),
  );
}

function drawRankers(root, select) {
  root.hidden = !learning.overview;
  if (root.hidden || select.options.length) return;
  const rankers = learning.overview.rankers.map((one) =>
    element("option", { value: one.name, title: one.good_at }, one.title),
  );
  select.append(element("option", { value: "" }, "The app chooses the order"), ...rankers);
  select.value = learning.overview.ranker;
}

async function chooseRanker(name) {
  try {
    await call("/api/queue/ranker", { name });
  } catch (error) {
    toast(error.message, "error");
  }
}

function itemRow(item, leaveOut) {
  const { image, name, kind, axis, index, why } = item;
  const place = kind === "image" ? name : `${name}, ${axisNames[axis]} ${index + 1}`;
  const open = element(
    "button.sw-upnext-open",
    { type: "button", onclick: () => session.open(image, { axis, index }) },
    element("b", {}, place),
    element("small", {}, why),
  );
  const skip = iconButton("close", `Leave out ${place}`, { onclick: () => leaveOut(item, true) });
  return element("li", {}, open, skip);
}
