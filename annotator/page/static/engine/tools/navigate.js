// Moving about: pan, window/level, crosshair.

const NARROWEST = { uint8: 1, int16: 1, uint16: 1 };
const HALVING_PX = 140; // CSS pixels of drag that halve or double the window

export class PanTool {
  constructor() {
    this.cursor = "grab";
  }

  down(view, point) {
    this.last = point;
    view.overlay.style.cursor = "grabbing";
  }

  move(view, points) {
    const point = points.at(-1);
    view.camera.pan(point.x - this.last.x, point.y - this.last.y);
    this.last = point;
    view.redraw();
  }

  up(view) {
    view.overlay.style.cursor = view.app.tool.cursor;
  }
}

/**
 * Right: wider; left: narrower; up: brighter. Steps follow the window, so float and 16 bit feel
 * alike.
 */
export class WindowTool {
  constructor(app) {
    this.app = app;
    this.cursor = "ns-resize";
  }

  down(view, point) {
    const [lo, hi] = this.app.settings.window;
    this.from = { ...point, level: (lo + hi) / 2, width: hi - lo };
  }

  move(view, points) {
    const point = points.at(-1);
    const { dpr } = view.camera;
    const dx = (point.x - this.from.x) / dpr;
    const dy = (point.y - this.from.y) / dpr;
    const [low, high] = this.app.image.range;
    const narrowest = NARROWEST[this.app.image.dtype] ?? (high - low) * 1e-4;
    const width = Math.min(
      4 * Math.max(high - low, narrowest),
      Math.max(narrowest, this.from.width * 2 ** (dx / HALVING_PX)),
    );
    const level = this.from.level + (dy / (2 * HALVING_PX)) * this.from.width;
    this.app.setWindow(level - width / 2, level + width / 2, true);
  }

  up() {
    this.app.windowSettled();
  }
}

export class CrosshairTool {
  constructor(app) {
    this.app = app;
    this.cursor = "crosshair";
  }

  down(view, point) {
    this.app.navigation.point(view, point);
  }

  move(view, points) {
    this.app.navigation.point(view, points.at(-1));
  }
}
