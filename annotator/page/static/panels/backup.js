/** A backup of the whole project, to download. */

import { call } from "../net/api.js";
import { session } from "../state/session.js";
import { element } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { jobList } from "./job_cards.js";

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  await session.start();
  node
    .querySelector(".sw-panel")
    .replaceChildren(
      element(
        "p.sw-hint",
        {},
        "One archive of images, labels, proposals and models; others may go on labelling.",
      ),
      element("button.sw-button", { type: "button", onclick: start }, "Back up the project"),
      jobList("Backups", ["backup"]),
    );
}

async function start() {
  try {
    await call("/api/backup", {});
  } catch (error) {
    toast(error.message, "error");
  }
}
