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
  const update = ({ mask, prompts }) => {
    element.hidden = !mask && !promptCount(prompts);
    accept.disabled = !mask;
    next.hidden = !(mask?.candidates > 1);
    setText(which, mask ? maskText(mask) : "Waiting for the mask…");
  };
  return { element, update };
}

function promptCount(prompts) {
  if (!prompts) return 0;
  return (prompts.points?.length ?? 0) + (prompts.scribbles?.length ?? 0) + (prompts.box ? 1 : 0);
}

function maskText({ index = 0, candidates = 1 }) {
  return candidates > 1 ? `Mask ${index + 1} of ${candidates}` : "Mask";
}

function action(text, key, onclick) {
  return h("button.sw-button", { type: "button", onclick, "aria-keyshortcuts": key }, text, h("kbd", { "aria-hidden": "true" }, key));
}
