// A wrong part of a proposal, mended in the whole volume before it is accepted: the server says what
// would change, and the proposals show it until Enter or Escape.

import { packBits } from "../codec.js";

export class Mending {
  constructor({ state, link, notices, proposals }) {
    Object.assign(this, { state, link, notices, proposals });
    this.seq = 0;
    this.askedAt = null; // of a question without an answer
  }

  /** Ask what the part of a slice on offer would change. The newest question wins. */
  ask({ axis, index }, { box, mask, value }) {
    const { shown, prediction, late } = this.proposals;
    this.drop();
    if (!shown || late || !this.link.online) return;
    const { r0, c0, r1, c1 } = box;
    const place = { image: this.state.image.id, axis, index, box: [r0, c0, r1, c1] };
    const what = { value, producer: shown.producer, prediction };
    this.askedAt = performance.now();
    const bits = packBits(mask, r1 - r0, c1 - c0).buffer;
    this.link.send({ t: "mend", seq: this.seq, ...place, ...what }, bits);
  }

  /** A "mended" message. */
  receive(message, payload) {
    if (message.seq !== this.seq || this.askedAt === null) return;
    this.askedAt = null;
    this.proposals.preview(message, payload);
    this.notices.changed();
  }

  /** A "refused" message: the part can be accepted all the same. */
  refused({ mend, message }) {
    if (mend !== this.seq || this.askedAt === null) return;
    this.askedAt = null;
    this.notices.say("info", message);
  }

  /** Nothing is to be mended any more. */
  drop() {
    this.seq++;
    this.askedAt = null;
    this.proposals.preview(null);
  }

  /** It was accepted: what it changes stays on show until the new proposals are there. */
  accept() {
    this.seq++;
    this.askedAt = null;
  }
}
