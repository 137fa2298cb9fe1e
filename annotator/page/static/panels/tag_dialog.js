/** The dialog around the grid of tags: what it lists at the top, what can be said at the foot. */

import { session } from "../state/session.js";
import { element, iconButton } from "../ui/dom.js";

const STEPS = [1, 2, 4, 8, 16];

/**
 * {node, grid, progress, legend, every, untagged, where}; `acts` = {none, rest, undo, turn(by)} are
 * what its buttons do.
 */
export function tagDialog(acts) {
  const grid = element("div.sw-tag-grid", {
    role: "listbox",
    tabindex: 0,
    "aria-label": "Images and slices to tag",
    "aria-multiselectable": "true",
  });
  const progress = element("p.sw-count", { role: "status" });
  const legend = element("div.sw-row", { role: "group", "aria-label": "Classes" });
  const every = stepSelect();
  const untagged = element("input", { type: "checkbox" });
  const where = element("span.sw-tag-where");
  const node = element("dialog.sw-dialog.sw-tags", { "aria-labelledby": "sw-tags-title" });
  const parts = { node, grid, progress, legend, every, untagged, where };
  node.append(head(parts), grid, foot(parts, acts));
  return parts;
}

/** Of volumes not every slice at first: neighbours look alike. */
function stepSelect() {
  const options = STEPS.map((n) =>
    element(
      "option",
      { value: n },
      n === 1 ? "every slice" : `every ${n === 2 ? "2nd" : `${n}th`}`,
    ),
  );
  const select = element("select.sw-select", { "aria-label": "Slices of a volume" }, options);
  select.value = session.image?.kind === "volume" ? "4" : "1";
  return select;
}

function head({ node, progress, every, untagged }) {
  return element(
    "header",
    {},
    element("h2", { id: "sw-tags-title" }, "Which classes are here?"),
    progress,
    element("label.sw-tag-choice", {}, "Volumes: ", every),
    element("label.sw-tag-choice", {}, untagged, " untagged only"),
    iconButton("close", "Close", { keys: "Esc", onclick: () => node.close() }),
  );
}

function foot({ grid, legend, where }, { none, rest, undo, turn }) {
  const button = (text, keys, work) =>
    element(
      "button.sw-button.small",
      { type: "button", onclick: () => (work(), grid.focus()) },
      text,
      element("kbd", {}, keys),
    );
  return element(
    "footer",
    {},
    legend,
    element(
      "div.sw-row",
      {},
      button("None here", "0", none),
      button("These and no others", "Enter", rest),
      button("Undo", "U", undo),
      button("Previous", "PgUp", () => turn(-1)),
      where,
      button("Next", "PgDn", () => turn(1)),
    ),
  );
}
