/** What the scripts of Gradio's own controls call: window.slicewise. */

import { listenForDrops, startExport } from "../panels/data.js";
import { session } from "../state/session.js";

let listening = false;

/** Make window.slicewise; called by the workspace when it is mounted. */
export function exposeToGradio() {
  window.slicewise = {
    session,
    set: (name, value) => session.setView(name, value),
    settings: (names) => names.map((name) => session.view[name]),
    export: startExport,
  };
  if (!listening) listenForDrops();
  listening = true;
}
