/** The Data panel: bring images in, see what runs, take labels out. */

import { call } from "../net/api.js";
import { session } from "../state/session.js";
import { acceptDrops, cancelUpload, chooseFiles, chooseFolder, uploads } from "../state/uploads.js";
import { element, icon, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { openLook } from "./import_look/dialog.js";
import { jobList, progressBar } from "./job_cards.js";
import { askForOriginals } from "./originals.js";

/** Fill the import part of the panel. */
export async function mountImport(node) {
  const root = node.querySelector(".sw-panel");
  await session.start();
  const zone = element(
    "div.sw-drop",
    {},
    icon("upload", 26),
    element("p", {}, "Drop images or folders anywhere on this page"),
    element(
      "div.sw-row",
      {},
      element("button.sw-button", { type: "button", onclick: chooseFiles }, "Choose files"),
      element("button.sw-button", { type: "button", onclick: chooseFolder }, "Choose a folder"),
    ),
    element(
      "small",
      {},
      "PNG, JPEG, TIFF, NIfTI, NRRD, MHA, DICOM. " +
        "Masks in a folder “labels” beside “images” become labels.",
    ),
  );
  root.replaceChildren(zone, uploadCard());
}

/** Listen for files dropped on the page, and say how imports end; called once by the page. */
export function listenForDrops() {
  acceptDrops(document.body);
  uploads.addEventListener("look", ({ detail: batch }) => openLook(batch));
  // of this page: the server tells a page that comes later about finished jobs too
  const running = new Set();
  session.addEventListener("jobs", ({ detail: job }) => {
    if (job?.kind !== "import") return;
    if (job.state === "running") running.add(job.id);
    else if (running.delete(job.id) && !document.querySelector("#tab-data")?.checkVisibility())
      tellImported(job);
  });
}

/** Whoever does not see the card of the job hears what came of it. */
function tellImported({ message, refused = [] }) {
  const which = refused.length ? "; the Data tab says why" : "";
  if (message) toast(`${message}${which}.`, refused.length ? "warn" : "info");
}

/** Fill the list of running and finished imports and exports. */
export async function mountJobs(node) {
  const root = node.querySelector(".sw-panel");
  await session.start();
  root.replaceChildren(jobList("Imports and exports", ["look", "import", "export"]));
}

/** Start an export; called by Gradio's button with the values of its form. */
export async function startExport(formats, unknown, which) {
  const images = which === "open" ? [session.image?.id] : null;
  if (!formats.length) return toast("Choose at least one format.", "warn");
  if (which === "open" && !session.image)
    return toast("No image is open; open one, or choose All images.", "warn");
  const body = { formats, ignore: unknown === "ignore" ? 255 : null, images };
  try {
    const { needs } = await call("/api/export", body);
    if (needs) askForOriginals(needs, (originals) => call("/api/export", { ...body, originals }));
  } catch (error) {
    toast(error.message, "error");
  }
}

function uploadCard() {
  const bar = progressBar("Upload");
  const text = element("span");
  const cancel = element(
    "button.sw-button.small",
    { type: "button", onclick: cancelUpload },
    "Cancel",
  );
  const card = element(
    "div.sw-job",
    { hidden: true },
    element("div.sw-job-head", {}, element("b", {}, "Upload"), text, cancel),
    bar.node,
  );
  uploads.addEventListener("progress", ({ detail }) => {
    card.hidden = detail.state === "done";
    cancel.hidden = detail.state !== "running";
    bar.show(detail.bytes, detail.size);
    setText(
      text,
      detail.state === "stopped" ? "stopped" : `${detail.done} of ${detail.total} files`,
    );
  });
  return card;
}
