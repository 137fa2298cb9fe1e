/** Two helpers that keep the panels short: an element from a description, and an icon. */

import { ICONS } from "./icons.js";

/**
 * element("button.primary", { onclick, "aria-label": "…", disabled: true }, "text", child): an
 * element.
 */
export function element(description, properties = {}, ...children) {
  const [tag, ...classes] = description.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) set(node, name, value);
  node.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return node;
}

/** An inline icon of icons.js; decorative, so name its button. */
export function icon(name, size = 18) {
  return drawing(ICONS[name], size);
}

/** The inside of a 24 x 24 svg as an icon. */
export function drawing(inside, size) {
  const holder = document.createElement("span");
  holder.innerHTML =
    `<svg viewBox="0 0 24 24" width="${size}" height="${size}" fill="none" ` +
    'stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" ' +
    `aria-hidden="true">${inside}</svg>`;
  return holder.firstChild;
}

/** A button with an icon, a name for screen readers and a tooltip that names its key. */
export function iconButton(name, label, { keys = "", ...properties } = {}) {
  const title = keys ? `${label} (${keys})` : label;
  return element(
    "button.sw-icon-button",
    { type: "button", "aria-label": label, title, ...properties },
    icon(name),
  );
}

/** A small button with its words and its key, if it has one. */
export function keyButton(text, keys, onclick) {
  return element(
    "button.sw-button.small",
    { type: "button", onclick, ...(keys && { "aria-keyshortcuts": keys }) },
    element("span", {}, text),
    ...(keys ? [element("kbd", { "aria-hidden": "true" }, keys.replace("Shift+", "⇧"))] : []),
  );
}

function set(node, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "dataset") Object.assign(node.dataset, value);
  else if (name === "style") node.style.cssText = value;
  else if (name === "value" || name === "checked") node[name] = value;
  else node.setAttribute(name, value === true ? "" : value);
}

/**
 * Change text without touching the node where it is the same: keeps live regions and layout quiet.
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Attributes that differ are written, the others left alone. */
export function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}
