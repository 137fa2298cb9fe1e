/**
 * Changes that the server has not acknowledged yet, in order, kept in IndexedDB until it has.
 *
 * A change belongs to the tab that made it, so that two tabs do not send each other's work out of
 * turn. A tab holds a web lock as long as it lives; when a tab starts it adopts what tabs without a
 * lock left behind (closed, crashed, reloaded). Adopting twice does no harm, because the server
 * drops repeats of an id.
 */

import { bytesOf } from "./frame.js";

const DATABASE = "slicewise";
const STORE = "outbox";

export class Outbox {
  /**
   * What the tab still has to send, oldest first: {message, payload, n: key in IndexedDB or null}.
   */
  entries = [];
  /** What the server would not take, oldest first: as `entries`, with `aside`, the reason. */
  aside = [];
  /** Why changes cannot be kept in this browser ("" while they can). */
  trouble = "";

  #database = null;
  #rewriting = 0; // changes on their way out of the way, or back
  #scope = "";
  #tab = newId();
  #release = () => {};

  /** Open the store of one project and user and adopt what earlier tabs left. */
  async open(scope) {
    this.#scope = scope;
    try {
      await this.#holdLock();
      this.#database = await openDatabase();
      await this.#adopt();
    } catch (error) {
      this.trouble = troubleOf(error);
    }
  }

  /** Add a change; it is in `entries` at once and on disk some milliseconds later. */
  add(message, payload) {
    const entry = {
      message,
      payload: payload ? bytesOf(payload).slice().buffer : null,
      n: null,
      written: null,
    };
    this.entries.push(entry);
    entry.written = this.#write(entry);
    return entry;
  }

  /** Forget a change: acknowledged, or refused for good. */
  async remove(id) {
    const at = this.entries.findIndex((entry) => entry.message.id === id);
    if (at < 0) return null;
    const [entry] = this.entries.splice(at, 1);
    await entry.written;
    if (entry.n !== null && this.#database) {
      await this.#run("readwrite", (store) => store.delete(entry.n)).catch(() => {});
    }
    return entry;
  }

  /** Take a change out of the way and keep it, with the reason why it was not taken. */
  async setAside(id, reason) {
    const at = this.entries.findIndex((entry) => entry.message.id === id);
    if (at < 0) return;
    const [entry] = this.entries.splice(at, 1);
    this.aside.push(Object.assign(entry, { aside: reason }));
    await this.#rewrite(entry);
  }

  /** Put a change that was set aside behind all others, to be sent again. */
  async takeUp(id) {
    const at = this.aside.findIndex((entry) => entry.message.id === id);
    if (at < 0) return;
    const [entry] = this.aside.splice(at, 1);
    this.entries.push(Object.assign(entry, { aside: "" }));
    await this.#rewrite(entry);
  }

  /** Forget a change that was set aside. */
  async drop(id) {
    const at = this.aside.findIndex((entry) => entry.message.id === id);
    if (at < 0) return;
    this.entries.push(...this.aside.splice(at, 1));
    await this.remove(id);
  }

  /** Changes that would be lost if the tab closed now. */
  get unwritten() {
    return this.#rewriting + this.entries.filter((entry) => entry.n === null).length;
  }

  close() {
    this.#release();
    this.#database?.close();
    this.#database = null;
  }

  #row({ message, payload, aside = "" }) {
    return { scope: this.#scope, tab: this.#tab, message, payload, aside };
  }

  async #rewrite(entry) {
    this.#rewriting += 1;
    await entry.written;
    const write = (store) => store.put(this.#row(entry), entry.n);
    if (entry.n !== null && this.#database)
      await this.#run("readwrite", write).catch((error) => (this.trouble = troubleOf(error)));
    this.#rewriting -= 1;
  }

  async #write(entry) {
    if (!this.#database) return;
    try {
      entry.n = await this.#run("readwrite", (store) => store.add(this.#row(entry)));
      this.trouble = "";
    } catch (error) {
      this.trouble = troubleOf(error);
    }
  }

  async #adopt() {
    const living = await livingTabs();
    const left = [];
    await this.#run("readwrite", (store) => {
      store.index("scope").openCursor(IDBKeyRange.only(this.#scope)).onsuccess = (event) => {
        const cursor = event.target.result;
        if (!cursor) return;
        const row = cursor.value;
        if (!living.has(lockName(row.tab))) {
          left.push({
            message: row.message,
            payload: row.payload,
            aside: row.aside ?? "",
            n: cursor.primaryKey,
            written: null,
          });
          cursor.update({ ...row, tab: this.#tab });
        }
        cursor.continue();
      };
    });
    left.sort((a, b) => a.n - b.n);
    this.entries.unshift(...left.filter((entry) => !entry.aside));
    this.aside.unshift(...left.filter((entry) => entry.aside));
  }

  /**
   * Run one transaction and wait until it is on disk; answers the result of the request that `work`
   * returns.
   */
  #run(mode, work) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(STORE, mode, { durability: "strict" });
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onabort = () =>
        reject(transaction.error ?? new Error("the browser stopped writing"));
    });
  }

  /** Hold a lock named after this tab until it closes. Locks exist on loopback and https only. */
  #holdLock() {
    if (!navigator.locks) return Promise.resolve();
    return new Promise((held) => {
      navigator.locks.request(lockName(this.#tab), () => {
        held();
        return new Promise((release) => (this.#release = release));
      });
    });
  }
}

/**
 * A random client id: 32 hexadecimal digits (crypto.randomUUID is missing where the page is not on
 * https).
 */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function troubleOf({ message }) {
  return (
    `This browser cannot keep changes (${message}); ` + "keep this page open until it says Saved."
  );
}

const lockName = (tab) => `slicewise-tab-${tab}`;

async function livingTabs() {
  if (!navigator.locks) return new Set();
  const { held } = await navigator.locks.query();
  return new Set(held.map((lock) => lock.name));
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      const store = request.result.createObjectStore(STORE, { autoIncrement: true });
      store.createIndex("scope", "scope");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
