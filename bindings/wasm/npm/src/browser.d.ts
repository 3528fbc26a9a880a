import type { Fallback, Store as Kept } from "./store.js";

export * from "./common.js";

/** Where a shop's keys and open payment calls are kept. One store is one shop's. */
export type Store = Kept;
export const Store: typeof Kept & {
  /**
   * IndexedDB. The private key is drawn there and no script can read it. Where the browser has no
   * Ed25519, the fallback draws it, as octets that every script of the page can read.
   * The browser is asked to keep what is stored, but may evict it, and with it the key for good.
   */
  inBrowser(name?: string, fallback?: Fallback): Store;
};
