// Each of these must not compile: an expectation that is not met is an error of its own.
import { Connection, Store, isPosError } from "pos-connect";
import { seal } from "pos-connect/seal";

const order = { contractId: "c", orderId: "o", amount: 1, currency: "JPY", envelope: "{}" };
const line = new Connection({ serverUrl: "https://pos.example" }, Store.inMemory());

// @ts-expect-error a field is missing
void line.pay({ contractId: "c", orderId: "o", amount: 1, currency: "JPY" });
// @ts-expect-error a field is not known
void line.pay({ ...order, orderID: "o" }).then((operation) => operation.orderID);
// @ts-expect-error an amount is a number
void line.pay({ ...order, amount: "1" });
// @ts-expect-error a key is a text
void line.pay(order, 7);
// @ts-expect-error names are JavaScript's
void line.payment_of_order("o");
// @ts-expect-error a language that is not spoken
new Connection({ serverUrl: "https://pos.example", language: "klingon" }, Store.inMemory());
// @ts-expect-error a store is made by its own means
new Connection({ serverUrl: "https://pos.example" }, {});
// @ts-expect-error a host brings all three methods
Store.ofHost({ load: () => null, replace: () => true }, { load: () => null });
// @ts-expect-error no such state
void line.pay(order).then((operation) => operation.state === "paid");
// @ts-expect-error a decline is there only sometimes
void line.pay(order).then((operation) => operation.decline.reason);
// @ts-expect-error no such kind
void line.pay(order).catch((error) => isPosError(error) && error.kind === "retry");
// @ts-expect-error no such instrument
seal({ type: "cash" }, { ...order, institution: "i", contractNumber: "1", operation: "sale" }, "", "");
