// One small complete web shop: a shelf, an order, the page that seals the card, and the payment.
//
// The card never comes here. The shopper's page seals it to the institution, and this shop passes
// the envelope on.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import * as orders from "./orders.js";
import * as pages from "./pages.js";
import { ask, line, pay } from "./payment.js";

const SHELF = { tea: ["Green tea, 100 g", 1200], cup: ["A cup for it", 3400] };
/** More than an envelope and less than a burden. */
const MOST_OCTETS = 100_000;

const html = (body) => [200, { "content-type": "text/html; charset=utf-8" }, body];
const redirect = (id) => [303, { location: `/orders/${id}` }, ""];
const refuse = (status) => [status, {}, ""];

const begin = async (request) => {
  const article = (await form(request)).get("article");
  return Object.hasOwn(SHELF, article) ? redirect(orders.begin(...SHELF[article])) : refuse(404);
};

/** The page that the shopper pays on, or that says how it went. */
const checkout = async (request, id) => {
  let order = orders.find(id);
  if (!order) return refuse(404);
  if (order.state === "asking") order = orders.settle(order, await ask(order));
  if (order.state !== "new") return html(pages.order(order));
  const { amount } = order;
  const { contract, sealKeys } = await line.quote({
    orderId: id,
    method: "card:visa",
    amount,
    currency: "JPY",
  });
  if (!contract) return refuse(503);
  // All that `seal` takes but the card.
  const toSeal = {
    binding: {
      institution: contract.institution,
      contract_number: contract.contractNumber,
      operation: "sale",
      order_id: id,
      amount,
      currency: "JPY",
    },
    seal_keys: sealKeys,
    seal_root: contract.sealRoot,
  };
  return html(pages.pay(order, toSeal, contract.contractId));
};

const paid = async (request, id) => {
  const sent = await form(request);
  if (!orders.find(id)) return refuse(404);
  const [contractId, envelope] = [sent.get("contract_id") ?? "", sent.get("envelope") ?? ""];
  const claimed = orders.claim(id, { contractId, envelope });
  if (claimed) orders.settle(claimed, await pay(claimed));
  return redirect(id);
};

/** Finds out what became of every payment that is open, whether or not its shopper comes back. */
const settleOpen = async () => {
  for (const order of orders.asking()) orders.settle(order, await ask(order));
};

const everyMinute = async () => {
  await settleOpen().catch(console.error);
  setTimeout(everyMinute, 60_000).unref();
};

/** A file for a browser: the page's script, or one of the npm package. */
const file = async (root, name) => {
  const url = new URL(name, root);
  const kind = { js: "text/javascript", wasm: "application/wasm" }[name.split(".").pop()];
  if (!kind || !/^[\w/.-]+$/.test(name) || !url.href.startsWith(root)) return refuse(404);
  const octets = await readFile(url).catch(() => undefined);
  return octets ? [200, { "content-type": kind }, octets] : refuse(404);
};

const PAGE = new URL("../page/", import.meta.url).href;
const NPM = new URL(".", import.meta.resolve("pos-connect/seal")).href;

const ROUTES = [
  ["GET", /^\/$/, () => html(pages.shelf(SHELF))],
  ["POST", /^\/orders$/, begin],
  ["GET", /^\/orders\/([\w-]+)$/, checkout],
  ["POST", /^\/orders\/([\w-]+)$/, paid],
  ["GET", /^\/pay\.js$/, () => file(PAGE, "pay.js")],
  ["GET", /^\/pos-connect\/(.+)$/, (request, name) => file(NPM, name)],
];

const form = async (request) => {
  let text = "";
  for await (const part of request.setEncoding("utf8")) {
    text += part;
    if (text.length > MOST_OCTETS) throw new Error("a form that is too long");
  }
  return new URLSearchParams(text);
};

const answer = async (request) => {
  const [path] = request.url.split("?");
  for (const [method, pattern, handler] of ROUTES) {
    const found = request.method === method && pattern.exec(path);
    if (found) return handler(request, found[1]);
  }
  return refuse(404);
};

const server = createServer(async (request, response) => {
  const [status, headers, body] = await answer(request).catch((error) => {
    console.error(error);
    return [500, {}, "Something went wrong. Please try again."];
  });
  response.writeHead(status, headers).end(body);
});

const port = Number(process.env.PORT ?? 5000);
server.listen(port, "127.0.0.1", () => console.log(`open at http://127.0.0.1:${port}`));
everyMinute();
