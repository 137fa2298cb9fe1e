/** The question before a class goes: what becomes of its labels? */

import { session } from "../state/session.js";
import { show } from "../ui/dialogs.js";
import { element } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const UNDO = "Undo it on the Data tab.";

/** Remove a class that has no labels, merge it into another one, or delete it with its labels. */
export function askHowToRemove(one) {
  const others = session.classes.filter(({ id }) => id !== 0 && id !== one.id);
  const dialog = element("dialog.sw-dialog.sw-ask", { "aria-labelledby": "sw-removal-text" });
  const close = () => dialog.close();
  const into = element(
    "select.sw-select",
    { "aria-label": "The class that remains" },
    others.map(({ id, name }) => element("option", { value: id }, name)),
  );
  const button = (text, work, danger = "") =>
    element(
      `button.sw-button${danger}`,
      { type: "button", onclick: () => (close(), work()) },
      text,
    );
  dialog.append(
    element("p", { id: "sw-removal-text" }, `What becomes of the labels of “${one.name}”?`),
    element(
      "div.sw-choices",
      {},
      button("It has none: remove it", () => edit({ op: "remove", id: one.id })),
      others.length > 0 &&
        element(
          "div.sw-row",
          {},
          button("Merge into", () => merge(one, Number(into.value))),
          into,
        ),
      button("Delete it with its labels", () => deleteAll(one), ".danger"),
    ),
    element(
      "div.sw-row.end",
      {},
      button("Cancel", () => {}),
    ),
  );
  show(dialog);
}

async function merge(one, into) {
  const other = session.classes.find(({ id }) => id === into);
  if (await edit({ op: "merge", id: one.id, into }))
    toast(`Merged “${one.name}” into “${other.name}”. ${UNDO}`, "info");
}

async function deleteAll(one) {
  if (await edit({ op: "delete", id: one.id }))
    toast(`Deleted “${one.name}” with its labels. ${UNDO}`, "info");
}

const edit = (change) => session.editClasses(change);
