/** The demo in five steps, each ticked from what is in the project. */

import { call } from "../net/api.js";
import { imageUpdates } from "../state/image_updates.js";
import { learning } from "../state/learning.js";
import { session } from "../state/session.js";
import { element, iconButton, setAttributes, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const SEEN = "slicewise-five-steps";
const SETTLE_MS = 300; // news come in bursts
const TITLES = ["Label two slices", "Look at others", "Mend one", "Accept it", "Export the model"];

/** The bar under the canvas; hidden where the project is not the demo. */
export function fiveSteps() {
  const items = TITLES.map((title) =>
    element("li", {}, element("span", {}, title), element("span.sw-hidden", {}, "")),
  );
  const hint = element("p.sw-guide-hint", { role: "status" });
  const go = element("button.sw-button.small.primary", { type: "button", hidden: true });
  const close = iconButton("close", "Close the five steps", {
    onclick: () => {
      localStorage.setItem(SEEN, String(session.project.id));
      node.hidden = true;
    },
  });
  const node = element(
    "section.sw-guide.sw-five-steps",
    { "aria-label": "Five steps", hidden: true },
    element("ol", {}, items),
    close,
    hint,
    go,
  );
  let told = null;
  const show = () => {
    node.hidden = !told || localStorage.getItem(SEEN) === String(session.project.id);
    if (!node.hidden) draw({ items, hint, go }, told);
  };
  listen((steps) => {
    told = steps;
    show();
  });
  learning.addEventListener("round", show);
  session.addEventListener("image", show);
  return node;
}

/** `take` hears how far the steps are, whenever that may have changed. */
function listen(take) {
  let timer = 0;
  const read = () => call("/api/steps").then(take, (error) => toast(error.message, "warn"));
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(read, SETTLE_MS);
  };
  session.addEventListener("project", soon);
  session.addEventListener("jobs", soon);
  imageUpdates.addEventListener("change", soon);
  for (const type of ["ack", "slices", "up"]) session.link.addEventListener(type, soon);
  read();
}

function draw({ items, hint, go }, steps) {
  const now = steps.done.indexOf(false);
  items.forEach((item, at) => {
    item.dataset.done = String(steps.done[at]);
    setText(item.lastChild, steps.done[at] ? " (done)" : "");
    setAttributes(item, { "aria-current": at === now ? "step" : "" });
    if (at !== now) item.removeAttribute("aria-current");
  });
  const { text, label, act } = now < 0 ? allDone() : STEPS[now](steps);
  setText(hint, text);
  hint.title = text;
  go.hidden = !label;
  setText(go, label ?? "");
  go.onclick = act ?? null;
}

function allDone() {
  const text = "All five steps are done. Your own data goes in by the Data tab.";
  const job = [...session.jobs.values()].findLast((one) => one.kind === "model-export" && one.url);
  return job ? { text, label: "Download", act: () => location.assign(job.url) } : { text };
}

const STEPS = [
  ({ first, slices }) => {
    const how = "click the organ, press Enter, then K (the rest is background).";
    if (session.image?.id !== first)
      return { text: "The first volume waits.", ...opening(first, "Open the first") };
    return slices
      ? { text: `Now a second slice: ${how}`, label: "Go there", act: () => void second(first) }
      : { text: how[0].toUpperCase() + how.slice(1) };
  },
  ({ next }) => ({ text: waiting(), ...opening(next, "Open one") }),
  ({ first, next }) => ({
    text: "Shift+click a wrong part of the stripes, or a missing one; then press Enter.",
    ...(session.image?.id === first ? opening(next, "Open one") : {}),
  }),
  () => ({ text: "Press Shift+Y: all that is striped becomes labels." }),
  ({ learner }) => ({
    text: learner
      ? "Take the trained model out, for use elsewhere."
      : "The model is there when its first round ends.",
    ...(learner ? { label: "Export", act: () => void takeOut(learner) } : {}),
  }),
];

/** To the slice that helps the first one most, as the guided start plans it. */
async function second(image) {
  try {
    const { steps, now } = await call(`/api/images/${image}/guide?planes=2`);
    if (now !== null) session.app.gotoSlice(steps[now].axis, steps[now].index);
  } catch (error) {
    toast(error.message, "error");
  }
}

function opening(image, label) {
  return image && image !== session.image?.id ? { label, act: () => session.open(image) } : {};
}

/** What a learner does meanwhile. */
function waiting() {
  const round = [...learning.rounds.values()].find(({ state }) => state === "running");
  if (!round) return "A learner starts by itself and proposes the organ in the others.";
  const left = Number.isFinite(round.seconds_left) ? Math.ceil(round.seconds_left) : 0;
  return `A learner works on your two slices${left ? `: ${left} s left` : ""}.`;
}

async function takeOut(learner) {
  try {
    const { job } = await call(`/api/models/${learner}/export`, {});
    toast("The model is being written; the bar offers it in a moment.", "info");
    return job;
  } catch (error) {
    return toast(error.message, "error");
  }
}
