import init, { seal } from "./wasm/pos_connect_wasm_seal.js";

await init();

export { seal };
