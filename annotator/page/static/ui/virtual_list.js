/**
 * A list of any length that draws only the rows in view. Rows come in pages from `load(offset,
 * limit)`.
 *
 * The element is a listbox with one tab stop: arrows, Page keys, Home and End move the cursor,
 * Enter or a click chooses.
 */

import { element, setAttributes } from "./dom.js";

const PAGE = 100;
const SPARE = 4; // rows drawn above and below the view
const AGAIN_MS = 3000; // after which a page that could not be read is asked for again

export class VirtualList extends EventTarget {
  total = 0;
  cursor = 0;

  #pages = new Map(); // page number -> items, or a promise of them
  #rows = [];
  #frame = 0;
  #age = 0; // answers of an older search are dropped

  /**
   * `load(offset, limit)` -> {total, items}; `draw(row, item)` fills a row; `row()` makes an empty
   * one.
   */
  constructor({ load, draw, row, rowHeight, label }) {
    super();
    Object.assign(this, { load, draw, row, rowHeight });
    this.space = element("div.sw-list-space", { role: "presentation" });
    this.node = element(
      "div.sw-list",
      { role: "listbox", tabindex: 0, "aria-label": label },
      this.space,
    );
    this.node.addEventListener("scroll", () => this.#schedule(), { passive: true });
    this.node.addEventListener("keydown", (event) => this.#key(event));
    this.node.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#schedule()).observe(this.node);
  }

  /** Forget what was read and read again, keeping the scroll position where that makes sense. */
  async reload() {
    this.#age += 1;
    this.#pages.clear();
    await this.#page(Math.floor(this.node.scrollTop / this.rowHeight / PAGE));
    this.#schedule();
  }

  /** The item at a place, or null while it is not read yet. */
  peek(at) {
    const page = this.#pages.get(Math.floor(at / PAGE));
    return Array.isArray(page) ? (page[at % PAGE] ?? null) : null;
  }

  /** The place of the item that `matches` among what was read; -1 where there is none. */
  find(matches) {
    for (const [number, items] of this.#pages) {
      const at = Array.isArray(items) ? items.findIndex(matches) : -1;
      if (at >= 0) return number * PAGE + at;
    }
    return -1;
  }

  /** Change one item that was read already. */
  patch(matches, change) {
    for (const items of this.#pages.values()) {
      const at = Array.isArray(items) ? items.findIndex(matches) : -1;
      if (at >= 0) items[at] = { ...items[at], ...change };
    }
    this.#schedule();
  }

  /** Put the cursor on a row and scroll it into view. */
  show(at) {
    this.cursor = Math.max(0, Math.min(this.total - 1, at));
    const { node, rowHeight } = this;
    const top = this.cursor * rowHeight;
    if (top < node.scrollTop) node.scrollTop = top;
    const least = top + rowHeight - node.clientHeight;
    if (least > node.scrollTop) node.scrollTop = least;
    this.#schedule();
  }

  redraw() {
    this.#schedule();
  }

  #schedule() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  #render() {
    const { node, rowHeight, total } = this;
    this.space.style.height = `${total * rowHeight}px`;
    const first = Math.max(0, Math.floor(node.scrollTop / rowHeight) - SPARE);
    const last = Math.min(
      total,
      Math.ceil((node.scrollTop + node.clientHeight) / rowHeight) + SPARE,
    );
    this.#keepRows(last - first);
    this.#rows.forEach((row, at) => this.#place(row, first + at));
    const active = this.#rows.find((row) => Number(row.dataset.at) === this.cursor);
    setAttributes(node, { "aria-activedescendant": active?.id ?? "" });
  }

  #keepRows(count) {
    while (this.#rows.length < count) {
      const row = this.row();
      Object.assign(row, { id: `sw-row-${this.#rows.length}` });
      row.setAttribute("role", "option");
      this.#rows.push(row);
      this.space.append(row);
    }
    while (this.#rows.length > count) this.#rows.pop().remove();
  }

  #place(row, at) {
    const item = this.peek(at);
    row.style.transform = `translateY(${at * this.rowHeight}px)`;
    row.dataset.at = at;
    row.classList.toggle("cursor", at === this.cursor);
    row.classList.toggle("empty", !item);
    setAttributes(row, { "aria-setsize": this.total, "aria-posinset": at + 1 });
    if (item) this.draw(row, item);
    else void this.#page(Math.floor(at / PAGE));
  }

  async #page(number) {
    const known = this.#pages.get(number);
    if (known) return known;
    const age = this.#age;
    const coming = this.load(number * PAGE, PAGE).then(
      ({ total, items }) => {
        if (age !== this.#age) return items;
        this.total = total;
        this.#pages.set(number, items);
        this.dispatchEvent(new CustomEvent("read", { detail: items }));
        this.#schedule();
        return items;
      },
      (error) => {
        this.dispatchEvent(new CustomEvent("fault", { detail: error }));
        // not at once: a server that restarts would be flooded
        setTimeout(() => this.#again(number, age), AGAIN_MS);
        return [];
      },
    );
    this.#pages.set(number, coming);
    return coming;
  }

  #again(number, age) {
    if (age !== this.#age) return;
    this.#pages.delete(number);
    this.#schedule();
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.rowHeight) - 1);
    const { cursor, total } = this;
    const to = {
      ArrowDown: cursor + 1,
      ArrowUp: cursor - 1,
      PageDown: cursor + page,
      PageUp: cursor - page,
      Home: 0,
      End: total - 1,
    }[event.key];
    if (to !== undefined) this.show(to);
    else if (event.key === "Enter" || event.key === " ") this.#choose(cursor);
    else return;
    event.preventDefault();
  }

  #click(event) {
    const row = event.target.closest("[data-at]");
    if (!row) return;
    this.cursor = Number(row.dataset.at);
    this.#choose(this.cursor);
    this.#schedule();
  }

  #choose(at) {
    const item = this.peek(at);
    if (item) this.dispatchEvent(new CustomEvent("choose", { detail: item }));
  }
}
