// Pointer and wheel on a view: which tool gets them, and what works whatever tool is in hand.

const NOTCH = 40; // wheel units of one slice for touchpads; a mouse notch is 100 or more
const LINE_UNITS = 33; // deltaMode 1 counts lines

export class Input {
  constructor(view, { state, planes, frames, navigation, toolbox, signal }) {
    Object.assign(this, { view, state, planes, frames, navigation, toolbox });
    this.gesture = null; // the tool that follows the pointer until it is released
    this.travel = 0;
    const on = (type, handler, options = {}) =>
      view.overlay.addEventListener(type, handler, { signal, ...options });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", () => this.#cancel());
    on("pointerleave", () => this.#leave());
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("focus", () => planes.activate(view));
  }

  #down(event) {
    const { state, toolbox, view } = this;
    if (this.gesture || !state.image) return;
    event.preventDefault();
    view.overlay.focus({ preventScroll: true });
    view.overlay.setPointerCapture(event.pointerId);
    this.planes.activate(view);
    this.gesture = event.button === 1 || state.spaceHeld ? toolbox.tools.pan : toolbox.tool;
    state.beginGesture(this.gesture.cancel ? view : null);
    const point = view.locate(event);
    view.pointer = point;
    this.gesture.down?.(view, point, event);
  }

  #move(event) {
    if (!this.state.image) return;
    const { toolbox, view } = this;
    const point = view.locate(event);
    view.pointer = point;
    if (this.gesture) {
      const samples = event.getCoalescedEvents?.() ?? [];
      this.gesture.move?.(
        view,
        samples.length ? samples.map((sample) => view.locate(sample)) : [point],
      );
    } else if (event.shiftKey) this.navigation.point(view, point);
    toolbox.tool.hover?.(view);
    if (toolbox.tool.draw) view.redrawOverlay();
    this.frames.hover(view, point);
  }

  #up(event) {
    const { gesture } = this;
    this.#endGesture();
    gesture?.up?.(this.view, this.view.locate(event), event);
  }

  #cancel() {
    this.gesture?.cancel?.();
    this.#endGesture();
  }

  #endGesture() {
    this.gesture = null;
    this.state.endGesture();
  }

  #leave() {
    this.view.pointer = null;
    this.view.redrawOverlay();
    this.frames.hover(null, null);
  }

  /** Slices; with Ctrl, or where there is one slice only, zoom at the pointer. */
  #wheel(event) {
    const { view } = this;
    const { image } = this.state;
    if (!image) return;
    event.preventDefault();
    this.planes.activate(view);
    const delta = event.deltaMode === 1 ? event.deltaY * LINE_UNITS : event.deltaY || event.deltaX;
    if (event.ctrlKey || event.metaKey || image.shape[view.axis] === 1) {
      const { x, y } = view.locate(event);
      view.camera.zoomAt(2 ** (-Math.max(-240, Math.min(240, delta)) / 240), x, y);
      view.redraw();
      return;
    }
    this.travel = Math.sign(this.travel) === Math.sign(delta) ? this.travel + delta : delta;
    const steps = Math.abs(delta) >= 100 ? Math.sign(delta) : Math.trunc(this.travel / NOTCH);
    if (!steps) return;
    this.travel = 0;
    this.navigation.gotoSlice(view.axis, view.index + steps);
  }
}
