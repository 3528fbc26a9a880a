// The payment itself: one call, and what to make of its answer.

import { Connection, Store, isPosError } from "pos-connect";

import { claimAgain, folder } from "./orders.js";

// One line for the whole program. A server without a public name has its CA in NODE_EXTRA_CA_CERTS, and the name to sign in
// POS_AUTHORITY.
const { POS_SERVER_URL: serverUrl, POS_AUTHORITY: authority } = process.env;
export const line = new Connection({ serverUrl, authority }, Store.inFolder(`${folder}/pos`));

/**
 * Pays. The key is stored with the order, so that whatever happens in between, the same order is never
 * paid twice.
 */
export const pay = async ({ id, amount, contractId, envelope, idempotencyKey }) => {
  try {
    const order = { contractId, orderId: id, amount, currency: "JPY", envelope };
    return outcome(await line.pay(order, idempotencyKey));
  } catch (error) {
    if (isPosError(error) && error.kind === "ask_for_status") {
      return { state: "asking", text: "We are asking the bank what became of your payment." };
    }
    // A wrong argument (a TypeError) was found before anything was sent.
    log(id, error);
    return { state: "new", text: "The payment could not be made. Nothing was charged." };
  }
};

/**
 * What became of a payment that was open; nothing where that is not known yet. A shopper may look as
 * often as they like.
 */
export const ask = async (order) => {
  try {
    return outcome(await line.resume(order.idempotencyKey));
  } catch (error) {
    if (!isPosError(error)) throw error;
    if (error.kind === "ask_for_status") return {};
    log(order.id, error);
    // Only two errors are the end of the payment: the proof that it was not made, and the server's
    // refusal of it, which has a request id. Others are about this question.
    if (error.code === "not_made" || error.requestId) return NOT_MADE;
    return error.code === "not_in_journal" && claimAgain(order) ? pay(order) : {};
  }
};

const NOT_MADE = { state: "new", text: "The payment was not made. Nothing was charged." };

/** The state of the order, and a sentence for the shopper. */
const outcome = ({ state, decline }) => {
  switch (state) {
    case "done":
      return { state: "paid", text: "Paid. Thank you!" };
    case "declined":
      return { state: "new", text: ADVICE[decline.shopperAdvice] };
    case "not_sent":
    case "reversed":
      return NOT_MADE;
    default:
      return { state: "asking", text: "Your bank is still working on the payment." };
  }
};

const ADVICE = {
  check_details: "Your bank refused. Please check the number and try again.",
  try_later: "Your bank refused. Please try again later.",
  try_another: "Your bank refused. Please take another card.",
  other: "Your bank refused. Please take another card.",
};

const log = (id, error) => console.error(`${id}: ${error.message} (${error.code}, ${error.requestId})`);
