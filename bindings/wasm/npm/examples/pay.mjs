// A shop that registers, seals and pays. It reads the test bed's one line from standard input.

import { readFileSync } from "node:fs";

import { Connection, Store } from "pos-connect";
import { seal } from "pos-connect/seal";

const { server, unregistered, instruments } = JSON.parse(readFileSync(0, "utf8"));
// Node takes the authority of the bed's certificate from NODE_EXTRA_CA_CERTS, where it is started.
const config = { serverUrl: server.tls_url, authority: server.authority };
const line = new Connection(config, Store.inMemory());
const { user_id, code } = unregistered[0];
await line.register(user_id, "a password of my own choice", code);

const bought = { orderId: "order-1", amount: 1200, currency: "JPY" };
const { contract, sealKeys } = await line.quote({ method: "card:visa", ...bought });

// What the shopper's page does: it seals the card to the institution of the quote.
const { number, expiry_year, expiry_month, security_code } = instruments.approve.instrument;
const card = {
  type: "card",
  number,
  expiryYear: expiry_year,
  expiryMonth: expiry_month,
  securityCode: security_code,
};
const { institution, contractNumber } = contract;
const binding = { institution, contractNumber, operation: "sale", ...bought };
const envelope = seal(card, binding, sealKeys, contract.sealRoot);

const order = { contractId: contract.contractId, envelope, ...bought };
const operation = await line.pay(order, "order-1-sale-0001");
console.log(`order-1: ${operation.state}, ${operation.doneAmount} JPY`);
process.exitCode = operation.state === "done" ? 0 : 1;
