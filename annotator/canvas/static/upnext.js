/** What is most useful to label next, in whose opinion and why; each item opens its slice, or is left out. */

import { call } from "./api.js";
import { h, iconButton, setText } from "./dom.js";
import { axisNames } from "./engine/geometry.js";
import { learning } from "./learning.js";
import { session } from "./session.js";
import { toast } from "./toasts.js";

const COUNT = 8;

/** Fill the element that Gradio gives us. The list is made on demand: a first look at all images takes seconds. */
export async function mount(element) {
  const root = element.querySelector(".sw-panel");
  const list = h("ol.sw-upnext", { "aria-label": "Most useful next" });
  const why = h("p.sw-count", { role: "status" });
  const ranker = h("select.sw-select", { "aria-label": "Who orders the queue" });
  const ask = h("button.sw-button.small", { type: "button" }, "Suggest");
  root.replaceChildren(h("div.sw-row", {}, ranker, ask), why, list);
  let asked = false;
  const read = async () => {
    asked = ask.disabled = true;
    if (!list.children.length) setText(why, "Looking at the images…");
    try {
      const queue = await call(`/api/queue?count=${COUNT}`);
      setText(why, queue.items.length ? `In the order of: ${queue.why}.` : "Nothing is waiting for labels.");
      list.replaceChildren(...queue.items.map((item) => itemRow(item, read)));
    } catch (error) {
      setText(why, error.message);
    }
    ask.disabled = false;
  };
  ask.addEventListener("click", read);
  ranker.addEventListener("change", () => chooseRanker(ranker.value).then(read));
  learning.addEventListener("overview", () => drawRankers(root, ranker));
  await learning.start();
  drawRankers(root, ranker);
  session.link.addEventListener("queue", () => asked && !list.contains(document.activeElement) && read());
}

function drawRankers(root, select) {
  root.hidden = !learning.overview;
  if (root.hidden || select.options.length) return;
  const rankers = learning.overview.rankers.map((one) => h("option", { value: one.name, title: one.good_at }, one.title));
  select.append(h("option", { value: "" }, "The app chooses the order"), ...rankers);
  select.value = learning.overview.ranker;
}

async function chooseRanker(name) {
  try {
    await call("/api/queue/ranker", { name });
  } catch (error) {
    toast(error.message, "error");
  }
}

function itemRow({ image, name, axis, index, why }, again) {
  const place = `${name}, ${axisNames[axis]} ${index + 1}`;
  const open = h("button.sw-upnext-open", { type: "button", onclick: () => session.open(image, { axis, index }) }, h("b", {}, place), h("small", {}, why));
  const skip = iconButton("close", `Leave out ${place}`, {
    onclick: async () => {
      try {
        await call("/api/queue/skip", { image, axis, index, on: true });
        await again();
      } catch (error) {
        toast(error.message, "error");
      }
    },
  });
  return h("li", {}, open, skip);
}
