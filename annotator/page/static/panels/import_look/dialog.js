/**
 * The look before an import: which images come in, which mask goes to which, what the masks' values
 * mean. Enter takes it as it is proposed.
 */

import { call } from "../../net/api.js";
import { session } from "../../state/session.js";
import { element, setText } from "../../ui/dom.js";
import { closeButton, show } from "../../ui/dialogs.js";
import { toast } from "../../ui/toasts.js";
import { imageList } from "./images.js";
import { maskFamily } from "./masks.js";

/** Show what the files of an upload would become, and import them where the person agrees. */
export async function openLook(batch) {
  try {
    const look = await call(`/api/upload/${batch}/look`);
    ask(batch, look);
  } catch (error) {
    toast(error.message, "error");
  }
}

function ask(batch, look) {
  const families = look.masks.map(maskFamily);
  const headers = element("input", { type: "checkbox" });
  const copies = look.alike ? copyChoice(look) : null;
  const dialog = element("dialog.sw-dialog.sw-look", { "aria-labelledby": "sw-look-title" });
  const take = element(
    "button.sw-button.primary",
    { type: "submit" },
    "Import",
    element("kbd", {}, "Enter"),
  );
  const body = element("form.sw-look-form", { method: "dialog" });
  const fault = element("p.sw-look-fault", { role: "alert" });
  let taken = false;
  body.addEventListener("submit", async (event) => {
    event.preventDefault(); // what was decided stays in sight until the server has taken it
    take.disabled = true;
    const refusal = await start(batch, {
      masks: families.map(({ chosen }) => chosen()).filter(Boolean),
      copies: copies?.querySelector(":checked").value ?? "",
      take_headers: headers.checked,
    });
    take.disabled = false;
    setText(fault, refusal);
    taken = !refusal;
    if (taken) dialog.close();
    else take.focus();
  });
  const choices = [copies, look.headers ? headerChoice(look.headers, headers) : null];
  body.append(
    head(dialog, look),
    middle(batch, look, families, choices),
    foot(dialog, take, fault),
  );
  dialog.append(body);
  dialog.addEventListener("close", () => taken || void discard(batch));
  show(dialog);
  take.focus();
}

function head(dialog, look) {
  return element(
    "header",
    {},
    element("h2", { id: "sw-look-title" }, "What will come in"),
    element("p.sw-count", { role: "status" }, summary(look)),
    closeButton(dialog),
  );
}

function summary({ total, with_mask: withMask, left_out: leftOut }) {
  const parts = [total === 1 ? "1 image" : `${total.toLocaleString("en")} images`];
  if (withMask) parts.push(`${withMask.toLocaleString("en")} with a mask`);
  if (leftOut.length) parts.push(`${leftOut.length.toLocaleString("en")} left out`);
  return parts.join(", ");
}

function middle(batch, look, families, choices) {
  return element(
    "div.sw-look-middle",
    {},
    lines("Look at these first", look.warnings, true),
    choices,
    look.total ? imageList(batch) : null,
    families.map(({ node }) => node),
    lines("Left out", look.left_out, false),
    lines("No image", look.passed, false),
  );
}

/** What files are that have the pixels of another image; the first choice is what is proposed. */
function copyChoice({ alike, taken }) {
  const which = alike === 1 ? "1 file has" : `${alike.toLocaleString("en")} files have`;
  const apart = alike - taken;
  const proposed = [
    taken ? `${taken.toLocaleString("en")} as the image that is here: masks and tags join it` : "",
    apart ? `${apart.toLocaleString("en")} as images of their own: blank, or in one import` : "",
  ];
  const option = (value, text) =>
    element(
      "label.sw-look-choice",
      {},
      element("input", { type: "radio", name: "sw-look-copies", value, checked: value === "" }),
      ` ${text}`,
    );
  return element(
    "fieldset.sw-look-masks",
    {},
    element("legend", {}, `${which} the pixels of another image`),
    option("", `As proposed: ${proposed.filter(Boolean).join("; ")}`),
    option("same", "Each is that other image, and its mask and tags go there"),
    option("both", "Each is an image of its own"),
  );
}

function headerChoice(count, box) {
  const which = count === 1 ? "1 image is" : `${count} images are`;
  return element(
    "label.sw-look-choice",
    {},
    box,
    ` ${which} here already with another header. Take the new one where the pixels are the same.`,
  );
}

function lines(title, texts, open) {
  if (!texts.length) return null;
  const details = element("details", { open });
  details.append(
    element("summary", {}, `${title} (${texts.length})`),
    element(
      "ul",
      {},
      texts.slice(0, MOST_LINES).map((text) => element("li", {}, text)),
    ),
  );
  if (texts.length > MOST_LINES)
    details.append(element("p", {}, `and ${texts.length - MOST_LINES} more`));
  return details;
}

const MOST_LINES = 200;

function foot(dialog, take, fault) {
  const cancel = element(
    "button.sw-button",
    { type: "button", onclick: () => dialog.close() },
    "Cancel",
    element("kbd", {}, "Esc"),
  );
  return element("footer.sw-row.end", {}, fault, cancel, take);
}

/** "" where the import began, else why not: another one may be running. */
async function start(batch, said) {
  try {
    await call(`/api/upload/${batch}/finish`, said);
    session.refresh();
    return "";
  } catch (error) {
    return error.message;
  }
}

async function discard(batch) {
  try {
    await call(`/api/upload/${batch}/discard`, {});
    toast("Nothing was imported.", "info");
  } catch (error) {
    toast(error.message, "error");
  }
}
