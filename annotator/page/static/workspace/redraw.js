/** New outlines for what is proposed in a volume: the prompt model draws them in three directions. */

import { call } from "../net/api.js";
import { session } from "../state/session.js";
import { element, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const REDRAWN = "redrawn"; // its producer

/** Ask for them; they are shown once they are there. */
export async function redraw() {
  const { image, app } = session;
  const shown = app?.state.proposal.shown;
  if (image?.kind !== "volume" || !shown)
    return toast("There is no volume with proposals open to redraw.", "info");
  try {
    await call(`/api/images/${image.id}/redraw`, { producer: shown.producer });
    app.proposals.show(REDRAWN);
  } catch (error) {
    toast(error.message, "info");
  }
}

export function redrawButton() {
  const text = element("span", {}, "Redraw");
  const node = element(
    "button.sw-button.small",
    {
      type: "button",
      hidden: true,
      "aria-keyshortcuts": "Shift+O",
      title:
        "The prompt model draws the outlines of this volume anew (Shift+O). What was proposed before stays in the list.",
      onclick: redraw,
    },
    text,
    element("kbd", { "aria-hidden": "true" }, "⇧O"),
  );
  const update = ({ proposal: { shown, redrawing } }) => {
    node.hidden = session.image?.kind !== "volume" || !shown;
    node.disabled = redrawing !== null;
    setText(text, redrawing === null ? "Redraw" : `${Math.round(100 * redrawing)} %`);
  };
  return { node, update };
}
