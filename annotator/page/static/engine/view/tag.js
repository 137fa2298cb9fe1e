// The tag in a view's corner: plane, slice, zoom, complete; also what a screen reader hears.

import { element } from "../elements.js";
import { planeName } from "../geometry.js";

export class Tag {
  /** `alone()` shows the view's plane alone, or all three again. */
  constructor(view, alone) {
    this.view = view;
    this.title = element("button", {
      class: "cv-plane",
      type: "button",
      title: "Double-click to show this plane alone, or all three (Alt+1 to Alt+4)",
    });
    this.where = element("span", { class: "cv-where" });
    this.zoom = element("span", { class: "cv-zoom" });
    this.badge = element("span", { class: "cv-complete" }, "complete");
    this.host = element("div", { class: "cv-tag" });
    this.host.append(this.title, this.where, this.zoom, this.badge);
    const { signal } = view;
    this.host.addEventListener("dblclick", alone, { signal });
    this.title.addEventListener("click", (event) => event.detail === 0 && alone(), { signal });
  }

  describe() {
    const { image, axis, index, sliceState, overlay } = this.view;
    const total = image.shape[axis];
    const name = image.kind === "volume" ? planeName(image, axis) : "image";
    const timed = image.frames && axis === 0;
    const deep = image.spacing_mm && !timed;
    const mm = deep ? ` · ${(index * image.spacing_mm[axis]).toFixed(1)} mm` : "";
    this.title.textContent = name;
    this.where.textContent =
      total > 1 ? `${timed ? "frame " : ""}${index + 1} / ${total}${mm}` : "";
    this.badge.hidden = sliceState !== "complete";
    this.reach = this.host.offsetLeft + this.host.offsetWidth;
    const heard = total > 1 ? `${timed ? "frame" : "slice"} ${index + 1} of ${total}` : image.name;
    overlay.setAttribute("aria-label", `${name} ${heard}`);
  }

  showZoom(zoom) {
    this.zoom.textContent = `×${zoom.toFixed(2)}`;
  }
}
