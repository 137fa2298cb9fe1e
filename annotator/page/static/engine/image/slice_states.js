// Which slices of the image are labelled or complete.

export class SliceStates {
  #states = new Map(); // "axis/index" -> "labelled" | "complete"

  /** `list` as the server tells it: [[axis, index, state]...]. */
  constructor(list = []) {
    this.replace(list);
  }

  replace(list) {
    this.#states = new Map(list.map(([axis, index, state]) => [`${axis}/${index}`, state]));
  }

  /** "labelled", "complete" or null. */
  get(axis, index) {
    return this.#states.get(`${axis}/${index}`) ?? null;
  }

  /** Remember a state ahead of the server's word; false where it is known. */
  note(axis, index, state) {
    const changed = this.get(axis, index) !== state;
    this.#states.set(`${axis}/${index}`, state);
    return changed;
  }

  /** [{index, state}] of one plane. */
  of(axis) {
    const mine = [...this.#states].filter(([key]) => key.startsWith(`${axis}/`));
    return mine.map(([key, state]) => ({ index: Number(key.slice(2)), state }));
  }
}

export const NO_STATES = new SliceStates();
