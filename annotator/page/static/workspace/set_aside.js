/** Changes that the server would not take: kept in this browser, to see, copy, send again or drop. */

import { decodeRuns, wordsOf } from "../engine/codec.js";
import { session } from "../state/session.js";
import { closeButton, show } from "../ui/dialogs.js";
import { element, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const AXES = ["z", "y", "x"];

/** A button in the status bar, there only while something is set aside. */
export function setAsideChip() {
  const node = element("button.sw-aside", {
    type: "button",
    hidden: true,
    title: "Changes that were not saved: see, copy, send again or drop them",
    onclick: openList,
  });
  const update = () => {
    const count = session.link.setAside.length;
    node.hidden = count === 0;
    setText(node, `${count} set aside`);
  };
  session.start().then(
    () => {
      session.link.addEventListener("state", update);
      update();
    },
    () => {},
  );
  return node;
}

function openList() {
  const dialog = element("dialog.sw-dialog.sw-aside-list", { "aria-labelledby": "sw-aside-title" });
  const list = element("ul.sw-acts", { "aria-label": "Changes set aside" });
  const draw = () => {
    const { setAside } = session.link;
    list.replaceChildren(...setAside.map(row));
    if (!setAside.length) dialog.close();
  };
  const end = new AbortController();
  session.link.addEventListener("state", draw, { signal: end.signal });
  dialog.addEventListener("close", () => end.abort());
  dialog.append(
    element(
      "header",
      {},
      element("h2", { id: "sw-aside-title" }, "Changes that were not saved"),
      closeButton(dialog),
    ),
    list,
  );
  show(dialog);
  draw();
}

function row(entry) {
  const { id, image, axis, index } = entry.message;
  const place = { image, axis, index };
  const button = (text, work) =>
    element("button.sw-button.small", { type: "button", onclick: work }, text);
  return element(
    "li.sw-act",
    {},
    element("span", {}, element("b", {}, describe(entry)), element("br"), entry.aside),
    element(
      "div.sw-row",
      {},
      button("Show", () => session.open(image, place)),
      button("Send again", () => session.link.sendAgain(id)),
      button("Copy", () => copy(entry)),
      button("Drop", () => session.link.dropAside(id)),
    ),
  );
}

function describe({ message }) {
  const what = message.t === "label" ? "A label" : "That the slice is complete";
  const where = session.image?.id === message.image ? session.image.name : `image ${message.image}`;
  return `${what} on ${where}, slice ${message.index + 1} along ${AXES[message.axis]}`;
}

/** As JSON: what was said, and for a label the class of each pixel of its box, row by row. */
async function copy({ message, payload }) {
  const said = { ...message };
  if (payload && message.box) {
    const [r0, c0, r1, c1] = message.box;
    said.classes = [...decodeRuns(wordsOf(payload), new Uint8Array((r1 - r0) * (c1 - c0)))];
  }
  try {
    await navigator.clipboard.writeText(JSON.stringify(said));
    toast("Copied.", "info");
  } catch {
    toast("This browser does not let the page copy; use https or this computer's name.", "warn");
  }
}
