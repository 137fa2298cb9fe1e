/**
 * What the page knows of the learners: the server's overview, each learner's newest round, and its
 * history.
 */

import { call } from "../net/api.js";
import { toast } from "../ui/toasts.js";
import { session } from "./session.js";

const TOGETHER_MS = 200; // news that come together are read once

/**
 * Events: `overview` (choice, settings, learners), `round` (detail: its message), `history`
 * (detail: learner's name).
 */
class Learning extends EventTarget {
  overview = null; // as GET /api/learn answers; null while the server does not learn
  rounds = new Map(); // learner -> newest round message
  histories = new Map(); // learner -> {rounds, corrections}

  #started = null;
  #timer = 0;

  /** Read the overview and listen, once. */
  start() {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start() {
    await session.start();
    session.link.addEventListener("round", ({ detail }) => this.#round(detail.message));
    session.link.addEventListener("up", () => this.#soon());
    await this.read();
  }

  /** Read everything again. */
  async read() {
    if (!session.project.proposes) return void this.dispatchEvent(new CustomEvent("overview"));
    try {
      this.#take(await call("/api/learn"));
    } catch (error) {
      toast(error.message, "warn");
      this.dispatchEvent(new CustomEvent("overview"));
    }
  }

  /**
   * "Trains 14 s more; 3 images come before this one." What the open image waits for; "" where no
   * round runs that will propose anything for it.
   */
  waitText(image) {
    const names = (this.overview?.proposes ?? []).map((one) => one.learner);
    const round = names
      .map((name) => this.rounds.get(name))
      .find((one) => one?.state === "running");
    if (!round) return "";
    return [doingText(round), aheadText(round.next_images?.indexOf(image) ?? -1)]
      .filter(Boolean)
      .join("; ");
  }

  /** Every learner that has a history, in the order of the registry: [{name, title, history}]. */
  get known() {
    const learners = this.overview?.learners ?? [];
    return learners
      .filter(({ name }) => this.histories.has(name))
      .map(({ name, title }) => ({ name, title, history: this.histories.get(name) }));
  }

  /** Change learners, seconds or device. */
  async change(settings) {
    try {
      this.#take(await call("/api/learn/settings", settings));
    } catch (error) {
      toast(error.message, "error");
      this.dispatchEvent(new CustomEvent("overview")); // the form shows again what holds
    }
  }

  /** pause, resume, stop or update. */
  async act(learner, what) {
    try {
      await call(`/api/learn/${learner}/${what}`, {});
      await this.read();
    } catch (error) {
      toast(error.message, "error");
    }
  }

  #take(overview) {
    this.overview = overview;
    this.rounds = new Map(overview.rounds.map((round) => [round.learner, round]));
    this.dispatchEvent(new CustomEvent("overview"));
    const withModel = overview.learners.filter((one) => one.model).map((one) => one.name);
    for (const name of new Set([...this.rounds.keys(), ...withModel])) this.#readHistory(name);
  }

  #round(message) {
    const before = this.rounds.get(message.learner);
    this.rounds.set(message.learner, message);
    this.dispatchEvent(new CustomEvent("round", { detail: message }));
    if (!before || before.state !== message.state) this.#soon();
  }

  async #readHistory(name) {
    try {
      this.histories.set(name, await call(`/api/learn/${name}/history`));
      this.dispatchEvent(new CustomEvent("history", { detail: name }));
    } catch (error) {
      toast(error.message, "warn");
    }
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.read(), TOGETHER_MS);
  }
}

function doingText({ begun, phase, seconds_left: left }) {
  if (begun === false) return "Waits for its turn";
  if (phase === "training" && left > 0.5) return `Trains ${Math.round(left)} s more`;
  return `${phase[0].toUpperCase()}${phase.slice(1)} now`;
}

function aheadText(at) {
  if (at < 0) return "";
  if (at === 0) return "this image is next";
  return at === 1 ? "1 image comes before this one" : `${at} images come before this one`;
}

export const learning = new Learning();
