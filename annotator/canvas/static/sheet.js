/** The shortcut sheet and a small question dialog, both native <dialog>. */

import { element, iconButton } from "./dom.js";
import { GROUPS } from "./keys.js";

/** Open the shortcut sheet, or close it where it is open. */
export function toggleSheet() {
  const open = document.querySelector("dialog.sw-sheet");
  if (open) return open.close();
  const dialog = element("dialog.sw-dialog.sw-sheet", { "aria-labelledby": "sw-sheet-title" });
  dialog.append(
    element("header", {}, element("h2", { id: "sw-sheet-title" }, "Keys and mouse"), closeButton(dialog)),
    element("div.sw-sheet-groups", { tabindex: 0, role: "region", "aria-label": "All keys" }, GROUPS.map(groupElement)),
  );
  dialog.addEventListener("keydown", (event) => event.key === "?" && dialog.close());
  show(dialog);
}

/** Ask a yes-or-no question; resolves to true where the person says yes. */
export function confirmed(question, yes) {
  return new Promise((resolve) => {
    const dialog = element("dialog.sw-dialog.sw-ask", { "aria-labelledby": "sw-ask-text" });
    const answer = (value) => () => {
      dialog.returnValue = value;
      dialog.close(value);
    };
    dialog.append(
      element("p", { id: "sw-ask-text" }, question),
      element(
        "div.sw-row.end",
        {},
        element("button.sw-button", { type: "button", onclick: answer("no") }, "Cancel"),
        element("button.sw-button.danger", { type: "button", onclick: answer("yes") }, yes),
      ),
    );
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
    show(dialog);
  });
}

function groupElement({ title, keys }) {
  const rows = keys.map((entry) => [
    element("dt", {}, entry.keys.split("  ").map((key) => element("kbd", {}, key))),
    element("dd", {}, entry.text),
  ]);
  return element("section", {}, element("h3", {}, title), element("dl", {}, rows.flat()));
}

function closeButton(dialog) {
  return iconButton("close", "Close", { keys: "Esc", onclick: () => dialog.close() });
}

function show(dialog) {
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
