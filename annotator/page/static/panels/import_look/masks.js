/** What the values of some masks mean, to be changed: classes, object numbers, unknown, background. */

import { element } from "../../ui/dom.js";

const KINDS = { class: "class", void: "unknown", background: "background" };
const OBJECT = { name: "object", color: "#ef5350", known: false };
let families = 0; // numbers for the names of radio buttons

/** {node, chosen()}; `chosen` is null where nothing was changed. */
export function maskFamily(family, number) {
  const state = { how: proposed(family), changed: false };
  const values = family.values.map((value) => valueRow(value, () => (state.changed = true)));
  const objects = nameAndColor(family.objects ? (family.values[0] ?? OBJECT) : OBJECT, () => {
    state.changed = true;
  });
  const table = element(
    "div.sw-look-values",
    {},
    values.map(({ node }) => node),
  );
  const object = element(
    "div.sw-look-values",
    {},
    element("span", {}, "Every object is"),
    ...objects,
  );
  const draw = () => {
    table.hidden = state.how !== "classes";
    object.hidden = state.how !== "objects";
    // what is not shown must not keep the form from being sent
    for (const part of [table, object])
      for (const input of part.querySelectorAll("input.sw-look-name")) input.disabled = part.hidden;
    for (const { refresh } of values) if (!table.hidden) refresh();
  };
  const choose = (how) => {
    Object.assign(state, { how, changed: true });
    draw();
  };
  const node = element(
    "fieldset.sw-look-masks",
    {},
    element("legend", {}, title(family)),
    family.notes.map((note) => element("p", {}, `${sentence(note)}.`)),
    family.question
      ? element("p.sw-look-question", {}, `${sentence(family.question)}. Say what they are.`)
      : null,
    howChoice(family, state.how, choose),
    table,
    object,
  );
  draw();
  return {
    node,
    chosen: () => (state.changed ? answer(number, state.how, values, objects) : null),
  };
}

function proposed({ objects, question }) {
  if (question) return "none";
  return objects ? "objects" : "classes";
}

function title({ files, first, tables }) {
  const which = files === 1 ? first : `${files.toLocaleString("en")} masks like ${first}`;
  return tables.length ? `${which}, names from ${tables.join(", ")}` : which;
}

function howChoice(family, how, choose) {
  const name = `sw-look-${(families += 1)}`;
  const option = (value, text) =>
    element(
      "label",
      {},
      element("input", {
        type: "radio",
        name,
        checked: how === value,
        onchange: () => choose(value),
      }),
      ` ${text}`,
    );
  return element(
    "div.sw-row",
    { role: "radiogroup", "aria-label": "What the values are" },
    family.question ? option("none", "Leave these masks out") : null,
    option("classes", "Values are classes"),
    option("objects", "Values number objects"),
  );
}

function valueRow(seen, changed) {
  const kind = element(
    "select.sw-select",
    { "aria-label": `What ${seen.shown} means` },
    Object.entries(KINDS).map(([value, text]) => element("option", { value }, text)),
  );
  kind.value = seen.kind;
  const name = seen.name || seen.shown;
  const inputs = nameAndColor({ ...seen, name }, changed);
  const refresh = () => {
    for (const input of inputs) input.disabled = kind.value !== "class";
  };
  kind.addEventListener("change", () => {
    changed();
    refresh();
  });
  const files = seen.files === 1 ? "in 1 file" : `in ${seen.files.toLocaleString("en")} files`;
  const node = element(
    "div.sw-look-value",
    {},
    element("code", {}, swatch(seen.shown), seen.shown),
    kind,
    ...inputs,
    element("small", {}, files),
  );
  return { node, seen, kind, inputs, refresh };
}

/** The colour itself where a mask is in colours. */
function swatch(shown) {
  if (!shown.startsWith("#")) return null;
  return element("i.sw-look-swatch", { style: `background: ${shown}`, "aria-hidden": "true" });
}

/** [name, color]: the color of a class that is there already is not asked. */
function nameAndColor({ name, color, known, shown }, changed) {
  const what = shown ?? "the objects";
  return [
    element("input.sw-look-name", {
      value: name,
      maxlength: 80,
      required: true,
      "aria-label": `Class of ${what}`,
      oninput: changed,
    }),
    element("input", {
      type: "color",
      value: color || OBJECT.color,
      "aria-label": `Color of ${what}`,
      hidden: known,
      oninput: changed,
    }),
  ];
}

function answer(family, how, values, objects) {
  if (how === "none") return null;
  const said = how === "classes" ? values : values.filter(({ kind }) => kind.value !== "class");
  return {
    family,
    objects: how === "objects",
    object_class: meaning("class", objects),
    values: said.map(({ seen, kind, inputs }) => ({
      value: seen.value,
      ...meaning(kind.value, inputs),
    })),
  };
}

const meaning = (kind, [name, color]) => ({ kind, name: name.value.trim(), color: color.value });

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
