// The strip at a view's side: every slice of the plane, ticks where labels are, a marker for the
// open one.

import { element } from "../elements.js";
import { axisNames } from "../geometry.js";

const COLORS = { labelled: "#38bdf8", complete: "#4ade80" };
const PROPOSED = "#fbbf24";

export class Ruler {
  constructor(view) {
    this.view = view;
    this.host = element("div", {
      class: "cv-ruler",
      role: "slider",
      tabindex: "0",
      "aria-orientation": "vertical",
      "aria-valuemin": "1",
    });
    this.host.setAttribute("aria-label", `${axisNames[view.axis]} slice`);
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.host.append(this.canvas);
    const { signal } = view;
    this.host.addEventListener("pointerdown", (event) => this.#grab(event), { signal });
    this.host.addEventListener("pointermove", (event) => event.buttons && this.#go(event), {
      signal,
    });
  }

  open(count) {
    this.count = count;
    this.host.hidden = count < 2;
    this.host.setAttribute("aria-valuemax", count);
  }

  draw() {
    if (!this.count || this.host.hidden) return;
    const { sliceState, axis, index, camera } = this.view;
    const width = Math.round(this.host.clientWidth * camera.dpr);
    const height = Math.round(this.host.clientHeight * camera.dpr);
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height)
      Object.assign(this.canvas, { width, height });
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const unit = height / this.count;
    for (const { index: k, state } of this.view.state.states.of(axis)) {
      pen.fillStyle = COLORS[state] ?? COLORS.labelled;
      pen.fillRect(
        width * 0.3,
        k * unit,
        width * 0.7,
        Math.max(camera.dpr * 1.5, unit - camera.dpr),
      );
    }
    this.#drawProposed(pen, { width, unit, dpr: camera.dpr });
    pen.fillStyle = "#f8fafc";
    pen.fillRect(0, (index + 0.5) * unit - camera.dpr, width, 2 * camera.dpr);
    this.host.setAttribute("aria-valuenow", index + 1);
    this.host.setAttribute(
      "aria-valuetext",
      `slice ${index + 1} of ${this.count}, ` +
        `${sliceState ?? "not labelled"}${this.#proposedText()}`,
    );
  }

  /**
   * A triangle at the slice that is worth labelling next, an outline where the guided start comes
   * later.
   */
  #drawProposed(pen, { width, unit, dpr }) {
    for (const { axis, index, now } of this.view.proposals.signposts) {
      if (axis !== this.view.axis) continue;
      const y = (index + 0.5) * unit;
      pen.beginPath();
      pen.moveTo(width - dpr, y);
      pen.lineTo(dpr, y - 6 * dpr);
      pen.lineTo(dpr, y + 6 * dpr);
      pen.closePath();
      pen.fillStyle = pen.strokeStyle = PROPOSED;
      pen.lineWidth = 1.5 * dpr;
      if (now) pen.fill();
      else pen.stroke();
    }
  }

  #proposedText() {
    const post = this.view.proposals.signposts.find(({ axis }) => axis === this.view.axis);
    if (!post) return "";
    return post.now
      ? `; slice ${post.index + 1} is worth labelling next`
      : `; slice ${post.index + 1} comes later in the guided start`;
  }

  #grab(event) {
    this.host.setPointerCapture(event.pointerId);
    this.view.planes.activate(this.view);
    this.#go(event);
  }

  #go(event) {
    const bounds = this.host.getBoundingClientRect();
    const index = Math.floor(((event.clientY - bounds.top) / bounds.height) * this.count);
    this.view.navigation.gotoSlice(this.view.axis, index);
  }
}
