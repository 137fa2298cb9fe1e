// What every drawing tool asks first: may I, and to which object does the shape belong?

/** May this slice be drawn on now? Says why where it may not. */
export function mayDraw(app, view) {
  if (!view.editable) app.say("info", "This slice is still loading; try again in a moment.");
  else if (!app.settings.visible)
    app.say("info", "The labels are hidden; show them before drawing.");
  else return hasClass(app);
  return false;
}

/** Is there a class to label as? Where not, the page hears "classless" and asks for one. */
export function hasClass(app) {
  const { classes, classId } = app.settings;
  if (!classes.size || classes.has(classId)) return true;
  app.dispatchEvent(new CustomEvent("classless"));
  return false;
}

/**
 * The object a shape that begins here belongs to: 0 none, -1 a new one, n the one already there.
 */
export function instanceAt(app, view, { row, col }) {
  if (!app.settings.instances) return 0;
  const at = Math.round(row) * view.size.cols + Math.round(col);
  return view.labels[at] === app.settings.classId && view.objects?.[at] ? view.objects[at] : -1;
}

/** The object of the current class to the left of a pixel that it encloses. */
export function instanceBeside(app, view, at) {
  while (at > 0 && view.labels[at] !== app.settings.classId) at--;
  return app.settings.instances ? (view.objects?.[at] ?? 0) : 0;
}
