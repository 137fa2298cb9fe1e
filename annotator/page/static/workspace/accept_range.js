/** The form of the proposal bar with which a range of slices is accepted. */

import { session } from "../state/session.js";
import { element, iconButton } from "../ui/dom.js";

/** From slice to slice of the active plane, as people count them: from 1, both ends included. */
export function rangeForm(focusCanvas) {
  const from = sliceNumber("From slice");
  const to = sliceNumber("To slice");
  const node = element(
    "form.sw-range",
    { "aria-label": "Range to accept", hidden: true },
    from,
    element("span", { "aria-hidden": "true" }, "–"),
    to,
    element("button.sw-button.small.primary", { type: "submit" }, "Accept"),
    iconButton("close", "Close without accepting", { onclick: () => close() }),
  );
  const close = () => (node.hidden = true);
  const open = () => {
    const { axis, index } = session.app.state;
    const [low, high] = between(session.app.states.of(axis), index, session.image.shape[axis]);
    from.max = to.max = session.image.shape[axis];
    from.value = low + 1;
    to.value = high + 1;
    node.hidden = false;
    from.focus();
    from.select();
  };
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    const [low, high] = [from.valueAsNumber, to.valueAsNumber].sort((a, b) => a - b);
    session.app.acceptRange(low - 1, high);
    close();
    focusCanvas();
  });
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    close();
    focusCanvas();
  });
  return { node, close, toggle: () => (node.hidden ? open() : close()) };
}

/** From the labelled slice before the open one to the one after it, or the ends of the volume. */
function between(states, index, count) {
  const labelled = states.map((one) => one.index).sort((a, b) => a - b);
  return [labelled.findLast((k) => k < index) ?? 0, labelled.find((k) => k > index) ?? count - 1];
}

function sliceNumber(label) {
  return element("input.sw-number", {
    type: "number",
    min: 1,
    step: 1,
    required: true,
    "aria-label": label,
    title: label,
  });
}
