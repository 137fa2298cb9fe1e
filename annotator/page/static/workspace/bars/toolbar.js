/** The tools at the left edge: a vertical toolbar with one tab stop and arrow keys inside. */

import { TOOLS } from "../../engine/tools/index.js";
import { session } from "../../state/session.js";
import { drawing, element } from "../../ui/dom.js";
import { rove } from "../../ui/roving.js";
import { keyName } from "../shortcuts.js";

/** The toolbar's element; `focusCanvas` gives the keyboard back after a click with the mouse. */
export function toolbar(focusCanvas) {
  const bar = element("div.sw-tools", {
    role: "toolbar",
    "aria-label": "Tools",
    "aria-orientation": "vertical",
  });
  let last = null;
  for (const [name, tool] of Object.entries(TOOLS)) {
    if (last && last.group !== tool.group) bar.append(element("hr", { "aria-hidden": "true" }));
    bar.append(toolButton(name, tool));
    last = tool;
  }
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    session.app?.setTool(button.dataset.tool);
    if (event.detail > 0) focusCanvas();
  });
  rove(bar);
  return { node: bar, update: (state) => press(bar, state.tool) };
}

function toolButton(name, { title, key, icon, group }) {
  return element(
    "button.sw-tool",
    {
      type: "button",
      "aria-label": title,
      "aria-pressed": "false",
      "aria-keyshortcuts": keyName(key),
      dataset: { tool: name, group, tip: title, key: keyName(key) },
    },
    drawing(icon, 20),
  );
}

function press(bar, tool) {
  for (const button of bar.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }
}
