/** Rows of the Images panel: how an image stands, who proposed for it, what people said of it. */

import { rangeText } from "../state/expectations.js";
import { describe, stateOf, stateText } from "../state/image_text.js";
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
  setText(state, now === "proposed" && !wide ? proposalText(proposal) : stateText(now, item.known));
  state.title = aboutState(item, proposal);
  state.dataset.state = now;
  setText(model, proposal ? modelText(proposal) : "");
  model.title = model.textContent;
  setText(expected, rangeText(proposal?.expected_dice));
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

/** What people labelled, and who proposed. Slices of all three planes count, so of no number. */
function aboutState({ kind, slices_labelled: labelled, slices_complete: complete }, proposal) {
  const parts = [];
  if (kind === "volume" && labelled)
    parts.push(`${slices(labelled)} labelled, ${complete} of them complete`);
  if (proposal) parts.push(modelText(proposal));
  return parts.join(" · ");
}

function slices(count) {
  return count === 1 ? "1 slice" : `${count} slices`;
}

/** "Mean Teacher, round 7"; a fill says that it is one. */
function modelText(proposal) {
  const title = producerTitle(proposal, session.app?.state.proposal.propagators).replace(
    /^Model: /,
    "",
  );
  return proposal.round ? `${title}, round ${proposal.round}` : title;
}

/** "proposed 0.77–0.84": with the Dice that is expected of it, where something calibrates it. */
function proposalText(proposal) {
  return ["proposed", rangeText(proposal.expected_dice)].filter(Boolean).join(" ");
}
