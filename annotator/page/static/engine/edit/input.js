// Pointer and wheel on a view: which tool gets them, and what works whatever tool is in hand.

const NOTCH = 40; // wheel units of one slice for touchpads; a mouse notch is 100 or more
const LINE_UNITS = 33; // deltaMode 1 counts lines

export class Input {
  constructor(app, view) {
    this.app = app;
    this.view = view;
    this.gesture = null; // the tool that follows the pointer until it is released
    this.travel = 0;
    const on = (type, handler, options = {}) =>
      view.overlay.addEventListener(type, handler, { signal: app.signal, ...options });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", () => this.#cancel());
    on("pointerleave", () => this.#leave());
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("focus", () => app.activate(view));
  }

  #down(event) {
    if (this.gesture || !this.app.image) return;
    const { app, view } = this;
    event.preventDefault();
    view.overlay.focus({ preventScroll: true });
    view.overlay.setPointerCapture(event.pointerId);
    app.activate(view);
    this.gesture = event.button === 1 || app.spaceHeld ? app.tools.pan : app.tool;
    app.drawing = this.gesture.cancel ? view : null;
    const point = view.locate(event);
    view.pointer = point;
    this.gesture.down?.(view, point, event);
  }

  #move(event) {
    if (!this.app.image) return;
    const { app, view } = this;
    const point = view.locate(event);
    view.pointer = point;
    if (this.gesture) {
      const samples = event.getCoalescedEvents?.() ?? [];
      this.gesture.move?.(
        view,
        samples.length ? samples.map((sample) => view.locate(sample)) : [point],
      );
    } else if (event.shiftKey) app.navigation.point(view, point);
    app.tool.hover?.(view);
    if (app.tool.draw) view.redrawOverlay();
    app.hover(view, point);
  }

  #up(event) {
    const { gesture } = this;
    this.gesture = this.app.drawing = null;
    gesture?.up?.(this.view, this.view.locate(event), event);
  }

  #cancel() {
    this.gesture?.cancel?.();
    this.gesture = this.app.drawing = null;
  }

  #leave() {
    this.view.pointer = null;
    this.view.redrawOverlay();
    this.app.hover(null);
  }

  /** Slices; with Ctrl, or where there is one slice only, zoom at the pointer. */
  #wheel(event) {
    const { app, view } = this;
    if (!app.image) return;
    event.preventDefault();
    app.activate(view);
    const delta = event.deltaMode === 1 ? event.deltaY * LINE_UNITS : event.deltaY || event.deltaX;
    if (event.ctrlKey || event.metaKey || app.image.shape[view.axis] === 1) {
      const { x, y } = view.locate(event);
      view.camera.zoomAt(2 ** (-Math.max(-240, Math.min(240, delta)) / 240), x, y);
      view.redraw();
      return;
    }
    this.travel = Math.sign(this.travel) === Math.sign(delta) ? this.travel + delta : delta;
    const steps = Math.abs(delta) >= 100 ? Math.sign(delta) : Math.trunc(this.travel / NOTCH);
    if (!steps) return;
    this.travel = 0;
    app.gotoSlice(view.axis, view.index + steps);
  }
}
