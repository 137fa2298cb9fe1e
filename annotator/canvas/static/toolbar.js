/** The tools at the left edge: a vertical toolbar with one tab stop and arrow keys inside. */

import { element, icon } from "./dom.js";
import { keyOfTool } from "./keys.js";
import { session } from "./session.js";

const TOOLS = [
  ["click", "Click prompt"],
  ["box", "Box prompt"],
  ["scribble", "Scribble prompt"],
  null,
  ["brush", "Brush"],
  ["erase", "Eraser"],
  ["lasso", "Lasso"],
  ["polygon", "Polygon"],
  ["fill", "Fill holes"],
  null,
  ["pan", "Pan"],
  ["window", "Window / level"],
  ["crosshair", "Crosshair"],
];

/** The toolbar's element; `focusCanvas` gives the keyboard back after a click with the mouse. */
export function toolbar(focusCanvas) {
  const bar = element("div.sw-tools", { role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" });
  bar.append(...TOOLS.map((tool) => (tool ? toolButton(...tool) : element("hr", { "aria-hidden": "true" }))));
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    session.app?.setTool(button.dataset.tool);
    if (event.detail > 0) focusCanvas();
  });
  rove(bar);
  return { node: bar, update: (state) => mark(bar, state.tool) };
}

/** One tab stop for a group of buttons; arrows move inside it. */
export function rove(group) {
  const buttons = [...group.querySelectorAll("button")];
  buttons.forEach((button, at) => (button.tabIndex = at ? -1 : 0));
  group.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    focusOnly(buttons, buttons[(at + step + buttons.length) % buttons.length]);
  });
  group.addEventListener("focusin", (event) => buttons.includes(event.target) && focusOnly(buttons, event.target));
}

function focusOnly(buttons, one) {
  for (const button of buttons) button.tabIndex = button === one ? 0 : -1;
  if (document.activeElement !== one) one.focus();
}

function toolButton(name, label) {
  const key = keyOfTool(name);
  return element(
    "button.sw-tool",
    {
      type: "button",
      "aria-label": label,
      "aria-pressed": "false",
      "aria-keyshortcuts": key,
      dataset: { tool: name, tip: label, key },
    },
    icon(name, 20),
  );
}

function mark(bar, tool) {
  for (const button of bar.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }
}
