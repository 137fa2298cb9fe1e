/** Places that look like the small objects of a picture, to accept or reject one by one. */

import { places } from "../../state/places.js";
import { session } from "../../state/session.js";
import { element, iconButton, keyButton, setText } from "../../ui/dom.js";
import { actions } from "../actions.js";

/** The bar under the canvas: {node}. */
export function placesbar(focusCanvas) {
  const hint = element("p.sw-guide-hint", { role: "status" });
  const begin = keyButton("Look at them", "Shift+J", () => actions.places());
  const reject = keyButton("Not one", "R", () => actions.rejectSlice());
  const accept = keyButton("Accept it", "Y", () => actions.acceptSlice());
  begin.classList.add("primary");
  accept.classList.add("primary");
  const close = iconButton("close", "Stop looking at places", {
    keys: "Shift+J",
    onclick: () => places.end(),
  });
  const node = element(
    "section.sw-guide",
    { "aria-label": "Likely places", hidden: true },
    hint,
    begin,
    reject,
    accept,
    close,
  );
  node.addEventListener(
    "click",
    (event) => event.detail > 0 && event.target.closest("button") && focusCanvas(),
  );
  places.addEventListener("change", () => {
    const judging = places.at !== null;
    node.hidden = !places.list.length;
    begin.hidden = judging;
    reject.hidden = accept.hidden = close.hidden = !judging;
    setText(hint, judging ? `Place ${places.at + 1} of ${places.list.length}` : offer());
  });
  session.start().then(
    () => places.start(),
    () => {},
  );
  return { node };
}

/** "These 5 places look like pit", without a name where there are several classes. */
function offer() {
  const count = places.list.length;
  const named = new Set(places.list.map((place) => place.class).filter((id) => id !== null));
  const one = named.size === 1 && session.classes.find((each) => each.id === [...named][0]);
  const what = one ? one.name : "objects";
  return count === 1
    ? `This place looks like ${what}.`
    : `These ${count} places look like ${what}.`;
}
