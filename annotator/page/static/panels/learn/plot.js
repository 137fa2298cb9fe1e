/**
 * How good the learners became over the project's life: held-out Dice, or how much of their
 * proposals people left, against labelled slices or annotator minutes. One drawing for all
 * learners, and the same numbers as a table.
 */

import { element, setAttributes, setText } from "../../ui/dom.js";
import { MEAN_OF, marksOf, seriesOf } from "./plot_series.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [294, 150];
const PAD = { left: 30, right: 10, top: 10, bottom: 32 };
const LOOKS = 4; // colours and dots that the style sheet knows

const MEASURES = {
  held: {
    title: "Held-out",
    about: "Overlap (Dice) with held-out labels: 0 none, 1 identical",
    name: "Held-out Dice",
  },
  left: {
    title: "Corrective",
    about: "Overlap (Dice) of proposals with what people made of them: 1 means unchanged",
    name: "Corrective Dice",
  },
};
const ALONG = { slices: "labelled slices", minutes: "minutes of labelling" };

/** {node, show(learners)}; learners: [{name, title, history: {rounds, corrections}}]. */
export function plot() {
  const picture = element("div.sw-plot-picture");
  const legend = element("ul.sw-plot-legend", { "aria-label": "Learners in the plot" });
  const note = element("p.sw-plot-note");
  const body = element("tbody");
  const head = element("tr");
  const scroll = element(
    "div",
    { tabindex: 0, role: "region", "aria-label": "Dice of the learners as a table" },
    element("table", {}, element("thead", {}, head), body),
  );
  const table = element("details.sw-plot-table", {}, element("summary", {}, "As a table"), scroll);
  const chosen = { measure: "held", along: "slices" };
  let learners = [];
  const draw = () => {
    const series = learners
      .map((one) => seriesOf(one, chosen))
      .filter(({ points }) => points.length);
    series.forEach((one, at) => (one.look = at % LOOKS));
    picture.replaceChildren(series.length ? drawing(series, chosen) : nothing(chosen.measure));
    legend.hidden = series.length < 2;
    legend.replaceChildren(
      ...series.map(({ title, look }) =>
        element("li", { dataset: { look } }, legendKey(look), title),
      ),
    );
    setText(note, noteOf(chosen.measure));
    head.replaceChildren(
      ...["Learner", "Slices", "Minutes", "Dice"].map((text) =>
        element("th", { scope: "col" }, text),
      ),
    );
    body.replaceChildren(
      ...series.flatMap(({ title, points }) => points.map((point) => tableRow(title, point))),
    );
    table.hidden = !series.length;
  };
  const measures = switcher(
    "Measure",
    Object.entries(MEASURES).map(([name, { title, about }]) => [name, title, about]),
    (name) => {
      chosen.measure = name;
      draw();
    },
  );
  const alongs = switcher(
    "Horizontal axis",
    Object.entries(ALONG).map(([name, about]) => [
      name,
      name === "slices" ? "Slices" : "Minutes",
      `Against ${about}`,
    ]),
    (name) => {
      chosen.along = name;
      draw();
    },
  );
  const node = element(
    "figure.sw-plot",
    { hidden: true, "aria-label": "Dice of the learners over time" },
    element("div.sw-plot-head", {}, measures, alongs),
    picture,
    legend,
    note,
    table,
  );
  const show = (all) => {
    learners = all;
    node.hidden = !all.some(
      ({ history }) =>
        history.rounds.some(({ dice }) => typeof dice === "number") || history.corrections.length,
    );
    if (!node.hidden) draw();
  };
  return { node, show };
}

function noteOf(measure) {
  return measure === "held"
    ? `${MEASURES.held.about}. A dashed line: more held-out labels judge from there on.`
    : `${MEASURES.left.about}. The line is the mean of the last ${MEAN_OF} corrections.`;
}

function nothing(measure) {
  const why =
    measure === "held"
      ? "No held-out Dice yet; the top of this tab says what to do."
      : "No corrective Dice yet; correct and accept a proposal to get one.";
  return element("p.sw-plot-empty", {}, why);
}

function tableRow(title, { slices, minutes, y }) {
  const cells = [slices, minutes.toFixed(1), y.toFixed(3)].map((value) =>
    element("td", {}, String(value)),
  );
  return element("tr", {}, element("th", { scope: "row" }, title), cells);
}

/** Buttons of which one is pressed. */
function switcher(label, entries, choose) {
  const buttons = entries.map(([name, text, title], at) =>
    element(
      "button.sw-segment",
      {
        type: "button",
        title,
        "aria-pressed": String(at === 0),
        dataset: { name },
        onclick: () => press(name),
      },
      text,
    ),
  );
  const press = (name) => {
    for (const button of buttons)
      setAttributes(button, { "aria-pressed": button.dataset.name === name });
    choose(name);
  };
  return element("div.sw-segments", { role: "group", "aria-label": label }, buttons);
}

function drawing(series, { measure, along }) {
  const points = series.flatMap((one) => one.points);
  const most = Math.max(1, ...points.map(({ x }) => x));
  const least = Math.floor(Math.max(0, Math.min(...points.map(({ y }) => y)) - 0.05) * 5) / 5;
  const x = (value) => PAD.left + (value / most) * (WIDTH - PAD.left - PAD.right);
  const y = (value) => PAD.top + ((1 - value) / (1 - least)) * (HEIGHT - PAD.top - PAD.bottom);
  const name = series
    .map((one) => summary(one, { measure, along, named: series.length > 1 }))
    .join("; ");
  const picture = shape("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": name,
  });
  for (const level of levels(least)) {
    picture.append(
      shape("line", {
        class: "sw-plot-grid",
        x1: PAD.left,
        x2: WIDTH - PAD.right,
        y1: y(level),
        y2: y(level),
      }),
    );
    picture.append(
      shape("text", { x: PAD.left - 5, y: y(level) + 3.5, "text-anchor": "end" }, level.toFixed(1)),
    );
  }
  for (const value of ticks(most, along === "slices" ? 1 : 0)) {
    const anchor = value === 0 ? "start" : x(value) > WIDTH - 24 ? "end" : "middle";
    picture.append(
      shape(
        "text",
        { x: x(value), y: HEIGHT - PAD.bottom + 14, "text-anchor": anchor },
        String(+value.toFixed(1)),
      ),
    );
  }
  picture.append(
    shape(
      "text",
      { x: (PAD.left + WIDTH - PAD.right) / 2, y: HEIGHT - 4, "text-anchor": "middle" },
      ALONG[along],
    ),
  );
  for (const mark of measure === "held" ? marksOf(series) : []) {
    const at = x(mark.x);
    const line = shape("line", {
      class: "sw-plot-mark",
      x1: at,
      x2: at,
      y1: PAD.top,
      y2: HEIGHT - PAD.bottom,
    });
    line.append(shape("title", {}, mark.about));
    picture.append(line);
  }
  for (const one of series) {
    for (const line of one.lines)
      picture.append(
        shape("polyline", {
          class: "sw-plot-line",
          "data-look": one.look,
          points: line.map((p) => `${x(p.x)},${y(p.y)}`).join(" "),
        }),
      );
    picture.append(
      ...one.points.map((p) =>
        dot(
          one.look,
          x(p.x),
          y(p.y),
          `${one.title}: ${p.y.toFixed(3)} at ${p.slices} slices, ${p.minutes.toFixed(1)} minutes`,
        ),
      ),
    );
  }
  return picture;
}

/** Every 0.1 or 0.2 from the least to 1. */
function levels(least) {
  const step = 1 - least > 0.45 ? 0.2 : 0.1;
  return Array.from({ length: Math.round((1 - least) / step) + 1 }, (_, at) => least + at * step);
}

/** About four round numbers from 0 to the most, no nearer than `least`. */
function ticks(most, least) {
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough && n >= least) ?? least;
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, at) => at * step);
}

/** Learners differ by colour, dash and dot, so that colour alone says nothing. */
function dot(look, cx, cy, title) {
  const style = { class: "sw-plot-dot", "data-look": look };
  const r = 3;
  const made = [
    () => shape("circle", { ...style, cx, cy, r }),
    () => shape("rect", { ...style, x: cx - r, y: cy - r, width: 2 * r, height: 2 * r }),
    () =>
      shape("path", {
        ...style,
        d: `M${cx} ${cy - r - 1}L${cx + r + 1} ${cy + r}L${cx - r - 1} ${cy + r}z`,
      }),
    () =>
      shape("path", {
        ...style,
        d: `M${cx} ${cy - r - 1}L${cx + r + 1} ${cy}L${cx} ${cy + r + 1}L${cx - r - 1} ${cy}z`,
      }),
  ][look]();
  made.append(shape("title", {}, title));
  return made;
}

function legendKey(look) {
  const picture = shape("svg", {
    viewBox: "0 0 26 10",
    width: 26,
    height: 10,
    "aria-hidden": "true",
  });
  picture.append(
    shape("polyline", { class: "sw-plot-line", "data-look": look, points: "0,5 26,5" }),
    dot(look, 13, 5, ""),
  );
  return picture;
}

function summary({ title, points }, { measure, along, named }) {
  const [first, last] = [points[0], points.at(-1)];
  const at = ({ x, y }) => `${y.toFixed(2)} at ${+x.toFixed(1)} ${ALONG[along]}`;
  const name = named ? `${MEASURES[measure].name} of ${title}` : MEASURES[measure].name;
  return points.length === 1 ? `${name} ${at(first)}` : `${name} from ${at(first)} to ${at(last)}`;
}

function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}
