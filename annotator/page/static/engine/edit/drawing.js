// What every drawing tool asks first: may I, and to which object does the shape belong?

import { numbersObjects } from "../settings.js";

/** May this slice be drawn on now? Says why where it may not. */
export function mayDraw({ settings, notices }, view) {
  if (!view.editable) notices.say("info", "This slice is still loading; try again in a moment.");
  else if (!settings.visible)
    notices.say("info", "The labels are hidden; press X to show them, then draw.");
  else return hasClass({ settings, notices });
  return false;
}

/** Is there a class to label as? Where not, the page hears "classless" and asks for one. */
export function hasClass({ settings, notices }) {
  const { classes, classId } = settings;
  if (!classes.size || classes.has(classId)) return true;
  notices.classless();
  return false;
}

/** The object that a shape begun here belongs to: 0 none, -1 a new one, n the one already there. */
export function instanceAt(settings, view, { row, col }) {
  if (!numbersObjects(settings, settings.classId)) return 0;
  const at = Math.round(row) * view.size.cols + Math.round(col);
  return view.labels[at] === settings.classId && view.objects?.[at] ? view.objects[at] : -1;
}

/** The object of the current class to the left of a pixel that it encloses. */
export function instanceBeside(settings, view, at) {
  while (at > 0 && view.labels[at] !== settings.classId) at -= 1;
  return numbersObjects(settings, settings.classId) ? (view.objects?.[at] ?? 0) : 0;
}
