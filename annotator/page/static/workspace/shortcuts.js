/**
 * Every key of the page in one table: what the shortcut sheet shows is what the dispatcher does.
 *
 * `keys` as the sheet prints them, `codes` as the dispatcher compares them ("Ctrl+Shift+z");
 * `run(context)` does it, where `context` = {app, session, event, actions}. An entry without
 * `codes` is only shown (mouse gestures).
 */

const tool =
  (name) =>
  ({ app }) =>
    app.setTool(name);
const engine = ({ app, event }) => app.key(event) === true;

export const GROUPS = [
  {
    title: "Tools",
    keys: [
      { keys: "Q", codes: ["q"], text: "Click prompt", tool: "click", run: tool("click") },
      { keys: "W", codes: ["w"], text: "Box prompt", tool: "box", run: tool("box") },
      { keys: "S", codes: ["s"], text: "Scribble prompt", tool: "scribble", run: tool("scribble") },
      { keys: "B", codes: ["b"], text: "Brush", tool: "brush", run: tool("brush") },
      {
        keys: "E",
        codes: ["e"],
        text: "Eraser (unknown again)",
        tool: "erase",
        run: tool("erase"),
      },
      { keys: "L", codes: ["l"], text: "Lasso", tool: "lasso", run: tool("lasso") },
      { keys: "P", codes: ["p"], text: "Polygon", tool: "polygon", run: tool("polygon") },
      {
        keys: "G",
        codes: ["g"],
        text: "Fill holes",
        tool: "fill",
        run: ({ actions }) => actions.fill(),
      },
      { keys: "V", codes: ["v"], text: "Pan", tool: "pan", run: tool("pan") },
      { keys: "D", codes: ["d"], text: "Window / level", tool: "window", run: tool("window") },
      { keys: "C", codes: ["c"], text: "Crosshair", tool: "crosshair", run: tool("crosshair") },
      {
        keys: "[  ]",
        codes: ["[", "]"],
        text: "Smaller / larger brush",
        run: ({ actions, event }) => actions.brush(event.key),
      },
    ],
  },
  {
    title: "Prompts and masks",
    keys: [
      { keys: "Left click", text: "Add to the object" },
      { keys: "Right click", text: "Take away from the object (also Alt+click)" },
      { keys: "Shift+click", text: "On a label or proposal: refine it" },
      {
        keys: "Enter  A",
        codes: ["Enter", "a"],
        text: "Accept the mask, close a polygon",
        run: ({ actions, event }) => actions.accept(event),
      },
      {
        keys: "Esc",
        codes: ["Escape"],
        text: "Clear the prompts, cancel a polygon",
        run: ({ actions, event }) => actions.escape(event),
      },
      {
        keys: "Tab",
        codes: ["Tab"],
        text: "Next candidate mask (while one is shown)",
        run: ({ actions }) => actions.candidate(),
      },
      {
        keys: "Backspace",
        codes: ["Backspace"],
        text: "Remove the last polygon corner",
        run: engine,
      },
    ],
  },
  {
    title: "Labels",
    keys: [
      {
        keys: "1 … 9",
        codes: [..."123456789"],
        text: "Choose a class",
        run: ({ actions, event }) => actions.chooseClass(event.key),
      },
      {
        keys: "0",
        codes: ["0"],
        text: "Background (said to be nothing)",
        run: ({ actions }) => actions.chooseClass("0"),
      },
      {
        keys: "K",
        codes: ["k"],
        text: "Slice complete: the rest is background",
        run: ({ actions }) => actions.complete(),
      },
      {
        keys: "X",
        codes: ["x"],
        text: "Hide labels: hold to peek, tap to toggle",
        run: ({ actions, event }) => actions.hide(event),
      },
      {
        keys: "O",
        codes: ["o"],
        text: "Fill, outline or both",
        run: ({ actions }) => actions.style(),
      },
      { keys: "Ctrl+Z", codes: ["Ctrl+z"], text: "Undo", run: ({ app }) => app.undo() },
      {
        keys: "Ctrl+Shift+Z  Ctrl+Y",
        codes: ["Ctrl+Shift+z", "Ctrl+y"],
        text: "Redo",
        run: ({ app }) => app.redo(),
      },
    ],
  },
  {
    title: "Proposals",
    keys: [
      {
        keys: "J",
        codes: ["j"],
        text: "The slice (or image) most worth labelling next",
        run: ({ actions }) => void actions.nextProposed(),
      },
      {
        keys: "Z",
        codes: ["z"],
        text: "Guided start: two slices at right angles first",
        run: ({ actions }) => void actions.guide(),
      },
      {
        keys: "Y",
        codes: ["y"],
        text: "Accept what is proposed on this slice",
        run: ({ actions }) => actions.acceptSlice(),
      },
      {
        keys: "I",
        codes: ["i"],
        text: "Accept a range of slices",
        run: ({ actions }) => void actions.acceptRange(),
      },
      {
        keys: "Shift+Y",
        codes: ["Shift+y"],
        text: "Accept the whole volume",
        run: ({ actions }) => actions.acceptAll(),
      },
      {
        keys: "R",
        codes: ["r"],
        text: "Reject: what is proposed here is background",
        run: ({ actions }) => actions.rejectSlice(),
      },
      {
        keys: ",  .",
        codes: [",", "."],
        text: "Show and accept less / more certain ones only",
        run: ({ actions, event }) => actions.sure(event.key),
      },
      { keys: "U", codes: ["u"], text: "Show the doubt", run: ({ actions }) => actions.doubt() },
      {
        keys: "Shift+U",
        codes: ["Shift+u"],
        text: "Show how far the app trusts what is known",
        run: ({ actions }) => actions.trust(),
      },
      {
        keys: "H",
        codes: ["h"],
        text: "Hide or show proposals",
        run: ({ actions }) => actions.proposals(),
      },
    ],
  },
  {
    title: "Moving around",
    keys: [
      {
        keys: "Wheel  PgUp  PgDn",
        codes: ["PageUp", "PageDown"],
        text: "Previous / next slice",
        run: engine,
      },
      {
        keys: "Ctrl+Wheel  +  −",
        codes: ["+", "=", "-"],
        text: "Zoom",
        run: ({ app, event }) => app.zoom(event.key === "-" ? 1 / 1.25 : 1.25),
      },
      { keys: "Middle drag  Space+drag", text: "Pan with any tool" },
      { keys: "F", codes: ["f"], text: "Fit to the view", run: ({ app }) => app.fit() },
      {
        keys: "Arrow keys",
        codes: ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"],
        text: "Move the crosshair or cursor",
        run: engine,
      },
      { keys: "Home  End", codes: ["Home", "End"], text: "First / last slice", run: engine },
      { keys: "Shift+move", text: "Crosshair follows the pointer" },
      {
        keys: "Alt+1 … Alt+4",
        codes: ["Alt+1", "Alt+2", "Alt+3", "Alt+4"],
        text: "Three planes, axial, coronal, sagittal",
        run: ({ actions, event }) => actions.layout(event),
      },
      {
        keys: "N  Shift+N",
        codes: ["n", "Shift+n"],
        text: "Next / previous image",
        run: ({ actions, event }) => actions.step(event.shiftKey ? -1 : 1),
      },
      {
        keys: "T",
        codes: ["t"],
        text: "All images as a table",
        run: ({ actions }) => actions.table(),
      },
      {
        keys: "M",
        codes: ["m"],
        text: "Flag this image, or no longer",
        run: ({ actions }) => actions.flag(),
      },
      { keys: "?", codes: ["?"], text: "This sheet", run: ({ actions }) => actions.sheet() },
    ],
  },
];

const TABLE = new Map(
  GROUPS.flatMap((group) =>
    group.keys.flatMap((entry) => (entry.codes ?? []).map((code) => [code, entry])),
  ),
);
// "?" and "+" need Shift on many keyboards: it is part of the character
const PRINTED_WITH_SHIFT = /^[^a-z0-9]$/i;

/** The key of a tool, for tooltips. */
export function keyOfTool(name) {
  return GROUPS[0].keys.find((entry) => entry.tool === name)?.keys ?? "";
}

/** "Ctrl+Shift+z" for an event; Command counts as Ctrl. */
export function codeOf(event) {
  const key = characterOf(event);
  const parts = [];
  // AltGr only makes the character on some keyboards
  const typed = event.getModifierState?.("AltGraph");
  if (!typed && (event.ctrlKey || event.metaKey)) parts.push("Ctrl");
  if (!typed && event.altKey) parts.push("Alt");
  if (event.shiftKey && !PRINTED_WITH_SHIFT.test(key)) parts.push("Shift");
  return [...parts, key].join("+");
}

/**
 * The key as the table writes it: by its place where it prints something that is not in the Latin
 * alphabet.
 */
function characterOf({ key, code = "", altKey }) {
  // Alt+1 prints another character on some keyboards
  const digit = altKey && /^Digit([0-9])$/.exec(code);
  if (digit) return digit[1];
  const letter = key.length === 1 && key.charCodeAt(0) > 127 && /^Key([A-Z])$/.exec(code);
  if (letter) return letter[1].toLowerCase();
  return key.length === 1 ? key.toLowerCase() : key;
}

/**
 * Run what the table says for this event (or offer it to the canvas); answers whether the event was
 * used.
 */
export function dispatch(event, context) {
  if (belongsToControl(event)) return false;
  const entry = TABLE.get(codeOf(event)) ?? { run: engine };
  return entry.run({ ...context, event }) !== false;
}

const TEXT_INPUTS = new Set([
  "text",
  "search",
  "number",
  "email",
  "url",
  "password",
  "tel",
  "color",
  "date",
  "time",
]);
const MOVES = new Set([
  "ArrowUp",
  "ArrowDown",
  "ArrowLeft",
  "ArrowRight",
  "Home",
  "End",
  "PageUp",
  "PageDown",
]);
const PRESSES = new Set(["Enter", " "]);
const WITH_ARROWS =
  "input, [role=listbox], [role=tab], [role=tablist], [role=radiogroup], [role=toolbar], [role=slider]";

/** A key that the focused control needs itself is never taken from it. */
function belongsToControl(event) {
  const target = event.target.closest?.(
    "input, textarea, select, button, a, summary, [contenteditable], [role], dialog",
  );
  if (!target) return false;
  if (target.closest("dialog")) return true;
  if (target.matches("textarea, select, [contenteditable]")) return true;
  if (target.matches("input") && TEXT_INPUTS.has(target.type)) return true;
  if (MOVES.has(event.key) && target.matches(WITH_ARROWS)) return true;
  if (event.key === "Tab") return !target.matches("[role=application]");
  return (
    PRESSES.has(event.key) && target.matches("button, a, summary, input, [role=option], [role=tab]")
  );
}
