/**
 * The Images panel: every image with its state, searched, filtered and sorted; wide, it is a table
 * beside the canvas.
 */

import { call } from "../net/api.js";
import { placeOf, rememberPlace } from "../state/image_navigation.js";
import { describe } from "../state/image_text.js";
import { imageUpdates } from "../state/image_updates.js";
import { learning } from "../state/learning.js";
import { producerTitle } from "../state/producers.js";
import { session } from "../state/session.js";
import { element, icon, setAttributes, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { VirtualList } from "../ui/virtual_list.js";

const ROW_PX = 48;
const WIDE_ROW_PX = 30;
const TYPING_MS = 150;
const FILTERS = {
  "": "All images",
  untouched: "Nothing yet",
  proposed: "Pseudo-labelled",
  labelled: "Labelled",
  accepted: "Accepted",
  complete: "Complete",
  held_out: "Held out",
  flagged: "Flagged",
  first: "Put first",
  skipped: "Left out of the queue",
};
const SORTS = {
  added: "As they came",
  name: "Name",
  state: "State",
  model: "Model",
  expected: "Expected",
};
const MARKS = { held_out: "held out", flagged: "flagged", first: "first", skipped: "left out" };
const STATES = {
  untouched: "nothing yet",
  proposed: "pseudo-labelled",
  labelled: "labelled",
  accepted: "accepted",
  complete: "complete",
};

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  await session.start();
  const wish = { search: "", state: "", sort: "added", down: false };
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
    element("div.sw-row", {}, filter, columns.select),
    element("div.sw-row.sw-images-count", {}, count, all, markButtons()),
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
    { "aria-label": "Which images", onchange: () => again({ state: select.value }) },
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
      "aria-label": "Order of the images",
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
          ? "Turn the order around"
          : `Sort by ${button.dataset.name === "expected" ? "the Dice expected of the proposals" : button.dataset.name}`,
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
      title: "All images as a table (T)",
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
function markButtons() {
  const make = (mark, name, text, about) => {
    const button = element(
      "button.sw-button.small",
      {
        type: "button",
        title: about,
        "aria-pressed": "false",
        onclick: () => imageUpdates.markOpen(mark, !imageUpdates.marked(session.image.id, name)),
      },
      text,
    );
    return {
      button,
      show: () =>
        setAttributes(button, {
          "aria-pressed": Boolean(session.image && imageUpdates.marked(session.image.id, name)),
        }),
    };
  };
  const buttons = [
    make("flag", "flagged", "Flag", "Look at the open image again later (M)"),
    make("first", "first", "Put first", "Put the open image first in the queue"),
    make("skip", "skipped", "Leave out", "Do not ask for the open image in the queue"),
  ];
  const node = element(
    "div.sw-row.sw-marks",
    { role: "group", "aria-label": "The open image" },
    buttons.map(({ button }) => button),
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
  setText(count, total ? counted(total) : search || state ? "None fits" : "No images yet");
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
  list.addEventListener("read", ({ detail }) => imageUpdates.readMarks(detail));
  session.addEventListener("image", () => revealOpen(list, whole()));
  session.addEventListener("project", () => again());
  session.link.addEventListener("slices", ({ detail: { message } }) => {
    list.patch((item) => item.id === message.image, {
      ...counts(message.slices),
      rev: message.rev,
    });
  });
  redrawWithTitles(list);
  if (session.image) revealOpen(list, whole());
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
  const { id } = session.image;
  const read = list.find((item) => item.id === id);
  const at = read < 0 && whole ? await placeOf(id).catch(() => -1) : read;
  if (at >= 0) list.show(at);
  list.redraw();
}

const CELLS = [
  "kind",
  "image-name",
  "image-facts",
  "image-state",
  "image-model",
  "image-expected",
  "image-marks",
];

function emptyRow() {
  return element(
    "div.sw-image-row",
    {},
    CELLS.map((name) => element(name === "kind" ? "span.sw-kind" : `span.sw-${name}`)),
  );
}

function drawRow(row, item, { proposal = item.proposal ?? null, why }) {
  const [kind, name, facts, state, model, expected, marks] = row.children;
  const wide = session.view.table;
  if (kind.dataset.kind !== item.kind) {
    kind.dataset.kind = item.kind;
    kind.replaceChildren(icon(item.kind === "volume" ? "volume" : "picture", 18));
  }
  setText(name, item.name);
  name.title = item.name;
  setText(facts, why && !wide ? why : describe(item));
  facts.title = why ? `${describe(item)}. Why it is worth labelling: ${why}` : describe(item);
  const now = stateOf(item, proposal);
  setText(
    state,
    wide
      ? wideState(item, now)
      : [stateText(item), proposalText(proposal)].filter(Boolean).join(" · "),
  );
  state.title = proposal ? modelText(proposal) : "";
  state.dataset.state = now;
  setText(model, proposal ? modelText(proposal) : "");
  model.title = model.textContent;
  setText(
    expected,
    typeof proposal?.expected_dice === "number" ? proposal.expected_dice.toFixed(2) : "",
  );
  setText(
    marks,
    marksOf(item)
      .map((one) => MARKS[one])
      .join(", "),
  );
  row.setAttribute("aria-selected", String(item.id === session.image?.id));
}

function marksOf(item) {
  return Object.keys(MARKS).filter((name) => imageUpdates.marked(item.id, name));
}

/** What the server said when the list was read, or what happened since. */
function stateOf(item, proposal) {
  if (item.slices_complete) return "complete";
  if (item.slices_labelled) return item.state === "accepted" ? "accepted" : "labelled";
  return proposal ? "proposed" : "untouched";
}

/** "labelled 3/96" for a volume. */
function wideState({ kind, shape, slices_labelled: labelled }, state) {
  return kind === "volume" && labelled ? `${STATES[state]} ${labelled}/${shape[0]}` : STATES[state];
}

/** "Mean Teacher, round 7"; a fill says that it is one. */
function modelText(proposal) {
  const title = producerTitle(proposal, session.app?.state.proposal.propagators).replace(
    /^Model: /,
    "",
  );
  return proposal.round ? `${title}, round ${proposal.round}` : title;
}

/** "proposed 0.84": with the Dice that is expected of it, where the model says one. */
function proposalText(proposal) {
  if (!proposal) return "";
  return typeof proposal.expected_dice === "number"
    ? `proposed ${proposal.expected_dice.toFixed(2)}`
    : "proposed";
}

function stateText({ kind, shape, slices_labelled: labelled, slices_complete: complete }) {
  if (kind === "image") return complete ? "complete" : labelled ? "labelled" : "";
  if (complete) return `${complete}/${shape[0]} complete`;
  return labelled ? `${labelled} labelled` : "";
}
