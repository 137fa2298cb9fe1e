/** A project that is only looked at: the banner above the canvas says why, and what brings it back. */

import { session } from "../state/session.js";
import { element, setText } from "../ui/dom.js";

/** The banner; empty and hidden where the project can be changed. */
export function lookingBanner() {
  const text = element("span");
  const node = element(
    "section.sw-looking",
    { role: "status", "aria-label": "Only to look", hidden: true },
    element("b", {}, "Only to look"),
    text,
  );
  const show = () => {
    const why = session.project?.looking ?? "";
    node.hidden = !why;
    setText(text, why);
    session.app?.setLooking(why);
    if (why) document.documentElement.dataset.looking = "";
    else delete document.documentElement.dataset.looking;
  };
  session.addEventListener("project", show);
  session.addEventListener("app", show);
  return node;
}
