/**
 * The Images panel: every image with its state, searched, filtered and sorted; wide, it is a table
 * beside the canvas.
 */

import { call } from "../net/api.js";
import { listed } from "../state/image_list.js";
import { placeOf, rememberPlace } from "../state/image_navigation.js";
import { imageUpdates } from "../state/image_updates.js";
import { learning } from "../state/learning.js";
import { session } from "../state/session.js";
import { element, icon, setAttributes, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { VirtualList } from "../ui/virtual_list.js";
import { editImage } from "./image_dialog.js";
import { drawRow, emptyRow } from "./image_rows.js";
import { projectProgress } from "./project_progress.js";
import { sceneList } from "./scenes/list.js";

const ROW_PX = 48;
const WIDE_ROW_PX = 30;
const ABOUT_SORTS = { expected: "expected Dice" };
const TYPING_MS = 150;
const FILTERS = {
  "": "All images",
  left: "Not done yet",
  todo: "To do",
  proposed: "Proposed",
  work: "In work",
  done: "Done",
  held_out: "Held out",
  flagged: "Flagged",
  first: "Put first",
  skipped: "Left out of the queue",
};
const SORTS = {
  added: "As added",
  name: "Name",
  state: "State",
  model: "Model",
  expected: "Expected Dice",
};

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  await session.start();
  const wish = Object.assign(listed, { search: "", state: "", sort: "added", down: false });
  const list = new VirtualList({
    load: (offset, limit) => call(`/api/images?${new URLSearchParams({ offset, limit, ...wish })}`),
    row: emptyRow,
    draw: (row, item) => drawRow(row, item, imageUpdates.of(item.id)),
    rowHeight: ROW_PX,
    label: "Images",
  });
  const count = element("p.sw-count", { role: "status" });
  const all = element(
    "button.sw-button.small",
    { type: "button", hidden: true, onclick: () => showAll() },
    "Show all",
  );
  const again = (change = {}) => refresh({ list, count, all }, Object.assign(wish, change));
  const search = searchField(list, again);
  const filter = filterSelect(again);
  const showAll = () => {
    search.value = filter.value = "";
    search.focus();
    return again({ search: "", state: "" });
  };
  const columns = columnHeads(wish, again);
  const table = tableButton(list);
  root.replaceChildren(
    element(
      "div.sw-row.sw-images-top",
      {},
      element("div.sw-search-row", {}, icon("search", 16), search),
      table.node,
    ),
    projectProgress(),
    sceneList(),
    element("div.sw-row", {}, filter, columns.select),
    element("div.sw-row.sw-images-count", {}, count, all, traitButtons()),
    columns.node,
    list.node,
  );
  wireList(list, wish, again);
  imageUpdates.addEventListener("change", () => list.redraw());
  imageUpdates.readReasons();
  await again();
}

function searchField(list, again) {
  const search = element("input.sw-search", {
    type: "search",
    placeholder: "Search by name or model",
    "aria-label": "Search images",
  });
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => again({ search: search.value.trim() }), TYPING_MS);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") list.node.focus();
    else if (event.key === "Escape") search.blur();
  });
  return search;
}

function filterSelect(again) {
  const select = element(
    "select.sw-select",
    { "aria-label": "Filter the images", onchange: () => again({ state: select.value }) },
    Object.entries(FILTERS).map(([value, text]) => element("option", { value }, text)),
  );
  return select;
}

/** The order: a menu while the list is narrow, heads of columns while it is wide. */
function columnHeads(wish, again) {
  const buttons = ["name", "state", "model", "expected"].map((name) =>
    element(
      "button.sw-column",
      { type: "button", dataset: { name }, onclick: () => press(name) },
      SORTS[name],
    ),
  );
  const select = element(
    "select.sw-select.sw-order",
    {
      "aria-label": "Sort the images",
      onchange: () => order(select.value, select.value === "expected"),
    },
    Object.entries(SORTS).map(([value, text]) => element("option", { value }, text)),
  );
  const node = element("div.sw-columns", { role: "group", "aria-label": "Sort by" }, buttons);
  const order = (sort, down) => {
    again({ sort, down });
    select.value = sort;
    for (const button of buttons) {
      const here = button.dataset.name === sort;
      setAttributes(button, {
        "aria-pressed": here,
        "data-down": here && down,
        title: here
          ? "Reverse the order"
          : `Sort by ${ABOUT_SORTS[button.dataset.name] ?? button.dataset.name}`,
      });
    }
  };
  const press = (name) => order(name, name === wish.sort ? !wish.down : name === "expected");
  return { node, select };
}

/** T, or this button: the list as a table. */
function tableButton(list) {
  const node = element(
    "button.sw-button.small",
    {
      type: "button",
      "aria-pressed": "false",
      "aria-keyshortcuts": "T",
      title: "Show all images as a table (T)",
      onclick: () => session.setView("table", !session.view.table),
    },
    "Table",
  );
  const show = () => {
    const wide = session.view.table;
    // within what Gradio scopes styles to
    document.querySelector("#side").toggleAttribute("data-table", wide);
    setAttributes(node, { "aria-pressed": wide });
    list.rowHeight = wide ? WIDE_ROW_PX : ROW_PX;
    list.show(list.cursor);
  };
  session.addEventListener("view", ({ detail }) => detail === "table" && show());
  return { node };
}

/** What a person says about the open image as a whole. */
function traitButtons() {
  const make = (mark, trait, text, about) => {
    const on = () => Boolean(session.image && imageUpdates.hasTrait(session.image.id, trait));
    const button = element(
      "button.sw-button.small",
      {
        type: "button",
        title: about,
        "aria-pressed": "false",
        onclick: () => imageUpdates.setOpenTrait(mark, !on()),
      },
      text,
    );
    return { button, show: () => setAttributes(button, { "aria-pressed": on() }) };
  };
  const buttons = [
    make("flag", "flagged", "Flag", "Flag or unflag the open image (M)"),
    make("first", "first", "Put first", "Move the open image to the front of the queue, or back"),
    make("skip", "skipped", "Leave out", "Take the open image out of the queue, or put it back"),
  ];
  const node = element(
    "div.sw-row.sw-traits",
    { role: "group", "aria-label": "The open image" },
    buttons.map(({ button }) => button),
    element(
      "button.sw-button.small",
      {
        type: "button",
        title: "Rename, mend the header of, or delete the open image (F2)",
        onclick: editImage,
      },
      "Edit",
    ),
  );
  const show = () => {
    node.hidden = !session.image;
    buttons.forEach((one) => one.show());
  };
  session.addEventListener("image", show);
  imageUpdates.addEventListener("change", show);
  show();
  return node;
}

async function refresh({ list, count, all }, { search, state }) {
  await list.reload();
  const { total } = list;
  all.hidden = total > 0 || !(search || state);
  setText(count, total ? counted(total) : search || state ? "No image matches" : "No images yet");
}

function counted(total) {
  return total === 1 ? "1 image" : `${total.toLocaleString("en")} images`;
}

function wireList(list, wish, again) {
  const whole = () => !wish.search && !wish.state && wish.sort === "added" && !wish.down;
  list.addEventListener("choose", ({ detail }) => {
    if (whole()) rememberPlace(list.cursor);
    session.open(detail.id);
  });
  list.addEventListener("fault", ({ detail }) => toast(detail.message, "error"));
  list.addEventListener("read", ({ detail }) => imageUpdates.readTraits(detail));
  session.addEventListener("image", () => revealOpen(list, whole()));
  session.addEventListener("project", () => again());
  session.link.addEventListener("slices", ({ detail: { message } }) => {
    list.patch((item) => item.id === message.image, {
      ...counts(message.slices),
      known: message.known,
      rev: message.rev,
    });
  });
  redrawWithTitles(list);
  revealOpen(list, whole());
}

/**
 * The rows name who proposed; titles may come after the rows that need them, and again with each
 * image.
 */
function redrawWithTitles(list) {
  let known = 0;
  learning.addEventListener("overview", () => list.redraw());
  session.addEventListener("change", ({ detail: { proposal } }) => {
    if (proposal.propagators.length === known) return;
    known = proposal.propagators.length;
    list.redraw();
  });
}

function counts(slices) {
  const complete = slices.filter(([, , state]) => state === "complete").length;
  return { slices_labelled: slices.length, slices_complete: complete };
}

/** Put the cursor on the open image; among search results only where it is on screen anyway. */
async function revealOpen(list, whole) {
  if (!session.image) return list.redraw();
  const { id } = session.image;
  const read = list.find((item) => item.id === id);
  const at = read < 0 && whole ? await placeOf(id).catch(() => -1) : read;
  if (at >= 0) list.show(at);
  list.redraw();
}
