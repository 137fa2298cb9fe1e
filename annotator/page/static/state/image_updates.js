/**
 * What the server said of images since the page was opened: newest proposals, and why some are
 * worth labelling.
 */

import { call } from "../net/api.js";
import { toast } from "../ui/toasts.js";
import { learning } from "./learning.js";
import { session } from "./session.js";

const RANKED = 20; // the first of the queue: their reasons are told

/** Event: `change`. The Images panel reads it whenever it comes on screen. */
class ImageUpdates extends EventTarget {
  #traits = new Map(); // image -> Set of "flagged", "first", "skipped", "held_out"
  #told = new Map(); // image -> {proposal: {producer, kind, expected_dice?}|null|undefined, why}

  /** Listen from now on; called once the session runs. */
  listen(signal) {
    const on = (type, hear) =>
      session.link.addEventListener(type, ({ detail }) => hear(detail.message), { signal });
    on("proposal", (message) =>
      this.#tell(message.image, message.withheld ? null : { ...message, kind: "predicted" }),
    );
    on("fill", (message) => {
      if (message.state === "done") this.#tell(message.image, { ...message, kind: "propagated" });
      const kind = this.#told.get(message.image)?.proposal?.kind;
      if (message.state === "none" && kind !== "predicted") this.#tell(message.image, null);
    });
    on("queue", () => this.readReasons());
    on("mark", ({ image, mark: trait, on: set }) => this.#setTrait(image, trait, set));
  }

  /** Whether an image is "flagged", "first" and so on, as far as a list has read it. */
  hasTrait(image, trait) {
    return this.#traits.get(image)?.has(trait) ?? false;
  }

  /** Items that a list has read. */
  readTraits(items) {
    for (const { id, marks: traits = [] } of items) this.#traits.set(id, new Set(traits));
    this.dispatchEvent(new CustomEvent("change"));
  }

  /** Flag the open image, put it first or leave it out; every page hears of it. */
  async setOpenTrait(mark, on) {
    if (!session.image) return;
    try {
      await call(`/api/images/${session.image.id}/mark`, { mark, on });
    } catch (error) {
      toast(error.message, "error");
    }
  }

  #setTrait(image, trait, set) {
    const traits = this.#traits.get(image) ?? new Set();
    if (set) traits.add(trait);
    else traits.delete(trait);
    this.#traits.set(image, traits);
    this.dispatchEvent(new CustomEvent("change"));
  }

  of(image) {
    return this.#told.get(image) ?? {};
  }

  /**
   * Ask why images are worth labelling, where a model knows; before that every image is as good.
   */
  async readReasons() {
    await learning.start();
    if (![...learning.rounds.values()].some((round) => round.dice !== null)) return;
    try {
      const { items } = await call(`/api/queue?count=${RANKED}&images=true`);
      for (const [image, told] of this.#told) this.#told.set(image, { ...told, why: "" });
      for (const { image, why } of items) this.#told.set(image, { ...this.of(image), why });
      this.dispatchEvent(new CustomEvent("change"));
    } catch (error) {
      toast(error.message, "warn");
    }
  }

  #tell(image, proposal) {
    this.#told.set(image, { ...this.of(image), proposal });
    this.dispatchEvent(new CustomEvent("change"));
  }
}

export const imageUpdates = new ImageUpdates();
