/** Trained models in and out: what a learner's card offers, and how those jobs go. */

import { call } from "../../net/api.js";
import { learning } from "../../state/learning.js";
import { session } from "../../state/session.js";
import { pickFiles, uploadBatch } from "../../state/uploads.js";
import { element, icon, iconButton } from "../../ui/dom.js";
import { toast } from "../../ui/toasts.js";
import { jobList } from "../job_cards.js";

/** The buttons of one learner: {node, show()}. */
export function modelButtons(name) {
  const out = element(
    "button.sw-button.small",
    {
      type: "button",
      title: "Export a zip: weights, ONNX, a model card and a script that predicts",
      onclick: () => takeOut(name),
    },
    icon("download", 14),
    "Export model",
  );
  const bundle = element(
    "button.sw-button.small",
    {
      type: "button",
      title: "Export a zip that MONAI runs: python -m monai.bundle run",
      onclick: () => takeOut(name, { bundle: true }),
    },
    icon("download", 14),
    "MONAI bundle",
  );
  const into = element(
    "button.sw-button.small",
    {
      type: "button",
      title: "Start from an exported model: a zip, or its model.json and model.safetensors",
      onclick: () => takeIn(name),
    },
    icon("upload", 14),
    "Use a model",
  );
  const seen = element(
    "button.sw-button.small",
    {
      type: "button",
      title: "Show this learner's proposal on the open image",
      onclick: () => session.app?.proposals.show(name),
    },
    icon("eye", 14),
    "Show",
  );
  const node = element("div.sw-row", {}, seen, out, bundle, into);
  const show = () => {
    const known = learning.overview?.learners.find((one) => one.name === name);
    out.hidden = bundle.hidden = !known?.model;
    const { sources = [], shown } = session.app?.state.proposal ?? {};
    seen.hidden = !sources.some((one) => one.producer === name);
    seen.setAttribute("aria-pressed", String(shown?.producer === name));
  };
  return { node, show };
}

/** For a row of the comparison, where the learner has no card of its own. */
export function exportIcon(name, title) {
  return iconButton("download", `Export the model of ${title}`, { onclick: () => takeOut(name) });
}

export function showIcon(name, title) {
  return iconButton("eye", `Show the proposal of ${title}`, {
    onclick: () => showProposals(name, title),
  });
}

function showProposals(name, title) {
  const { sources = [] } = session.app?.state.proposal ?? {};
  if (!sources.some((one) => one.producer === name))
    return toast(`${title} has no proposal for this image yet; wait for its next round.`, "info");
  session.app.proposals.show(name);
}

/** Models that are written or read now, with the link to fetch one. */
export function modelJobs() {
  session.addEventListener(
    "jobs",
    ({ detail: job }) => job?.kind === "model-import" && job.state === "done" && learning.read(),
  );
  return jobList("Model exports and imports", ["model-export", "model-import"]);
}

async function takeOut(name, as = {}) {
  try {
    await call(`/api/models/${name}/export`, as);
  } catch (error) {
    toast(error.message, "error");
  }
}

async function takeIn(name) {
  const files = await pickFiles({ multiple: true, accept: ".zip,.json,.safetensors" });
  if (!files.length) return;
  try {
    await uploadBatch(files, (batch) => call(`/api/models/${name}/import`, { batch }));
  } catch (error) {
    toast(error.message, "error");
  }
}
