import type { Fallback } from "./store.js";

/**
 * Ed25519 for browsers whose WebCrypto has none. The private key is then octets in the page's
 * storage, which every script of the page can read and take away.
 */
export const fallback: Fallback;
