// What is downloaded: node sizes.js PACKAGE. One line for each module, which xtask reads.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const MODULES = {
  module: [
    "browser.js",
    "common.js",
    "crypto.js",
    "indexeddb.js",
    "store.js",
    "wasm/pos_connect_wasm.js",
    "wasm/pos_connect_wasm_bg.wasm",
  ],
  seal: ["seal.js", "wasm/pos_connect_wasm_seal.js", "wasm/pos_connect_wasm_seal_bg.wasm"],
  fallback: [
    "fallback.js",
    "wasm/pos_connect_wasm_fallback.js",
    "wasm/pos_connect_wasm_fallback_bg.wasm",
  ],
};

for (const [name, files] of Object.entries(MODULES)) {
  const sum = { raw: 0, gzip: 0, brotli: 0 };
  for (const file of files) {
    const octets = readFileSync(join(process.argv[2], file));
    sum.raw += octets.length;
    sum.gzip += gzipSync(octets, { level: 9 }).length;
    const params = { [constants.BROTLI_PARAM_SIZE_HINT]: octets.length };
    sum.brotli += brotliCompressSync(octets, { params }).length;
  }
  console.log(`wasm ${name}: raw=${sum.raw} gzip=${sum.gzip} brotli=${sum.brotli}`);
}
