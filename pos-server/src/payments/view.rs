//! Payments and operations as a shop sees them. A finished operation is written from what was
//! stored with it and from nothing that moves later, so that the same key is answered with the same
//! octets for ever.

use axum::http::StatusCode;
use pos_protocol::id::OperationId;
use pos_protocol::payment::OperationState;
use pos_protocol::wire::{
    Decline, OperationView, PaymentView, Rejection, WireOperationState, route,
};
use pos_protocol::{ErrorCode, Retry};

use crate::http::v1::error::ApiError;
use crate::store::rows::{StoredOperation, StoredPayment, StoredRefusal};

/// When asking again is worth it, while an operation is open.
const ASK_AFTER_MS: u64 = 1_000;

/// One operation of a payment.
pub fn operation(payment: &StoredPayment, operation: &StoredOperation) -> OperationView {
    let (done_amount, decline) = match operation.state {
        OperationState::Done(amount) => (Some(amount), None),
        OperationState::Declined(reason) => (None, Some(Decline::from(reason))),
        _ => (None, None),
    };
    let open = operation.state.is_open();
    OperationView {
        operation_id: operation.id,
        payment_id: payment.id,
        order_id: payment.order_id.clone(),
        idempotency_key: operation.key.clone(),
        operation: operation.kind.into(),
        state: WireOperationState::from(operation.state),
        amount: operation.amount,
        currency: payment.currency,
        done_amount,
        decline,
        contract_id: payment.contract,
        institution: payment.institution.clone(),
        institution_reference: operation.evidence.reference.as_deref().map(str::to_owned),
        created_at_ms: operation.created_at,
        ended_at_ms: operation.ended_at,
        refusal: refused_envelope(operation).map(Rejection::from),
        retry: (operation.state == OperationState::NotSent).then_some(Retry::NewQuote.into()),
        status_path: open
            .then(|| route::OPERATION.replace("{idempotency_key}", operation.key.as_str())),
        ask_after_ms: open.then_some(ASK_AFTER_MS),
    }
}

/// Why the institution would not look at a call, where the envelope is at fault. Only then does its
/// code leave the operator's log: the shop can mend nothing else.
fn refused_envelope(operation: &StoredOperation) -> Option<ErrorCode> {
    if operation.state != OperationState::NotSent {
        return None;
    }
    let code = ErrorCode::from_wire(operation.evidence.raw_code.as_deref()?)?;
    let envelope =
        [ErrorCode::EnvelopeExpired, ErrorCode::EnvelopeInvalid, ErrorCode::EnvelopeUsed];
    envelope.contains(&code).then_some(code)
}

/// One payment with all its operations.
pub fn payment(stored: &StoredPayment) -> PaymentView {
    let sums = stored.sums;
    PaymentView {
        payment_id: stored.id,
        order_id: stored.order_id.clone(),
        pos_id: stored.pos,
        contract_id: stored.contract,
        institution: stored.institution.clone(),
        state: stored.model().state(),
        amount: stored.amount,
        currency: stored.currency,
        authorised: sums.authorised,
        captured: sums.captured,
        released: sums.released,
        refunded: sums.refunded,
        created_at_ms: stored.created_at,
        operations: stored.operations.iter().map(|one| operation(stored, one)).collect(),
    }
}

/// 200 for an operation that has ended, a decline included; 202 while it is open.
pub fn status_of(state: OperationState) -> StatusCode {
    if state.is_open() { StatusCode::ACCEPTED } else { StatusCode::OK }
}

/// The operation with this id and the status that carries it.
///
/// # Errors
/// A fault of the store: the operation is not among its payment's.
pub fn answer(
    payment: &StoredPayment,
    id: OperationId,
) -> Result<(StatusCode, OperationView), ApiError> {
    let found = payment.operation(id);
    let found = found.ok_or_else(|| ApiError::internal("an operation without its payment"))?;
    Ok((status_of(found.state), operation(payment, found)))
}

/// A refusal that was kept under its key.
pub fn refusal(stored: &StoredRefusal) -> ApiError {
    let refusal = ApiError::new(stored.code);
    match &stored.field {
        Some(field) => refusal.field(&**field),
        None => refusal,
    }
}
