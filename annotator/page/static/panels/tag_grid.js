/**
 * The grid of tags: thumbnails of images and slices, and which classes are on them, said with one
 * key each.
 */

import { call } from "../net/api.js";
import { newId } from "../net/outbox.js";
import { element, setAttributes, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";
import { TagActs } from "./tag_acts.js";
import { tagDialog } from "./tag_dialog.js";
import { drawTile, keyOf, predict, tileElement, titleOf } from "./tag_tiles.js";

const PAGE = 60; // tiles at once
const LONGEST_SECONDS = 30; // between two acts: whoever takes longer did something else

/** Open the grid; `closed` is called when it is left. */
export function openTagGrid(closed = () => {}) {
  if (document.querySelector("dialog.sw-tags")) return;
  new TagGrid(closed).show();
}

class TagGrid {
  #items = [];
  #facts = { total: 0, shown: 0, done: 0, seconds: 0, classes: [] };
  #offset = 0;
  #at = 0; // the tile that the keys are about
  #from = 0; // the other end of the range
  #since = performance.now();
  #acts = new TagActs();
  #reading = 0; // the number of the newest reading: an answer to an older one is not shown
  // the newest reading is shown; keys until then are about what it brings
  #listed = Promise.resolve();

  constructor(closed) {
    Object.assign(
      this,
      tagDialog({
        none: () => this.#none(),
        rest: () => this.#rest(),
        undo: () => this.#undo(),
        turn: (by) => this.#turn(by),
      }),
    );
    this.#listen(closed);
  }

  async show() {
    const before = document.activeElement;
    this.node.addEventListener("close", () => before?.focus?.());
    document.body.append(this.node);
    this.node.showModal();
    this.grid.focus();
    await this.#list();
  }

  #listen(closed) {
    this.node.addEventListener("keydown", (event) => this.#key(event));
    this.node.addEventListener("close", () => {
      this.node.remove();
      this.#acts.sent.then(closed);
    });
    this.grid.addEventListener("pointerdown", (event) => {
      const tile = event.target.closest("[data-at]");
      if (tile) this.#move(Number(tile.dataset.at), event.shiftKey);
    });
    for (const control of [this.every, this.untagged])
      control.addEventListener("change", () => (this.grid.focus(), this.#list()));
  }

  // ---- keys

  #key(event) {
    event.stopPropagation();
    const inGrid = event.target === this.grid;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z")
      return this.#take(event, () => this.#undo());
    if (event.ctrlKey || event.metaKey || event.altKey || !inGrid) return;
    const columns = this.#columns();
    const steps = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: columns,
      ArrowUp: -columns,
      Home: -PAGE,
      End: PAGE,
    };
    const acts = {
      Enter: () => this.#rest(),
      0: () => this.#none(),
      x: () => this.#none(),
      u: () => this.#undo(),
      PageDown: () => this.#turn(1),
      PageUp: () => this.#turn(-1),
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in steps) this.#take(event, () => this.#step(steps[key], event.shiftKey));
    else if (key in acts) this.#take(event, acts[key]);
    else if (/^[1-9]$/.test(key)) this.#take(event, () => this.#toggle(Number(key) - 1));
  }

  #take(event, work) {
    event.preventDefault();
    this.#listed.then(work);
  }

  #columns() {
    return Math.max(1, getComputedStyle(this.grid).gridTemplateColumns.split(" ").length);
  }

  /** Past the last tile comes the next page. */
  #step(by, extend) {
    const wanted = this.#at + by;
    const jump = Math.abs(by) === PAGE;
    if (!extend && !jump && wanted >= this.#items.length && this.#more) return this.#turn(1);
    if (!extend && !jump && wanted < 0 && this.#offset > 0) return this.#turn(-1);
    this.#move(Math.min(this.#items.length - 1, Math.max(0, wanted)), extend);
  }

  #move(at, extend = false) {
    this.#at = at;
    if (!extend) this.#from = at;
    this.#drawChosen();
  }

  get #more() {
    return this.#offset + this.#items.length < this.#facts.shown;
  }

  async #turn(by) {
    if (by > 0 && !this.#more) return toast("These are the last tiles.", "info");
    if (by < 0 && !this.#offset) return toast("These are the first tiles.", "info");
    const offset =
      by > 0 ? (this.untagged.checked ? 0 : this.#offset + PAGE) : Math.max(0, this.#offset - PAGE);
    await this.#list(offset, by < 0);
  }

  /** What the server lists includes what was said until now. */
  #list(offset = 0, atEnd = false) {
    this.#listed = this.#acts.sent.then(() => this.#read(offset, atEnd));
    return this.#listed;
  }

  // ---- acts

  get #chosen() {
    const [low, high] = [Math.min(this.#at, this.#from), Math.max(this.#at, this.#from)];
    return this.#items.slice(low, high + 1);
  }

  #toggle(number) {
    const one = this.#facts.classes[number];
    if (!one)
      return toast("There is no class with that number; add classes in the Label tab.", "info");
    const there = this.#chosen.every((item) => item.present.includes(one.id));
    this.#say(there ? { absent: [one.id] } : { present: [one.id] });
    if (this.#facts.classes.length === 1) this.#next();
  }

  #none() {
    this.#say({ absent: this.#facts.classes.map((one) => one.id) });
    this.#next();
  }

  /** What is not said to be there is not there. */
  #rest() {
    const left = this.#facts.classes
      .map((one) => one.id)
      .filter((id) => this.#chosen.every((item) => !item.present.includes(id)));
    if (left.length) this.#say({ absent: left });
    this.#next();
  }

  #next() {
    const after = Math.max(this.#at, this.#from) + 1;
    if (after < this.#items.length) this.#move(after);
    else if (this.#more) this.#turn(1);
    else this.#move(this.#items.length - 1);
  }

  #say({ present = [], absent = [] }) {
    const tiles = this.#chosen;
    if (!tiles.length || !(present.length + absent.length)) return;
    const message = {
      id: newId(),
      places: tiles.map(({ image, axis, index }) => ({ image, axis, index })),
      present,
      absent,
      seconds: this.#seconds(),
    };
    for (const item of tiles) predict(item, present, absent);
    this.#draw();
    this.#send("/api/tags", message, tiles.map(keyOf));
  }

  #undo() {
    this.#send("/api/tags/undo", { id: newId() });
  }

  #send(path, message, keys = []) {
    this.#acts.send({ path, message, keys }, async (answer) => {
      try {
        for (const item of await answer) this.#replace(item, path.endsWith("undo"));
        if (this.#acts.idle) await this.#count();
      } catch (error) {
        toast(error.message, error.status === 404 ? "info" : "error");
        if (error.status !== 404) await this.#read(this.#offset); // what stands on the server
      }
      this.#draw();
    });
  }

  #replace(item, goThere) {
    const at = this.#items.findIndex((one) => keyOf(one) === keyOf(item));
    if (at < 0) return goThere && toast(`Undone on ${titleOf(item)}.`, "info");
    this.#items[at] = item;
    if (goThere) this.#move(at);
  }

  #seconds() {
    const now = performance.now();
    const seconds = Math.min(LONGEST_SECONDS, (now - this.#since) / 1000);
    this.#since = now;
    return Math.round(seconds * 100) / 100;
  }

  // ---- reading and drawing

  async #read(offset, atEnd = false) {
    const reading = ++this.#reading;
    try {
      const wanted = { every: this.every.value, untagged: this.untagged.checked };
      const page = await call(
        `/api/tags?${new URLSearchParams({ offset, limit: PAGE, ...wanted })}`,
      );
      if (reading !== this.#reading) return;
      this.#facts = page;
      this.#items = page.items;
      this.#offset = offset;
      this.#since = performance.now();
      this.grid.replaceChildren(
        ...this.#items.map((item, at) => tileElement(item, at, this.#facts.classes)),
      );
      this.grid.classList.toggle("empty", !this.#items.length);
      if (!this.#items.length)
        this.grid.append(
          element(
            "p",
            { role: "option", "aria-selected": "false" },
            this.untagged.checked
              ? "Everything is tagged."
              : "No images yet; import some in the Data tab.",
          ),
        );
      this.#drawLegend();
      this.#at = this.#from = atEnd ? Math.max(0, this.#items.length - 1) : 0;
      this.#draw();
    } catch (error) {
      toast(error.message, "error");
    }
  }

  async #count() {
    const { total, done, seconds } = await call(`/api/tags?limit=1&every=${this.every.value}`);
    this.#facts = { ...this.#facts, total, done, seconds };
  }

  #draw() {
    const { total, done, seconds } = this.#facts;
    const time = seconds >= 60 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds)} s`;
    setText(this.progress, `${done} of ${total} tagged${seconds ? `, ${time} so far` : ""}`);
    const last = this.#offset + this.#items.length;
    setText(
      this.where,
      this.#items.length ? `${this.#offset + 1} to ${last} of ${this.#facts.shown}` : "",
    );
    [...this.grid.querySelectorAll("[data-at]")].forEach((tile, at) =>
      drawTile(tile, this.#items[at], this.#facts.classes),
    );
    this.#drawChosen();
  }

  #drawChosen() {
    const [low, high] = [Math.min(this.#at, this.#from), Math.max(this.#at, this.#from)];
    for (const tile of this.grid.querySelectorAll("[data-at]")) {
      const at = Number(tile.dataset.at);
      setAttributes(tile, { "aria-selected": at >= low && at <= high });
      tile.classList.toggle("at", at === this.#at);
    }
    const here = this.grid.querySelector(`[data-at="${this.#at}"]`);
    if (here) {
      this.grid.setAttribute("aria-activedescendant", here.id);
      here.scrollIntoView({ block: "nearest" });
    } else this.grid.removeAttribute("aria-activedescendant");
  }

  #drawLegend() {
    const { classes } = this.#facts;
    const buttons = classes.map((one, at) =>
      element(
        "button.sw-button.small",
        { type: "button", onclick: () => (this.#toggle(at), this.grid.focus()) },
        element("i.sw-tag-dot", { style: `background: ${one.color}` }),
        one.name,
        at < 9 ? element("kbd", {}, String(at + 1)) : null,
      ),
    );
    this.legend.replaceChildren(
      ...(buttons.length ? buttons : [element("span", {}, "Add a class in the Label tab first.")]),
    );
  }
}
