/** Undo and repair: large steps undone as a whole, and the images in the bin. */

import { call } from "../net/api.js";
import { newId } from "../net/outbox.js";
import { session } from "../state/session.js";
import { confirmed } from "../ui/dialogs.js";
import { element } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const SHOWN = 12; // of the newest; the command line lists them all

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  await session.start();
  const refresh = async () => {
    const facts = await call("/api/acts").catch((error) => toast(error.message, "warn"));
    if (facts) root.replaceChildren(...draw(facts));
  };
  session.addEventListener("project", refresh);
  await refresh();
}

/** Ask the server for a repair and say what came of it; whether it was done. */
export async function repair(path, body = {}) {
  try {
    const { message } = await call(path, { ...body, key: newId() });
    toast(`${message}.`, "info");
    return true;
  } catch (error) {
    toast(error.message, "error");
    return false;
  }
}

function draw({ acts, bin }) {
  const none = element(
    "p.sw-hint",
    {},
    "Imports, merged classes and deleted images can be undone here as a whole.",
  );
  const list = element(
    "ul.sw-acts",
    { "aria-label": "Steps to undo" },
    acts.slice(0, SHOWN).map(actRow),
  );
  return [acts.length ? list : none, ...(bin.length ? binPart(bin) : [])];
}

function actRow({ id, title, by, at, undone }) {
  const turn = undone ? "redo" : "undo";
  const name = undone ? "Redo" : "Undo";
  return element(
    "li.sw-act",
    { dataset: { undone } },
    element("span", { title: `${by}, ${at} UTC` }, title),
    element(
      "button.sw-button.small",
      {
        type: "button",
        "aria-label": `${name}: ${title}`,
        onclick: () => repair(`/api/acts/${id}/${turn}`),
      },
      name,
    ),
  );
}

function binPart(bin) {
  const list = element(
    "ul.sw-acts",
    { "aria-label": "Deleted images" },
    bin.slice(0, SHOWN).map(({ id, name, author, deleted_at }) =>
      element(
        "li.sw-act",
        {},
        element("span", { title: `Deleted by ${author}, ${deleted_at} UTC` }, name),
        element(
          "button.sw-button.small",
          {
            type: "button",
            "aria-label": `Bring back ${name}`,
            onclick: () => repair("/api/images/restore", { images: [id] }),
          },
          "Bring back",
        ),
      ),
    ),
  );
  const count = bin.length === 1 ? "1 image" : `${bin.length.toLocaleString("en")} images`;
  const empty = async () => {
    if (!(await confirmed(`Delete ${count} for good? Nothing brings them back.`, "Delete"))) return;
    try {
      const { message } = await call("/api/bin/empty", {});
      toast(`${message}.`, "info");
    } catch (error) {
      toast(error.message, "error");
    }
  };
  return [
    element("h3.sw-bin-head", {}, `In the bin: ${count}`),
    list,
    element("button.sw-button.small", { type: "button", onclick: empty }, "Empty the bin"),
  ];
}
