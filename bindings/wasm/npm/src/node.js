import { readFile } from "node:fs/promises";

import { init, Connection, KeyStorageError, Store, isPosError, verify } from "./common.js";
import { Calls, Folder } from "./folder.js";
import { openSsl } from "./openssl.js";

Store.crypto = openSsl;
const ofHost = Store.ofHost;
Store.ofHost = (keys, journal, options) =>
  ofHost.call(Store, keys, typeof journal === "string" ? Calls.of(journal) : journal, options);
Store.inFolder = (folder, { privateKey, fallback } = {}) => {
  const calls = Calls.of(folder);
  return Store.of(new Folder(calls.folder), calls, privateKey, fallback);
};
const file = new URL("./wasm/pos_connect_wasm_bg.wasm", import.meta.url);
await init({ module_or_path: await readFile(file) });

export { Connection, KeyStorageError, Store, isPosError, verify };
