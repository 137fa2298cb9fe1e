/**
 * What a person may choose about learning: the learners, their time and device, and how volumes are
 * filled.
 */

import { call } from "../../net/api.js";
import { learning } from "../../state/learning.js";
import { session } from "../../state/session.js";
import { element } from "../../ui/dom.js";
import { toast } from "../../ui/toasts.js";

const MAX_LEARNERS = 2; // learners side by side
const DEVICES = { auto: "Fastest available", cpu: "CPU", cuda: "GPU (CUDA)" };

/** Fill the element with the choice of learners, time and device. */
export async function mountLearners(root) {
  const learners = element(
    "fieldset.sw-choices",
    {},
    element("legend", {}, "Learners (at most two)"),
  );
  const times = element("fieldset.sw-choices", {}, element("legend", {}, "Time and device"));
  root.replaceChildren(
    element("details.sw-more", {}, element("summary", {}, "Choose others"), learners, times),
  );
  const draw = () => {
    root.hidden = !learning.overview;
    if (root.hidden) return;
    if ([learners, times].some((form) => form.contains(document.activeElement)))
      return refill(root);
    learners.replaceChildren(learners.firstChild, ...learnerBoxes());
    times.replaceChildren(times.firstChild, ...timeFields());
  };
  learning.addEventListener("overview", draw);
  await learning.start();
  draw();
}

/** Somebody is at the form: change values only, so that the keyboard stays where it is. */
function refill(root) {
  const active = new Set(chosen());
  for (const box of root.querySelectorAll("[data-learner]"))
    box.checked = active.has(box.dataset.learner);
  const auto = root.querySelector("[data-auto]");
  if (auto) auto.checked = learning.overview.choice.automatic;
  const references = root.querySelector("input[type=text]");
  if (references && references !== document.activeElement)
    references.value = learning.overview.settings.references.join(", ");
}

function chosen() {
  const { choice, learners } = learning.overview;
  return choice.automatic ? [] : learners.filter((one) => one.active).map((one) => one.name);
}

function learnerBoxes() {
  const { choice, learners } = learning.overview;
  const auto = element("input", {
    type: "checkbox",
    checked: choice.automatic,
    dataset: { auto: "1" },
    onchange: () =>
      learning.change({ learners: auto.checked ? [] : [learning.overview.choice.learner] }),
  });
  const boxes = learners.map((one) => {
    const box = element("input", {
      type: "checkbox",
      checked: chosen().includes(one.name),
      dataset: { learner: one.name },
      onchange: () => toggle(one.name, box),
    });
    const about = one.needs
      ? `${sentence(one.good_at)} Needs ${one.needs}.`
      : sentence(one.good_at);
    return element(
      "label.sw-choice",
      {},
      box,
      element("span", {}, element("b", {}, one.title), element("small", {}, about)),
    );
  });
  return [
    element(
      "label.sw-choice",
      {},
      auto,
      element("span", {}, element("b", {}, "Let the app choose")),
    ),
    ...boxes,
  ];
}

function toggle(name, box) {
  const now = chosen().filter((one) => one !== name);
  if (box.checked && now.length >= MAX_LEARNERS) {
    box.checked = false;
    return toast("At most two learners run side by side; untick one first.", "info");
  }
  learning.change({ learners: box.checked ? [...now, name] : now });
}

function timeFields() {
  const { settings } = learning.overview;
  const number = (name, text, least) => {
    const input = element("input.sw-number", {
      type: "number",
      min: least,
      max: 86400,
      step: 1,
      value: settings[name],
      onchange: () => input.reportValidity() && learning.change({ [name]: input.valueAsNumber }),
    });
    return element("label.sw-field", {}, text, input);
  };
  const device = element(
    "select.sw-select",
    { onchange: () => learning.change({ device: device.value }) },
    Object.entries(DEVICES).map(([value, text]) => element("option", { value }, text)),
  );
  device.value = settings.device;
  return [
    number("seconds", "Seconds per round after a new label", 1),
    number("settle_seconds", "Seconds in all on the same labels", 0),
    element("label.sw-field", {}, "Train on", device),
    adaptField(),
    referenceField(),
  ];
}

/**
 * Whether a trained network is changed for each kind of image; kept only where held-out labels say
 * that it helps.
 */
function adaptField() {
  const { settings, adapters } = learning.overview;
  const options = [
    ["", "Do not adapt"],
    ["auto", "Choose what helps most"],
    ...adapters.map((one) => [one.name, one.title]),
  ];
  const select = element(
    "select.sw-select",
    { onchange: () => learning.change({ adapt: select.value }) },
    options.map(([value, text]) => element("option", { value }, text)),
  );
  select.value = settings.adapt;
  return element(
    "label.sw-field",
    {
      title: "Adapts the model to images that look alike. Kept where held-out Dice improves.",
    },
    "Adapt to groups of images",
    select,
  );
}

/**
 * Which images reference segmentation learns from: their numbers, none for the typical labelled
 * ones.
 */
function referenceField() {
  const input = element("input.sw-number", {
    type: "text",
    inputMode: "numeric",
    pattern: "[0-9, ]*",
    placeholder: "most typical",
    title: "Numbers of labelled images to learn from. Leave it empty to use the most typical ones.",
    value: learning.overview.settings.references.join(", "),
    onchange: () => input.reportValidity() && learning.change({ references: numbers(input.value) }),
  });
  const add = element(
    "button.sw-button.small",
    { type: "button", title: "Use the open image as a reference", onclick: addOpen },
    "Add the open image",
  );
  return element("div.sw-references", {}, element("label.sw-field", {}, "References", input), add);
}

function numbers(text) {
  return [...new Set(text.split(/[ ,]+/).filter(Boolean).map(Number))];
}

function addOpen() {
  if (!session.image) return toast("Open an image first.", "info");
  learning.change({
    references: [...new Set([...learning.overview.settings.references, session.image.id])],
  });
}

/** Fill the element with the choice of what fills volumes. */
export async function mountPropagators(node) {
  const root = node.querySelector(".sw-panel");
  await session.start();
  const list = element("fieldset.sw-choices", {}, element("legend.sw-hidden", {}, "Propagator"));
  const none = element(
    "p.sw-count",
    {},
    "Open an image to choose how the app fills a volume from a few labelled slices.",
  );
  root.replaceChildren(none, list);
  let drawn = "";
  const draw = ({ proposal }) => {
    const now = JSON.stringify(proposal.propagators);
    if (now === drawn || !proposal.propagators.length) return;
    drawn = now;
    none.hidden = true;
    const focused = document.activeElement?.value;
    const inside = list.contains(document.activeElement);
    list.replaceChildren(list.firstChild, ...proposal.propagators.map(propagatorBox));
    if (inside) list.querySelector(`input[value="${focused}"]`)?.focus();
  };
  session.addEventListener("change", ({ detail }) => draw(detail));
  if (session.app) draw(session.app.state);
}

function propagatorBox(one) {
  const radio = element("input", {
    type: "radio",
    name: "sw-propagator",
    value: one.name,
    checked: one.active,
    onchange: () => choose(one.name),
  });
  return element(
    "label.sw-choice",
    {},
    radio,
    element("span", {}, element("b", {}, one.title), element("small", {}, sentence(one.good_at))),
  );
}

function sentence(words) {
  return `${words[0].toUpperCase()}${words.slice(1)}.`;
}

async function choose(name) {
  try {
    const volume = session.image?.kind === "volume";
    await call("/api/propagator", volume ? { name, image: session.image.id } : { name });
    await session.app.proposals.refresh();
  } catch (error) {
    toast(error.message, "error");
  }
}
