// From one image to another: description, history, first slices, ready.

import { ImageSession } from "./image_session.js";
import { getJson } from "./loader.js";

export class Opening {
  constructor({ state, settings, planes, frames, notices, signal, wholeLimit, ...parts }) {
    const { editor, prompts, proposals, navigation, toolbox, channels } = parts;
    Object.assign(this, { state, settings, planes, frames, notices, signal, wholeLimit });
    Object.assign(this, { editor, prompts, proposals, navigation, toolbox, channels });
    this.turn = 0; // the newest wish wins
    this.places = new Map(); // image -> cursor when it was left
    this.seeded = false;
  }

  /**
   * The image's description once its first slices are drawn; null where it failed (told as a
   * "message") or another was asked for.
   */
  async open(imageId) {
    const turn = ++this.turn;
    let image;
    try {
      const description = getJson(`/api/images/${imageId}`, this.signal);
      [image] = await Promise.all([description, this.#seedHistory()]);
      await this.prompts.allAccepted();
      if (turn !== this.turn) return null;
      await this.#enter(image);
    } catch (error) {
      if (!this.signal.aborted && turn === this.turn)
        this.notices.say("error", `The image cannot be opened: ${error.message}`);
      return null;
    }
    if (turn !== this.turn) return null;
    await this.frames.drawn();
    this.planes.setReady(true);
    this.navigation.arrived();
    this.proposals.refresh();
    this.notices.changed();
    return image;
  }

  /** The open image is gone: none is open. */
  close() {
    this.turn += 1;
    this.#leave();
    this.proposals.reset();
    this.planes.close();
    this.notices.changed();
  }

  /** What this person did in earlier visits can be undone too. */
  async #seedHistory() {
    if (this.seeded) return;
    this.editor.history.seed(await getJson("/api/history", this.signal));
    this.seeded = true;
  }

  async #enter(image) {
    const { state, planes, notices, editor, wholeLimit } = this;
    this.#leave();
    const replay = () => editor.replay();
    const session = new ImageSession(image, { state, planes, notices, replay, wholeLimit });
    state.enter(session, this.places.get(image.id) ?? image.shape.map((n) => n >> 1));
    this.settings.window = [...image.window];
    this.channels.entered();
    this.proposals.reset(image.shape);
    planes.open(image);
    this.navigation.tellOpen();
    this.navigation.entered(planes.active);
    await session.start(state.cursor);
  }

  #leave() {
    const { state } = this;
    this.toolbox.tool.cancel?.();
    if (state.image) this.places.set(state.image.id, state.cursor);
    state.leave();
    this.planes.setReady(false);
  }
}
