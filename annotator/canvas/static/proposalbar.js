/** Under the canvas: what the app proposes for the open image, how sure it must be, and what to do with it. */

import { actions } from "./actions.js";
import { h, icon, iconButton, setAttributes, setText } from "./dom.js";
import { nothingProposed } from "./engine/proposals.js";
import { learning } from "./learning.js";
import { session } from "./session.js";
import { toast } from "./toasts.js";

const BEHIND = "Made before your newest labels on this image";

/** The proposal bar: {element, update(state), openRange()}. */
export function proposalbar(focusCanvas) {
  const parts = [nextButton(), guideButton(), sourceSelect(), limitSlider(), layerButtons(), facts(), acceptButtons(focusCanvas)];
  const element = h("section.sw-proposals", { "aria-label": "Proposals", dataset: { empty: "1" } }, parts.map((part) => part.element));
  session.addEventListener("image", () => delete element.dataset.empty);
  element.addEventListener("click", (event) => event.detail > 0 && event.target.closest("button:not([data-keep])") && focusCanvas());
  return { element, update: (state) => parts.forEach((part) => part.update(state)) };
}

/** The name of a pseudo-label's maker for people. */
export function producerTitle({ producer, kind }, propagators = []) {
  const makers = [...propagators, ...(learning.overview?.learners ?? [])];
  const title = makers.find((one) => one.name === producer)?.title ?? capital(producer.replaceAll("_", " "));
  return kind === "propagated" ? `Fill: ${title}` : `Model: ${title}`;
}

function nextButton() {
  const text = h("span");
  const element = h("button.sw-button.small", { type: "button", "aria-keyshortcuts": "J", onclick: () => actions.nextProposed() }, icon("next", 14), text, key("J"));
  const update = ({ proposal }) => {
    setText(text, session.image?.kind === "image" ? "Next image" : "Next slice");
    element.title = proposal.next?.reason ?? "What is most worth labelling next (J)";
  };
  return { element, update };
}

function guideButton() {
  const element = h("button.sw-button.small", { type: "button", "aria-keyshortcuts": "Z", title: "Guided start: two slices at right angles first (Z)", onclick: () => actions.guide() }, h("span", {}, "Guide me"), key("Z"));
  const update = ({ proposal }) => {
    element.hidden = session.image?.kind !== "volume" || !session.project.proposes || Boolean(proposal.shown);
    setAttributes(element, { "aria-pressed": Boolean(session.view.guide) });
  };
  session.addEventListener("view", () => session.app && update(session.app.state));
  return { element, update };
}

function sourceSelect() {
  const element = h("select.sw-select.sw-source", { "aria-label": "Whose proposals", title: "Whose proposals are shown", hidden: true });
  element.addEventListener("change", () => session.app.proposals.show(element.value));
  let drawn = "";
  const update = ({ proposal: { sources, propagators, shown } }) => {
    element.hidden = !shown;
    const now = JSON.stringify([sources.map((one) => one.id), propagators.length, Boolean(learning.overview)]);
    if (now !== drawn) {
      element.replaceChildren(...sources.map((one) => h("option", { value: one.producer }, producerTitle(one, propagators))));
      drawn = now;
    }
    if (shown && element.value !== shown.producer) element.value = shown.producer;
  };
  learning.addEventListener("overview", () => session.app && update(session.app.state)); // who is named by its title then
  return { element, update };
}

function limitSlider() {
  const value = h("output.sw-limit-value", {});
  const slider = h("input", { type: "range", min: 0, max: 100, step: 1, "aria-label": "Least confidence of proposals", "aria-keyshortcuts": ", ." });
  slider.addEventListener("input", () => session.setView("sure", Number(slider.value)));
  const element = h("label.sw-limit", { title: "Only proposals as sure as this are shown and accepted (, and .)", hidden: true }, h("span", {}, "Sure"), slider, value);
  const update = ({ proposal, minConfidence }) => {
    element.hidden = !proposal.shown;
    const percent = Math.round(100 * minConfidence);
    if (Number(slider.value) !== percent) slider.value = percent;
    setText(value, percent ? `≥ ${percent} %` : "all");
    setAttributes(slider, { "aria-valuetext": percent ? `at least ${percent} %` : "all" });
  };
  return { element, update };
}

function layerButtons() {
  const doubt = iconButton("doubt", "Show where the proposals are in doubt", { keys: "U", onclick: () => actions.doubt() });
  const shown = iconButton("eye", "Show the proposals", { keys: "H", onclick: () => actions.proposals() });
  const trust = iconButton("trust", "Show how far the app trusts what is known: people green, fills blue, models violet", { keys: "Shift+U", onclick: () => actions.trust() });
  const element = h("div.sw-group", { role: "group", "aria-label": "Proposal layers", hidden: true }, shown, doubt, trust);
  const update = ({ proposal, uncertainty, proposals, trust: trusted }) => {
    element.hidden = !proposal.shown;
    setAttributes(doubt, { "aria-pressed": Boolean(uncertainty) });
    setAttributes(shown, { "aria-pressed": Boolean(proposals) });
    setAttributes(trust, { "aria-pressed": Boolean(trusted) });
  };
  return { element, update };
}

function facts() {
  const element = h("span.sw-proposal-facts");
  const update = ({ proposal }) => {
    setText(element, factsText(proposal));
    element.title = proposal.shown?.behind ? BEHIND : element.textContent;
  };
  return { element, update };
}

function factsText({ shown, running }) {
  if (!session.image) return "";
  if (!session.project.proposes) return "Nothing is proposed here: the server was started with --no-fill.";
  if (!shown && running) return "The rest of the volume is being proposed…";
  if (!shown && session.image.kind === "volume" && anyLabelled()) return "The rest of the volume is proposed in a moment.";
  if (!shown && session.image.kind === "volume") return "Label an object on one slice; the app proposes the rest.";
  if (!shown) return "Proposals come when the app has learned from some labels.";
  const parts = [];
  if (typeof shown.expected_dice === "number") parts.push(`expected Dice ${shown.expected_dice.toFixed(2)}`);
  if (shown.behind) parts.push(running ? "being renewed" : "outdated");
  return parts.join(" · ");
}

function anyLabelled() {
  return [0, 1, 2].some((axis) => session.app.states.of(axis).length);
}

function acceptButtons(focusCanvas) {
  const slice = acceptButton("Accept slice", "Y", () => actions.acceptSlice());
  const whole = acceptButton("All", "Shift+Y", () => actions.acceptAll());
  const reject = acceptButton("Reject", "R", () => actions.rejectSlice());
  slice.classList.add("primary");
  reject.title = "What is proposed on this slice is background (R)";
  const range = rangeForm(focusCanvas);
  const open = acceptButton("Range", "I", () => range.toggle());
  open.dataset.keep = "1";
  open.title = "Accept a range of slices of this plane (I)";
  const element = h("div.sw-accept", { role: "group", "aria-label": "Accept proposals", hidden: true }, range.element, reject, open, whole, slice);
  session.addEventListener("range", () => (element.hidden ? toast(session.image ? nothingProposed(session.image) : "Open an image first.") : range.toggle()));
  const update = (state) => {
    element.hidden = !state.proposal.shown;
    const volume = session.image?.kind === "volume";
    slice.disabled = reject.disabled = !state.proposal.here || !state.proposals || state.complete;
    setText(slice.firstChild, volume ? "Accept slice" : "Accept image");
    whole.hidden = open.hidden = !volume;
    whole.title = "Accept what is proposed in the whole volume (Shift+Y)";
    if (!volume) range.close();
  };
  return { element, update };
}

function acceptButton(text, keys, onclick) {
  return h("button.sw-button.small", { type: "button", onclick, "aria-keyshortcuts": keys }, h("span", {}, text), key(keys.replace("Shift+", "⇧")));
}

/** From slice to slice of the active plane, as people count them: from 1, both ends included. */
function rangeForm(focusCanvas) {
  const from = sliceNumber("From slice");
  const to = sliceNumber("To slice");
  const element = h("form.sw-range", { "aria-label": "Range to accept", hidden: true }, from, h("span", { "aria-hidden": "true" }, "–"), to, h("button.sw-button.small.primary", { type: "submit" }, "Accept"), iconButton("close", "Do not accept a range", { onclick: () => close() }));
  const close = () => (element.hidden = true);
  const open = () => {
    const { axis, index } = session.app.state;
    const [low, high] = between(session.app.states.of(axis), index, session.image.shape[axis]);
    from.max = to.max = session.image.shape[axis];
    from.value = low + 1;
    to.value = high + 1;
    element.hidden = false;
    from.focus();
    from.select();
  };
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    const [low, high] = [from.valueAsNumber, to.valueAsNumber].sort((a, b) => a - b);
    session.app.acceptRange(low - 1, high);
    close();
    focusCanvas();
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    close();
    focusCanvas();
  });
  return { element, close, toggle: () => (element.hidden ? open() : close()) };
}

/** From the labelled slice before the open one to the one after it, or the ends of the volume. */
function between(states, index, count) {
  const labelled = states.map((one) => one.index).sort((a, b) => a - b);
  return [labelled.findLast((k) => k < index) ?? 0, labelled.find((k) => k > index) ?? count - 1];
}

function sliceNumber(label) {
  return h("input.sw-number", { type: "number", min: 1, step: 1, required: true, "aria-label": label, title: label });
}

function key(text) {
  return h("kbd", { "aria-hidden": "true" }, text);
}

function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
