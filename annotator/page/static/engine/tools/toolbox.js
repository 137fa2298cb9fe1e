// The tools of a canvas, and the one in hand.

import { TOOLS } from "./index.js";

export class Toolbox {
  /** `kit` = {state, settings, planes, notices, editor, prompts, navigation, acceptance,
   * objectActs, setWindow}. */
  constructor(kit) {
    this.state = kit.state;
    this.planes = kit.planes;
    this.settings = kit.settings;
    this.notices = kit.notices;
    const own = { ...kit, toolbox: this };
    const made = Object.entries(TOOLS).map(([name, Tool]) => [name, new Tool(own)]);
    this.tools = Object.fromEntries(made);
    [this.name] = Object.keys(TOOLS);
  }

  get tool() {
    return this.tools[this.name];
  }

  take(name) {
    if (!this.tools[name]) {
      const names = Object.keys(this.tools).join(", ");
      throw new RangeError(`there is no tool "${name}"; choose one of ${names}`);
    }
    const { looking } = this.settings;
    if (looking && TOOLS[name].group !== "look") return this.notices.say("info", looking);
    this.tool.cancel?.();
    if (name !== this.name) this.tool.leave?.();
    this.name = name;
    this.planes.setPointer(this.tool.cursor);
    this.planes.redrawOverlays();
  }

  /** A tool of those that change nothing. */
  takeHarmless() {
    if (TOOLS[this.name].group !== "look")
      this.take(Object.keys(TOOLS).find((name) => TOOLS[name].group === "look"));
  }

  /** Any tool pans while Space is held. */
  holdSpace() {
    this.state.holdSpace(true);
    this.planes.setPointer("grab");
  }

  releaseSpace() {
    if (!this.state.spaceHeld) return;
    this.state.holdSpace(false);
    this.planes.setPointer(this.tool.cursor);
  }
}
