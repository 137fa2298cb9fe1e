/** The bar of the object tool: what is selected, and what can be done with it. */

import { session } from "../../state/session.js";
import { element, setText } from "../../ui/dom.js";
import { actions } from "../actions.js";

const HINT =
  "Click a proposed object to accept it, right-click to reject it, drag around several. " +
  "Tab shows the least certain. Click a labelled one to select it.";

/** The bar under the canvas: {node, update(state)}. */
export function objectsbar(focusCanvas) {
  const hint = element("p.sw-guide-hint", { role: "status" });
  const find = button("Find objects", "Shift+F", () => actions.findObjects());
  const number = button("Number all", "", () => tool().number());
  const apply = button("", "Enter", () => tool().apply());
  const remove = button("Delete", "Del", () => tool().remove());
  const clear = button("Clear", "Esc", () => tool().cancel());
  const next = button("Next", "Tab", () => tool().next());
  const reject = button("Not one", "R", () => session.app.rejectSlice());
  const accept = button("Accept it", "Y", () => session.app.acceptSlice());
  apply.classList.add("primary");
  accept.classList.add("primary");
  const node = element(
    "section.sw-guide.sw-objects",
    { "aria-label": "Objects", hidden: true },
    hint,
    find,
    number,
    clear,
    remove,
    apply,
    next,
    reject,
    accept,
  );
  node.addEventListener(
    "click",
    (event) => event.detail > 0 && event.target.closest("button") && focusCanvas(),
  );
  const update = (state) => {
    const { held } = state;
    node.hidden = !held || state.image === null;
    if (node.hidden) return;
    const { count, enter, judged } = held;
    number.hidden = count > 0 || Boolean(judged);
    next.hidden = count > 0;
    find.hidden = number.hidden || session.image?.kind !== "image";
    find.disabled = state.proposal.finding !== null;
    setText(find.firstChild, findText(state.proposal.finding));
    reject.hidden = accept.hidden = !judged || count > 0;
    remove.hidden = clear.hidden = !count;
    apply.hidden = !enter;
    setText(apply.firstChild, enter === "class" ? `Make it ${nameOf(state.classId)}` : "Merge");
    setText(hint, count ? selectedText(held) : judged ? judgedText(judged) : HINT);
  };
  return { node, update };
}

function findText(share) {
  return share === null ? "Find objects" : `Finding ${Math.round(100 * share)} %`;
}

function tool() {
  return session.app.toolbox.tools.objects;
}

/** "Object 3 of 17, the least certain first: nucleus, 120 pixels." */
function judgedText({ place, of, classId, pixels }) {
  const what = `${nameOf(classId)}, ${pixels.toLocaleString("en")} pixels`;
  return `Object ${place + 1} of ${of}, the least certain first: ${what}.`;
}

/** "nucleus #12, 345 pixels. Drag a line across it to split it." */
function selectedText({ count, one }) {
  if (!one) return `${count} objects are selected.`;
  const pixels = one.mask.reduce((sum, on) => sum + on, 0);
  const number = one.object ? ` #${one.object}` : "";
  const where = session.image?.kind === "volume" ? " on this slice" : "";
  const much = `${pixels.toLocaleString("en")} ${pixels === 1 ? "pixel" : "pixels"}${where}`;
  return `${nameOf(one.classId)}${number}, ${much}. Drag a line across it to split it.`;
}

function nameOf(id) {
  return session.classes.find((one) => one.id === id)?.name ?? `class ${id}`;
}

function button(text, keys, onclick) {
  return element(
    "button.sw-button.small",
    { type: "button", onclick, ...(keys && { "aria-keyshortcuts": keys }) },
    element("span", {}, text),
    ...(keys ? [element("kbd", { "aria-hidden": "true" }, keys.replace("Shift+", "⇧"))] : []),
  );
}
