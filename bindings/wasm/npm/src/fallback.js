import init, { draw, publicOf, sign, verify } from "./wasm/pos_connect_wasm_fallback.js";

await init();

export const fallback = { draw, publicOf, sign, verify };
