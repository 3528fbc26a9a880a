import {
  Connection,
  type Journal,
  type KeyStorage,
  KeyStorageError,
  type Operation,
  type Order,
  type PosError,
  Store,
  isPosError,
  verify,
} from "pos-connect";
import { fallback } from "pos-connect/fallback";
import { type Instrument, seal } from "pos-connect/seal";

const keys: KeyStorage = { load: async () => null, replace: () => true };
const journal: Journal = { load: () => null, replace: async () => true, names: () => [] };

export const line = new Connection(
  { serverUrl: "https://pos.example", language: "japanese", totalTimeoutS: 40 },
  Store.ofHost(keys, journal, { privateKey: new Uint8Array(32) }),
);
export const closed: Error = new KeyStorageError("the vault is closed");
export const others: Store[] = [Store.inMemory(), Store.inMemory(fallback)];

export const pay = async (order: Order, key: string): Promise<Operation> => {
  try {
    const operation = await line.pay(order, key);
    if (operation.state === "declined") console.log(operation.decline?.shopperAdvice === "try_later");
    return operation;
  } catch (error) {
    if (!isPosError(error)) throw error;
    return line.resume(what(error));
  }
};

const what = (error: PosError): string => {
  switch (error.kind) {
    case "ask_for_status":
      return error.idempotencyKey ?? "";
    case "wait":
      return String(error.retryAfterMs ?? 0);
    case "fix_the_request":
      return error.field ?? error.code;
    case "sign_in_again":
    case "give_up":
      return `${error.retry}: ${error.message}`;
    default:
      return error satisfies never;
  }
};

export const status = async (key: string): Promise<string> => {
  const status = await line.operation(key);
  switch (status.type) {
    case "found":
      return status.operation.paymentId;
    case "refused":
      return status.rejection.code;
    case "nothing":
      return String(status.serverTimeMs);
  }
};

const card: Instrument = { type: "card", number: "4111", expiryYear: 2039, expiryMonth: 12 };
export const envelope: string = seal(
  card,
  {
    institution: "sakura-card",
    contractNumber: "1",
    operation: "sale",
    orderId: "o",
    amount: 1200,
    currency: "JPY",
  },
  "{}",
  "x",
);
export const time: Promise<number> = verify("x", new Uint8Array(64), 200, {}, new Uint8Array());
export const nothing: Promise<void> = line.signOut();
