/** The map of a scene: its overview, the grid of regions and how each stands; a click opens one. */

import { call } from "../../net/api.js";
import { address } from "../../net/root.js";
import { session } from "../../state/session.js";
import { closeButton, show } from "../../ui/dialogs.js";
import { element, setText } from "../../ui/dom.js";
import { toast } from "../../ui/toasts.js";
import { RegionGrid } from "./grid.js";
import { STEPS, openRegion, placeText } from "./opening.js";

const STATES = { todo: "no labels yet", proposed: "proposed", work: "in work", done: "done" };
let shown = null; // the dialog on screen

/** Show the map of a scene: of the open region, else of `id`, else of the first. */
export async function openMap(id = session.image?.scene?.id ?? session.project.scenes[0]?.id) {
  if (shown) return;
  if (id === undefined)
    return toast("This project has no scene; docs/guide/scenes.md says how to add one.", "info");
  shown = element("dialog.sw-dialog.sw-scene", { "aria-labelledby": "sw-scene-title" });
  try {
    fill(shown, await call(`/api/scenes/${id}`));
  } catch (error) {
    shown = null;
    toast(error.message, "error");
  }
}

function fill(dialog, scene) {
  const canvas = element("canvas", { tabindex: 0, role: "application", "aria-label": "Regions" });
  const parts = {
    dialog,
    grid: new RegionGrid(canvas, scene),
    picture: element("img", { alt: `Overview of ${scene.name}`, draggable: "false" }),
    status: element("span.sw-scene-status", { role: "status" }),
    slab: slabChoice(scene),
  };
  parts.slab.addEventListener("input", () => turn(parts, Number(parts.slab.value) - 1));
  dialog.append(
    head(parts, scene),
    element(
      "div.sw-scene-place",
      {},
      element("div.sw-scene-map", { style: shapeOf(scene) }, parts.picture, canvas),
    ),
    foot(parts),
  );
  listen(parts, canvas);
  const resized = new ResizeObserver(() => parts.grid.draw());
  resized.observe(canvas);
  dialog.addEventListener("close", () => {
    resized.disconnect();
    shown = null;
  });
  show(dialog);
  begin(parts, scene);
  canvas.focus();
}

/** With the cursor on the open region, or else in the middle. */
function begin(parts, scene) {
  const { grid } = parts;
  const open = session.image?.scene;
  if (open?.id === scene.id) grid.here = open.at;
  grid.cursor = [...(grid.here ?? scene.counts.map((count) => Math.floor(count / 2)))];
  turn(parts, grid.cursor[0]);
}

function head({ dialog, slab }, scene) {
  const { scenes } = session.project;
  const choice = element(
    "select.sw-select",
    { "aria-label": "Scene", hidden: scenes.length < 2 },
    scenes.map(({ id, name }) => element("option", { value: id, selected: id === scene.id }, name)),
  );
  choice.addEventListener("change", () => {
    dialog.addEventListener("close", () => void openMap(Number(choice.value)));
    dialog.close();
  });
  const lost = scene.lost
    ? element("span.sw-scene-lost", {}, `${scene.lost} pieces of its file cannot be read (striped)`)
    : null;
  return element(
    "header",
    {},
    element("h2", { id: "sw-scene-title" }, scene.name),
    element("span.sw-count", {}, countsText(scene)),
    lost,
    choice,
    element("label.sw-scene-slab", { hidden: scene.counts[0] === 1 }, "Slab ", slab),
    closeButton(dialog),
  );
}

function slabChoice({ counts }) {
  return element("input", { type: "range", min: 1, max: counts[0], "aria-label": "Slab" });
}

/** As large as fits, without bending it. */
function shapeOf({ size: [, rows, columns] }) {
  return `aspect-ratio: ${columns} / ${rows}; width: min(100%, calc((100vh - 190px) * ${columns / rows}))`;
}

function countsText({ counts, regions }) {
  const all = counts[0] * counts[1] * counts[2];
  const some = ["work", "done", "proposed"]
    .map((state) => [regions.filter((one) => one.state === state).length, STATES[state]])
    .filter(([count]) => count)
    .map(([count, word]) => `${count} ${word}`);
  const word = all === 1 ? "1 region" : `${all.toLocaleString("en")} regions`;
  return [word, ...some].join(", ");
}

function foot(parts) {
  return element(
    "footer",
    {},
    parts.status,
    element("span.sw-scene-legend", {}, legend()),
    element(
      "button.sw-button.primary",
      { type: "button", onclick: () => choose(parts) },
      "Open this region",
      element("kbd", {}, "Enter"),
    ),
  );
}

function legend() {
  return Object.entries(STATES).map(([state, word]) =>
    element("span", { dataset: { state } }, word),
  );
}

function listen(parts, canvas) {
  const { grid } = parts;
  canvas.addEventListener("pointermove", (event) => {
    if (!event.movementX && !event.movementY) return; // the map came under a resting pointer
    const at = grid.at(event.clientX, event.clientY);
    if (String(at) === String(grid.cursor)) return;
    grid.cursor = at;
    grid.draw();
    tell(parts);
  });
  canvas.addEventListener("click", (event) => {
    grid.cursor = grid.at(event.clientX, event.clientY);
    void choose(parts);
  });
  canvas.addEventListener("keydown", (event) => {
    if (STEPS[event.key]) {
      grid.move(STEPS[event.key]);
      turn(parts, grid.cursor[0]);
    } else if (event.key === "Enter") void choose(parts);
    else return;
    event.preventDefault();
  });
}

/** Show another slab. */
function turn(parts, slab) {
  const { grid, picture } = parts;
  grid.cursor = [slab, ...grid.cursor.slice(1)];
  parts.slab.value = slab + 1;
  const path = `/api/scenes/${grid.scene.id}/overview/${slab}?project=${session.project.id}`;
  if (picture.getAttribute("src") !== address(path)) picture.src = address(path);
  grid.draw();
  tell(parts);
}

function tell({ grid, status }) {
  const { region, cursor, scene } = grid;
  const state = region ? STATES[region.state] : "untouched";
  const known = region?.known ? `, ${Math.round(100 * region.known)} % labelled` : "";
  const text = placeText(cursor, scene.counts);
  setText(status, `${text[0].toUpperCase()}${text.slice(1)}: ${state}${known}`);
}

async function choose({ dialog, grid, status }) {
  setText(status, "Reading the region…");
  if (await openRegion(grid.scene.id, grid.cursor)) dialog.close();
  else tell({ grid, status });
}
