/**
 * What this tab works on: the project, the open image, the connection, the canvas and the person's
 * view settings.
 *
 * Every part of the page imports the one session and listens to its events: `project` (facts
 * changed), `image` (another one is open, or none), `view` (a view setting changed), `jobs`, `app` (the
 * canvas is there).
 */

import { call } from "../net/api.js";
import { Link } from "../net/link.js";
import { address } from "../net/root.js";
import { toast } from "../ui/toasts.js";
import { followOthers, imageChanged } from "./others.js";

const PROTOCOL = 1; // of docs/protocol.md
const VIEW = {
  opacity: 50,
  style: "both",
  radius: 8,
  protect: false,
  instances: false,
  atOnce: false,
  unknown: false,
  hideAll: false,
  proposals: true,
  doubt: false,
  trust: false,
  sure: 0, // percent
  guide: 0, // slices of the guided start of a volume; 0: none
  table: false, // the list of images as a table
};
const OF_TODAY = ["hideAll", "proposals", "doubt", "trust", "sure", "table"];
const REMEMBERED = Object.keys(VIEW).filter((name) => !OF_TODAY.includes(name));

class Session extends EventTarget {
  project = null;
  opening = null; // the newest wish for an image, until it is open
  image = null; // the open image, as GET /api/images/{id} describes it
  app = null; // the LabelApp of the engine
  link = null;
  jobs = new Map(); // id -> newest job message
  view = { ...VIEW };
  answering = null; // the newest {t:"model"} message
  classes = []; // [{id, name, color, hidden, locked, key}], background first

  #flags = {}; // class id -> {hidden, locked}, kept in this browser
  #started = null;

  /** Read the project and connect, once; every part of the page may await it. */
  start() {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start() {
    this.#take(await call("/api/project"));
    this.#recall();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.link = new Link({
      url: `${scheme}://${location.host}${address("/api/live")}`,
      verify: (hello) => this.#sameProject(hello),
    });
    this.#listen();
    followOthers(this);
    await this.link.start(this.#scope);
  }

  /**
   * Changes are kept under the project and the person, so that they never reach another project.
   */
  get #scope() {
    return scopeOf(this.project);
  }

  /** Whether the server still speaks our protocol, for the same project, to the same person. */
  async #sameProject(hello) {
    if (hello && hello.protocol !== PROTOCOL) return false;
    const facts = await call("/api/project");
    const same = scopeOf(facts) === this.#scope;
    if (same) this.#take(facts);
    return same;
  }

  #listen() {
    const on = (type, work) =>
      this.link.addEventListener(type, (event) => work(event.detail?.message ?? {}));
    on("project", () => this.refresh());
    on("job", (job) => this.takeJob(job));
    on("model", (model) => this.#answering(model));
    on("slices", ({ image, slices, known }) => {
      if (image === this.image?.id) Object.assign(this.image, { slices, known });
    });
    this.link.addEventListener("dropped", ({ detail: { message, kept } }) =>
      toast(
        kept
          ? `Not saved, but set aside (see below the picture): ${message}`
          : `A change was not saved: ${message}`,
        "error",
      ),
    );
    on("stranger", () =>
      toast("The project, user or version changed on the server; reload the page.", "error"),
    );
  }

  async refresh() {
    try {
      this.#take(await call("/api/project"));
    } catch (error) {
      toast(error.message, "warn");
    }
  }

  #take(facts) {
    this.project = facts;
    this.#arrangeClasses(facts.classes);
    this.#emit("project");
  }

  #answering(model) {
    this.answering = model;
    this.#emit("model");
  }

  /** The newest of a job, from the connection or asked for. */
  takeJob(job) {
    this.jobs.delete(job.id);
    this.jobs.set(job.id, job);
    this.#emit("jobs", job);
  }

  /** The last message of a job; it may have come already. */
  jobEnded(id) {
    return new Promise((resolve) => {
      const look = () => {
        const job = this.jobs.get(id);
        if (!job || job.state === "running") return;
        this.removeEventListener("jobs", look);
        resolve(job);
      };
      this.addEventListener("jobs", look);
      look();
    });
  }

  /** Forget a finished job's card. */
  forgetJob(id) {
    this.jobs.delete(id);
    this.#emit("jobs");
  }

  // ---- images

  /** Open an image, at a slice where one is asked for. */
  async open(id, { axis, index } = {}) {
    if (!this.app) return;
    const asked = { id }; // the newest wish wins, also where two are about one image
    this.opening = asked;
    try {
      const image = await this.app.open(id);
      if (this.opening !== asked) return;
      if (image) this.#opened(image, { axis, index });
    } finally {
      if (this.opening === asked) this.opening = null;
    }
    if (asked.told) await imageChanged(this, asked.told); // it changed while it was opened
  }

  #opened(image, { axis, index }) {
    this.image = image;
    history.replaceState(null, "", `#image=${image.id}`);
    document.title = `${image.name} · Slicewise`;
    for (const problem of image.problems) toast(problem, "warn");
    if (axis !== undefined) this.app.gotoSlice(axis, index);
    this.#emit("image");
  }

  // ---- classes

  async editClasses(change) {
    try {
      const classes = await call("/api/classes", change);
      this.#take({ ...this.project, classes });
      return true;
    } catch (error) {
      toast(error.message, "error");
      return false;
    }
  }

  setClassFlag(id, flag, on) {
    this.#flags[id] = { ...this.#flags[id], [flag]: on };
    this.#arrangeClasses(this.project.classes);
    this.#remember();
    this.#emit("project");
  }

  #arrangeClasses(given) {
    const own = given.filter((one) => one.id !== 0);
    const background = { id: 0, name: "background", color: "#8a94a3", key: "0" };
    const numbered = own.map((one, at) => ({ ...one, key: at < 9 ? String(at + 1) : "" }));
    this.classes = [background, ...numbered].map((one) => ({
      hidden: false,
      locked: false,
      ...this.#flags[one.id],
      ...one,
    }));
    this.#applyClasses();
  }

  #applyClasses() {
    this.app?.setClasses(this.classes);
  }

  // ---- view settings

  setView(name, value) {
    if (this.view[name] === value) return;
    this.view = { ...this.view, [name]: value };
    this.applyView(name);
    this.#remember();
    this.#emit("view", name);
  }

  /** Give the canvas one setting, or all of them. */
  applyView(name) {
    const { app, view } = this;
    if (!app) return;
    const apply = {
      opacity: () => app.setOpacity(view.opacity / 100),
      style: () => app.setStyle(view.style),
      radius: () => app.setBrushRadius(view.radius),
      protect: () => app.setProtectOthers(view.protect),
      instances: () => app.setInstances(view.instances),
      atOnce: () => app.setAtOnce(view.atOnce),
      unknown: () => app.setShowUnknown(view.unknown),
      proposals: () => app.setProposalsVisible(view.proposals),
      doubt: () => app.setUncertainty(view.doubt),
      trust: () => app.setTrust(view.trust),
      sure: () => app.setMinConfidence(view.sure / 100),
      hideAll: () => app.setLabelsVisible(!view.hideAll),
    };
    if (name)
      apply[name]?.(); // what is not about the canvas has no entry
    else Object.values(apply).forEach((work) => work());
  }

  setApp(app) {
    this.app = app;
    this.#applyClasses();
    this.applyView();
    this.#emit("app");
  }

  #recall() {
    const saved = JSON.parse(localStorage.getItem(this.#settingsKey) ?? "{}");
    for (const name of REMEMBERED)
      if (name in (saved.view ?? {})) this.view[name] = saved.view[name];
    this.#flags = saved.flags ?? {};
    this.#arrangeClasses(this.project.classes);
  }

  #remember() {
    const view = Object.fromEntries(REMEMBERED.map((name) => [name, this.view[name]]));
    localStorage.setItem(this.#settingsKey, JSON.stringify({ view, flags: this.#flags }));
  }

  get #settingsKey() {
    return `slicewise-settings ${this.#scope}`;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const scopeOf = ({ id, name, user }) => JSON.stringify([id ?? name, user]);

export const session = new Session();
