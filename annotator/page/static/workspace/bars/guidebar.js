/**
 * A guided start of a volume: two or three slices at right angles, step by step; then "next slice"
 * takes over.
 */

import { planeName } from "../../engine/geometry.js";
import { call } from "../../net/api.js";
import { session } from "../../state/session.js";
import { element, iconButton, setAttributes, setText } from "../../ui/dom.js";
import { toast } from "../../ui/toasts.js";
import { actions } from "../actions.js";

const PLANES = [2, 3];

/** The bar under the canvas: {node, update()}. */
export function guidebar(focusCanvas) {
  const list = element("ol");
  const hint = element("p.sw-guide-hint", { role: "status" });
  const go = element(
    "button.sw-button.small.primary",
    { type: "button", "aria-keyshortcuts": "J", onclick: () => void actions.nextProposed() },
    element("span", {}, "Go there"),
    element("kbd", { "aria-hidden": "true" }, "J"),
  );
  const planes = element(
    "select.sw-select",
    {
      "aria-label": "Number of first slices",
      onchange: () => session.setView("guide", Number(planes.value)),
    },
    PLANES.map((n) => element("option", { value: n }, `${n} slices`)),
  );
  const close = iconButton("close", "End the guided start", {
    keys: "Z",
    onclick: () => session.setView("guide", 0),
  });
  const node = element(
    "section.sw-guide",
    { "aria-label": "Guided start", hidden: true },
    list,
    hint,
    go,
    planes,
    close,
  );
  node.addEventListener(
    "click",
    (event) => event.detail > 0 && event.target.closest("button") && focusCanvas(),
  );
  const show = () => {
    const plan = session.app?.proposals.guide;
    node.hidden = !plan?.steps.length;
    if (node.hidden) return;
    planes.value = session.view.guide;
    list.replaceChildren(...plan.steps.map((step, at) => stepItem(step, at === plan.now)));
    setText(
      hint,
      plan.now === null
        ? "The guided start is done; press J for the most useful slice."
        : plan.steps[plan.now].reason,
    );
    hint.title = hint.textContent;
    setText(go.firstChild, plan.now === null ? "Next slice" : "Go there");
  };
  const read = reader(show);
  session.addEventListener("image", read);
  session.addEventListener("view", ({ detail }) => detail === "guide" && read());
  session.start().then(
    () =>
      session.link.addEventListener(
        "slices",
        ({ detail }) => detail.message.image === session.image?.id && read(),
      ),
    () => {},
  );
  return { node };
}

/** Asks for the plan; the newest answer counts. */
function reader(show) {
  let asked = 0;
  return async () => {
    const { image, app, view } = session;
    if (!app || !image) return;
    const mine = (asked += 1);
    let plan = null;
    try {
      if (view.guide && image.kind === "volume" && session.project.proposes)
        plan = await call(`/api/images/${image.id}/guide?planes=${view.guide}`);
    } catch (error) {
      toast(error.message, "warn");
    }
    if (mine !== asked || session.image?.id !== image.id) return;
    app.setGuide(plan);
    show();
  };
}

function stepItem({ axis, index, done }, now) {
  const name = planeName(session.image ?? {}, axis);
  const text = `${name[0].toUpperCase()}${name.slice(1)} ${index + 1}`;
  const item = element(
    "li",
    { dataset: { done: String(done) } },
    element("span", {}, text),
    element("span.sw-hidden", {}, done ? " (labelled)" : ""),
  );
  if (now) setAttributes(item, { "aria-current": "step" });
  return item;
}
