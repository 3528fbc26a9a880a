// IndexedDB: texts in one object store, keys that no script can read in another.

import { drawKept, hex, signKept, webCrypto } from "./crypto.js";
import { Store } from "./store.js";

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const opened = (name) => {
  // The key is nowhere else, and a browser evicts what it was not asked to keep. It may still refuse.
  navigator.storage?.persist?.().catch(() => {});
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("texts");
    request.result.createObjectStore("keys");
  };
  return done(request);
};

class Database {
  static #known = new Map();
  #name;
  #open;
  constructor(name) {
    this.#name = name;
  }
  /** In this page one value for a name, by which the open calls in it are known to be the same. */
  static of(name) {
    if (!this.#known.has(name)) this.#known.set(name, new this(name));
    return this.#known.get(name);
  }
  async #store(store, mode) {
    this.#open ??= opened(this.#name);
    try {
      // "strict": a call that was noted must be on the disk before it is sent.
      const options = { durability: "strict" };
      return (await this.#open).transaction(store, mode, options).objectStore(store);
    } catch (cause) {
      // The browser may have closed it; the next one opens it again.
      this.#open = undefined;
      throw cause;
    }
  }
  async load(name) {
    return (await done((await this.#store("texts", "readonly")).get(name))) ?? null;
  }
  async replace(name, old, next) {
    const texts = await this.#store("texts", "readwrite");
    const written = new Promise((resolve, reject) => {
      texts.transaction.oncomplete = resolve;
      texts.transaction.onabort = () => reject(texts.transaction.error);
    });
    // Within one transaction, which nothing else may be awaited in.
    const found = (await done(texts.get(name))) ?? null;
    if (found === old) next === null ? texts.delete(name) : texts.put(next, name);
    await written;
    return found === old;
  }
  async names() {
    return done((await this.#store("texts", "readonly")).getAllKeys());
  }
  async draw() {
    const [pair, x] = await drawKept();
    await done((await this.#store("keys", "readwrite")).add(pair, hex(x)));
    return x;
  }
  async sign(key, octets) {
    const pair = await done((await this.#store("keys", "readonly")).get(hex(key)));
    return signKept(pair, octets);
  }
}

const hasEd25519 = () => drawKept().then(() => true, () => false);

/**
 * Keys are the database's wherever the browser can draw them. The fallback's are in the text as
 * octets, and sign for as long as they are there, by WebCrypto where the browser has learnt it.
 */
export const inBrowser = (name = "pos-connect", fallback) => {
  const database = Database.of(name);
  const own = webCrypto();
  let has = fallback ? null : true;
  const by = async () => ((await (has ??= hasEd25519())) ? own : fallback);
  const crypto = {
    publicOf: async (secret) => (await by()).publicOf(secret),
    verify: async (...claim) => (await by()).verify(...claim),
  };
  const signs = {
    draw: async () => ((await by()) === own ? database.draw() : fallback.draw()),
    sign: async (key, secret, octets) =>
      secret ? (await by()).sign(secret, octets) : database.sign(key, octets),
  };
  return new Store(database, database, signs, crypto);
};
