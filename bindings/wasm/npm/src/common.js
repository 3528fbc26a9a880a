// What every entry gives.

import init, { Connection as Line, verify as proved } from "./wasm/pos_connect_wasm.js";
import { KeyStorageError, Store } from "./store.js";

class Connection extends Line {
  constructor(config, store) {
    if (!(store instanceof Store)) throw new TypeError("store: must be a Store");
    super(config, store);
  }
}

const isOctets = (value) => value instanceof Uint8Array;

/** Proves that the server gave this answer. */
const verify = async (answerKey, callSignature, status, headers, body, fallback) => {
  if (!isOctets(callSignature)) throw new TypeError("callSignature: must be a Uint8Array");
  if (!isOctets(body)) throw new TypeError("body: must be a Uint8Array");
  const crypto = new Store(null, null, null, fallback);
  return proved(crypto, answerKey, callSignature, status, headers, body);
};

const isPosError = (thrown) => thrown instanceof Error && thrown.name === "PosError";

export { init, Connection, KeyStorageError, Store, isPosError, verify };
