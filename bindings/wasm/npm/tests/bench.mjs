// The shop that the benchmark of bindings drives (tests/bench, `language/shop.rs`).

import { createInterface } from "node:readline";

import { Connection, Store } from "pos-connect";

import { believe } from "./trust.js";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const start = JSON.parse((await lines.next()).value);
believe(start.ca_pem);
const config = { serverUrl: start.server_url, authority: start.authority };
const line = new Connection(config, Store.inFolder(start.folder));
const orders = start.orders[Symbol.iterator]();
for await (const asked of lines) {
  const [what, count] = asked.split(" ");
  const took = [];
  if (what === "pay") {
    for (let n = 0; n < Number(count); n++) {
      const order = orders.next().value;
      const began = process.hrtime.bigint();
      const paid = await line.pay({
        contractId: order.contract_id,
        orderId: order.order_id,
        amount: order.amount,
        currency: order.currency,
        envelope: order.envelope,
      });
      took.push(Number(process.hrtime.bigint() - began));
      if (paid.state !== "done") throw new Error(`a payment that is ${paid.state}`);
    }
  } else {
    const began = process.hrtime.bigint();
    for (let n = 0; n < Number(count); n++) await line.keyId();
    took.push(Number(process.hrtime.bigint() - began));
  }
  console.log(JSON.stringify(took));
}
