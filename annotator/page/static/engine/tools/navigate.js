// Moving about: pan, window/level, crosshair.

const NARROWEST = { uint8: 1, int16: 1, uint16: 1 };
const HALVING_PX = 140; // CSS pixels of drag that halve or double the window

export class PanTool {
  static title = "Pan";
  static key = "v";
  static group = "look";
  static icon =
    '<path d="M12 3v18M3 12h18M12 3 9.5 5.500M12 3l2.5 2.500M12 21l-2.5-2.500' +
    'M12 21l2.5-2.500M3 12l2.5-2.500M3 12l2.5 2.500M21 12l-2.5-2.500M21 12l-2.5 2.5"/>';

  constructor(kit) {
    this.kit = kit;
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
    view.overlay.style.cursor = this.kit.toolbox.tool.cursor;
  }
}

/**
 * Right: wider; left: narrower; up: brighter. Steps follow the window, so float and 16 bit feel
 * alike.
 */
export class WindowTool {
  static title = "Window / level";
  static key = "d";
  static group = "look";
  static icon =
    '<circle cx="12" cy="12" r="8"/>' +
    '<path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor" stroke="none"/>';

  constructor(kit) {
    this.kit = kit;
    this.cursor = "ns-resize";
  }

  down(view, point) {
    const [lo, hi] = this.kit.settings.window;
    this.from = { ...point, level: (lo + hi) / 2, width: hi - lo };
  }

  move(view, points) {
    const point = points.at(-1);
    const { dpr } = view.camera;
    const dx = (point.x - this.from.x) / dpr;
    const dy = (point.y - this.from.y) / dpr;
    const [low, high] = this.kit.state.image.range;
    const narrowest = NARROWEST[this.kit.state.image.dtype] ?? (high - low) * 1e-4;
    const width = Math.min(
      4 * Math.max(high - low, narrowest),
      Math.max(narrowest, this.from.width * 2 ** (dx / HALVING_PX)),
    );
    const level = this.from.level + (dy / (2 * HALVING_PX)) * this.from.width;
    this.kit.setWindow(level - width / 2, level + width / 2, true);
  }

  up() {
    this.kit.navigation.look();
  }
}

export class CrosshairTool {
  static title = "Crosshair";
  static key = "c";
  static group = "look";
  static icon =
    '<circle cx="12" cy="12" r="6.5"/>' + '<path d="M12 2.500v7M12 14.500v7M2.5 12h7M14.5 12h7"/>';

  constructor(kit) {
    this.kit = kit;
    this.cursor = "crosshair";
  }

  down(view, point) {
    this.kit.navigation.point(view, point);
  }

  /** Arrow keys move the crosshair while this tool is in hand. */
  arrow(rows, cols) {
    this.kit.navigation.nudge(rows, cols);
  }

  move(view, points) {
    this.kit.navigation.point(view, points.at(-1));
  }
}
