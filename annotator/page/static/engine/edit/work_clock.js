// How long the person has worked on the open slice: goes along with each label event.

const LONGEST_SECONDS = 300; // whoever takes longer did something else

export class WorkClock {
  #since = performance.now();

  /** Another slice was opened, or a label was made: the time counts from now. */
  restart() {
    this.#since = performance.now();
  }

  get seconds() {
    return Math.min(LONGEST_SECONDS, Math.round((performance.now() - this.#since) / 100) / 10);
  }
}
