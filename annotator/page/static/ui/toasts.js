/**
 * Messages at the foot of the side panel, where they cover neither the picture nor its buttons:
 * they leave by themselves, errors stay until closed.
 */

import { element, iconButton } from "./dom.js";

const SECONDS = { info: 4, warn: 8, error: 0 };
const LEVELS = Object.keys(SECONDS);
const MAX_TOASTS = 4;

/** Show one sentence. A repeat of what is already on screen only restarts its clock. */
export function toast(text, level = "info") {
  if (!LEVELS.includes(level)) level = "info";
  const stack = stackElement();
  takeAway(text);
  const close = () => card.remove();
  const card = element(
    `div.sw-toast.${level}`,
    { role: level === "info" ? "status" : "alert", dataset: { text } },
    element("span", {}, text),
    iconButton("close", "Close this message", { onclick: close }),
  );
  stack.append(card);
  if (stack.matches(":popover-open")) stack.hidePopover();
  stack.showPopover(); // over a dialog that was opened meanwhile
  if (SECONDS[level]) setTimeout(close, SECONDS[level] * 1000);
  while (stack.children.length > MAX_TOASTS) stack.firstChild.remove();
}

/** Of what is true no more. */
export function takeAway(text) {
  [...stackElement().children].find((one) => one.dataset.text === text)?.remove();
}

function stackElement() {
  const present = document.querySelector(".sw-toasts");
  if (present) return present;
  const stack = element("section.sw-toasts", { "aria-label": "Messages", popover: "manual" });
  document.body.append(stack);
  return stack;
}
