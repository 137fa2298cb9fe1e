/** From a key to what the table of shortcuts says; keys that a control needs stay with it. */

import { GROUPS, offerToCanvas } from "./shortcuts.js";

const TABLE = new Map(
  GROUPS.flatMap((group) =>
    group.keys.flatMap((entry) => (entry.codes ?? []).map((code) => [code, entry])),
  ),
);
// "?" and "+" need Shift on many keyboards: it is part of the character
const PRINTED_WITH_SHIFT = /^[^a-z0-9]$/i;

/** "Ctrl+Shift+z" for an event; Command counts as Ctrl. */
function codeOf(event) {
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
  const entry = TABLE.get(codeOf(event)) ?? { run: offerToCanvas };
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
  "input, " +
  "[role=listbox], [role=tab], [role=tablist], [role=radiogroup], [role=toolbar], [role=slider]";

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
