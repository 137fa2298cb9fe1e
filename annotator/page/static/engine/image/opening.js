// From one image to another: description, history, first slices, ready.

import { ImageSession } from "./image_session.js";
import { getJson } from "./loader.js";

export class Opening {
  constructor(app) {
    this.app = app;
    this.turn = 0; // the newest wish wins
    this.places = new Map(); // image -> cursor when it was left
    this.seeded = false;
  }

  /**
   * The image's description once its first slices are drawn; null where it failed (told as a
   * "message") or another was asked for.
   */
  async open(imageId) {
    const { app } = this;
    const turn = ++this.turn;
    let image = null;
    try {
      const description = getJson(`/api/images/${imageId}`, app.signal);
      [image] = await Promise.all([description, this.#seedHistory()]);
      await app.prompts.allAccepted();
      if (turn !== this.turn) return null;
      await this.#enter(image);
    } catch (error) {
      if (!app.signal.aborted && turn === this.turn)
        app.say("error", `The image cannot be opened: ${error.message}`);
      return null;
    }
    if (turn !== this.turn) return null;
    await app.frames.drawn();
    app.root.dataset.ready = "1";
    app.navigation.arrived();
    app.proposals.refresh();
    app.changed();
    return image;
  }

  /** What this person did in earlier visits can be undone too. */
  async #seedHistory() {
    if (this.seeded) return;
    this.app.editor.history.seed(await getJson("/api/history", this.app.signal));
    this.seeded = true;
  }

  async #enter(image) {
    const { app } = this;
    this.#leave();
    app.session = new ImageSession(app, image, { wholeLimit: app.wholeLimit });
    app.cursor = this.places.get(image.id) ?? image.shape.map((n) => n >> 1);
    app.settings.window = [...image.window];
    app.proposals.reset(image.shape);
    for (const view of app.views) view.open(image);
    app.layout(app.wanted ?? "three");
    app.activate(app.views.find((view) => view.shown));
    app.link.send({ t: "open", image: image.id });
    app.navigation.entered(app.active);
    await app.session.start(app.cursor);
  }

  #leave() {
    const { app } = this;
    app.tool.cancel?.();
    if (app.session) this.places.set(app.image.id, app.cursor);
    app.session?.close();
    app.session = app.loadProblem = null;
    app.root.dataset.ready = "0";
  }
}
