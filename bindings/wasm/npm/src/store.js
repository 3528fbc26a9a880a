// Where a shop's keys and open calls are kept. What the module calls is not for shops.

import { base64url, octetsOf, secretOf, webCrypto } from "./crypto.js";

/** Texts by name in this page or process, with one step to look and write. */
export class MemoryTexts {
  #texts = new Map();
  load(name) {
    return this.#texts.get(name) ?? null;
  }
  replace(name, old, next) {
    if (this.load(name) !== old) return false;
    if (next === null) this.#texts.delete(name);
    else this.#texts.set(name, next);
    return true;
  }
  names() {
    return [...this.#texts.keys()];
  }
}

/** Keys as octets, which are part of the text that is kept. */
const octets = (crypto) => ({
  draw: () => crypto.draw(),
  sign: (_, secret, octets) => crypto.sign(secret, octets),
});

/** The one key that the shop gave, which signs as the others would; there is none to draw. */
const given = (key, crypto) => {
  const own = secretOf(key);
  if (own === null) {
    throw new TypeError("privateKey: must be a Uint8Array, of 32 octets or PKCS#8 of Ed25519");
  }
  return {
    draw: () => crypto.publicOf(own),
    sign: (_, secret, octets) => crypto.sign(secret || own, octets),
  };
};

const KEYS = /("(?:module_key|next_key)"\s*:\s*")([^"\\]*)(?=")/g;

/** The text with another form of its keys. Its numbers may be beyond JavaScript's: it is not read. */
const withKeys = async (text, change) => {
  const keys = await Promise.all(Array.from(text.matchAll(KEYS), ([, , key]) => change(key)));
  return text.replace(KEYS, (_, before) => before + keys.shift());
};

const named = (value, names, what) => {
  for (const name of names) {
    if (typeof value?.[name] !== "function") throw new TypeError(`${what}: no method ${name}`);
  }
  return value;
};

/** What a host's key storage throws to have its message told. */
export class KeyStorageError extends Error {
  name = "KeyStorageError";
}

/** Whether words name a key, or hold a piece of one of the text, cut off or not. */
const quotes = (words, text) =>
  /module_key|next_key/.test(words) ||
  Array.from(String(text).matchAll(KEYS)).some(([, , key]) =>
    Array.from(key).some((_, at) => at + 8 <= key.length && words.includes(key.slice(at, at + 8))),
  );

/** A host's key storage that tells no keys: neither what it read or was to write, nor what it had before. */
const guarded = (keys) => {
  let seen = [];
  const told = async (work, ...texts) => {
    try {
      return await work();
    } catch (cause) {
      // The text of an error that nobody foresaw may hold anything: its class alone is told.
      if (!(cause instanceof KeyStorageError)) {
        throw cause?.constructor?.name ?? "an error of no class";
      }
      if (["", ...texts, ...seen].some((text) => quotes(String(cause), text))) {
        throw "its reason is not shown, because it quotes what is kept";
      }
      throw cause;
    }
  };
  return {
    async load() {
      const text = await told(() => keys.load());
      seen = [text];
      return text;
    },
    replace(_, old, next) {
      seen = [old, next];
      return told(() => keys.replace(old, next), old, next);
    },
  };
};

export class Store {
  /** Who signs where the shop brings nobody; @internal */
  static crypto = webCrypto;
  #keys;
  #texts;
  #signs;
  #crypto;
  #seen = {};

  /** @internal */
  constructor(keys, texts, signs, fallback) {
    const crypto = fallback ?? Store.crypto();
    this.#keys = keys;
    this.#texts = texts;
    this.#signs = signs ?? octets(crypto);
    this.#crypto = crypto;
  }

  static inMemory(fallback) {
    const texts = new MemoryTexts();
    return new this(texts, texts, undefined, fallback);
  }

  static ofHost(keys, journal, { privateKey, fallback } = {}) {
    named(keys, ["load", "replace"], "keys");
    named(journal, ["load", "replace", "names"], "journal");
    return this.of(guarded(keys), journal, privateKey, fallback);
  }

  /** Of keys that are the package's own; @internal */
  static of(keys, journal, privateKey, fallback) {
    const crypto = fallback ?? Store.crypto();
    const signs = privateKey === undefined ? undefined : given(privateKey, crypto);
    return new this(keys, journal, signs, crypto);
  }

  // What the module calls.
  /** By which it knows stores whose open calls are the same. */
  get texts() {
    return this.#texts;
  }
  // Every language keeps a key as its secret octets alone; the module wants the public half too.
  async load() {
    const kept = await this.#keys.load("keys");
    if (typeof kept !== "string") return kept;
    const text = await withKeys(kept, async (key) =>
      /^[\w-]{43}$/.test(key)
        ? key + "." + base64url(await this.#crypto.publicOf(octetsOf(key)))
        : key,
    );
    this.#seen = { text, kept };
    return text;
  }
  async replace(old, next) {
    const { text, kept } = this.#seen;
    const after = await withKeys(next, (key) => (key[0] === "." ? key : key.slice(0, 43)));
    return this.#keys.replace("keys", old === text ? kept : old, after);
  }
  async calls() {
    const names = await this.#texts.names();
    return names.filter((name) => name.startsWith("call:")).map((name) => name.slice(5));
  }
  loadCall(key) {
    return this.#texts.load("call:" + key);
  }
  replaceCall(key, old, next) {
    return this.#texts.replace("call:" + key, old, next);
  }
  draw() {
    return this.#signs.draw();
  }
  // Octets are lent by the module, whose memory may have moved by when they are used: they are copied.
  sign(key, secret, octets) {
    return this.#signs.sign(key, secret, octets.slice());
  }
  verify(key, octets, signature) {
    return this.#crypto.verify(key.slice(), octets.slice(), signature.slice());
  }
}
