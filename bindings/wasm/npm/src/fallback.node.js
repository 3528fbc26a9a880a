import { readFile } from "node:fs/promises";

import init, { draw, publicOf, sign, verify } from "./wasm/pos_connect_wasm_fallback.js";

const file = new URL("./wasm/pos_connect_wasm_fallback_bg.wasm", import.meta.url);
await init({ module_or_path: await readFile(file) });

export const fallback = { draw, publicOf, sign, verify };
