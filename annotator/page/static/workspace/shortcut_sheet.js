/** The shortcut sheet: every key and mouse gesture of the page. */

import { closeButton, show } from "../ui/dialogs.js";
import { element } from "../ui/dom.js";
import { GROUPS } from "./shortcuts.js";

/** Open the shortcut sheet, or close it where it is open. */
export function toggleSheet() {
  const open = document.querySelector("dialog.sw-sheet");
  if (open) return open.close();
  const dialog = element("dialog.sw-dialog.sw-sheet", { "aria-labelledby": "sw-sheet-title" });
  dialog.append(
    element(
      "header",
      {},
      element("h2", { id: "sw-sheet-title" }, "Keys and mouse"),
      closeButton(dialog),
    ),
    element(
      "div.sw-sheet-groups",
      { tabindex: 0, role: "region", "aria-label": "All keys" },
      GROUPS.map(groupElement),
    ),
  );
  dialog.addEventListener("keydown", (event) => event.key === "?" && dialog.close());
  show(dialog);
}

function groupElement({ title, keys }) {
  const rows = keys.map((entry) => [
    element(
      "dt",
      {},
      entry.keys.split("  ").map((key) => element("kbd", {}, key)),
    ),
    element("dd", {}, entry.text),
  ]);
  return element("section", {}, element("h3", {}, title), element("dl", {}, rows.flat()));
}
