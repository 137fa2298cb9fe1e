/** The Images panel: the queue of images with search and what is done on each. */

import { call } from "./api.js";
import { h, icon, setText } from "./dom.js";
import { session } from "./session.js";
import { toast } from "./toasts.js";
import { describe } from "./topbar.js";
import { VirtualList } from "./virtual_list.js";

const ROW_PX = 48;
const TYPING_MS = 150;

/** Fill the element that Gradio gives us. */
export async function mount(element) {
  const root = element.querySelector(".sw-panel");
  await session.start();
  const search = h("input.sw-search", { type: "search", placeholder: "Search by name", "aria-label": "Search images" });
  const list = new VirtualList({
    load: (offset, limit) => call(`/api/images?offset=${offset}&limit=${limit}&search=${encodeURIComponent(search.value.trim())}`),
    row: emptyRow,
    draw: drawRow,
    rowHeight: ROW_PX,
    label: "Images",
  });
  const count = h("p.sw-count", { role: "status" });
  root.replaceChildren(h("div.sw-search-row", {}, icon("search", 16), search), count, list.element);
  wireSearch(search, list, count);
  wireQueue(list, count);
  await refresh(list, count);
}

function wireSearch(search, list, count) {
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => refresh(list, count), TYPING_MS);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") list.element.focus();
    else if (event.key === "Escape") search.blur();
  });
}

async function refresh(list, count) {
  await list.reload();
  const { total } = list;
  setText(count, total === 1 ? "1 image" : `${total.toLocaleString("en")} images`);
}

function wireQueue(list, count) {
  list.addEventListener("choose", ({ detail }) => session.open(detail.id));
  list.addEventListener("fault", ({ detail }) => toast(detail.message, "error"));
  session.addEventListener("image", () => revealOpen(list));
  session.addEventListener("project", () => refresh(list, count));
  session.link.addEventListener("slices", ({ detail: { message } }) => {
    list.patch((item) => item.id === message.image, { ...counts(message.slices), rev: message.rev });
  });
  if (session.image) revealOpen(list);
}

function counts(slices) {
  const complete = slices.filter(([, , state]) => state === "complete").length;
  return { slices_labelled: slices.length, slices_complete: complete };
}

async function revealOpen(list) {
  const at = await list.find((item) => item.id === session.image.id);
  if (at >= 0) list.show(at);
  list.redraw();
}

function emptyRow() {
  const row = h("div.sw-image-row", {}, h("span.sw-kind"), h("span.sw-image-name"), h("span.sw-image-facts"), h("span.sw-image-state"));
  return row;
}

function drawRow(row, item) {
  const [kind, name, facts, state] = row.children;
  if (kind.dataset.kind !== item.kind) {
    kind.dataset.kind = item.kind;
    kind.replaceChildren(icon(item.kind === "volume" ? "volume" : "picture", 18));
  }
  setText(name, item.name);
  name.title = item.name;
  setText(facts, describe(item));
  setText(state, stateText(item));
  state.dataset.state = item.slices_complete ? "complete" : item.slices_labelled ? "labelled" : "none";
  row.setAttribute("aria-selected", String(item.id === session.image?.id));
}

function stateText({ kind, shape, slices_labelled: labelled, slices_complete: complete }) {
  if (kind === "image") return complete ? "complete" : labelled ? "labelled" : "";
  if (complete) return `${complete}/${shape[0]} complete`;
  return labelled ? `${labelled} labelled` : "";
}
