/** Rows of the Images panel: how an image stands, who proposed for it, what people said of it. */

import { describe } from "../state/image_text.js";
import { imageUpdates } from "../state/image_updates.js";
import { producerTitle } from "../state/producers.js";
import { session } from "../state/session.js";
import { element, icon, setText } from "../ui/dom.js";

const TRAITS = {
  held_out: "held out",
  flagged: "flagged",
  first: "put first",
  skipped: "left out",
};
const STATES = {
  untouched: "nothing yet",
  proposed: "proposed",
  labelled: "labelled",
  accepted: "accepted",
  complete: "complete",
};

const CELLS = [
  "kind",
  "image-name",
  "image-facts",
  "image-state",
  "image-model",
  "image-expected",
  "image-traits",
];

export function emptyRow() {
  return element(
    "div.sw-image-row",
    {},
    CELLS.map((name) => element(name === "kind" ? "span.sw-kind" : `span.sw-${name}`)),
  );
}

export function drawRow(row, item, { proposal = item.proposal ?? null, why }) {
  const [kind, name, facts, state, model, expected, traits] = row.children;
  const wide = session.view.table;
  if (kind.dataset.kind !== item.kind) {
    kind.dataset.kind = item.kind;
    kind.replaceChildren(icon(item.kind === "volume" ? "volume" : "picture", 18));
  }
  setText(name, item.name);
  name.title = item.name;
  setText(facts, why && !wide ? why : describe(item));
  facts.title = why ? `${describe(item)}. Why to label it next: ${why}` : describe(item);
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
    traits,
    traitsOf(item)
      .map((one) => TRAITS[one])
      .join(", "),
  );
  row.setAttribute("aria-selected", String(item.id === session.image?.id));
}

function traitsOf(item) {
  return Object.keys(TRAITS).filter((name) => imageUpdates.hasTrait(item.id, name));
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
