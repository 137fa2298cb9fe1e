// The parts of a canvas, wired: each is given those that it uses, so it stands below them here.

import { CanvasState } from "./canvas_state.js";
import { Acceptance } from "./edit/acceptance.js";
import { Channels } from "./edit/channels.js";
import { Editor } from "./edit/editor.js";
import { Input } from "./edit/input.js";
import { Mending } from "./edit/mending.js";
import { ObjectActs } from "./edit/object_acts.js";
import { Navigation } from "./edit/navigation.js";
import { PromptStore } from "./edit/prompts.js";
import { UndoRedo } from "./edit/undo.js";
import { WholeObjects } from "./edit/whole_objects.js";
import { WorkClock } from "./edit/work_clock.js";
import { Opening } from "./image/opening.js";
import { Proposals } from "./image/proposals.js";
import { listen } from "./messages.js";
import { Notices } from "./notices.js";
import { newSettings } from "./settings.js";
import { Toolbox } from "./tools/toolbox.js";
import { Frames } from "./view/frames.js";
import { Planes } from "./view/planes.js";

/**
 * `tell(type, detail)` raises an event of the canvas; `chooseClass(id)` and `setWindow(lo, hi,
 * dragging)` are its commands, which a prompt and a tool give too; `keepLook(name, look)` keeps how
 * a channel is shown.
 */
export function makeParts(root, { link, signal, wholeLimit, proposes, ...commands }) {
  const { tell, chooseClass, setWindow } = commands;
  const canvasState = new CanvasState();
  const settings = newSettings();
  const planes = new Planes(root);
  const frames = new Frames({ state: canvasState, settings, planes, signal, tell });
  const notices = new Notices(tell, frames);
  const clock = new WorkClock();
  const base = { state: canvasState, settings, planes, link, signal, notices, clock };
  const proposals = new Proposals({ ...base, proposes });
  const editor = new Editor(base);
  const mending = new Mending({ ...base, proposals });
  const whole = new WholeObjects({ ...base, editor });
  const asked = { stats: frames.stats, editor, mending, proposals, chooseClass, whole };
  const prompts = new PromptStore({ ...base, ...asked });
  const navigation = new Navigation({ ...base, prompts, proposals });
  const channels = new Channels({ ...base, navigation, kept: commands.keepLook });
  const undoRedo = new UndoRedo({ ...base, editor, navigation });
  const acceptance = new Acceptance({ ...base, editor, proposals, prompts });
  const objectActs = new ObjectActs({ ...base, editor });
  const held = { editor, prompts, navigation, acceptance, objectActs, setWindow };
  const toolbox = new Toolbox({ ...base, ...held });
  const parts = { ...base, frames, proposals, editor, mending, prompts, navigation, toolbox };
  const opening = new Opening({ ...parts, channels, wholeLimit });
  planes.build({ ...parts, proposes }); // views show parts that were given `planes`
  for (const view of planes.views) new Input(view, parts);
  listen(parts);
  planes.setPointer(toolbox.tool.cursor);
  notices.changed();
  const made = {
    canvasState,
    settings,
    planes,
    frames,
    notices,
    proposals,
    editor,
    mending,
    prompts,
  };
  return { ...made, navigation, undoRedo, acceptance, toolbox, opening, channels };
}
