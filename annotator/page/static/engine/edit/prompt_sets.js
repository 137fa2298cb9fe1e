// The prompts of every slice that was prompted, by image: which are open, asked, or accepted ahead.

import { newPromptSet } from "./prompt_set.js";

export class PromptSets {
  constructor(state) {
    this.state = state;
    this.all = new Map(); // "image/axis/index" -> set
  }

  /** The prompts of a slice, or undefined. */
  on({ axis, index }) {
    return this.all.get(`${this.state.image?.id}/${axis}/${index}`);
  }

  /** Those of a slice, where there are none yet new ones. */
  open({ axis, index }) {
    const key = `${this.state.image.id}/${axis}/${index}`;
    if (!this.all.has(key)) this.all.set(key, newPromptSet(axis, index));
    return this.all.get(key);
  }

  forget({ axis, index }) {
    this.all.delete(`${this.state.image?.id}/${axis}/${index}`);
  }

  /** Of the open image. */
  get here() {
    const here = `${this.state.image?.id}/`;
    return [...this.all].filter(([key]) => key.startsWith(here)).map(([, set]) => set);
  }

  /** Of the open image, whose mask was accepted and has not come. */
  get awaited() {
    return this.here.filter((set) => set.acceptAs !== null);
  }

  /** The set in which somebody pointed last, on the open image. */
  get newest() {
    const last = (set) => set?.items.at(-1)?.n ?? 0;
    return this.here.reduce((one, other) => (last(other) > last(one) ? other : one), undefined);
  }
}
