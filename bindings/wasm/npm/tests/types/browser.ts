// What is there in a browser alone, and what is not.
import { Connection, type KeyStorage, Store } from "pos-connect";
import { fallback } from "pos-connect/fallback";

declare const keys: KeyStorage;
const stores: Store[] = [Store.inBrowser(), Store.inBrowser("shop", fallback)];
export const lines = stores.map((store) => new Connection({ serverUrl: "https://pos.example" }, store));

// @ts-expect-error a page has no files
Store.inFolder("/var/lib/shop");
// @ts-expect-error nor has its journal
Store.ofHost(keys, "/var/lib/shop/calls");
