import type { Instrument, SealBinding } from "./wasm/pos_connect_wasm_seal.js";

export type {
  AccountKind,
  Instrument,
  SealBinding,
  SealedOperation,
} from "./wasm/pos_connect_wasm_seal.js";

/**
 * Seals what the shopper pays with to the institution of the binding, and gives the envelope as the
 * JSON text that an order takes. It belongs into the shopper's page: a shop's server never sees an
 * instrument.
 */
export function seal(
  instrument: Instrument,
  binding: SealBinding,
  sealKeys: string,
  sealRoot: string,
): string;
