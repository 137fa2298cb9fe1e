/** Above the canvas: the channels of the open image, and how each of them is shown. */

import { call } from "../../net/api.js";
import { session } from "../../state/session.js";
import { element, icon, keyButton, setAttributes, setText } from "../../ui/dom.js";
import { toast } from "../../ui/toasts.js";

const KEPT_MS = 400; // after the last change

/** The strip: {node, update(state)}. */
export function channelsbar(focusCanvas) {
  const chips = element("div.sw-group", { role: "group", "aria-label": "Channels" });
  const gamma = gammaSlider();
  const together = keyButton("All together", "Shift+V", () => channels().solo(shownAlone()));
  const saw = element("span", { role: "status" });
  const node = element(
    "section.sw-channels",
    { "aria-label": "Channels", hidden: true },
    chips,
    together,
    gamma.node,
    saw,
  );
  node.addEventListener(
    "click",
    (event) => event.detail > 0 && event.target.closest("button") && focusCanvas(),
  );
  let names = "";
  let made = [];
  const update = ({ channels: found, saw: seen }) => {
    node.hidden = !found;
    if (!found) return;
    const now = found.named.map(({ name }) => name).join("\0");
    if (now !== names) {
      names = now;
      made = found.named.map((_, n) => chip(n));
      chips.replaceChildren(...made.map((one) => one.node));
    }
    made.forEach((one, n) => one.update(found, n));
    together.hidden = found.solo === null;
    gamma.update(found.named[found.chosen]);
    setText(saw, seen.length ? `The mask was found in ${seen.join(" + ")}.` : "");
  };
  return { node, update };
}

/** Keep how a channel is shown for the whole project; of several changes the last. */
export function keepLook(name, { color, window: [low, high], gamma, shown }) {
  if (session.app.state.looking) return;
  clearTimeout(waiting.get(name));
  const keep = () =>
    call("/api/channels", { name, color, low, high, gamma, shown }).catch((error) =>
      toast(`How ${name} is shown was not kept: ${error.message}`, "warn"),
    );
  waiting.set(name, setTimeout(keep, KEPT_MS));
}

const waiting = new Map();

function channels() {
  return session.app.channels;
}

function shownAlone() {
  return session.app.state.channels.solo;
}

/** One channel: its colour, its name to choose it, a switch, and a button that shows it alone. */
function chip(number) {
  const color = element("input", {
    type: "color",
    onchange: () => channels().set(number, { color: color.value }),
  });
  const name = element("button.sw-channel-name", {
    type: "button",
    onclick: () => channels().choose(number),
  });
  const eye = element("button", {
    type: "button",
    onclick: () => {
      const { shown } = session.app.state.channels.named[number];
      channels().set(number, { shown: !shown });
    },
  });
  const alone = element(
    "button.sw-channel-solo",
    { type: "button", onclick: () => channels().solo(number) },
    "solo",
  );
  const node = element("span.sw-channel", {}, color, name, eye, alone);
  const update = ({ named, chosen, solo }) => {
    const look = named[number];
    const seen = solo === null ? look.shown : solo === number;
    setText(name, look.name);
    if (eye.dataset.shown !== String(look.shown))
      eye.replaceChildren(icon(look.shown ? "eye" : "hidden", 15));
    eye.dataset.shown = look.shown;
    if (document.activeElement !== color) color.value = look.color;
    node.dataset.chosen = chosen === number;
    node.dataset.seen = seen;
    setAttributes(color, { "aria-label": `Colour of ${look.name}` });
    setAttributes(name, {
      "aria-pressed": chosen === number,
      title: `The window and the gamma are those of ${look.name}`,
    });
    const hides = `${look.shown ? "Hide" : "Show"} ${look.name}`;
    setAttributes(eye, { "aria-label": hides, title: hides });
    setAttributes(alone, {
      "aria-pressed": solo === number,
      "aria-label": `Show ${look.name} alone`,
    });
  };
  return { node, update };
}

function gammaSlider() {
  const said = element("span");
  const input = element("input", { type: "range", min: "-1", max: "1", step: "0.05" });
  const take = (dragging) => {
    const gamma = Number((10 ** input.valueAsNumber).toFixed(2));
    channels().set(channels().chosen, { gamma }, dragging);
  };
  input.addEventListener("input", () => take(true));
  input.addEventListener("change", () => take(false));
  const node = element("label.sw-channel-gamma", {}, said, input);
  const update = ({ name, gamma }) => {
    setText(said, `Gamma of ${name} ${gamma.toFixed(2)}`);
    if (document.activeElement !== input) input.value = Math.log10(gamma);
  };
  return { node, update };
}
