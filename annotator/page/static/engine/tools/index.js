// Every tool by its name, in the order of the toolbar: a new one is one file and one line.

/**
 * A tool is a class with the static fields `title`, `key` (as the keyboard gives it), `group` of
 * the toolbar and `icon` (the inside of a 24 x 24 svg); `about` where the list of keys says more
 * than the title. It is made with the parts of the canvas that it may use (see Toolbox) and has
 * `cursor` and any of: down(view, point, event), move(view, points), up(view, point, event),
 * hover(view), draw(view, pen), key(name) -> handled, arrow(rows, cols), cancel() -> whether there
 * was something to give up, undo() -> whether a step was undone, picked(): its key was pressed,
 * next() -> whether Tab was used, accept() and reject() -> whether they took what is proposed, and
 * `summary`, what the page shows of it.
 *
 * A tool's file must not import this one or toolbox.js, directly or by others: both wait for it.
 */
export const TOOLS = await loaded({
  click: "./prompt.js ClickTool",
  box: "./prompt.js BoxTool",
  scribble: "./prompt.js ScribbleTool",
  brush: "./paint.js BrushTool",
  erase: "./paint.js EraserTool",
  lasso: "./shape.js LassoTool",
  polygon: "./shape.js PolygonTool",
  fill: "./fill.js FillTool",
  objects: "./objects.js ObjectTool",
  pan: "./navigate.js PanTool",
  window: "./navigate.js WindowTool",
  crosshair: "./navigate.js CrosshairTool",
});

/** The classes that a table of "file class" names. */
async function loaded(table) {
  const classes = Object.entries(table).map(async ([name, place]) => {
    const [file, tool] = place.split(" ");
    const found = (await import(file))[tool];
    if (!found) throw new Error(`${file} exports no ${tool}, which the tool "${name}" names`);
    return [name, found];
  });
  return Object.fromEntries(await Promise.all(classes));
}
