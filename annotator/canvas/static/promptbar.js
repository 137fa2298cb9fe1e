/** Floats over the canvas while a mask waits for a yes: accept, next candidate, clear. */

import { h, setText } from "./dom.js";
import { session } from "./session.js";

/** The prompt bar: {element, update(state)}. */
export function promptbar(focusCanvas) {
  const which = h("span.sw-candidate");
  const accept = action("Accept", "Enter", () => session.app.accept());
  const next = action("Next", "Tab", () => session.app.nextCandidate());
  const clear = action("Clear", "Esc", () => session.app.clearPrompts());
  accept.classList.add("primary");
  const element = h("div.sw-prompt", { role: "group", "aria-label": "Mask", hidden: true }, which, next, clear, accept);
  element.addEventListener("click", (event) => event.detail > 0 && focusCanvas());
  const update = ({ mask, prompts, waiting, accepting }) => {
    element.hidden = !mask && !prompts;
    accept.disabled = !mask;
    next.hidden = !(mask?.candidates > 1);
    setText(which, mask ? maskText(mask) : accepting ? "Accepted when it comes…" : waiting ? "Waiting for the mask…" : "No mask there");
  };
  return { element, update };
}

function maskText({ candidate, candidates }) {
  return candidates > 1 ? `Mask ${candidate + 1} of ${candidates}` : "Mask";
}

function action(text, key, onclick) {
  return h("button.sw-button", { type: "button", onclick, "aria-keyshortcuts": key }, text, h("kbd", { "aria-hidden": "true" }, key));
}
