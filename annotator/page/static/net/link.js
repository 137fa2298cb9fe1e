/**
 * The live connection: one websocket, its reconnects, and a durable outbox for everything that
 * changes labels.
 *
 * Events: one per message type of the server (`mask`, `region`, `ack`, ... with detail {message,
 * payload}), plus `up`, `down`, `state` (what to show), `dropped` (a change was refused for good:
 * detail {message, change, kept}; what holds work is set aside) and `stranger` (the address now serves another project or another
 * person: reload the page).
 */

import { MAX_FRAME, pack, unpack } from "./frame.js";
import { newId, Outbox } from "./outbox.js";

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 8000;
const HEARTBEAT_MS = 10_000; // a server that says nothing for two heartbeats is taken for gone
const REFUSED_WAIT_MS = 3000; // after "try again later" (disk full, project busy)
const TOO_LONG = "This change has too much detail for one message; draw it in smaller parts.";
const WORK = ["label", "complete"]; // what somebody would miss; the rest is one key press away
const UNHEARD = [1008, 1009]; // the server ends a connection over a frame that it cannot take
const ANSWER_MS = 30_000; // a change without an answer for so long is sent again over a new socket

export class Link extends EventTarget {
  online = false;

  #url;
  #verify;
  #outbox = new Outbox();
  #socket = null;
  #wait = FIRST_WAIT_MS;
  #timer = 0;
  #heartbeat = 0;
  #heard = 0;
  // id of the change that was sent and not answered yet: one at a time keeps their order
  #inFlight = null;
  #sentAt = 0;
  #held = ""; // why the server cannot take changes just now
  #closed = false;
  #signedOut = false;
  #verdict = "checking"; // is it still our project behind this address: checking, same, stranger

  /**
   * `verify` answers whether the address still serves the same project to the same person (a
   * promise).
   */
  constructor({ url, verify = async () => true, signal }) {
    super();
    this.#url = url;
    this.#verify = verify;
    window.addEventListener("beforeunload", (event) => this.#warn(event), { signal });
    window.addEventListener("online", () => this.#reconnectNow(), { signal });
    window.addEventListener("offline", () => this.#probe(), { signal });
    signal?.addEventListener("abort", () => this.close());
  }

  /** Open the outbox of this project and user, then connect. */
  async start(scope) {
    await this.#outbox.open(scope);
    this.#connect();
    this.#tell();
  }

  newId() {
    return newId();
  }

  /** Fire and forget; dropped while offline. */
  send(message, payload) {
    if (this.online) this.#socket.send(pack(message, payload));
  }

  /** A change: kept until the server has it on disk, sent in order, sent again after every loss. */
  enqueue(message, payload) {
    if (!message.id) throw new Error("a change needs an id, see newId()");
    this.#outbox.add(message, payload).written?.then(() => this.#tell());
    this.#pump();
    this.#tell();
  }

  /** Changes of this image that are not acknowledged yet, oldest first: [{message, payload}]. */
  pendingFor(image) {
    const entries = this.#outbox.entries;
    const ours = new Set(entries.filter((e) => e.message.image === image).map((e) => e.message.id));
    return entries.filter((e) => e.message.image === image || ours.has(e.message.target));
  }

  /** Changes that the server would not take: [{message, payload, aside: the reason}]. */
  get setAside() {
    return this.#outbox.aside;
  }

  /** Try a change that was set aside once more, after all others. */
  async sendAgain(id) {
    await this.#outbox.takeUp(id);
    this.#pump();
    this.#tell();
  }

  async dropAside(id) {
    await this.#outbox.drop(id);
    this.#tell();
  }

  /** What to show: {mode: connecting|saved|saving|held|offline|stranger, pending, text, detail}. */
  get state() {
    const pending = this.#outbox.entries.length;
    const changes = `${pending} change${pending === 1 ? "" : "s"}`;
    const show = (mode, text, detail = "") => ({
      mode,
      pending,
      text,
      detail: detail || this.#outbox.trouble,
    });
    if (this.#verdict === "stranger")
      return show(
        "stranger",
        "Reload the page",
        "The project, user or version changed on the server.",
      );
    if (this.#signedOut)
      return show(
        "offline",
        "Signed out",
        `Sign in again in another tab; this browser keeps ${changes}.`,
      );
    if (!this.online && !this.#heard) return show("connecting", "Connecting…");
    if (!this.online)
      return show("offline", pending ? `Offline, ${changes} kept` : "Offline", "Reconnecting…");
    if (this.#held) return show("held", `${changes} waiting`, this.#held);
    return pending ? show("saving", `Saving ${pending}…`) : show("saved", "Saved");
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#heartbeat);
    this.#drop();
    this.#outbox.close();
  }

  #connect() {
    if (this.#closed || this.#socket || this.#verdict === "stranger") return;
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = ({ code }) => this.#ended(socket, code);
    this.#socket = socket;
    this.#beat();
  }

  #receive(data) {
    this.#heard = performance.now();
    const { message, payload } = unpack(data);
    if (message.t === "hello") this.#greeted(message);
    if (message.t === "ack") this.#settled(message.id);
    if (message.t === "refused" && message.id) this.#refused(message);
    this.dispatchEvent(new CustomEvent(message.t, { detail: { message, payload } }));
  }

  /** The server answered: make sure that it is still ours before anything is sent to it. */
  async #greeted(hello) {
    const socket = this.#socket;
    const ours = await this.#verify(hello).catch(() => null);
    if (socket !== this.#socket) return;
    if (ours === null) return this.#lost(socket); // could not ask: come back later
    if (!ours) return this.#estranged();
    this.#verdict = "same";
    this.#signedOut = false;
    this.#wait = FIRST_WAIT_MS;
    this.online = true;
    this.#inFlight = null;
    this.dispatchEvent(new CustomEvent("up"));
    this.#pump();
    this.#tell();
  }

  #estranged() {
    this.#verdict = "stranger";
    this.#drop();
    this.dispatchEvent(new CustomEvent("stranger"));
    this.#tell();
  }

  #ended(socket, code) {
    const id = this.#inFlight;
    if (socket === this.#socket && id && UNHEARD.includes(code))
      this.#refused({ id, message: "The server cannot read this change; draw it anew in parts." });
    this.#lost(socket);
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#drop();
    this.#askWhy();
    this.#tell();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.5 + Math.random()));
    this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
  }

  /**
   * A connection that will not come back by itself: the session ended, the person has to sign in
   * again.
   */
  async #askWhy() {
    const status = await this.#verify().then(
      () => 200,
      (error) => error.status,
    ); // without a hello: only whether we are still let in
    this.#signedOut = status === 401;
    this.#tell();
  }

  #drop() {
    const socket = this.#socket;
    const was = this.online;
    this.#socket = null;
    this.online = false;
    this.#inFlight = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    if (was) this.dispatchEvent(new CustomEvent("down"));
  }

  #reconnectNow() {
    if (this.online || this.#closed) return;
    clearTimeout(this.#timer);
    this.#wait = FIRST_WAIT_MS;
    this.#drop();
    this.#connect();
  }

  /** Send the oldest change, if none is under way. */
  #pump() {
    const [first] = this.#outbox.entries;
    if (!first || !this.online || this.#inFlight || this.#held) return;
    const { id } = first.message;
    this.#inFlight = id;
    this.#sentAt = performance.now();
    const frame = pack(first.message, first.payload);
    // the server would close the connection, and the change would stay at the head for ever
    if (frame.byteLength > MAX_FRAME) this.#refused({ id, message: TOO_LONG, retry: false });
    else this.#socket.send(frame);
  }

  async #settled(id) {
    this.#outbox.remove(id);
    if (this.#inFlight === id) this.#inFlight = null;
    this.#pump();
    this.#tell();
  }

  #refused({ id, message, retry }) {
    if (this.#inFlight === id) this.#inFlight = null;
    if (retry) return this.#hold(message);
    const change = this.#outbox.entries.find((entry) => entry.message.id === id)?.message;
    const kept = WORK.includes(change?.t);
    if (kept) this.#outbox.setAside(id, message);
    this.#settled(id); // what comes after it goes on
    this.dispatchEvent(new CustomEvent("dropped", { detail: { message, change, kept } }));
  }

  #hold(reason) {
    this.#held = reason;
    this.#tell();
    setTimeout(() => {
      this.#held = "";
      this.#pump();
      this.#tell();
    }, REFUSED_WAIT_MS);
  }

  #beat() {
    clearInterval(this.#heartbeat);
    const born = performance.now();
    this.#heartbeat = setInterval(() => {
      const now = performance.now();
      const silent = now - Math.max(born, this.#heard) > 2 * HEARTBEAT_MS;
      const stuck = this.#inFlight && now - this.#sentAt > ANSWER_MS;
      if (this.#socket && (silent || stuck)) this.#lost(this.#socket);
      else this.send({ t: "ping", n: Math.round(performance.now()) });
    }, HEARTBEAT_MS);
  }

  /**
   * The browser thinks that the network is gone; ask, because a server on this machine is still
   * there.
   */
  #probe() {
    const socket = this.#socket;
    const asked = performance.now();
    this.send({ t: "ping", n: Math.round(asked) });
    setTimeout(() => this.#heard < asked && this.#lost(socket), 2000);
  }

  #warn(event) {
    if (this.#outbox.unwritten) event.preventDefault();
  }

  #tell() {
    this.dispatchEvent(new CustomEvent("state", { detail: this.state }));
  }
}
