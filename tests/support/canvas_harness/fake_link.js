// A link that keeps what it is given. A test answers by `deliver`; with `auto` it answers clicks
// and labels itself.
import { packBits } from "/ui/engine/codec.js";

export class FakeLink extends EventTarget {
  constructor({ auto }) {
    super();
    Object.assign(this, { auto, online: true, sent: [], queue: [], outbox: [], count: 0, rev: 0 });
  }

  newId() {
    return `event-${++this.count}`;
  }

  send(message, payload) {
    if (!this.online) return;
    this.sent.push({ message, payload });
    if (this.auto && message.t === "predict") setTimeout(() => this.discs(message), 20);
  }

  enqueue(message, payload) {
    this.queue.push({ message, payload });
    this.outbox.push({ message, payload });
    if (this.auto) setTimeout(() => this.ack(message.id), 30);
  }

  pendingFor(image) {
    return this.outbox.filter(({ message }) => message.image === image);
  }

  deliver(name, message, payload = new ArrayBuffer(0)) {
    this.dispatchEvent(
      new CustomEvent(name, { detail: { message: { t: name, ...message }, payload } }),
    );
  }

  ack(id) {
    this.outbox = this.outbox.filter(({ message }) => message.id !== id);
    this.deliver("ack", { id, label: 1, rev: ++this.rev, instance: 0, conflict: null });
  }

  /**
   * Masks of given shapes: [{box, score, mask: rows of "01..."}], as the server would send them.
   */
  mask(seq, shapes, model = "fake") {
    const parts = shapes.map(({ rows }) =>
      packBits(
        Uint8Array.from(rows.join("")).map((c) => c),
        rows.length,
        rows[0].length,
      ),
    );
    const payload = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    let offset = 0;
    const candidates = shapes.map(({ box, score }, i) => {
      payload.set(parts[i], offset);
      offset += parts[i].length;
      return { box, score, offset: offset - parts[i].length, bytes: parts[i].length };
    });
    this.deliver("mask", { seq, model, ms: 20, candidates }, payload.buffer);
  }

  /** Two discs around the first point: small and large. */
  discs({ seq, points, box, scribbles }) {
    const [row, col] = points[0] ??
      scribbles[0]?.points[0] ?? [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    const shapes = [14, 24].map((radius) => {
      const side = Array.from({ length: 2 * radius + 1 }, (_, i) => i - radius);
      const rows = side.map((y) =>
        side
          .map((x) => Number(x * x + y * y + 3 * radius * Math.sin(x / 3) <= radius * radius))
          .join(""),
      );
      const [r0, c0] = [
        Math.max(0, Math.round(row) - radius),
        Math.max(0, Math.round(col) - radius),
      ];
      return { box: [r0, c0, r0 + rows.length, c0 + rows.length], score: 1 - radius / 100, rows };
    });
    this.mask(seq, shapes);
  }
}
