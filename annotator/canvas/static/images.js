/** The Images panel: the queue of images with search and what is done on each. */

import { call } from "./api.js";
import { h, icon, setText } from "./dom.js";
import { news } from "./news.js";
import { producerTitle } from "./proposalbar.js";
import { placeOf, rememberPlace } from "./queue.js";
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
    draw: (row, item) => drawRow(row, item, news.of(item.id)),
    rowHeight: ROW_PX,
    label: "Images",
  });
  const count = h("p.sw-count", { role: "status" });
  root.replaceChildren(h("div.sw-search-row", {}, icon("search", 16), search), count, list.element);
  wireSearch(search, list, count);
  wireQueue(list, search, count);
  news.addEventListener("change", () => list.redraw());
  news.readReasons();
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

function wireQueue(list, search, count) {
  const whole = () => !search.value.trim();
  list.addEventListener("choose", ({ detail }) => {
    if (whole()) rememberPlace(list.cursor);
    session.open(detail.id);
  });
  list.addEventListener("fault", ({ detail }) => toast(detail.message, "error"));
  session.addEventListener("image", () => revealOpen(list, whole()));
  session.addEventListener("project", () => refresh(list, count));
  session.link.addEventListener("slices", ({ detail: { message } }) => {
    list.patch((item) => item.id === message.image, { ...counts(message.slices), rev: message.rev });
  });
  if (session.image) revealOpen(list, whole());
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

function emptyRow() {
  const row = h("div.sw-image-row", {}, h("span.sw-kind"), h("span.sw-image-name"), h("span.sw-image-facts"), h("span.sw-image-state"));
  return row;
}

function drawRow(row, item, { proposal = item.proposal ?? null, why }) {
  const [kind, name, facts, state] = row.children;
  if (kind.dataset.kind !== item.kind) {
    kind.dataset.kind = item.kind;
    kind.replaceChildren(icon(item.kind === "volume" ? "volume" : "picture", 18));
  }
  setText(name, item.name);
  name.title = item.name;
  setText(facts, why || describe(item));
  facts.title = why ? `${describe(item)}. Why it is worth labelling: ${why}` : "";
  setText(state, [stateText(item), proposalText(proposal)].filter(Boolean).join(" · "));
  state.title = proposal ? producerTitle(proposal, session.app?.state.proposal.propagators) : "";
  state.dataset.state = item.slices_complete ? "complete" : item.slices_labelled ? "labelled" : proposal ? "proposed" : "none";
  row.setAttribute("aria-selected", String(item.id === session.image?.id));
}

/** "proposed 0.84": with the Dice that is expected of it, where the model says one. */
function proposalText(proposal) {
  if (!proposal) return "";
  return typeof proposal.expected_dice === "number" ? `proposed ${proposal.expected_dice.toFixed(2)}` : "proposed";
}

function stateText({ kind, shape, slices_labelled: labelled, slices_complete: complete }) {
  if (kind === "image") return complete ? "complete" : labelled ? "labelled" : "";
  if (complete) return `${complete}/${shape[0]} complete`;
  return labelled ? `${labelled} labelled` : "";
}
