/** The tools at the left edge: a vertical toolbar with one tab stop and arrow keys inside. */

import { session } from "../state/session.js";
import { element, icon } from "../ui/dom.js";
import { rove } from "../ui/roving.js";
import { keyOfTool } from "./shortcuts.js";

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
  const bar = element("div.sw-tools", {
    role: "toolbar",
    "aria-label": "Tools",
    "aria-orientation": "vertical",
  });
  bar.append(
    ...TOOLS.map((tool) => (tool ? toolButton(...tool) : element("hr", { "aria-hidden": "true" }))),
  );
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    session.app?.setTool(button.dataset.tool);
    if (event.detail > 0) focusCanvas();
  });
  rove(bar);
  return { node: bar, update: (state) => mark(bar, state.tool) };
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
