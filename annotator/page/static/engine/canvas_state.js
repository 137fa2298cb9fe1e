// What is open on the canvas and what the hand does there. All parts read it; it changes only by
// the methods below.

import { NO_STATES } from "./image/slice_states.js";

export class CanvasState {
  #session = null; // the ImageSession of the open image
  #cursor = [0, 0, 0]; // z, y, x of the crosshair: its slices are the open ones
  #stroke = null; // of brush or eraser, while the button is down
  #drawing = null; // the view that a gesture draws on
  #spaceHeld = false;
  #loadProblem = null; // why a slice is not there, as a sentence

  get session() {
    return this.#session;
  }

  /** The server's description of the open image, or null. */
  get image() {
    return this.#session?.image ?? null;
  }

  get pixels() {
    return this.#session.pixels;
  }

  get labels() {
    return this.#session.labels;
  }

  get rev() {
    return this.#session.rev;
  }

  get states() {
    return this.#session?.states ?? NO_STATES;
  }

  get cursor() {
    return this.#cursor;
  }

  get stroke() {
    return this.#stroke;
  }

  get drawing() {
    return this.#drawing;
  }

  get spaceHeld() {
    return this.#spaceHeld;
  }

  get loadProblem() {
    return this.#loadProblem;
  }

  /** Another image is open, at a cursor. */
  enter(session, cursor) {
    this.#session = session;
    this.#cursor = cursor;
  }

  /** No image is open. */
  leave() {
    this.#session?.close();
    this.#session = this.#loadProblem = null;
  }

  moveCursor(position) {
    this.#cursor = position;
  }

  beginStroke(stroke) {
    this.#stroke = stroke;
  }

  /** The stroke that was under way, or null. */
  endStroke() {
    const stroke = this.#stroke;
    this.#stroke = null;
    return stroke;
  }

  /** A gesture begins on a view that it draws on; null where it only looks. */
  beginGesture(view) {
    this.#drawing = view;
  }

  endGesture() {
    this.#drawing = null;
  }

  holdSpace(held) {
    this.#spaceHeld = held;
  }

  loadFailed(sentence) {
    this.#loadProblem = sentence;
  }
}
