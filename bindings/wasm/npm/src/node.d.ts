import type { HostOptions, KeyStorage, Store as Kept } from "./store.js";

export * from "./common.js";

/** Where a shop's keys and open payment calls are kept. One store is one shop's. */
export type Store = Kept;
export const Store: typeof Kept & {
  /** Keys in one text, kept by the host; open calls in files of a folder, as `inFolder` has them. */
  ofHost(keys: KeyStorage, journalFolder: string, options?: HostOptions): Store;
  /** Files in a folder (0700) on a disk of the machine, which processes may share. */
  inFolder(folder: string, options?: HostOptions): Store;
};
