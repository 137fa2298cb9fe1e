/** Floats over the canvas while a mask waits for a yes: accept, next candidate, clear. */

import { session } from "../../state/session.js";
import { element, setText } from "../../ui/dom.js";
import { actions } from "../actions.js";

/** The prompt bar: {node, update(state)}. */
export function promptbar(focusCanvas) {
  const which = element("span.sw-candidate");
  const accept = action("Accept", "Enter", () => actions.accept());
  const next = action("Next", "Tab", () => session.app.nextCandidate());
  const clear = action("Clear", "Esc", () => actions.clearPrompts());
  accept.classList.add("primary");
  const node = element(
    "div.sw-prompt",
    { role: "group", "aria-label": "Mask", hidden: true },
    which,
    next,
    clear,
    accept,
  );
  node.addEventListener("click", (event) => event.detail > 0 && focusCanvas());
  const update = ({ mask, prompts, waiting, accepting, whole }) => {
    node.hidden = !mask && !prompts;
    accept.disabled = !mask;
    next.hidden = !(mask?.candidates > 1);
    setText(
      which,
      mask
        ? maskText(mask, whole)
        : accepting
          ? "Accepting when it arrives…"
          : waiting
            ? "Waiting for the mask…"
            : "No mask there",
    );
  };
  return { node, update };
}

function maskText({ candidate, candidates, mends }, whole) {
  if (whole !== null) return `Object in the volume, ${whole.toLocaleString("en")} voxels`;
  if (mends) return mendText(mends);
  return candidates > 1 ? `Mask ${candidate + 1} of ${candidates}` : "Mask";
}

function mendText({ adds, className, slices }) {
  const what = adds ? `Add to ${className}` : `Take off ${className}`;
  if (slices === null) return `${what}…`;
  return slices > 1 ? `${what} on ${slices} slices` : what;
}

function action(text, key, onclick) {
  return element(
    "button.sw-button",
    { type: "button", onclick, "aria-keyshortcuts": key },
    text,
    element("kbd", { "aria-hidden": "true" }, key),
  );
}
