/** Where all is accepted, nothing is left to propose until that is opened again. */

import { session } from "../state/session.js";
import { element } from "../ui/dom.js";

/** Is every voxel of the open volume said, and some of it `accepted`? */
export function allAccepted(accepted) {
  return accepted > 0 && session.image?.kind === "volume" && session.image.known === 1;
}

export function refillButton() {
  const node = element(
    "button.sw-button.small",
    {
      type: "button",
      hidden: true,
      "aria-keyshortcuts": "Shift+R",
      title: "Fill anew what you accepted, from your corrections (Shift+R)",
      onclick: () => session.app?.refill(),
    },
    element("span", {}, "Refill"),
    element("kbd", { "aria-hidden": "true" }, "⇧R"),
  );
  const update = ({ accepted }) => {
    node.hidden = !allAccepted(accepted);
  };
  return { node, update };
}
