/**
 * The Learn panel: one line says who proposes and how good that is here, another what it does now.
 * Why, the curve and the buttons that steer it are behind "More".
 */

import { learning } from "../../state/learning.js";
import { session } from "../../state/session.js";
import { element, setText } from "../../ui/dom.js";
import { mountLearners } from "./choice.js";
import { comparison } from "./comparison.js";
import { modelButtons, modelJobs } from "./model_files.js";
import { plot } from "./plot.js";

const WORDS = {
  running: "training",
  waiting: "waiting",
  idle: "up to date",
  paused: "paused",
  failed: "failed",
};

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  const who = element("p.sw-who", { role: "status" }, "Loading the learners…");
  const now = element("p.sw-now", { "aria-live": "off" });
  const why = element("p.sw-why");
  const cards = element("div.sw-learners");
  const curve = plot();
  const side = comparison();
  const choices = element("div.sw-panel");
  const more = element("details.sw-more.sw-learn-more", {}, element("summary", {}, "More"));
  more.append(why, cards, modelJobs(), curve.node, side.node, choices);
  root.replaceChildren(who, now, more);
  mountLearners(choices);
  const compare = () => [curve, side].forEach((part) => part.show(learning.known));
  const known = new Map();
  const drawNow = () => {
    setText(now, nowText(session.image?.id));
    now.hidden = !now.textContent;
  };
  const draw = () => {
    setText(who, whoText(learning.overview));
    more.hidden = !learning.overview;
    setText(why, learning.overview ? whyText(learning.overview) : "");
    drawNow();
    const names = [...learning.rounds.keys()];
    for (const name of names) if (!known.has(name)) known.set(name, learnerCard(name));
    for (const name of known.keys()) if (!names.includes(name)) known.delete(name);
    const nodes = names.map((name) => known.get(name).node);
    const same = nodes.every((one, at) => one === cards.children[at]);
    if (!same || nodes.length !== cards.children.length) cards.replaceChildren(...nodes);
    for (const name of names) known.get(name).show(learning.rounds.get(name));
    compare();
  };
  learning.addEventListener("overview", draw);
  learning.addEventListener("round", ({ detail }) => {
    known.get(detail.learner)?.show(detail);
    drawNow();
  });
  session.addEventListener("image", drawNow);
  learning.addEventListener("history", compare);
  // whose proposals are shown
  session.addEventListener("change", () => known.forEach((card) => card.models.show()));
  await learning.start(); // some time ago, where the panel came on screen late
  draw();
}

/** "Proposals by Atlases: Dice 0.56 on 4 held-out images." */
function whoText(overview) {
  if (!overview)
    return "Learning and proposals are switched off; restart the server without --no-fill.";
  return overview.proposes
    .map(({ title, quality }) => `Proposals by ${title}: ${quality}`)
    .join(" ");
}

/** What the learner does now that proposes; why it does nothing. */
function nowText(image) {
  const first = learning.overview?.proposes[0]?.learner;
  const round = learning.rounds.get(first);
  return round ? learning.waitText(image) || round.message : "";
}

function whyText({ choice, learners, proposes, why }) {
  const title = (name) => learners.find((one) => one.name === name)?.title ?? name;
  if (choice.automatic) return `The app chose ${title(proposes[0]?.learner)}: ${why}.`;
  const chosen = learners.filter((one) => one.active).map((one) => one.title);
  const yours = `You chose ${chosen.join(" and ")}.`;
  return `${yours} The app would choose ${title(choice.learner)}: ${choice.why}.`;
}

function learnerCard(name) {
  const title = element("b");
  const badge = element("span.sw-badge");
  const text = element("p", { role: "status" });
  const bar = element(
    "div.sw-bar.unknown",
    { role: "progressbar", "aria-label": "Training", hidden: true },
    element("i", { style: "width: 100%" }),
  );
  const progress = element("p.sw-progress", { "aria-live": "off", hidden: true });
  const dice = element("p.sw-dice", {
    title: "Overlap (Dice) with held-out labels: 0 none, 1 identical.",
  });
  const objects = element("ul.sw-objects", {
    hidden: true,
    title: "Objects that people numbered on held-out images, against those that are proposed.",
  });
  const buttons = buttonRow(name);
  const models = modelButtons(name);
  const node = element(
    "article.sw-model.sw-learner",
    {},
    element("div.sw-model-head", {}, title, badge),
    text,
    bar,
    progress,
    dice,
    objects,
    buttons.node,
    models.node,
  );
  const show = (round) => {
    node.dataset.state = badge.dataset.state = round.state;
    setText(title, round.title);
    setText(badge, round.begun === false ? WORDS.waiting : (WORDS[round.state] ?? round.state));
    setText(text, round.message);
    text.hidden = !round.message;
    const running = round.state === "running";
    bar.hidden = progress.hidden = !running;
    if (running) setText(progress, progressText(round));
    setText(dice, diceText(round));
    const told = round.objects ?? [];
    objects.hidden = !told.length;
    objects.replaceChildren(...told.map((line) => element("li", {}, line)));
    buttons.show(round);
    models.show();
  };
  return { node, show, models };
}

function buttonRow(name) {
  const make = (text, what, title) =>
    element(
      "button.sw-button.small",
      { type: "button", title, onclick: () => learning.act(name, what) },
      text,
    );
  const update = make("Update now", "update", "Train one more round now, even without new labels");
  const stop = make("Stop", "stop", "End this round now; keep what it learned if it is better");
  const pause = make("Pause", "pause", "Pause this learner: no new round starts");
  const resume = make("Resume", "resume", "Resume this learner: it trains after each label");
  const node = element("div.sw-row", {}, update, stop, pause, resume);
  const show = ({ state }) => {
    const had = node.contains(document.activeElement) ? document.activeElement : null;
    update.hidden = state === "running";
    stop.hidden = state !== "running";
    pause.hidden = state === "paused";
    resume.hidden = state !== "paused";
    if (had?.hidden) node.querySelector("button:not([hidden])").focus();
  };
  return { node, show };
}

/** "training · step 120 · loss 0.312 · 14 s left" */
function progressText({ phase, step, loss, seconds_left: left }) {
  const parts = [phase];
  if (step) parts.push(`step ${step.toLocaleString("en")}`);
  if (typeof loss === "number") parts.push(`loss ${loss.toFixed(3)}`);
  if (left > 0.5) parts.push(`${Math.round(left)} s left`);
  return parts.filter(Boolean).join(" · ");
}

function diceText({ dice, taught, behind, state }) {
  const where = taught ? " on slices of images that taught" : "";
  const score =
    typeof dice === "number" ? `Held-out Dice ${dice.toFixed(3)}${where}` : "No held-out Dice yet";
  return behind && state !== "waiting" && state !== "running"
    ? `${score} · has not seen your newest labels`
    : score;
}
