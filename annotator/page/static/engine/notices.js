// What the canvas tells the page: a sentence, a wish, or that something changed.

export class Notices {
  #tell;
  #frames;

  /** `tell(type, detail)` raises an event of the canvas. */
  constructor(tell, frames) {
    this.#tell = tell;
    this.#frames = frames;
  }

  /** `level` is "info", "warn" or "error". */
  say(level, text) {
    this.#tell("message", { level, text });
  }

  /** Something is to be labelled and there is no class. */
  classless() {
    this.#tell("classless");
  }

  /** Ask the page for another image. */
  navigate(place) {
    this.#tell("navigate", place);
  }

  /** The proposed objects of this image were shown: ask the page for more of them elsewhere. */
  walked() {
    this.#tell("walked");
  }

  /** Something in the canvas' state changed; told once a frame. */
  changed() {
    this.#frames.changed();
  }
}
