/** Above the canvas: which image, undo, layout, window, and the "complete" switch of the slice. */

import { describe, stateOf, stateText } from "../../state/image_text.js";
import { session } from "../../state/session.js";
import { layoutOf } from "../../engine/geometry.js";
import { element, icon, iconButton, setAttributes, setText } from "../../ui/dom.js";
import { rove } from "../../ui/roving.js";
import { current, toggleTheme } from "../../ui/theme.js";
import { actions } from "../actions.js";
import { toggleSheet } from "../shortcut_sheet.js";

const LAYOUTS = [
  ["three", "Three planes", "Alt+1"],
  ["axial", "Axial only", "Alt+2"],
  ["coronal", "Coronal only", "Alt+3"],
  ["sagittal", "Sagittal only", "Alt+4"],
];

/** The top bar: {node, update(state)}. */
export function topbar(focusCanvas) {
  const parts = [imageName(), history(), layouts(), windowControls(), completeSwitch(), corner()];
  const node = element(
    "header.sw-top",
    {},
    parts.map((part) => part.node),
  );
  node.addEventListener(
    "click",
    (event) => event.detail > 0 && event.target.closest("button") && focusCanvas(),
  );
  return { node, update: (state) => parts.forEach((part) => part.update?.(state)) };
}

function imageName() {
  const name = element("span.sw-name", { title: "" });
  const size = element("span.sw-size");
  const progress = imageProgress();
  const node = element(
    "div.sw-opened",
    {},
    iconButton("previous", "Previous image", { keys: "Shift+N", onclick: () => actions.step(-1) }),
    element("div.sw-title", {}, name, element("div.sw-about", {}, size, progress.node)),
    iconButton("next", "Next image", { keys: "N", onclick: () => actions.step(1) }),
    presence(),
  );
  session.addEventListener("image", () => {
    const { image } = session;
    setText(name, image?.name ?? "");
    name.title = name.textContent;
    setText(size, image ? describe(image) : "");
    size.title = size.textContent;
  });
  return { node, update: progress.update };
}

/** "in work 12 %": how far the open image is. */
function imageProgress() {
  const node = element("span.sw-image-state", { role: "status" });
  const update = ({ proposal }) => {
    if (!session.image) return setText(node, "");
    const { slices, known } = session.image;
    const state = stateOf({ slices_labelled: slices.length, known }, proposal.shown);
    node.dataset.state = state;
    setText(node, stateText(state, known));
  };
  const again = () => session.app && update(session.app.state);
  session.start().then(
    () => session.link.addEventListener("slices", again),
    () => {},
  );
  return { node, update };
}

function presence() {
  const node = element("span.sw-presence", { role: "status" });
  session.start().then(() =>
    session.link.addEventListener("presence", ({ detail: { message } }) => {
      const others = message.users.filter((user) => user !== session.project.user);
      node.replaceChildren(...(others.length ? [icon("person", 14), others.join(", ")] : []));
      node.title = others.length ? `Also here: ${others.join(", ")}` : "";
    }),
  );
  return node;
}

function history() {
  const undo = iconButton("undo", "Undo", { keys: "Ctrl+Z", onclick: () => session.app?.undo() });
  const redo = iconButton("redo", "Redo", {
    keys: "Ctrl+Shift+Z",
    onclick: () => session.app?.redo(),
  });
  const clear = iconButton("trash", "Clear this slice (Shift: the whole image)", {
    keys: "Delete",
    onclick: (event) => actions.clear({ image: event.shiftKey }),
  });
  clear.classList.add("sw-clear");
  const update = ({ canUndo, canRedo, canUndoElsewhere, canRedoElsewhere, image }) => {
    undo.disabled = !canUndo && !canUndoElsewhere;
    redo.disabled = !canRedo && !canRedoElsewhere;
    clear.disabled = image === null;
  };
  return {
    node: element("div.sw-group", { role: "group", "aria-label": "History" }, undo, redo, clear),
    update,
  };
}

function layouts() {
  const buttons = LAYOUTS.map(([name, label, keys]) =>
    iconButton(name, label, {
      keys,
      dataset: { layout: name },
      "aria-pressed": "false",
      onclick: () => session.app?.layout(layoutOf(session.app.image, name)),
    }),
  );
  const node = element(
    "div.sw-group.segments",
    { role: "toolbar", "aria-label": "Layout" },
    buttons,
  );
  rove(node);
  const update = ({ layout }) => {
    node.hidden = session.image?.kind !== "volume";
    for (const button of buttons) {
      const shown = layoutOf(session.app?.image, button.dataset.layout);
      setAttributes(button, { "aria-pressed": shown === layout });
    }
  };
  return { node, update };
}

function windowControls() {
  const lo = windowNumber("Window from");
  const hi = windowNumber("Window to");
  const presets = element("select.sw-select", {
    "aria-label": "Window preset",
    title: "Window preset",
  });
  const take = (from, to) =>
    Number.isFinite(from) && Number.isFinite(to) && to > from && session.app?.setWindow(from, to);
  for (const input of [lo, hi]) {
    input.addEventListener("change", () => take(lo.valueAsNumber, hi.valueAsNumber));
    input.addEventListener("keydown", (event) => event.key === "Enter" && input.blur());
  }
  presets.addEventListener("change", () => {
    const [from, to] = presets.value.split(",").map(Number);
    take(from, to);
    presets.blur();
  });
  const node = element(
    "div.sw-group.sw-window",
    { role: "group", "aria-label": "Window", hidden: true },
    presets,
    lo,
    element("span", { "aria-hidden": "true" }, "–"),
    hi,
  );
  session.addEventListener("image", () => {
    node.hidden = !session.image;
    if (!session.image) return;
    presets.hidden = Boolean(session.image.named?.length); // a channel's windows are its own
    presets.replaceChildren(...presetOptions(session.image));
  });
  return { node, update: (state) => showWindow({ presets, lo, hi }, state.window) };
}

function windowNumber(label) {
  return element("input.sw-number", {
    type: "number",
    step: "any",
    "aria-label": label,
    title: label,
  });
}

function presetOptions({ window, range, presets }) {
  const all = [
    { name: "Default", lo: window[0], hi: window[1] },
    ...presets,
    { name: "Full range", lo: range[0], hi: range[1] },
  ];
  const options = all.map(({ name, lo, hi }) => element("option", { value: `${lo},${hi}` }, name));
  return [...options, element("option", { value: "", hidden: true }, "Custom")];
}

function showWindow({ presets, lo, hi }, window) {
  if (!window) return;
  for (const [input, value] of [
    [lo, window[0]],
    [hi, window[1]],
  ]) {
    const text = String(rounded(value, window[1] - window[0]));
    if (document.activeElement !== input && input.value !== text) input.value = text;
  }
  const match = [...presets.options].find((option) => {
    const [from, to] = option.value.split(",").map(Number);
    return option.value && from === window[0] && to === window[1];
  });
  presets.value = match?.value ?? "";
}

/** A number with as many digits as matter at this width of window. */
function rounded(value, width) {
  return width > 20 ? Math.round(value) : +value.toPrecision(3);
}

function completeSwitch() {
  const text = element("span", {}, "Complete slice");
  const button = element(
    "button.sw-complete-switch",
    {
      type: "button",
      "aria-pressed": "false",
      "aria-keyshortcuts": "K",
      title: "Complete: everything unlabelled on this slice is background (K)",
      hidden: true,
      onclick: () => actions.complete(),
    },
    icon("check", 16),
    text,
  );
  const update = ({ complete }) => {
    const flat = session.image?.kind === "image";
    button.hidden = !session.image;
    setAttributes(button, { "aria-pressed": Boolean(complete) });
    setText(
      text,
      complete
        ? flat
          ? "Image complete"
          : "Slice complete"
        : flat
          ? "Complete image"
          : "Complete slice",
    );
  };
  session.addEventListener("image", () => update(session.app.state));
  return { node: button, update };
}

function corner() {
  const theme = iconButton("sun", "Switch between dark and light", {
    onclick: () => {
      toggleTheme();
      drawn();
    },
  });
  const drawn = () => theme.replaceChildren(icon(current() === "dark" ? "sun" : "moon"));
  drawn();
  const help = iconButton("help", "Keys and mouse", { keys: "?", onclick: () => toggleSheet() });
  return { node: element("div.sw-group.sw-corner", {}, theme, help) };
}
