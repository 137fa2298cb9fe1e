/** Tiles of the grid of tags: a thumbnail, its name, and a dot for each class that is on it. */

import { address } from "../net/root.js";
import { session } from "../state/session.js";
import { element, setAttributes, setText } from "../ui/dom.js";

/** What an act will make of a tile, shown before the server has answered. */
export function predict(item, present, absent) {
  const said = new Set([...present, ...absent].filter((id) => !item.drawn.includes(id)));
  const rest = (ids) => ids.filter((id) => !said.has(id));
  item.present = [...rest(item.present), ...present.filter((id) => said.has(id))].sort(
    (a, b) => a - b,
  );
  item.absent = [...rest(item.absent), ...absent.filter((id) => said.has(id))].sort(
    (a, b) => a - b,
  );
}

export function tileElement({ image, axis, index }, at) {
  const project = encodeURIComponent(session.project.id ?? "");
  const picture = element("img", {
    src: address(`/api/thumbnails/${image}/${axis}/${index}?project=${project}`),
    alt: "",
    loading: "lazy",
    decoding: "async",
    draggable: "false",
  });
  return element(
    "div.sw-tag-tile",
    { role: "option", id: `sw-tag-${at}`, dataset: { at } },
    picture,
    element("span.sw-tag-dots"),
    element("span.sw-tag-name"),
  );
}

export function drawTile(tile, item, classes) {
  const [, dots, name] = tile.children;
  setText(name, titleOf(item));
  const there = classes.filter((one) => item.present.includes(one.id));
  const unknown = classes.filter(
    (one) => !item.present.includes(one.id) && !item.absent.includes(one.id),
  );
  const none = !there.length && !unknown.length && classes.length;
  dots.replaceChildren(
    ...there.map((one) =>
      element("i.sw-tag-dot", { style: `background: ${one.color}`, title: one.name }),
    ),
  );
  tile.dataset.state = stateOf({ there, unknown, classes });
  const words = [
    ...there.map((one) => one.name),
    ...(none ? ["none"] : []),
    ...(unknown.length ? [`unknown: ${unknown.map((one) => one.name).join(", ")}`] : []),
  ];
  const drawn = item.drawn.length ? ", from its mask" : "";
  const said = `${titleOf(item)}: ${words.join(", ")}${drawn}`;
  setAttributes(tile, { "aria-label": said, title: said });
}

/** "open" where nothing is said, "partly", and then "present" or "none". */
function stateOf({ there, unknown, classes }) {
  if (unknown.length) return unknown.length < classes.length ? "partly" : "open";
  return there.length ? "present" : "none";
}

export const keyOf = ({ image, axis, index }) => `${image}-${axis}-${index}`;

export function titleOf({ name, index, slices }) {
  return slices > 1 ? `${name} · ${index + 1}` : name;
}
