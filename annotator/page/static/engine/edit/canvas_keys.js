// Keys that belong to the canvas. The page's own table (tools, classes, layouts) is asked when this
// one declines.

const PAGE = 10;

/** Handle a keydown; true where it was ours. Typing in a field is never touched. */
export function handleKey(app, event) {
  if (!app.image || isTyping(event.target)) return false;
  const handled =
    event.ctrlKey || event.metaKey ? withControl(app, event) : !event.altKey && plain(app, event);
  if (handled) event.preventDefault?.();
  return handled;
}

function isTyping(target) {
  return Boolean(target?.isContentEditable || target?.closest?.("input, textarea, select"));
}

function withControl(app, event) {
  const key = event.key.toLowerCase();
  const anywhere = { anywhere: event.altKey };
  if (key === "z") event.shiftKey ? app.redo(anywhere) : app.undo(anywhere);
  else if (key === "y") app.redo(anywhere);
  else return false;
  return true;
}

function plain(app, event) {
  const inCanvas =
    !event.target?.closest || event.target === document.body || app.planes.contains(event.target);
  if (app.toolbox.tool.key?.(event.key)) return true;
  if (!inCanvas) return false;
  if (event.target?.closest?.("button") && (event.key === "Enter" || event.key === " "))
    return false;
  const action = ACTIONS[event.key] ?? ACTIONS[event.code];
  return action ? action(app, event) !== false : false;
}

const slice = (steps) => (app) => app.navigation.step(steps);

const ACTIONS = {
  Enter: (app) => app.accept(),
  a: (app) => app.accept(),
  A: (app) => app.accept(),
  Escape: (app) => app.escape(),
  Tab: (app, event) => !event.shiftKey && app.nextCandidate(),
  Space: (app) => app.toolbox.holdSpace(),
  PageUp: slice(-PAGE),
  PageDown: slice(PAGE),
  Home: slice(-Infinity),
  End: slice(Infinity),
  ArrowUp: (app, event) => arrow(app, event, [-1, 0]),
  ArrowDown: (app, event) => arrow(app, event, [1, 0]),
  ArrowLeft: (app, event) => arrow(app, event, [0, -1]),
  ArrowRight: (app, event) => arrow(app, event, [0, 1]),
  "[": (app) => app.setBrushRadius(app.settings.radius - brushStep(app.settings.radius)),
  "]": (app) => app.setBrushRadius(app.settings.radius + brushStep(app.settings.radius)),
  f: (app) => app.fit(),
  F: (app) => app.fit(),
  "+": (app) => app.zoom(1.25),
  "=": (app) => app.zoom(1.25),
  "-": (app) => app.zoom(0.8),
};

/**
 * Arrow keys belong to the tool in hand where it wants them, and go through the slices otherwise.
 */
function arrow({ toolbox, navigation }, { shiftKey }, [down, right]) {
  const by = shiftKey ? PAGE : 1;
  if (toolbox.tool.arrow) toolbox.tool.arrow(down * by, right * by);
  else navigation.step((down || right) * by);
}

function brushStep(radius) {
  return radius < 4 ? 0.5 : radius < 20 ? 1 : 4;
}
