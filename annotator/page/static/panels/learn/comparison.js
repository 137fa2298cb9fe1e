/**
 * Learners side by side in numbers: how good, how much was left of their proposals, how long they
 * trained.
 */

import { element } from "../../ui/dom.js";
import { exportIcon, showIcon } from "./model_files.js";

const LAST = 5; // corrections that are averaged

/** {node, show(learners)}; as the plot's. Hidden where there are not two to compare. */
export function comparison() {
  const body = element("tbody");
  const columns = ["Learner", "Held out", "Corrective", "Rounds", ""];
  const titles = [
    "",
    "Overlap (Dice) with the held-out labels of today; –: not judged by these yet",
    `Overlap (Dice) of its last ${LAST} corrected proposals with what people made of them`,
    "Rounds that finished",
    "",
  ];
  const head = columns.map((text, at) =>
    element(text ? "th" : "td", { scope: "col", title: titles[at] }, text),
  );
  const node = element(
    "div.sw-compare",
    { hidden: true, tabindex: 0, role: "region", "aria-label": "Learners side by side" },
    element("table", {}, element("thead", {}, element("tr", {}, head)), body),
  );
  const show = (learners) => {
    const some = learners.filter(({ history }) => history.rounds.length);
    node.hidden = some.length < 2;
    const judged = some.map(({ history }) =>
      history.rounds.findLast(({ dice }) => typeof dice === "number"),
    );
    const newest = Math.max(...judged.map((round) => round?.core ?? 0));
    // what other labels judged is not to be compared
    const held = judged.map((round) => ((round?.core ?? 0) === newest ? round?.dice : null));
    const left = some.map(({ history }) =>
      mean(history.corrections.slice(-LAST).map(({ dice }) => dice)),
    );
    body.replaceChildren(
      ...some.map(({ name, title, history }, at) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, title),
          cell(held, at),
          cell(left, at),
          element("td", {}, String(history.rounds.length)),
          element("td", {}, showIcon(name, title), exportIcon(name, title)),
        ),
      ),
    );
  };
  return { node, show };
}

/** A number, in bold where it is the best of its column. */
function cell(values, at) {
  const value = values[at];
  if (typeof value !== "number") return element("td", {}, "–");
  const best =
    value === Math.max(...values.filter((one) => typeof one === "number")) &&
    values.filter((one) => one === value).length === 1;
  return element(
    "td",
    { class: best ? "best" : null, title: best ? "Best of these learners" : null },
    value.toFixed(3),
    best && element("span.sw-hidden", {}, " (best)"),
  );
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}
