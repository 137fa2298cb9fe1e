// How the person wants to see and to draw: one plain object, which the page's controls change.

const PLAIN = "#94a3b8"; // a class nobody told us about

export function newSettings() {
  return {
    classes: new Map(), // id -> {id, name, color "#rrggbb", hidden, locked}
    classId: 1,
    window: [0, 255],
    radius: 8,
    opacity: 0.45,
    style: "both",
    protect: false,
    instances: false,
    atOnce: false, // the first mask of a click or box is accepted as it comes
    showUnknown: false,
    visible: true,
    proposals: true,
    uncertainty: false,
    trust: false,
    minConfidence: 0,
    limits: null, // of proposed objects {leastCertain 0..1, smallest}: beyond they are hidden
    looking: "", // why nothing can be changed, in words
  };
}

/** The newest class that this page knows of. */
export const newestClass = ({ classes }) =>
  Math.max(0, ...[...classes.values()].map((one) => one.made ?? 0));

/** Does every object of a class get a number? */
export function numbersObjects({ instances, classes }, classId) {
  return instances || Boolean(classes.get(classId)?.objects);
}

/** Do the objects of any class? */
export function numbersAny({ instances, classes }) {
  return instances || [...classes.values()].some(({ objects }) => objects);
}

export function colorOf({ classes }, classId) {
  return classes.get(classId)?.color ?? PLAIN;
}
