/**
 * What stands in the canvas when there is nothing to label yet, and three steps for the first
 * visit.
 */

import { call } from "../net/api.js";
import { openMap } from "../panels/scenes/map.js";
import { session } from "../state/session.js";
import { chooseFiles, chooseFolder } from "../state/uploads.js";
import { element, icon, iconButton } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const SEEN = "slicewise-first-steps";
const STEPS = [
  ["Choose a class", "or press its number"],
  ["Click an object", "right-click removes"],
  ["Press Enter", "Ctrl+Z undoes it"],
];

const EXAMPLES = [
  ["demo", "Five-step demo", "Twelve made volumes with one organ each"],
  ["cells", "Cells", "Ten made pictures of cells"],
  ["gallery", "Formats gallery", "Sixteen pictures and scans of many kinds and formats"],
];

const ADD_FIRST = ["Add a class", "what you want to label"]; // where the project has none yet

/** Of a project with a scene of which no region was opened yet. */
function mapButton() {
  const node = element(
    "button.sw-button",
    { type: "button", onclick: () => void openMap() },
    "Show the map of the scene",
  );
  const show = () => (node.hidden = !session.project.scenes.length);
  session.addEventListener("project", show);
  show();
  return node;
}

/** Shown while the project has no image. */
export function welcome() {
  const node = element(
    "section.sw-welcome",
    { "aria-label": "No images yet" },
    icon("picture", 44),
    element("h2", {}, "No images yet"),
    element(
      "p",
      {},
      "Drop images or folders anywhere on this page: PNG, JPEG, TIFF, NIfTI, NRRD, MHA or DICOM.",
    ),
    element(
      "div.sw-row",
      {},
      element(
        "button.sw-button.primary",
        { type: "button", onclick: chooseFiles },
        icon("upload", 16),
        "Choose files",
      ),
      element(
        "button.sw-button",
        { type: "button", onclick: chooseFolder },
        icon("folder", 16),
        "Choose a folder",
      ),
    ),
    mapButton(),
    element("p", {}, "Or try the app with pictures that come with it:"),
    element("div.sw-row", {}, EXAMPLES.map(exampleButton)),
  );
  const show = () => (node.hidden = session.project.images_total > 0);
  session.addEventListener("project", show);
  show();
  return node;
}

function exampleButton([name, text, about]) {
  const add = () =>
    call(`/api/examples/${name}`, {}).then(
      () => toast(`${text}: the pictures come one after another.`, "info"),
      (error) => toast(error.message, "error"),
    );
  return element("button.sw-button", { type: "button", title: about, onclick: add }, text);
}

/**
 * Three steps, until the person closes them or has made the first label. Their place stays empty
 * until another image is opened: the canvas must not grow under the pointer of who is drawing.
 */
export function firstSteps() {
  const close = () => {
    localStorage.setItem(SEEN, "1");
    node.remove();
  };
  const fade = () => {
    localStorage.setItem(SEEN, "1");
    node.dataset.done = "";
    session.addEventListener("image", close, { once: true });
  };
  const list = element("ol");
  const node = element(
    "section.sw-steps",
    { "aria-label": "First steps" },
    list,
    iconButton("close", "Close the first steps", { onclick: close }),
  );
  const show = () => {
    if ("done" in node.dataset) return;
    node.hidden = localStorage.getItem(SEEN) !== null || session.project.images_total === 0;
    const steps = session.classes.length > 1 ? STEPS : [ADD_FIRST, ...STEPS.slice(1)];
    list.replaceChildren(
      ...steps.map(([what, how]) =>
        element("li", {}, element("b", {}, what), element("span", {}, how)),
      ),
    );
  };
  session.addEventListener("project", show);
  session.link.addEventListener("ack", fade, { once: true });
  show();
  return node;
}

/** The project could not be read: say so where the canvas would be. */
export function showFault(stage, error) {
  const retry = element(
    "button.sw-button.primary",
    { type: "button", onclick: () => location.reload() },
    "Try again",
  );
  stage.replaceChildren(
    element(
      "section.sw-welcome",
      { role: "alert" },
      element("h2", {}, "The project cannot be opened"),
      element("p", {}, error.message),
      retry,
    ),
  );
}
