//! Asking, before paying, whether an instrument would do (P5).

use std::sync::Arc;

use pos_protocol::ErrorCode;
use pos_protocol::id::OperationId;
use pos_protocol::money::Money;
use pos_protocol::reason::DeclineReason;
use pos_protocol::wire::{CheckAnswer, CheckRequest};

use super::begin::{self, Call};
use super::{fingerprint, routing};
use crate::app::App;
use crate::connectors::{CheckOrder, CheckOutcome};
use crate::http::v1::error::ApiError;
use crate::store::verbs::{BeginCheck, CheckBegun, Claim, FinishCheck};

/// The body of the answer, as JSON octets: a repeat gets the same.
///
/// # Errors
/// What forbids the question, or that the institution did not answer it.
pub async fn check(
    app: &Arc<App>,
    call: &Call,
    request: CheckRequest,
) -> Result<Vec<u8>, ApiError> {
    let Call { shop, key, deadline } = call;
    let not_found = || ApiError::new(ErrorCode::NotFound).field("contract_id");
    let found = app.store.read(|reader| reader.contract(shop.id(), request.contract_id))?;
    let contract = found.filter(|found| shop.may_use(found.pos)).ok_or_else(not_found)?;
    let institution = app.institutions.get(&contract.institution).ok_or_else(not_found)?;
    let money = Money { amount: request.amount, currency: request.currency };
    let fingerprint = fingerprint::of_check(
        request.contract_id,
        &request.order_id,
        request.amount,
        request.currency,
        &request.envelope.sha256(),
    );
    let now = app.clock.now();
    let claim = Claim { key: key.clone(), fingerprint };
    let operation = OperationId::fresh(now, app.entropy.array());
    let begin = BeginCheck { shop: shop.id(), claim, operation, now };
    match app.store.begin_check(begin).await? {
        CheckBegun::New | CheckBegun::Repeat { answer: None, .. } => {}
        CheckBegun::Repeat { answer: Some(answer), .. } => return Ok(answer.into()),
        CheckBegun::KeyReused => return Err(ErrorCode::IdempotencyKeyReused.into()),
    }
    // Guards come after the key: what was answered stays answered.
    routing::open(&contract, &institution, money).map_err(ApiError::of_payment)?;
    if !institution.connector().capabilities().can_check {
        return Err(ErrorCode::OperationUnsupported.into());
    }
    begin::check_envelope(app, &institution, &request.envelope, now, *deadline).await?;
    let order = CheckOrder {
        institution: contract.institution,
        contract_number: contract.number,
        order_id: request.order_id,
        money,
        envelope: request.envelope,
    };
    let outcome = app.driver.check(&institution, &order).await;
    let outcome = outcome.map_err(|_| ErrorCode::InstitutionUnavailable)?;
    let answer = CheckAnswer::from_reason(match outcome {
        CheckOutcome::Sufficient => None,
        CheckOutcome::TooLow => Some(DeclineReason::InsufficientFunds),
        CheckOutcome::Expired => Some(DeclineReason::ExpiredCard),
        CheckOutcome::Refused(reason) => Some(reason),
    });
    let answer = serde_json::to_vec(&answer).map_err(ApiError::internal)?;
    let finish = FinishCheck { shop: shop.id(), key: key.clone(), answer: answer.clone().into() };
    app.store.finish_check(finish).await?;
    Ok(answer)
}
