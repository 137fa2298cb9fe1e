/**
 * Under the canvas: what the app proposes for the open image, how sure it must be, and what to do
 * with it.
 */

import { nothingProposed } from "../../engine/image/proposals.js";
import { percentRight, rangeText } from "../../state/expectations.js";
import { learning } from "../../state/learning.js";
import { places } from "../../state/places.js";
import { producerTitle } from "../../state/producers.js";
import { session } from "../../state/session.js";
import { element, icon, iconButton, setAttributes, setText } from "../../ui/dom.js";
import { toast } from "../../ui/toasts.js";
import { rangeForm } from "../accept_range.js";
import { actions } from "../actions.js";
import { redrawButton } from "../redraw.js";
import { allAccepted, refillButton } from "../refill.js";

const BEHIND = "Older than your newest labels on this image";

/** The proposal bar: {node, update(state), openRange()}. */
export function proposalbar(focusCanvas) {
  const parts = [
    nextButton(),
    guideButton(),
    sourceSelect(),
    limitSlider(),
    layerButtons(),
    facts(),
    redrawButton(),
    refillButton(),
    acceptButtons(focusCanvas),
  ];
  const node = element(
    "section.sw-proposals",
    { "aria-label": "Proposals", dataset: { empty: "1" } },
    parts.map((part) => part.node),
  );
  session.addEventListener("image", () => delete node.dataset.empty);
  node.addEventListener(
    "click",
    (event) => event.detail > 0 && event.target.closest("button:not([data-keep])") && focusCanvas(),
  );
  return { node, update: (state) => parts.forEach((part) => part.update(state)) };
}

function nextButton() {
  const text = element("span");
  const node = element(
    "button.sw-button.small",
    { type: "button", "aria-keyshortcuts": "J", onclick: () => actions.nextProposed() },
    icon("next", 14),
    text,
    key("J"),
  );
  const update = ({ proposal }) => {
    setText(text, session.image?.kind === "image" ? "Next image" : "Next slice");
    node.title = proposal.next?.reason ?? "Go to what is most worth labelling next (J)";
  };
  return { node, update };
}

function guideButton() {
  const node = element(
    "button.sw-button.small",
    {
      type: "button",
      "aria-keyshortcuts": "Z",
      title: "Start with two slices at right angles (Z)",
      onclick: () => actions.guide(),
    },
    element("span", {}, "Guide me"),
    key("Z"),
  );
  const update = ({ proposal }) => {
    node.hidden =
      session.image?.kind !== "volume" || !session.project.proposes || Boolean(proposal.shown);
    setAttributes(node, { "aria-pressed": Boolean(session.view.guide) });
  };
  session.addEventListener("view", () => session.app && update(session.app.state));
  return { node, update };
}

function sourceSelect() {
  const node = element("select.sw-select.sw-source", {
    "aria-label": "Source of the proposals",
    title: "Choose whose proposals to show",
    hidden: true,
  });
  node.addEventListener("change", () => session.app.proposals.show(node.value));
  let drawn = "";
  const update = ({ proposal: { sources, propagators, shown } }) => {
    node.hidden = !shown;
    const now = JSON.stringify([
      sources.map((one) => one.id),
      propagators.length,
      Boolean(learning.overview),
    ]);
    if (now !== drawn) {
      node.replaceChildren(
        ...sources.map((one) =>
          element("option", { value: one.producer }, producerTitle(one, propagators)),
        ),
      );
      drawn = now;
    }
    if (shown && node.value !== shown.producer) node.value = shown.producer;
  };
  // who is named by its title then
  learning.addEventListener("overview", () => session.app && update(session.app.state));
  return { node, update };
}

function limitSlider() {
  const value = element("output.sw-limit-value", {});
  const slider = element("input", {
    type: "range",
    min: 0,
    max: 100,
    step: 1,
    "aria-label": "Minimum confidence of proposals",
    "aria-keyshortcuts": ", .",
  });
  slider.addEventListener("input", () => session.setView("sure", Number(slider.value)));
  const node = element(
    "label.sw-limit",
    { title: "Show and accept only proposals at least this certain (, and .)", hidden: true },
    element("span", {}, "Sure"),
    slider,
    value,
  );
  const update = ({ proposal, minConfidence }) => {
    node.hidden = !proposal.shown;
    const percent = Math.round(100 * minConfidence);
    if (Number(slider.value) !== percent) slider.value = percent;
    const right = percentRight(minConfidence, proposal.shown?.shares);
    const least = right === null ? String(percent) : `${right} %`; // a number of its own is no percentage
    setText(value, percent ? `≥ ${least}` : "all");
    setAttributes(slider, { "aria-valuetext": percent ? `at least ${least}` : "all" });
  };
  return { node, update };
}

function layerButtons() {
  const doubt = iconButton("doubt", "Show where the proposal is in doubt", {
    keys: "U",
    onclick: () => actions.doubt(),
  });
  const shown = iconButton("eye", "Hide or show proposals", {
    keys: "H",
    onclick: () => actions.proposals(),
  });
  const trust = iconButton(
    "trust",
    "Show how far voxels count in training: people green, fills blue, models violet",
    { keys: "Shift+U", onclick: () => actions.trust() },
  );
  const node = element(
    "div.sw-group",
    { role: "group", "aria-label": "Proposal layers", hidden: true },
    shown,
    doubt,
    trust,
  );
  const update = ({ proposal, uncertainty, proposals, trust: trusted }) => {
    node.hidden = !proposal.shown;
    setAttributes(doubt, { "aria-pressed": Boolean(uncertainty) });
    setAttributes(shown, { "aria-pressed": Boolean(proposals) });
    setAttributes(trust, { "aria-pressed": Boolean(trusted) });
  };
  return { node, update };
}

function facts() {
  const node = element("span.sw-proposal-facts");
  const update = ({ proposal, accepted }) => {
    setText(node, factsText(proposal, accepted));
    node.title = proposal.shown?.behind ? BEHIND : aboutFacts(proposal.shown, node.textContent);
  };
  learning.addEventListener("round", () => session.app && update(session.app.state));
  return { node, update };
}

function factsText({ shown, running, withheld }, accepted) {
  if (!session.image) return "";
  if (!shown && session.project.looking) return "No proposal is stored for this image.";
  if (!session.project.proposes)
    return "Proposals are switched off; restart the server without --no-fill.";
  if (allAccepted(accepted))
    return "All is labelled. Correct a slice, then press Refill: the app fills the rest anew.";
  if (!shown && running) return "The app is filling the volume…";
  const wait = learning.waitText(session.image.id);
  if (!shown && wait) return `${wait}.`;
  if (!shown && withheld) return withheld;
  if (!shown && session.image.kind === "volume" && anyLabelled())
    return "The app fills the volume in a moment.";
  if (!shown && session.image.kind === "volume")
    return "Label an object on one slice; the app proposes the rest.";
  if (!shown) return "Label a few images; the app proposes the rest.";
  const parts = [];
  if (shown.expected_dice) parts.push(`Dice ${rangeText(shown.expected_dice)}`);
  if (shown.behind) parts.push(running ? "updating" : wait ? lower(wait) : "outdated");
  return parts.join(" · ");
}

function aboutFacts(shown, text) {
  return shown?.expected_dice ? `Expected, by what people said of other images: ${text}` : text;
}

function lower(words) {
  return words[0].toLowerCase() + words.slice(1);
}

function anyLabelled() {
  return [0, 1, 2].some((axis) => session.app.states.of(axis).length);
}

function acceptButtons(focusCanvas) {
  const slice = acceptButton("Accept slice", "Y", () => actions.acceptSlice());
  const whole = acceptButton("All", "Shift+Y", () => actions.acceptAll());
  const reject = acceptButton("Reject", "R", () => actions.rejectSlice());
  slice.classList.add("primary");
  reject.title = "Reject: what is proposed on this slice is background (R)";
  const range = rangeForm(focusCanvas);
  const open = acceptButton("Range", "I", () => range.toggle());
  open.dataset.keep = "1";
  open.title = "Accept a range of slices of this plane (I)";
  const node = element(
    "div.sw-accept",
    { role: "group", "aria-label": "Accept proposals", hidden: true },
    range.node,
    reject,
    open,
    whole,
    slice,
  );
  session.addEventListener("range", () =>
    node.hidden ? toast(session.image ? whyNothing() : "Open an image first.") : range.toggle(),
  );
  const update = (state) => {
    const judging = places.at !== null; // then the keys are about one place
    node.hidden = !state.proposal.shown || allAccepted(state.accepted) || judging;
    const volume = session.image?.kind === "volume";
    slice.disabled = reject.disabled = !state.proposal.here || !state.proposals || state.complete;
    // then Y and R are about the one object on show
    slice.hidden = reject.hidden = places.at !== null || Boolean(state.held?.judged);
    setText(slice.firstChild, volume ? "Accept slice" : "Accept image");
    whole.hidden = open.hidden = !volume;
    whole.title = "Accept the whole volume (Shift+Y)";
    if (!volume) range.close();
  };
  places.addEventListener("change", () => session.app && update(session.app.state));
  return { node, update };
}

function whyNothing() {
  return session.app.proposals.obstacle ?? nothingProposed(session.image);
}

function acceptButton(text, keys, onclick) {
  return element(
    "button.sw-button.small",
    { type: "button", onclick, "aria-keyshortcuts": keys },
    element("span", {}, text),
    key(keys.replace("Shift+", "⇧")),
  );
}

function key(text) {
  return element("kbd", { "aria-hidden": "true" }, text);
}
