/** Where all is accepted, nothing is left to propose until that is opened again. */

import { session } from "../state/session.js";
import { element } from "../ui/dom.js";

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
  const update = ({ proposal, accepted }) => {
    node.hidden = Boolean(proposal.shown) || !accepted || session.image?.kind !== "volume";
  };
  return { node, update };
}
