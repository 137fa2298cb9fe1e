/** The images of an import to be, as a list of any length. */

import { call } from "../../net/api.js";
import { element, setAttributes, setText } from "../../ui/dom.js";
import { toast } from "../../ui/toasts.js";
import { VirtualList } from "../../ui/virtual_list.js";

const ROW_HEIGHT = 46;
const MOST_SHOWN = 6; // rows in view; more scroll

export function imageList(batch) {
  const list = new VirtualList({
    load: (offset, limit) =>
      call(`/api/upload/${batch}/look/images?offset=${offset}&limit=${limit}`),
    draw: drawRow,
    row: emptyRow,
    rowHeight: ROW_HEIGHT,
    label: "Images that come in",
  });
  list.node.classList.add("sw-look-images");
  list.addEventListener("read", () => {
    list.node.style.height = `${Math.min(list.total, MOST_SHOWN) * ROW_HEIGHT}px`;
  });
  list.addEventListener("fault", ({ detail }) => toast(detail.message, "error"));
  void list.reload();
  return list.node;
}

function emptyRow() {
  return element(
    "div.sw-look-image",
    {},
    element("b"),
    element("span.sw-look-facts"),
    element("span.sw-look-mask"),
    element("span.sw-look-warning"),
  );
}

function drawRow(row, image) {
  const [name, facts, mask, warning] = row.children;
  const warnings = [...image.warnings, image.like, image.header, image.earlier]
    .filter(Boolean)
    .join("; ");
  setText(name, image.name);
  setText(facts, factsOf(image));
  setText(mask, image.mask ? `mask ${image.mask} (${image.why})` : "no mask");
  setText(warning, warnings);
  setAttributes(row, { title: [image.name, image.mask, warnings].filter(Boolean).join("\n") });
}

function factsOf({ kind, size, spacing_mm: spacing, orientation }) {
  if (!size) return "";
  const [z, y, x] = size;
  const parts = [kind, z === 1 ? `${x} × ${y}` : `${x} × ${y} × ${z}`];
  if (spacing) parts.push(`${spacing.toReversed().map(short).join(" × ")} mm`);
  if (orientation) parts.push(orientation);
  return parts.join(", ");
}

/** At most four digits that count. */
const short = (value) => String(Number(value.toPrecision(4)));
