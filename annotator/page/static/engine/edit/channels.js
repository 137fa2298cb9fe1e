// How the channels of the open image are shown: which of them, in which colour, window and gamma.

export class Channels {
  chosen = 0; // the one that the window and the sliders are about

  constructor({ state, settings, planes, navigation, notices, kept }) {
    Object.assign(this, { state, settings, planes, navigation, notices, kept });
  }

  /** [{name, color, window, gamma, shown, range}] with `solo`; null where an image has none. */
  get summary() {
    const pixels = this.#pixels;
    if (!pixels) return null;
    const named = pixels.image.named.map(({ name, range }, n) => ({
      ...pixels.looks[n],
      name,
      range,
    }));
    return { named, chosen: this.chosen, solo: pixels.solo };
  }

  /** An image is open: the window is its first shown channel's. */
  entered() {
    const pixels = this.#pixels;
    if (!pixels) return;
    this.chosen = Math.max(
      0,
      pixels.looks.findIndex((look) => look.shown),
    );
    this.settings.window = [...pixels.looks[this.chosen].window];
  }

  choose(number) {
    if (!this.#pixels?.looks[number]) return;
    this.chosen = number;
    this.settings.window = [...this.#pixels.looks[number].window];
    this.notices.changed();
  }

  /** `change`: of color, window, gamma or shown. `dragging`: more is to come. */
  set(number, change, dragging = false) {
    const look = this.#pixels?.looks[number];
    if (!look) return;
    Object.assign(look, change);
    if (number === this.chosen) this.settings.window = [...look.window];
    this.#changed(dragging);
    if (!dragging) this.kept(this.#pixels.image.named[number].name, { ...look });
  }

  /** The next channel alone; after the last one all together again. */
  soloNext() {
    const pixels = this.#pixels;
    if (!pixels) return false;
    const next = pixels.solo === null ? 0 : pixels.solo + 1;
    pixels.solo = next < pixels.looks.length ? next : null;
    if (pixels.solo !== null) this.choose(pixels.solo);
    this.#changed();
    return true;
  }

  /** One channel alone, or all together where it was alone already. */
  solo(number) {
    const pixels = this.#pixels;
    if (!pixels) return;
    pixels.solo = pixels.solo === number ? null : number;
    this.choose(number);
    this.#changed();
  }

  get #pixels() {
    const pixels = this.state.session?.pixels;
    return pixels?.looks ? pixels : null;
  }

  #changed(dragging = false) {
    for (const view of this.planes.views) view.looksChanged();
    if (!dragging) this.navigation.look();
    this.notices.changed();
  }
}
