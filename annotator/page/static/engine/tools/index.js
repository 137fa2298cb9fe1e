// Every tool by its name, in the order of the toolbar: a new one is one file and one line.

import { FillTool } from "./fill.js";
import { CrosshairTool, PanTool, WindowTool } from "./navigate.js";
import { BrushTool, EraserTool } from "./paint.js";
import { BoxTool, ClickTool, ScribbleTool } from "./prompt.js";
import { LassoTool, PolygonTool } from "./shape.js";

/**
 * A tool is a class with the static fields `title`, `key` (as the keyboard gives it), `group` of
 * the toolbar and `icon` (the inside of a 24 x 24 svg); `about` where the list of keys says more
 * than the title. It is made with the parts of the canvas that it may use (see Toolbox) and has
 * `cursor` and any of: down(view, point, event), move(view, points), up(view, point, event),
 * hover(view), draw(view, pen), key(name) -> handled, arrow(rows, cols), cancel() -> whether there
 * was something to give up, undo() -> whether a step was undone, picked(): its key was pressed.
 */
export const TOOLS = {
  click: ClickTool,
  box: BoxTool,
  scribble: ScribbleTool,
  brush: BrushTool,
  erase: EraserTool,
  lasso: LassoTool,
  polygon: PolygonTool,
  fill: FillTool,
  pan: PanTool,
  window: WindowTool,
  crosshair: CrosshairTool,
};
