/**
 * Every key of the page in one table: what the shortcut sheet shows is what the dispatcher does.
 *
 * `keys` as the sheet prints them, `codes` as the dispatcher compares them ("Ctrl+Shift+z");
 * `run(context)` does it, where `context` = {app, session, event, actions}. An entry without
 * `codes` is only shown (mouse gestures).
 */

import { TOOLS } from "../engine/tools/index.js";
import { SCENE_KEYS } from "./scene_keys.js";

export const offerToCanvas = ({ app, event }) => app.key(event) === true;

export const GROUPS = [
  {
    title: "Tools",
    keys: [
      ...Object.entries(TOOLS).map(toolEntry),
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
      { keys: "Right click", text: "Remove from the object (also Alt+click)" },
      { keys: "Shift+click", text: "Mend a wrong part of a proposal, or refine a label" },
      {
        keys: "Enter  A",
        codes: ["Enter", "a"],
        text: "Accept the mask or close the polygon",
        run: ({ actions, event }) => actions.accept(event),
      },
      {
        keys: "Esc",
        codes: ["Escape"],
        text: "Clear the prompts or cancel the polygon",
        run: ({ actions, event }) => actions.escape(event),
      },
      {
        keys: "Tab",
        codes: ["Tab"],
        text: "Show the next candidate mask",
        run: ({ actions }) => actions.candidate(),
      },
      {
        keys: "Backspace",
        codes: ["Backspace"],
        text: "Remove the last polygon corner",
        run: offerToCanvas,
      },
    ],
  },
  {
    title: "With the object tool",
    keys: [
      {
        keys: "Tab",
        text: "Show the least certain proposed object, the next, then the next image",
      },
      { keys: "Y  R", text: "Accept or reject it; without one, all that is shown" },
      { keys: "Click", text: "Accept a proposed object, select a labelled one" },
      { keys: "Right click", text: "Reject a proposed object, delete a labelled one" },
      { keys: "Drag", text: "Accept several proposed objects; with one selected, split it there" },
      { keys: "Enter", text: "Merge what is selected, or give it the current class" },
      { keys: "Shift+S", text: "Split what is selected at its necks" },
      { keys: "Shift+G", text: "Fill the holes of what is selected" },
      { keys: "Del", text: "Delete what is selected" },
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
        text: "Choose background",
        run: ({ actions }) => actions.chooseClass("0"),
      },
      {
        keys: "K",
        codes: ["k"],
        text: "Complete or reopen the slice",
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
        text: "Show labels as areas, outlines or both",
        run: ({ actions }) => actions.style(),
      },
      {
        keys: "Del  Shift+Del",
        codes: ["Delete", "Shift+Delete"],
        text: "Clear this slice, or the whole image",
        run: ({ app, actions, event }) =>
          app.key(event) === true || actions.clear({ image: event.shiftKey }),
      },
      {
        keys: "Ctrl+Z",
        codes: ["Ctrl+z"],
        text: "Undo on this image",
        run: ({ app }) => app.undo(),
      },
      {
        keys: "Ctrl+Shift+Z  Ctrl+Y",
        codes: ["Ctrl+Shift+z", "Ctrl+y"],
        text: "Redo on this image",
        run: ({ app }) => app.redo(),
      },
      {
        keys: "Ctrl+Alt+Z  Ctrl+Alt+Y",
        codes: ["Ctrl+Alt+z", "Ctrl+Alt+y"],
        text: "Undo / redo your last change on any image",
        run: ({ app, event }) =>
          event.key.toLowerCase() === "z"
            ? app.undo({ anywhere: true })
            : app.redo({ anywhere: true }),
      },
    ],
  },
  {
    title: "Proposals",
    keys: [
      {
        keys: "J",
        codes: ["j"],
        text: "Go to what is most worth labelling next",
        run: ({ actions }) => void actions.nextProposed(),
      },
      {
        keys: "Z",
        codes: ["z"],
        text: "Start or end the guided start",
        run: ({ actions }) => void actions.guide(),
      },
      {
        keys: "Y",
        codes: ["y"],
        text: "Accept the slice",
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
        keys: "Shift+J",
        codes: ["Shift+j"],
        text: "Look at likely places of small objects: Y accepts, R rejects",
        run: ({ actions }) => actions.places(),
      },
      {
        keys: "Shift+O",
        codes: ["Shift+o"],
        text: "Redraw the outlines that are proposed in a volume",
        run: ({ actions }) => void actions.redraw(),
      },
      {
        keys: "Shift+F",
        codes: ["Shift+f"],
        text: "Find the objects of a picture by itself",
        run: ({ actions }) => void actions.findObjects(),
      },
      {
        keys: "Shift+R",
        codes: ["Shift+r"],
        text: "Fill anew what you accepted, from your corrections",
        run: ({ app }) => app.refill(),
      },
      {
        keys: ",  .",
        codes: [",", "."],
        text: "Show and accept less certain, or only more certain, proposals",
        run: ({ actions, event }) => actions.sure(event.key),
      },
      {
        keys: "U",
        codes: ["u"],
        text: "Show where the proposal is in doubt",
        run: ({ actions }) => actions.doubt(),
      },
      {
        keys: "Shift+U",
        codes: ["Shift+u"],
        text: "Show how far voxels count in training",
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
        run: offerToCanvas,
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
        run: offerToCanvas,
      },
      { keys: "Home  End", codes: ["Home", "End"], text: "First / last slice", run: offerToCanvas },
      {
        keys: "Shift+V",
        codes: ["Shift+v"],
        text: "Show one channel after the other alone, then all together",
        run: ({ app }) => app.channels.soloNext(),
      },
      { keys: "Shift+move", text: "Move the crosshair with the pointer" },
      {
        keys: "Alt+1 … Alt+4",
        codes: ["Alt+1", "Alt+2", "Alt+3", "Alt+4"],
        text: "Show three planes or one",
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
        text: "Show all images as a table",
        run: ({ actions }) => actions.table(),
      },
      {
        keys: "F2",
        codes: ["F2"],
        text: "Rename, mend the header of, or delete the open image",
        run: ({ actions }) => actions.edit(),
      },
      {
        keys: "M",
        codes: ["m"],
        text: "Flag or unflag this image",
        run: ({ actions }) => actions.flag(),
      },
      {
        keys: "?",
        codes: ["?"],
        text: "Show or hide this sheet",
        run: ({ actions }) => actions.sheet(),
      },
    ],
  },
  SCENE_KEYS,
];

/** A tool's own key, as it declares it. */
function toolEntry([name, { title, about = title, key }]) {
  return { keys: keyName(key), codes: [key], text: about, run: ({ app }) => app.pickTool(name) };
}

/** "Q" for the key "q", "Shift+S" for "Shift+s": as they are printed on the keyboard. */
export function keyName(key) {
  return key.replace(/[^+]$/, (letter) => letter.toUpperCase());
}
