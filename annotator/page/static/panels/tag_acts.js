/** Acts of tagging on their way: they reach the server one by one, in the order they were made. */

import { call } from "../net/api.js";
import { keyOf } from "./tag_tiles.js";

export class TagActs {
  #waiting = []; // for each act on its way the tiles that it is about
  #sent = Promise.resolve();

  /** Resolves once every act so far was answered and heard. */
  get sent() {
    return this.#sent;
  }

  get idle() {
    return !this.#waiting.length;
  }

  /** `keys` of the tiles that it is about; `hear(answer)` is given a promise of changed items. */
  send({ path, message, keys }, hear) {
    this.#waiting.push(keys);
    this.#sent = this.#sent.then(() => hear(this.#ask(path, message)));
  }

  /** An answer to an older act must not hide a newer one that is still on its way. */
  async #ask(path, message) {
    const { items } = await call(path, message).finally(() => this.#waiting.shift());
    const newer = new Set(this.#waiting.flat());
    return items.filter((item) => !newer.has(keyOf(item)));
  }
}
