/** Texts that a host keeps under names, lastingly when a promise resolves. */
export interface Journal {
  /** The text; null where there is none. */
  load(name: string): string | null | Promise<string | null>;
  /**
   * Writes `next` (null: removes) if what is kept is `old` (null: nothing), and says whether it was.
   * Looking and writing are one step among all who share the storage.
   */
  replace(
    name: string,
    old: string | null,
    next: string | null,
  ): boolean | Promise<boolean>;
  /** The names that have a text. */
  names(): string[] | Promise<string[]>;
}

/**
 * One text of the host's, with secrets in it unless `privateKey` is given.
 *
 * What fails by any other error than `KeyStorageError` is told by the name of its class alone, because
 * its text may quote what was to be written: log it where it happens.
 */
export interface KeyStorage {
  /** The text; null before the first `replace`. */
  load(): string | null | Promise<string | null>;
  /** Writes `next` if what is kept is `old` (null: nothing), and says whether it was. */
  replace(old: string | null, next: string): boolean | Promise<boolean>;
}

/** What a host's key storage throws to have its message told, in the `cause` of the verb's error: without the texts. */
export class KeyStorageError extends Error {
  name: "KeyStorageError";
}

/** Ed25519 in JavaScript's own hands: from `pos-connect/fallback`. */
export interface Fallback {
  draw(): Uint8Array;
  publicOf(secret: Uint8Array): Uint8Array;
  sign(secret: Uint8Array, octets: Uint8Array): Uint8Array;
  verify(key: Uint8Array, octets: Uint8Array, signature: Uint8Array): boolean;
}

/** What a host may add to its storage. */
export interface HostOptions {
  /** The module key, as PKCS#8 (DER) or as its 32 octets; else one is drawn and kept in the text. */
  privateKey?: Uint8Array;
  /** Signs instead of WebCrypto, also by `privateKey`, for browsers that have no Ed25519. */
  fallback?: Fallback;
}

/** Where a shop's keys and open payment calls are kept. One store is one shop's. */
export class Store {
  private constructor();
  private readonly kept: unknown;
  /** Nothing outlives the page or process: for tests, and for people's sessions. */
  static inMemory(fallback?: Fallback): Store;
  /** Keys in one text, open calls in others, kept by the host. */
  static ofHost(keys: KeyStorage, journal: Journal, options?: HostOptions): Store;
}
