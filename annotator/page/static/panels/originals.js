/** Formats that are laid onto DICOM files: their folder is asked for, sent for one export, and deleted. */

import { pickFiles, uploadBatch } from "../state/uploads.js";
import { show } from "../ui/dialogs.js";
import { element, setText } from "../ui/dom.js";

/** `titles` of the formats; `start` gets the upload with the files, or "" for none, and starts the export. */
export function askForOriginals(titles, start) {
  const status = element("p", { role: "status" });
  const sending = async (work) => {
    for (const button of row.children) button.disabled = true;
    try {
      await work();
      dialog.close();
    } catch (error) {
      setText(status, error.message);
    } finally {
      for (const button of row.children) button.disabled = false;
    }
  };
  const choose = async () => {
    const files = await pickFiles({ webkitdirectory: true });
    if (!files.length) return;
    setText(status, `Sending ${files.length} files…`);
    await sending(() => uploadBatch(files, start));
  };
  const row = element(
    "div.sw-row.end",
    {},
    element("button.sw-button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
    element(
      "button.sw-button",
      { type: "button", onclick: () => sending(() => start("")) },
      "Leave them out",
    ),
    element(
      "button.sw-button.primary",
      { type: "button", onclick: choose, autofocus: true },
      "Choose the folder",
    ),
  );
  const dialog = element("dialog.sw-dialog.sw-ask", { "aria-labelledby": "sw-originals-title" });
  dialog.append(
    element("h2", { id: "sw-originals-title" }, "Which DICOM files?"),
    element(
      "p",
      {},
      `${titles.join(" and ")}: laid onto the DICOM files of your images, with their patient. `,
      "The project keeps none of them, so choose their folder. ",
      "It is read for this export alone, then deleted on the server.",
    ),
    status,
    row,
  );
  show(dialog);
}
