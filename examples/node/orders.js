// The orders: a file for each, put in place whole. All of it is synchronous, so that nothing comes
// between looking and writing; one process keeps them.

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";

export const folder = process.env.SHOP_FOLDER ?? "shop-data";
fs.mkdirSync(`${folder}/orders`, { recursive: true, mode: 0o700 });

const path = (id) => `${folder}/orders/${id}.json`;
const random = () => randomBytes(4).toString("hex");
const seconds = () => Math.floor(Date.now() / 1000);

export const begin = (article, amount) => {
  const id = `web-${seconds()}-${random()}`;
  write({ id, article, amount, state: "new" });
  return id;
};

export const find = (id) => {
  if (!/^[\w-]+$/.test(id) || !fs.existsSync(path(id))) return undefined;
  return JSON.parse(fs.readFileSync(path(id), "utf8"));
};

/**
 * Writes down, before the call, that this envelope is being paid with, and the key to pay by: after a
 * crash the same key asks what became of it. Only where the order is new, so that of two clicks one
 * pays; and a second click brings the same envelope again, which is good for one payment.
 */
export const claim = (id, { contractId, envelope }) => {
  const order = find(id);
  if (order.state !== "new" || order.envelope === envelope) return undefined;
  const idempotencyKey = `${id}-${random()}`;
  const claimed = { ...order, state: "asking", contractId, envelope, idempotencyKey, claimedAt: seconds() };
  write(claimed);
  return claimed;
};

/**
 * Whether a payment that never began is the caller's to make: the shop was killed when it had written
 * the payment down and not yet sent it. Not while whoever wrote it may be at it: no call takes a minute.
 */
export const claimAgain = ({ id, idempotencyKey }) => {
  const order = find(id);
  if (order.state !== "asking" || order.idempotencyKey !== idempotencyKey) return false;
  if (order.claimedAt >= seconds() - 60) return false;
  write({ ...order, claimedAt: seconds() });
  return true;
};

/** Writes down what became of a payment, unless that is known already. */
export const settle = (claimed, outcome) => {
  const order = find(claimed.id);
  if (order.state !== "asking" || order.idempotencyKey !== claimed.idempotencyKey) return order;
  write({ ...order, ...outcome });
  return find(order.id);
};

const write = (order) => {
  const file = fs.openSync(`${path(order.id)}.new`, "w", 0o600);
  fs.writeFileSync(file, JSON.stringify(order));
  fs.fsyncSync(file);
  fs.closeSync(file);
  fs.renameSync(`${path(order.id)}.new`, path(order.id));
  note(order);
  const entries = fs.openSync(`${folder}/orders`);
  fs.fsyncSync(entries);
  fs.closeSync(entries);
};

// The orders with a payment that is open, so that not all files are read to find them.
const open = new Set();
const note = ({ id, state }) => (state === "asking" ? open.add(id) : open.delete(id));
for (const name of fs.readdirSync(`${folder}/orders`)) {
  if (name.endsWith(".json")) note(find(name.slice(0, -".json".length)));
}

export const asking = () => [...open].map(find);
