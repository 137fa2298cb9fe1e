/**
 * The Model panel: which prompt models there are, what each is good at, how fast it is here, and
 * which one answers.
 */

import { call } from "../net/api.js";
import { session } from "../state/session.js";
import { element, icon, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { mayEnd, progressBar } from "./job_cards.js";

const STATES = {
  ready: "ready",
  missing: "not downloaded",
  extra: "needs a package",
  file: "needs your file",
};

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  await session.start();
  const why = element("p.sw-why", { role: "status" });
  const list = element("ul.sw-models", { "aria-label": "Prompt models" });
  const cards = new Map();
  root.replaceChildren(why, list);
  const draw = () => {
    for (const model of session.project.models) {
      if (!cards.has(model.name)) cards.set(model.name, modelCard(model.name));
      cards.get(model.name).show(model);
    }
    const now = session.project.models.map(({ name }) => cards.get(name).node);
    if (now.some((one, at) => one !== list.children[at]) || now.length !== list.children.length)
      list.replaceChildren(...now);
    setText(why, session.answering?.why ?? "");
    why.hidden = !session.answering?.why;
  };
  for (const type of ["project", "model", "jobs"]) session.addEventListener(type, draw);
  draw();
}

function modelCard(name) {
  const title = element("b");
  const badge = element("span.sw-badge");
  const detail = element("p");
  const speed = element("p.sw-speed");
  const use = element(
    "button.sw-button.small",
    { type: "button", onclick: (event) => act(event, () => call("/api/model", { name })) },
    "Use this model",
  );
  const fetch = element(
    "button.sw-button.small",
    {
      type: "button",
      onclick: (event) =>
        act(event, () => call(`/api/model/${encodeURIComponent(name)}/download`, {})),
    },
    icon("download", 14),
    element("span"),
  );
  const download = downloadLine(name);
  const node = element(
    "li.sw-model",
    {},
    element("div.sw-model-head", {}, title, badge),
    detail,
    speed,
    download.node,
    element("div.sw-row", {}, use, fetch),
  );
  const show = (model) => {
    const job = [...session.jobs.values()].findLast(
      (one) => one.kind === "download" && one.model === name,
    );
    Object.assign(node.dataset, { active: model.active, state: model.state });
    setText(title, model.title);
    setText(badge, model.active ? "chosen" : STATES[model.state]);
    badge.dataset.state = model.active ? "running" : model.state === "ready" ? "idle" : "waiting";
    setText(detail, model.detail);
    setText(speed, speedText(model));
    speed.hidden = model.state !== "ready" || model.volumes;
    use.hidden = model.active || model.state !== "ready";
    fetch.hidden = model.state !== "missing" || job?.state === "running";
    setText(fetch.lastChild, fetchText(model));
    download.show(model, job);
  };
  return { node, show };
}

function fetchText({ arrived, bytes }) {
  if (!arrived) return "Download";
  return `Continue the download (${megabytes(arrived)} of ${megabytes(bytes)} done)`;
}

/** "First click 210 ms, next 80 ms on this machine": medians on a slice of 512 x 512. */
function speedText({ speed }) {
  if (!speed) return "Speed not measured yet; the app measures it after the first use.";
  return `First click ${time(speed.first_ms)}, next ${time(speed.next_ms)} on this machine.`;
}

function time(milliseconds) {
  return milliseconds >= 2000
    ? `${(milliseconds / 1000).toFixed(1)} s`
    : `${Math.round(milliseconds)} ms`;
}

/** How a download goes or how it ended, with its Cancel button. */
function downloadLine(name) {
  const bar = progressBar(`Download of ${name}`);
  const text = element("span.sw-job-text", { role: "status" });
  const cancel = element("button.sw-button.small", { type: "button" }, "Cancel");
  const node = element("div.sw-download", {}, text, cancel, bar.node);
  let job = null;
  cancel.addEventListener("click", (event) =>
    act(event, () => call(`/api/jobs/${job.id}/cancel`, {})),
  );
  const show = (model, newest) => {
    job = newest;
    node.hidden = !job || (model.state === "ready" && job.state !== "running");
    if (node.hidden) return;
    const running = job.state === "running";
    cancel.hidden = !running || !mayEnd(job);
    bar.node.hidden = !running;
    bar.show(job.done, job.total);
    setText(
      text,
      running
        ? job.total
          ? `${megabytes(job.done)} of ${megabytes(job.total)}`
          : "Connecting…"
        : job.message,
    );
  };
  return { node, show };
}

function megabytes(bytes) {
  return bytes ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB` : "0 MB";
}

/** Run what a button asks for; it rests meanwhile, because loading a model may take seconds. */
async function act({ currentTarget: button }, work) {
  button.disabled = true;
  try {
    await work();
    await session.refresh();
  } catch (error) {
    toast(error.message, "error");
  }
  button.disabled = false;
}
