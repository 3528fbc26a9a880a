import { readFile } from "node:fs/promises";

import { init, Connection, Store, isPosError, verify } from "./common.js";
import { Calls, Folder } from "./folder.js";
import { openSsl } from "./openssl.js";

Store.crypto = openSsl;
const ofHost = Store.ofHost;
Store.ofHost = (keys, journal, options) =>
  ofHost.call(Store, keys, typeof journal === "string" ? Calls.of(journal) : journal, options);
Store.inFolder = (folder, options = {}) => {
  const calls = Calls.of(folder);
  const texts = new Folder(calls.folder);
  const keys = { load: () => texts.load("keys"), replace: (old, next) => texts.replace("keys", old, next) };
  return Store.ofHost(keys, calls, options);
};
const file = new URL("./wasm/pos_connect_wasm_bg.wasm", import.meta.url);
await init({ module_or_path: await readFile(file) });

export { Connection, Store, isPosError, verify };
