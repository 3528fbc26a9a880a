import type { Error as PosErrorFields } from "./wasm/pos_connect_wasm.js";
import type { Fallback } from "./store.js";

export type {
  Candidate,
  Check,
  CheckRequest,
  CheckState,
  Config,
  Contract,
  CurrencyLimits,
  Decline,
  HistoryPage,
  HistoryQuery,
  InFlight,
  KeyInfo,
  KeyRole,
  KeyStatus,
  Language,
  Methods,
  Notice,
  NoticeSettings,
  OpenCall,
  Operation,
  OperationKind,
  OperationState,
  Order,
  Payment,
  PaymentState,
  Quote,
  QuoteRequest,
  Registration,
  Rejection,
  Retry,
  Session,
  SetNotices,
  ShopperAdvice,
  UnreadableCall,
} from "./wasm/pos_connect_wasm.js";
export { Connection } from "./wasm/pos_connect_wasm.js";
export type { Fallback, HostOptions, Journal, KeyStorage } from "./store.js";
export { KeyStorageError } from "./store.js";

/** Why a verb did not do what was asked: `kind` says what to do. */
export type PosError = globalThis.Error & { name: "PosError" } & PosErrorFields;

/** Whether something that was thrown is a `PosError`; wrong arguments throw a `TypeError`. */
export function isPosError(thrown: unknown): thrown is PosError;

/**
 * Proves that the server gave this answer to the call with this signature, and gives the server's
 * time in milliseconds since 1970: for those who bring their own sender. `headers` holds the values
 * of each header field under its lower-case name.
 */
export function verify(
  answerKey: string,
  callSignature: Uint8Array,
  status: number,
  headers: Record<string, string[]>,
  body: Uint8Array,
  fallback?: Fallback,
): Promise<number>;
