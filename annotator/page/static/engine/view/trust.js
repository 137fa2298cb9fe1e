// How far the app trusts what is known of a slice when it learns: people wholly, fills and models
// less.

import { UNLABELLED } from "../codec.js";
import { word } from "../elements.js";
import { get } from "../image/loader.js";

const PERSON = 1;
const COLORS = [
  [0, 0, 0],
  [34, 197, 94],
  [59, 130, 246],
  [217, 70, 239],
]; // nobody, people, fill, model
const PAINT = COLORS.map((color, who) =>
  Uint32Array.from({ length: 256 }, (_, trust) => word(color, who && Math.round(20 + 0.6 * trust))),
);

export class Trust {
  constructor(view) {
    this.view = view;
    this.who = null; // per pixel, as the server says; null while not known or not wanted
    this.trust = null;
  }

  get wanted() {
    const { settings, image, proposes } = this.view;
    return Boolean(settings.trust && image && proposes);
  }

  /** The slice, its labels or proposals changed, or the layer was switched. */
  async refresh() {
    const { view } = this;
    this.reading?.abort();
    // else shown until the new one is here
    if (!this.wanted || this.index !== view.index) this.who = this.trust = null;
    this.index = view.index;
    if (!this.wanted) return this.#changed();
    this.reading = new AbortController();
    const { signal } = this.reading;
    try {
      const url = `/api/images/${view.image.id}/trust?axis=${view.axis}&index=${view.index}`;
      const both = new Uint8Array(await (await get(url, signal)).arrayBuffer());
      this.who = both.subarray(0, both.length / 2);
      this.trust = both.subarray(both.length / 2);
    } catch (error) {
      if (!signal.aborted)
        view.notices.say("warn", `The trust layer could not be read: ${error.message}`);
    }
    if (!signal.aborted) this.#changed();
  }

  /** A word of image data; what was drawn a moment ago is a person's. */
  paint(at) {
    if (this.view.labels[at] !== UNLABELLED) return PAINT[PERSON][255];
    return this.who && this.who[at] !== PERSON ? PAINT[this.who[at]][this.trust[at]] : 0;
  }

  #changed() {
    this.view.picture?.trust.invalidate();
    this.view.redraw();
  }
}
