/** The final model: how long, how many networks, how far it is, and what came of it. */

import { call } from "../../net/api.js";
import { learning } from "../../state/learning.js";
import { element, setText } from "../../ui/dom.js";
import { toast } from "../../ui/toasts.js";
import { modelButtons } from "./model_files.js";

const FINAL = "final";
const HOURS = { 1: "1 hour", 8: "8 hours", 24: "1 day", 72: "3 days" };
const FOLDS = 5;
const ABOUT =
  "One long training on all labels but the held-out ones. It gives way to the other learners, " +
  "and goes on after a restart.";

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  const about = element("p.sw-count", {}, ABOUT);
  const text = element("p.sw-final-text", { role: "status" });
  const bar = progressBar();
  const form = choices();
  const buttons = buttonRow(form);
  const models = modelButtons(FINAL);
  root.replaceChildren(about, text, bar.node, form.node, buttons.node, models.node);
  const draw = () => {
    const final = learning.overview?.final;
    root.hidden = !final;
    if (root.hidden) return;
    const round = learning.rounds.get(FINAL) ?? {};
    const running = final.state === "running";
    setText(text, final.message);
    text.hidden = !final.message;
    bar.show(running, final, round);
    form.show(final);
    buttons.show(final);
    models.show();
  };
  learning.addEventListener("overview", draw);
  learning.addEventListener("round", ({ detail }) => detail.learner === FINAL && draw());
  await learning.start();
  draw();
}

function progressBar() {
  const fill = element("i", { style: "width: 0%" });
  const bar = element("div.sw-bar", { role: "progressbar", "aria-label": "Final model" }, fill);
  const words = element("p.sw-progress", { "aria-live": "off" });
  const node = element("div.sw-panel", { hidden: true }, bar, words);
  const show = (running, final, round) => {
    node.hidden = !running;
    if (!running) return;
    const share = shareOf(final, round);
    bar.classList.toggle("unknown", share === null);
    fill.style.width = `${Math.round(100 * (share ?? 1))}%`;
    bar.setAttribute("aria-valuenow", String(Math.round(100 * (share ?? 0))));
    setText(words, progressText(final, round, share));
  };
  return { node, show };
}

/** 0..1 of the training; null while it loads, chooses or predicts. */
function shareOf(final, { phase, seconds_left: left }) {
  if (typeof left !== "number" || !phase || phase.startsWith("predicting")) return null;
  return Math.min(1, Math.max(0, 1 - left / final.seconds));
}

/** "training network 2 of 5 · 43 % · 3 h 20 min left" */
function progressText(final, { begun, phase, seconds_left: left }, share) {
  if (begun === false || !phase) return "waiting for its turn";
  const parts = [final.gives_way ? "giving way to another learner" : phase];
  if (share !== null) parts.push(`${Math.floor(100 * share)} %`, `${duration(left)} left`);
  return parts.join(" · ");
}

function choices() {
  const time = element(
    "select.sw-select",
    { "aria-label": "Time to train" },
    Object.entries(HOURS).map(([value, text]) => element("option", { value }, text)),
  );
  time.value = "8";
  const folds = element("input", { type: "checkbox" });
  const node = element(
    "fieldset.sw-choices",
    {},
    element("legend.sw-hidden", {}, "Final model"),
    element("label.sw-field", {}, "Time to train", time),
    element(
      "label.sw-choice",
      {},
      folds,
      element(
        "span",
        {},
        element("b", {}, "Five networks"),
        element(
          "small",
          {},
          "Each leaves out a fifth of the labelled images. They answer together.",
        ),
      ),
    ),
  );
  const asked = () => ({ seconds: 3600 * Number(time.value), folds: folds.checked ? FOLDS : 1 });
  const show = ({ state }) => (node.hidden = state === "running" || state === "stopped");
  return { node, asked, show };
}

function buttonRow(form) {
  const make = (kind, text, title, onclick) =>
    element(`button.sw-button${kind}`, { type: "button", title, onclick }, text);
  const start = make(".primary", "Train final model", "Start the long training", () =>
    send("/api/final", form.asked()),
  );
  const stop = make("", "Stop", "Stop now; what was trained is kept", () =>
    send(`/api/learn/${FINAL}/stop`, {}),
  );
  const on = make(".primary", "Go on", "Go on where it was stopped", () =>
    send(`/api/learn/${FINAL}/resume`, {}),
  );
  const forget = make("", "Start over", "Forget what was trained so far, and choose again", () =>
    send("/api/final/forget", {}),
  );
  const propose = make("", "Let it propose", "Propose with the final model from now on", () =>
    learning.change({ learners: [FINAL] }),
  );
  const node = element("div.sw-row", {}, start, stop, on, forget, propose);
  const show = ({ state, model }) => {
    start.hidden = state === "running" || state === "stopped";
    stop.hidden = state !== "running";
    on.hidden = forget.hidden = state !== "stopped";
    const proposes = learning.overview.proposes.some((one) => one.learner === FINAL);
    propose.hidden = !model || proposes || state === "running";
  };
  return { node, show };
}

async function send(path, body) {
  try {
    await call(path, body);
    await learning.read();
  } catch (error) {
    toast(error.message, "error");
  }
}

/** "2 days 3 h", "3 h 20 min", "12 min", "40 s" */
function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return [`${days} day${days > 1 ? "s" : ""}`, hours % 24 && `${hours % 24} h`]
    .filter(Boolean)
    .join(" ");
}
