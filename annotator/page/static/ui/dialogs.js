/** Native <dialog>s: shown and put away, and a yes-or-no question. */

import { element, iconButton } from "./dom.js";

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

export function closeButton(dialog) {
  return iconButton("close", "Close", { keys: "Esc", onclick: () => dialog.close() });
}

export function show(dialog) {
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
