// What is there in Node alone, and what is not.
import { Connection, type KeyStorage, Store } from "pos-connect";

declare const keys: KeyStorage;
const stores: Store[] = [
  Store.inFolder("/var/lib/shop"),
  Store.inFolder("/var/lib/shop", { privateKey: new Uint8Array(32) }),
  Store.ofHost(keys, "/var/lib/shop/calls"),
];
export const lines = stores.map((store) => new Connection({ serverUrl: "https://pos.example" }, store));

// @ts-expect-error Node has no IndexedDB
Store.inBrowser("shop");
