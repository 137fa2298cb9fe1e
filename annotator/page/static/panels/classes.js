/** The class list of the Label panel: choose, add, rename, recolour, code, count, hide, lock, remove. */

import { session } from "../state/session.js";
import { element, icon, iconButton } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { askHowToRemove } from "./class_removal.js";

const CODE_INPUT = { label: "Code of the class", hint: "SCT 10200004 Liver", longest: 100 };

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  await session.start();
  const list = element("ul.sw-classes", { "aria-label": "Classes" });
  const add = element(
    "button.sw-button.ghost.sw-add-class",
    { type: "button", onclick: () => startAdding(list) },
    icon("plus", 16),
    "Add a class",
  );
  const none = element(
    "p.sw-hint",
    {},
    "Name what you want to label, such as “kidney”, “nucleus” or “crack”.",
  );
  root.replaceChildren(list, none, add);
  const draw = () => {
    none.hidden = session.classes.some((one) => one.id !== 0);
    list.replaceChildren(...session.classes.map(classRow));
  };
  session.addEventListener("project", () => keepFocus(list, draw));
  session.addEventListener("change", () => showChosen(list));
  draw();
  showChosen(list);
}

/** Something is to be labelled and there is no class: ask for its name. */
export async function askForClass() {
  document.querySelector("#tab-label-button")?.click();
  toast("Add a class first: type its name and press Enter.", "info");
  // Gradio shows the tab first, and a click on Accept gives the canvas the focus
  await new Promise(requestAnimationFrame);
  startAdding(document.querySelector(".sw-classes"));
}

function showChosen(list) {
  const chosen = String(session.app?.state.classId ?? "");
  for (const row of list.children) {
    const is = row.dataset.id === chosen;
    if (row.classList.contains("chosen") === is) continue;
    row.classList.toggle("chosen", is);
    row.querySelector(".sw-class-name")?.setAttribute("aria-pressed", String(is));
  }
}

/** Redraw, and put the keyboard back on the control that it was on. */
function keepFocus(list, draw) {
  const active = list.contains(document.activeElement) ? document.activeElement : null;
  // somebody is typing a name: the next change draws it
  if (active?.matches("input[type=text]")) return;
  const control = active?.dataset.control;
  const id = active?.closest("li")?.dataset.id;
  draw();
  showChosen(list);
  if (control) list.querySelector(`li[data-id="${id}"] [data-control="${control}"]`)?.focus();
}

function classRow(one) {
  const fixed = one.id === 0;
  const name = element(
    "button.sw-class-name",
    {
      type: "button",
      "aria-pressed": "false",
      dataset: { control: "name" },
      title: fixed
        ? "Label as background (0)"
        : `Label as ${one.name}${one.key && ` (${one.key})`}`,
      onclick: () => session.app?.setClass(one.id),
      ondblclick: (event) => !fixed && startRenaming(event.currentTarget.closest("li"), one),
    },
    element("kbd", { "aria-hidden": "true" }, one.key),
    element("span", {}, one.name),
  );
  const controls = fixed ? [] : [renameButton(one), codeButton(one), removeButton(one)];
  return element(
    "li.sw-class",
    { dataset: { id: one.id } },
    swatch(one),
    name,
    ...controls,
    ...(fixed ? [] : [objectsButton(one)]),
    flagButton(one, "hidden"),
    flagButton(one, "locked"),
  );
}

function swatch(one) {
  if (one.id === 0) return element("span.sw-swatch.background", { "aria-hidden": "true" });
  return element("input.sw-swatch", {
    type: "color",
    value: one.color,
    "aria-label": `Colour of ${one.name}`,
    title: "Colour",
    dataset: { control: "color" },
    onchange: (event) =>
      session.editClasses({ op: "recolor", id: one.id, color: event.target.value }),
  });
}

function flagButton(one, flag) {
  const on = one[flag];
  const [label, name] = {
    hidden: [`Hide ${one.name}`, on ? "hidden" : "eye"],
    locked: [`Lock ${one.name}`, on ? "lock" : "unlock"],
  }[flag];
  const button = iconButton(name, label, {
    "aria-pressed": String(on),
    dataset: { control: flag },
    onclick: () => session.setClassFlag(one.id, flag, !on),
  });
  button.title =
    flag === "hidden"
      ? on
        ? "Show this class"
        : "Hide this class"
      : on
        ? "Unlock this class"
        : "Lock this class: no tool changes it";
  return button;
}

/** Objects, each with a number of its own, or an area: for what is labelled from now on. */
function objectsButton(one) {
  return kindButton(`${one.name} is objects`, one.objects, (objects) =>
    session.editClasses({ op: "objects", id: one.id, objects }),
  );
}

function kindButton(label, on, take) {
  const button = iconButton("objects", label, {
    "aria-pressed": String(on),
    dataset: { control: "objects" },
    onpointerdown: (event) => event.preventDefault(), // a name that is typed keeps the keyboard
    onclick: () => take(!on),
  });
  button.title = on
    ? "Objects: each gets a number of its own; click to make it an area"
    : "An area; click to give every object a number of its own";
  return button;
}

function renameButton(one) {
  return iconButton("pencil", `Rename ${one.name}`, {
    dataset: { control: "rename", quiet: "1" },
    onclick: (event) => startRenaming(event.currentTarget.closest("li"), one),
  });
}

function codeButton(one) {
  const button = iconButton("tag", `Code of ${one.name}`, {
    dataset: { control: "code", quiet: "1" },
    onclick: (event) => startCoding(event.currentTarget.closest("li"), one),
  });
  if (one.code) button.title = `Code: ${one.code}`;
  return button;
}

function removeButton(one) {
  return iconButton("trash", `Remove ${one.name}`, {
    dataset: { control: "remove", quiet: "1" },
    onclick: () => askHowToRemove(one),
  });
}

function startRenaming(row, one) {
  nameInput(
    row,
    one.name,
    (name) => name !== one.name && session.editClasses({ op: "rename", id: one.id, name }),
  );
}

/** What the class is in SNOMED CT, RadLex or another scheme: DICOM and BIDS files say it. */
function startCoding(row, one) {
  const take = (code) => code !== one.code && session.editClasses({ op: "code", id: one.id, code });
  nameInput(row, one.code, take, { ...CODE_INPUT, mayBeEmpty: true });
}

function startAdding(list) {
  const row = element("li.sw-class");
  list.append(row);
  let objects = false;
  nameInput(row, "", (name) => addClass(name, objects), { giveUp: () => row.remove() });
  const choose = () => {
    const button = kindButton("New class is objects", objects, (on) => {
      objects = on;
      button.replaceWith(choose());
    });
    return button;
  };
  row.append(choose());
}

/** A new class is what the person wants to label next. */
async function addClass(name, objects) {
  if (await session.editClasses({ op: "add", name, objects }))
    session.app?.setClass(session.classes.at(-1).id);
}

/** Put a text field into a row: Enter or leaving takes the text, Escape gives up. */
function nameInput(row, before, take, how = {}) {
  const { label = "Class name", hint = "Name", longest = 60, mayBeEmpty, giveUp } = how;
  const input = element("input.sw-name-input", {
    type: "text",
    value: before,
    maxlength: longest,
    "aria-label": label,
    placeholder: hint,
  });
  const kept = [...row.childNodes];
  let settled = false;
  const settle = (accepted) => {
    if (settled) return;
    settled = true;
    const text = input.value.trim();
    row.replaceChildren(...kept);
    if (accepted && (text || mayBeEmpty)) take(text);
    giveUp?.();
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") settle(true);
    if (event.key === "Escape") settle(false);
  });
  input.addEventListener("blur", () => settle(true));
  row.replaceChildren(input);
  input.focus();
  input.select();
}
