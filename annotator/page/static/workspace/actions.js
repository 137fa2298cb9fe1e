/** What keys, buttons and menus do: one function each, so that all three agree. */

import { layoutOf } from "../engine/geometry.js";
import { editImage } from "../panels/image_dialog.js";
import { openMap } from "../panels/scenes/map.js";
import { openNeighbour } from "../panels/scenes/opening.js";
import { openMostUseful, stepImage } from "../state/image_navigation.js";
import { imageUpdates } from "../state/image_updates.js";
import { places } from "../state/places.js";
import { session } from "../state/session.js";
import { toast } from "../ui/toasts.js";
import { findObjects } from "./find_objects.js";
import { redraw } from "./redraw.js";
import { toggleSheet } from "./shortcut_sheet.js";

const PEEK_MS = 350; // a longer press of X shows the image only while it is held
const STYLES = ["both", "fill", "outline"];
const LAYOUTS = ["three", "axial", "coronal", "sagittal"];

export const actions = {
  step: (by) => stepImage(by),

  sheet: () => toggleSheet(),

  brush(key) {
    const radius = session.view.radius;
    const step = radius < 4 ? 0.5 : radius < 20 ? 1 : 4;
    session.setView("radius", Math.min(100, Math.max(0.5, radius + (key === "]" ? step : -step))));
  },

  accept(event) {
    if (places.at !== null) return places.accept();
    return event?.key === "Enter"
      ? session.app.key(event) === true || session.app.accept()
      : session.app.accept();
  },

  clearPrompts: () => (places.at === null ? session.app.clearPrompts() : places.end()),

  escape(event) {
    if (places.at !== null) return places.end();
    return session.app.key(event) === true || session.app.clearPrompts();
  },

  /** Tab walks through candidates while there are several, and through the page otherwise. */
  candidate: () => session.app.nextCandidate(),

  /** Name, header and end of the open image. */
  edit() {
    editImage();
  },

  /** The Images panel as a table, or as a list again. */
  table() {
    document.querySelector("#tab-images-button")?.click();
    session.setView("table", !session.view.table);
  },

  /** The map of the scene that the open image is a region of, or of the first scene. */
  sceneMap: () => void openMap(),

  /** The region beside the open one. */
  neighbour: ({ key }) => void openNeighbour(key),

  flag() {
    const { image } = session;
    if (image) void imageUpdates.setOpenTrait("flag", !imageUpdates.hasTrait(image.id, "flagged"));
  },

  chooseClass(key) {
    const one = session.classes.find((each) => each.key === key);
    if (!one) {
      toast(`There is no class ${key} yet; add one in the Label tab.`, "info");
      return;
    }
    session.app.setClass(one.id);
  },

  /** Take back every label of the slice, or of the image. */
  clear: (options) => session.app.clear(options),

  complete() {
    session.app.setComplete(!session.app.state.complete);
  },

  /** The slice of a volume, or else the image, that is most worth labelling. */
  nextProposed: () =>
    session.image?.kind === "volume" || !session.project.proposes
      ? session.app.gotoProposed()
      : openMostUseful(),

  /** Begin the guided start of the open volume with two slices, or end it. */
  guide() {
    if (session.image?.kind !== "volume")
      return toast("The guided start needs a volume; open one first.", "info");
    if (!session.project.proposes)
      return toast("Proposals are switched off; restart the server without --no-fill.", "info");
    session.setView("guide", session.view.guide ? 0 : 2);
  },

  /** Begin to judge the likely places of small objects, or end it. */
  places: () => places.toggle(),

  /** While places are judged, the one on show. */
  acceptSlice: () => (places.at === null ? session.app.acceptSlice() : places.accept()),

  acceptAll: () => session.app.acceptRange(),

  acceptRange: () => session.dispatchEvent(new CustomEvent("range")),

  rejectSlice: () => (places.at === null ? session.app.rejectSlice() : places.reject()),

  redraw,

  findObjects,

  proposals: () => session.setView("proposals", !session.view.proposals),

  doubt: () => session.setView("doubt", !session.view.doubt),

  trust: () => session.setView("trust", !session.view.trust),

  sure(key) {
    const step = key === "." ? 5 : -5;
    session.setView("sure", Math.min(100, Math.max(0, session.view.sure + step)));
  },

  style() {
    const next = STYLES[(STYLES.indexOf(session.view.style) + 1) % STYLES.length];
    session.setView("style", next);
  },

  hide(event) {
    if (event.repeat) return;
    const was = session.view.hideAll;
    const pressed = performance.now();
    session.setView("hideAll", !was);
    const release = (up) => {
      if (up.key.toLowerCase() !== "x") return;
      removeEventListener("keyup", release);
      if (performance.now() - pressed > PEEK_MS) session.setView("hideAll", was);
    };
    addEventListener("keyup", release);
  },

  layout(event) {
    const at = Number(event.code.slice(-1)) - 1;
    session.app.layout(layoutOf(session.app.image, LAYOUTS[at]));
  },
};
