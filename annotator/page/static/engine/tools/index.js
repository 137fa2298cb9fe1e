// Every tool by its name: a new one is one file and one line.

import { FillTool } from "./fill.js";
import { CrosshairTool, PanTool, WindowTool } from "./navigate.js";
import { PaintTool } from "./paint.js";
import { BoxTool, ClickTool, ScribbleTool } from "./prompt.js";
import { LassoTool, PolygonTool } from "./shape.js";

/**
 * A tool has `cursor` and any of: down(view, point, event), move(view, points), up(view, point,
 * event), hover(view), draw(view, pen), key(name) -> handled, cancel() -> whether there was
 * something to give up, undo() -> whether a step was undone.
 */
export const TOOLS = {
  click: (app) => new ClickTool(app),
  box: (app) => new BoxTool(app),
  scribble: (app) => new ScribbleTool(app),
  brush: (app) => new PaintTool(app, false),
  erase: (app) => new PaintTool(app, true),
  lasso: (app) => new LassoTool(app),
  polygon: (app) => new PolygonTool(app),
  fill: (app) => new FillTool(app),
  pan: (app) => new PanTool(app),
  window: (app) => new WindowTool(app),
  crosshair: (app) => new CrosshairTool(app),
};
