/**
 * Places on the open picture where small objects may be, and which of them a person judges now. The
 * prompt model draws what each place holds; the person accepts it or says that it is nothing.
 */

import { call } from "../net/api.js";
import { toast } from "../ui/toasts.js";
import { session } from "./session.js";

/** Events: "change". */
class Places extends EventTarget {
  list = []; // {box: [r0, c0, r1, c1], likely, class}, the likeliest first
  at = null; // number of the one that is judged, null where nobody judges

  #asked = 0;
  #looking = ""; // why nothing can be judged, when places were read last
  #from = null; // {producer, id} of the prediction that they come from

  /** Listen, once. */
  start() {
    session.addEventListener("image", () => this.#read());
    session.addEventListener("project", () => {
      if (session.project.looking !== this.#looking) void this.#read();
    });
    session.link.addEventListener("proposal", ({ detail }) => {
      if (detail.message.image === session.image?.id && this.at === null) void this.#read();
    });
  }

  get now() {
    return this.at === null ? null : this.list[this.at];
  }

  /** Begin with the likeliest place, or end. */
  toggle() {
    if (this.at !== null) return this.end();
    if (!this.list.length) return toast(session.project.looking || noPlaces(), "info");
    this.#go(0);
  }

  /** What the prompt model drew is an object. */
  accept() {
    if (session.app.accept()) this.#go(this.at + 1);
    else toast("The model found nothing in this box; press R, or draw the object.", "info");
  }

  /** Nothing in the box is an object. */
  reject() {
    const done = session.app.rejectBox(boxOf(this.now), { rejected: this.#from });
    if (done) this.#go(this.at + 1);
  }

  /** Those that nobody judged are left for later. */
  end() {
    if (this.at === null) return;
    this.list = this.list.slice(this.at);
    this.at = null;
    session.app.giveUpPrompts();
    session.app.fit();
    this.dispatchEvent(new CustomEvent("change"));
  }

  #go(at) {
    this.at = at;
    if (at >= this.list.length) {
      toast("Every place is judged. If nothing is missing, press K.", "info");
      return this.end();
    }
    const place = this.now;
    if (place.class !== null) session.app.setClass(place.class);
    session.app.promptBox(boxOf(place));
    this.dispatchEvent(new CustomEvent("change"));
  }

  /** The newest answer counts. */
  async #read() {
    const mine = (this.#asked += 1);
    const { image, project } = session;
    this.#looking = project.looking;
    let found = { places: [] };
    try {
      if (image?.kind === "image" && project.proposes && !project.looking)
        found = await call(`/api/images/${image.id}/places`);
    } catch (error) {
      toast(error.message, "warn");
    }
    if (mine !== this.#asked) return;
    this.at = null;
    this.list = found.places;
    this.#from = { producer: found.producer, id: found.prediction };
    this.dispatchEvent(new CustomEvent("change"));
  }
}

export const places = new Places();

function boxOf({ box: [r0, c0, r1, c1] }) {
  return { r0, c0, r1, c1 };
}

function noPlaces() {
  return session.image?.kind === "image"
    ? "There are no places to judge; they come once a model knows your small objects."
    : "Places are shown on pictures whose objects are small; open such a picture.";
}
