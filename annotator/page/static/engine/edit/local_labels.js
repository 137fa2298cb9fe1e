// What an event of this person does to the labels in the browser, and how it is taken out again.

import { BACKGROUND, decodeRuns, encodeRuns, ERASED, UNLABELLED } from "../codec.js";
import { boxInVolume } from "../geometry.js";

/** Events are entries of the history; see history.js. */
export class LocalLabels {
  constructor({ state, planes }) {
    this.state = state;
    this.planes = planes;
  }

  /** The event with a picture of what it is about to change. */
  record(event) {
    const { labels, image } = this.state;
    const { axis, index, box } = event;
    const count = areaOf(box);
    const classes = encodeRuns(labels.read(axis, index, box, new Uint8Array(count)));
    const objects = labels.hasObjects
      ? encodeRuns(labels.readObjects(axis, index, box, new Uint16Array(count)))
      : null;
    return { ...event, image: image.id, name: image.name, before: { classes, objects } };
  }

  /** Lay an event over the labels and show it. */
  apply(entry) {
    if (!entry.kind) return; // of an earlier visit: what it said comes with the server's `region`
    this.write(entry);
    const { axis, index, box, kind } = entry;
    this.planes.labelsChanged(boxInVolume(axis, index, box));
    const state = this.state.states.get(axis, index) ?? "labelled";
    if (kind === "complete") this.planes.noteSlice(axis, index, entry.on ? "complete" : "labelled");
    else if (kind === "label") this.planes.noteSlice(axis, index, state);
  }

  /** Into the labels only. */
  write(entry) {
    if (!entry.box) return; // what it said comes with the server's `region`
    const { labels, states } = this.state;
    const { axis, index, box } = entry;
    const count = areaOf(box);
    if (entry.kind === "label") {
      const unknown = states.get(axis, index) === "complete" ? BACKGROUND : UNLABELLED;
      const said = decodeRuns(entry.said, new Uint8Array(count));
      labels.write(entry, said, { unknown, object: entry.object });
    } else if (entry.kind === "complete") {
      const now = labels.read(axis, index, box, new Uint8Array(count));
      labels.write(entry, entry.on ? completed(now) : uncompleted(now, entry));
    }
  }

  /** Put back what was there before, where this tab remembers it. */
  revert({ axis, index, box, before }) {
    if (!before) return;
    const count = areaOf(box);
    const classes = decodeRuns(before.classes, new Uint8Array(count));
    const objects = before.objects && decodeRuns(before.objects, new Uint16Array(count));
    this.state.labels.restore({ axis, index, box }, classes, objects);
    this.planes.labelsChanged(boxInVolume(axis, index, box));
  }
}

function areaOf({ r0, c0, r1, c1 }) {
  return (r1 - r0) * (c1 - c0);
}

/** Only the unknown pixels are said to be background. */
function completed(classes) {
  return classes.map((c) => (c === UNLABELLED ? BACKGROUND : UNLABELLED));
}

/** Background that came from "complete" is unknown again, where this tab remembers what it was. */
function uncompleted(now, { ground }) {
  if (!ground) return new Uint8Array(now.length).fill(UNLABELLED);
  const was = decodeRuns(ground.classes, new Uint8Array(now.length));
  return now.map((c, i) => (c === BACKGROUND && was[i] === UNLABELLED ? ERASED : UNLABELLED));
}
