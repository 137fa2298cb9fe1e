/** The scenes of the project in the Images panel: each opens its map. */

import { session } from "../../state/session.js";
import { element } from "../../ui/dom.js";
import { openMap } from "./map.js";

export function sceneList() {
  const node = element("div.sw-row.sw-scenes", { role: "group", "aria-label": "Scenes" });
  const show = () => {
    const { scenes } = session.project;
    node.hidden = !scenes.length;
    node.replaceChildren(...scenes.map(button));
  };
  session.addEventListener("project", show);
  show();
  return node;
}

function button({ id, name }) {
  return element(
    "button.sw-button.small",
    { type: "button", title: "Show the map of this scene (Shift+M)", onclick: () => openMap(id) },
    `Map of ${name}`,
  );
}
