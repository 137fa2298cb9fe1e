// Counters for benchmarks: frames, and for each prediction the time from the hand to the painted
// mask.

const KEPT = 2000;

export class Stats {
  constructor() {
    this.frames = 0; // frames in which a picture was painted
    this.overlays = 0; // frames in which only lines over a picture were
    this.lastFrameMs = 0;
    this.predictions = []; // {seq, ms: pointer to painted, model_ms, candidates}
    this.waiting = null;
  }

  frame(ms) {
    this.frames++;
    this.lastFrameMs = ms;
  }

  /** A mask arrived; the clock stops when the frame with it has been painted. */
  answered(prediction) {
    this.waiting = prediction;
  }

  /** Called at the end of a frame. */
  painted() {
    const answered = this.waiting;
    this.waiting = null;
    if (!answered) return;
    const channel = new MessageChannel(); // its message is delivered after the browser has painted
    channel.port1.onmessage = () => {
      channel.port1.close();
      const { askedAt, ...rest } = answered;
      this.predictions.push({ ...rest, ms: performance.now() - askedAt });
      if (this.predictions.length > KEPT) this.predictions.shift();
    };
    channel.port2.postMessage(null);
  }
}
