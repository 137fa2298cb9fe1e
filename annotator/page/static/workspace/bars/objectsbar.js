/** The bar of the object tool: what is selected, and what can be done with it. */

import { session } from "../../state/session.js";
import { element, keyButton, setText } from "../../ui/dom.js";
import { actions } from "../actions.js";

const HINT =
  "Click a proposed object to accept it, right-click to reject it, drag around several. " +
  "Tab shows the least certain. Click a labelled one to select it.";

/** The bar under the canvas: {node, update(state)}. */
export function objectsbar(focusCanvas) {
  const hint = element("p.sw-guide-hint", { role: "status" });
  const find = keyButton("Find objects", "Shift+F", () => actions.findObjects());
  const number = keyButton("Number all", "", () => tool().number());
  const apply = keyButton("", "Enter", () => tool().change(tool().summary.enter));
  const remove = keyButton("Delete", "Del", () => tool().change("delete"));
  const split = keyButton("Split", "Shift+S", () => tool().change("split"));
  const fill = keyButton("Fill holes", "Shift+G", () => tool().change("holes"));
  const clear = keyButton("Clear", "Esc", () => tool().cancel());
  const limits = limitSliders(focusCanvas);
  const next = keyButton("Next", "Tab", () => tool().next());
  const reject = keyButton("Not one", "R", () => session.app.rejectSlice());
  const accept = keyButton("Accept it", "Y", () => session.app.acceptSlice());
  apply.classList.add("primary");
  accept.classList.add("primary");
  const node = element(
    "section.sw-guide.sw-objects",
    { "aria-label": "Objects", hidden: true },
    hint,
    limits.node,
    find,
    number,
    clear,
    split,
    fill,
    remove,
    apply,
    next,
    reject,
    accept,
  );
  node.addEventListener(
    "click",
    (event) => event.detail > 0 && event.target.closest("button") && focusCanvas(),
  );
  const update = (state) => {
    const { held } = state;
    node.hidden = !held || state.image === null;
    if (node.hidden) return;
    const { count, enter, judged } = held;
    limits.update(state.limits, count > 0 || !state.proposal.shown);
    number.hidden = count > 0 || Boolean(judged);
    next.hidden = count > 0;
    find.hidden = number.hidden || session.image?.kind !== "image";
    find.disabled = state.proposal.finding !== null;
    setText(find.firstChild, findText(state.proposal.finding));
    reject.hidden = accept.hidden = !judged || count > 0;
    remove.hidden = fill.hidden = clear.hidden = !count;
    split.hidden = count !== 1;
    apply.hidden = !enter;
    setText(apply.firstChild, enter === "class" ? `Make it ${nameOf(state.classId)}` : "Merge");
    setText(hint, count ? selectedText(held) : judged ? judgedText(judged) : shownText(held.shown));
  };
  return { node, update };
}

/** Two sliders: {node, update(limits, hidden)}. */
function limitSliders(focusCanvas) {
  const certain = slider(
    "Hide the least certain objects of a slice",
    { max: 90, step: 5 },
    (value) => (value ? `hide ${value} %` : "all"),
  );
  const size = slider("Hide small objects", { max: 16, step: 1 }, (value) =>
    value ? `≥ ${pixelsAt(value)} px` : "any",
  );
  const node = element(
    "span.sw-group",
    { role: "group", "aria-label": "Which proposed objects are shown" },
    named("Certain", certain),
    named("Size", size),
  );
  const set = () =>
    session.app.setObjectLimits({
      leastCertain: Number(certain.input.value) / 100,
      smallest: pixelsAt(Number(size.input.value)),
    });
  for (const { input } of [certain, size]) {
    input.addEventListener("input", set);
    input.addEventListener("change", focusCanvas);
  }
  const update = (limits, hidden) => {
    node.hidden = hidden;
    if (!limits) certain.input.value = size.input.value = 0;
    certain.tell();
    size.tell();
  };
  return { node, update };
}

/** Twice as many with each two steps. */
function pixelsAt(step) {
  return step ? Math.round(2 ** (step / 2 + 2)) : 0;
}

function slider(title, range, text) {
  const value = element("output.sw-limit-value", {});
  const input = element("input", {
    type: "range",
    min: 0,
    value: 0,
    ...range,
    "aria-label": title,
  });
  const tell = () => {
    const words = text(Number(input.value));
    setText(value, words);
    input.setAttribute("aria-valuetext", words);
  };
  return { input, value, title, tell };
}

function named(name, { input, value, title }) {
  return element("label.sw-limit", { title }, element("span", {}, name), input, value);
}

/** "12 of 17 objects are shown. Y accepts these." */
function shownText(shown) {
  if (!shown) return HINT;
  const [left, all] = shown.map((many) => many.toLocaleString("en"));
  return `${left} of ${all} objects are shown. Y accepts these, R rejects them.`;
}

function findText(share) {
  return share === null ? "Find objects" : `Finding ${Math.round(100 * share)} %`;
}

function tool() {
  return session.app.toolbox.tools.objects;
}

/** "Object 3 of 17, the least certain first: nucleus, 120 pixels." */
function judgedText({ place, of, classId, pixels }) {
  const what = `${nameOf(classId)}, ${pixels.toLocaleString("en")} pixels`;
  return `Object ${place + 1} of ${of}, the least certain first: ${what}.`;
}

/** "nucleus #12, 345 pixels. Drag a line across it to split it." */
function selectedText({ count, one }) {
  if (!one) return `${count} objects are selected.`;
  const { pixels } = one;
  const number = one.object ? ` #${one.object}` : "";
  const where = session.image?.kind === "volume" ? " on this slice" : "";
  const much = `${pixels.toLocaleString("en")} ${pixels === 1 ? "pixel" : "pixels"}${where}`;
  return `${nameOf(one.classId)}${number}, ${much}. Drag a line across it to split it there.`;
}

function nameOf(id) {
  return session.classes.find((one) => one.id === id)?.name ?? `class ${id}`;
}
