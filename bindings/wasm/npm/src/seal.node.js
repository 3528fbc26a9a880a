import { readFile } from "node:fs/promises";

import init, { seal } from "./wasm/pos_connect_wasm_seal.js";

const file = new URL("./wasm/pos_connect_wasm_seal_bg.wasm", import.meta.url);
await init({ module_or_path: await readFile(file) });

export { seal };
