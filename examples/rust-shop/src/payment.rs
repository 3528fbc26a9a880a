//! The payment itself: one call, and what to make of its answer.

use pos_connect::protocol::reason::ShopperAdvice;
use pos_connect::wire::{OperationView, WireOperationState};
use pos_connect::{Code, Connection, ErrorKind, IdempotencyKey, ModuleCode, Order};

/// What became of an order: its state (`new`, `asking` or `paid`), and a sentence for the shopper.
pub(crate) type Outcome = (&'static str, &'static str);

/// Pays. The key is stored with the order, so that whatever happens in between, the same order is
/// never paid twice.
pub(crate) async fn pay(line: &Connection, order: &Order, key: IdempotencyKey) -> Outcome {
    match line.pay(order, Some(key)).await {
        Ok(operation) => outcome(&operation),
        Err(error) if error.kind() == ErrorKind::AskForStatus => {
            ("asking", "We are asking the bank what became of your payment.")
        }
        Err(error) => {
            log(order.order_id.as_str(), &error);
            ("new", "The payment could not be made. Nothing was charged.")
        }
    }
}

/// What is known of a payment that was open.
pub(crate) enum Asked {
    Known(Outcome),
    /// Its call was never made.
    NeverBegan,
    NotYet,
}

/// Asks what became of a payment that was open. It never pays.
pub(crate) async fn ask(line: &Connection, order_id: &str, key: &IdempotencyKey) -> Asked {
    let error = match line.resume(key).await {
        Ok(operation) => return Asked::Known(outcome(&operation)),
        Err(error) if error.kind() == ErrorKind::AskForStatus => return Asked::NotYet,
        Err(error) => error,
    };
    log(order_id, &error);
    match error.code() {
        // Only these two are the end of the payment: the server's refusal of it, and the proof that it
        // was not made. Others are about this question.
        Code::Server(_) | Code::Module(ModuleCode::NotMade) => Asked::Known(NOT_MADE),
        Code::Module(ModuleCode::NotInJournal) => Asked::NeverBegan,
        Code::Module(_) => Asked::NotYet,
    }
}

const NOT_MADE: Outcome = ("new", "The payment was not made. Nothing was charged.");

fn outcome(operation: &OperationView) -> Outcome {
    match operation.state {
        WireOperationState::Done => ("paid", "Paid. Thank you!"),
        WireOperationState::Declined => ("new", advice(operation)),
        WireOperationState::NotSent | WireOperationState::Reversed => NOT_MADE,
        _ => ("asking", "Your bank is still working on the payment."),
    }
}

fn advice(operation: &OperationView) -> &'static str {
    match operation.decline.as_ref().and_then(|decline| decline.shopper_advice.known()) {
        Some(ShopperAdvice::CheckDetails) => {
            "Your bank refused. Please check the number and try again."
        }
        Some(ShopperAdvice::TryLater) => "Your bank refused. Please try again later.",
        Some(ShopperAdvice::TryAnother) | None => "Your bank refused. Please take another card.",
    }
}

fn log(order_id: &str, error: &pos_connect::Error) {
    let request = error.request_id().map(|id| id.to_string()).unwrap_or_default();
    eprintln!("{order_id}: {error} ({}, {request})", error.code().as_str());
}
