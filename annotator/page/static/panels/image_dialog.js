/** What can be mended about the open image: its name, its spacing, its sides, what its slices are, or that it is here at all. */

import { listedVolumes } from "../state/image_list.js";
import { session } from "../state/session.js";
import { closeButton, show } from "../ui/dialogs.js";
import { element } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { repair } from "./repair.js";

const AXES = ["z", "y", "x"];
const EDGES = [
  ["First slice", "S"],
  ["Top", "A"],
  ["Left", "R"],
]; // the low ends of z, y and x, and what they mostly are
const SIDES = {
  R: "R, right",
  L: "L, left",
  A: "A, front",
  P: "P, back",
  S: "S, head",
  I: "I, feet",
};

/** Open it for the open image. */
export function editImage() {
  const { image } = session;
  if (!image) return;
  const dialog = element("dialog.sw-dialog.sw-edit-image", { "aria-labelledby": "sw-edit-title" });
  dialog.append(
    element("header", {}, element("h2", { id: "sw-edit-title" }, image.name), closeButton(dialog)),
    element(
      "div.sw-edit-parts",
      {},
      nameForm(image, dialog),
      spacingForm(image, dialog),
      image.shape[0] > 1 ? orientationForm(image, dialog) : null,
      image.shape[0] > 1 ? framesForm(image, dialog) : null,
    ),
    element(
      "footer",
      {},
      element("span", {}, "The bin on the Data tab keeps it until it is emptied."),
      element(
        "button.sw-button.danger",
        { type: "button", onclick: () => remove(image, dialog) },
        "Delete this image",
        element("kbd", {}, "Alt+Del"),
      ),
    ),
  );
  dialog.addEventListener("keydown", (event) => {
    if (!event.altKey || event.key !== "Delete") return;
    event.preventDefault();
    void remove(image, dialog);
  });
  show(dialog);
}

function nameForm(image, dialog) {
  const name = element("input.sw-name-input", {
    type: "text",
    value: image.name,
    maxlength: 80,
    "aria-label": "Image name",
  });
  const rename = async (event) => {
    event.preventDefault();
    if (await repair(`/api/images/${image.id}/rename`, { name: name.value })) dialog.close();
  };
  return element(
    "form.sw-row",
    { onsubmit: rename },
    element("label", {}, "Name ", name),
    element("button.sw-button.small", { type: "submit" }, "Rename"),
  );
}

function spacingForm(image, dialog) {
  const fields = AXES.map((axis, at) =>
    element("input.sw-name-input", {
      type: "number",
      value: image.spacing_mm?.[at] ?? "",
      min: 0,
      step: "any",
      required: true,
      "aria-label": `Voxel width along ${axis} in mm`,
    }),
  );
  const take = async (event) => {
    event.preventDefault();
    const spacing_mm = fields.map((field) => Number(field.value));
    if (await repair(`/api/images/${image.id}/spacing`, { spacing_mm })) dialog.close();
  };
  return element(
    "form.sw-row",
    { onsubmit: take },
    element("span", {}, "Voxel in mm (z, y, x)"),
    fields,
    element("button.sw-button.small", { type: "submit" }, "Set spacing"),
  );
}

/** Which side of the patient lies where now; the image is then shown head up. */
function orientationForm(image, dialog) {
  const fields = EDGES.map(([edge], at) =>
    element(
      "select.sw-select",
      { "aria-label": edge },
      Object.entries(SIDES).map(([letter, side]) =>
        element("option", { value: letter, selected: letter === image.marks?.[at]?.[0] }, side),
      ),
    ),
  );
  EDGES.forEach(([, usual], at) => (fields[at].value = image.marks?.[at]?.[0] ?? usual));
  const take = async (event) => {
    event.preventDefault();
    const ends = fields.map((field) => field.value);
    if (await repair(`/api/images/${image.id}/orientation`, { ends })) dialog.close();
  };
  return element(
    "form.sw-row.sw-edit-sides",
    { onsubmit: take },
    EDGES.map(([edge], at) => element("label", {}, `${edge} `, fields[at])),
    element("button.sw-button.small", { type: "submit" }, "Set sides"),
  );
}

/** Depth or time: fills and numbers then follow objects from frame to frame. */
function framesForm(image, dialog) {
  const meaning = choice("What its slices are", { depth: "depth", frames: "frames in time" });
  meaning.value = image.frames ? "frames" : "depth";
  const which = choice("Which images", { one: "this image", listed: "all volumes in the list" });
  const take = async (event) => {
    event.preventDefault();
    const images = which.value === "one" ? [image.id] : await volumes();
    const body = { images, frames: meaning.value === "frames" };
    if (images && (await repair("/api/images/frames", body))) dialog.close();
  };
  return element(
    "form.sw-row.sw-edit-slices",
    { onsubmit: take },
    element("label", {}, "Slices are ", meaning),
    element("label", {}, "in ", which),
    element("button.sw-button.small", { type: "submit" }, "Set slices"),
  );
}

function choice(label, options) {
  return element(
    "select.sw-select",
    { "aria-label": label },
    Object.entries(options).map(([value, text]) => element("option", { value }, text)),
  );
}

async function volumes() {
  try {
    return await listedVolumes();
  } catch (error) {
    toast(error.message, "error");
    return null;
  }
}

async function remove({ id }, dialog) {
  dialog.close();
  await repair("/api/images/delete", { images: [id] });
}
