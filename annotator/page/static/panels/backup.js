/** A backup of the whole project, to download: for administrators. */

import { call } from "../net/api.js";
import { session } from "../state/session.js";
import { element } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { jobList } from "./job_cards.js";

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  await session.start();
  const panel = node.querySelector(".sw-panel");
  let shown = null; // whether an administrator sees it; accounts change while a page is open
  const draw = () => {
    if (shown === session.project.administrator) return;
    shown = session.project.administrator;
    panel.replaceChildren(...(shown ? forAdministrators() : forOthers()));
  };
  session.addEventListener("project", draw);
  draw();
}

function forAdministrators() {
  return [
    element(
      "p.sw-hint",
      {},
      "One archive of images, labels, proposals and models; others may go on labelling.",
    ),
    element("button.sw-button", { type: "button", onclick: start }, "Back up the project"),
    jobList("Backups", ["backup"]),
  ];
}

function forOthers() {
  return [
    element(
      "p.sw-hint",
      {},
      "A backup holds the whole project, so only administrators make one. Ask one for it, or export the labels.",
    ),
  ];
}

/** The panel ends below the screen, and its card comes last. */
const showCard = () =>
  document
    .querySelector('.sw-jobs[aria-label="Backups"]')
    ?.scrollIntoView({ block: "nearest", behavior: "smooth" });

async function start() {
  try {
    await call("/api/backup", {});
    session.addEventListener("jobs", showCard, { once: true });
  } catch (error) {
    toast(error.message, "error");
  }
}
