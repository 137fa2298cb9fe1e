/** What stands in the canvas when there is nothing to label yet, and three steps for the first visit. */

import { h, icon, iconButton } from "./dom.js";
import { chooseFiles, chooseFolder } from "./importing.js";
import { session } from "./session.js";

const SEEN = "slicewise-first-steps";
const STEPS = [
  ["Choose a class", "or press its number"],
  ["Click an object", "right-click takes away"],
  ["Press Enter", "Ctrl+Z takes it back"],
];

const ADD_FIRST = ["Add a class", "what you want to label"]; // where the project has none yet

/** Shown while the project has no image. */
export function welcome() {
  const element = h(
    "section.sw-welcome",
    { "aria-label": "No images yet" },
    icon("picture", 44),
    h("h2", {}, "No images yet"),
    h("p", {}, "Drop pictures, scans or a folder anywhere on this page: PNG, JPEG, TIFF, NIfTI, NRRD, MHA or DICOM."),
    h(
      "div.sw-row",
      {},
      h("button.sw-button.primary", { type: "button", onclick: chooseFiles }, icon("upload", 16), "Choose files"),
      h("button.sw-button", { type: "button", onclick: chooseFolder }, icon("folder", 16), "Choose a folder"),
    ),
  );
  const show = () => (element.hidden = session.project.images_total > 0);
  session.addEventListener("project", show);
  show();
  return element;
}

/** Three steps, until the person closes them or has made the first label. */
export function firstSteps() {
  const close = () => {
    localStorage.setItem(SEEN, "1");
    element.remove();
  };
  const list = h("ol");
  const element = h("section.sw-steps", { "aria-label": "First steps" }, list, iconButton("close", "Close the first steps", { onclick: close }));
  const show = () => {
    element.hidden = localStorage.getItem(SEEN) !== null || session.project.images_total === 0;
    const steps = session.classes.length > 1 ? STEPS : [ADD_FIRST, ...STEPS.slice(1)];
    list.replaceChildren(...steps.map(([what, how]) => h("li", {}, h("b", {}, what), h("span", {}, how))));
  };
  session.addEventListener("project", show);
  session.link.addEventListener("ack", close, { once: true });
  show();
  return element;
}

/** The project could not be read: say so where the canvas would be. */
export function showFault(stage, error) {
  const retry = h("button.sw-button.primary", { type: "button", onclick: () => location.reload() }, "Try again");
  stage.replaceChildren(
    h("section.sw-welcome", { role: "alert" }, h("h2", {}, "The project cannot be opened"), h("p", {}, error.message), retry),
  );
}
