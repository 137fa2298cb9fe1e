/** Held-out Dice over the project's life as a small drawing, with the same numbers as a table. */

import { h, setText } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [270, 112];
const PAD = { left: 30, right: 8, top: 8, bottom: 20 };
const ALONG = { slices: "labelled slices", minutes: "annotator minutes" };

/** {element, show(rounds)}; `rounds` as the server's history of a learner. */
export function plot() {
  const picture = h("div.sw-plot-picture");
  const body = h("tbody");
  const head = ["Labelled slices", "Minutes", "Held-out Dice"].map((text) => h("th", { scope: "col" }, text));
  const table = h("details.sw-plot-table", {}, h("summary", {}, "As a table"), h("div", { tabindex: 0, role: "region", "aria-label": "Held-out Dice as a table" }, h("table", {}, h("thead", {}, h("tr", {}, head)), body)));
  let along = "slices";
  let rounds = [];
  const draw = () => picture.replaceChildren(drawing(rounds, along));
  const switcher = axisSwitch((name) => {
    along = name;
    draw();
  });
  const element = h("figure.sw-plot", { hidden: true }, h("figcaption", {}, "Held-out Dice", switcher), picture, table);
  const show = (all) => {
    rounds = all.filter((round) => typeof round.dice === "number");
    element.hidden = !rounds.length;
    if (!rounds.length) return;
    draw();
    body.replaceChildren(...rounds.map(tableRow));
  };
  return { element, show };
}

function tableRow({ slices, minutes, dice }) {
  return h("tr", {}, [slices, minutes.toFixed(1), dice.toFixed(3)].map((value) => h("td", {}, String(value))));
}

function axisSwitch(choose) {
  const button = h("button.sw-button.small", { type: "button" }, "by slices");
  const names = Object.keys(ALONG);
  let at = 0;
  button.title = "Change between labelled slices and annotator minutes";
  button.addEventListener("click", () => {
    at = 1 - at;
    setText(button, `by ${names[at]}`);
    choose(names[at]);
  });
  return button;
}

function drawing(rounds, along) {
  const points = rounds.map((round) => ({ x: round[along] ?? 0, y: round.dice }));
  const most = Math.max(1, ...points.map((point) => point.x));
  const x = (value) => PAD.left + (value / most) * (WIDTH - PAD.left - PAD.right);
  const y = (value) => PAD.top + (1 - value) * (HEIGHT - PAD.top - PAD.bottom);
  const picture = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary(points, along) });
  for (const level of [0, 0.5, 1]) {
    picture.append(shape("line", { class: "sw-plot-grid", x1: PAD.left, x2: WIDTH - PAD.right, y1: y(level), y2: y(level) }));
    picture.append(shape("text", { x: PAD.left - 5, y: y(level) + 4, "text-anchor": "end" }, level.toFixed(1)));
  }
  picture.append(shape("text", { x: PAD.left, y: HEIGHT - 5 }, "0"));
  picture.append(shape("text", { x: WIDTH - PAD.right, y: HEIGHT - 5, "text-anchor": "end" }, `${+most.toFixed(1)} ${ALONG[along]}`));
  picture.append(shape("polyline", { class: "sw-plot-line", points: points.map((p) => `${x(p.x)},${y(p.y)}`).join(" ") }));
  for (const p of points) picture.append(shape("circle", { class: "sw-plot-dot", cx: x(p.x), cy: y(p.y), r: 2.6 }));
  return picture;
}

function summary(points, along) {
  const [first, last] = [points[0], points.at(-1)];
  const at = ({ x, y }) => `${y.toFixed(2)} at ${+x.toFixed(1)} ${ALONG[along]}`;
  return points.length === 1 ? `Held-out Dice ${at(first)}` : `Held-out Dice from ${at(first)} to ${at(last)}`;
}

function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}
