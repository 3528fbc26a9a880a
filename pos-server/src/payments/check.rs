//! Asking, before paying, whether an instrument would do (P5).

use std::sync::Arc;

use pos_protocol::ErrorCode;
use pos_protocol::id::OperationId;
use pos_protocol::institution::InstitutionCode;
use pos_protocol::money::Money;
use pos_protocol::reason::DeclineReason;
use pos_protocol::wire::{CheckAnswer, CheckRequest};
use tokio::sync::oneshot;
use tracing::{Instrument as _, warn};

use super::begin::{self, Call};
use super::pay;
use super::{fingerprint, routing};
use crate::app::App;
use crate::connectors::{CheckOrder, CheckOutcome, Fault, Institution};
use crate::http::v1::error::ApiError;
use crate::store::rows::ContractRow;
use crate::store::verbs::{BeginCheck, CheckBegun, CheckKept, Claim, FinishCheck};
use crate::telemetry::logs::chain;

/// The body of the answer, as JSON octets: a repeat gets the same.
///
/// # Errors
/// What forbids the question, or that the institution did not answer it.
pub async fn check(app: &Arc<App>, call: Call, request: CheckRequest) -> Result<Vec<u8>, ApiError> {
    let not_found = || ApiError::new(ErrorCode::NotFound).field("contract_id");
    let shop = &call.shop;
    let (tenant, wanted) = (shop.id(), request.contract_id);
    let found = app.store.read(move |reader| reader.contract(tenant, wanted)).await?;
    let contract = found.filter(|found| shop.may_use(found.pos)).ok_or_else(not_found)?;
    let institution = app.institutions.get(&contract.institution).ok_or_else(not_found)?;
    let operation = OperationId::fresh(app.clock.now(), app.entropy.array());
    // Before the claim, so that a repeat which meets the claim finds the check running.
    let entered = app.conductor.enter(operation);
    if let Some(kept) = claim(app, &call, &request, operation).await? {
        return kept;
    }
    let (tell, told) = oneshot::channel();
    let patience = begin::patience(app, call.deadline);
    let asker = Arc::clone(app);
    // In a task of its own: the envelope is spent by one sending, so the answer to it is kept also
    // for a caller that has hung up.
    let asking = async move {
        let answer = ask(&asker, &call, request, contract, &institution).await;
        let answer = match keep(&asker, &call, &answer).await {
            Ok(()) => answer,
            Err(fault) => Err(fault),
        };
        let _ = tell.send(answer);
        drop(entered);
    };
    app.executor.spawn(asking.in_current_span());
    match tokio::time::timeout(patience, told).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(ApiError::internal("the task of a check ended without a word")),
        Err(_) => Err(ErrorCode::InstitutionUnavailable.into()),
    }
}

/// Claims the key, or waits for the same call that came before. `Some` is what is answered then.
async fn claim(
    app: &Arc<App>,
    call: &Call,
    request: &CheckRequest,
    operation: OperationId,
) -> Result<Option<Result<Vec<u8>, ApiError>>, ApiError> {
    let fingerprint = fingerprint::of_check(
        request.contract_id,
        &request.order_id,
        request.amount,
        request.currency,
        &request.envelope.sha256(),
    );
    let claim = Claim { key: call.key.clone(), fingerprint };
    let begin = BeginCheck { shop: call.shop.id(), claim, operation, now: app.clock.now() };
    let mut waited = false;
    loop {
        match app.store.begin_check(begin.clone()).await? {
            CheckBegun::New => return Ok(None),
            CheckBegun::KeyReused => return Err(ErrorCode::IdempotencyKeyReused.into()),
            CheckBegun::Repeat { kept: Some(CheckKept::Answer(body)), .. } => {
                return Ok(Some(Ok(body.into())));
            }
            CheckBegun::Repeat { kept: Some(CheckKept::Refusal { code, field }), .. } => {
                let refusal = ApiError::new(code);
                return Ok(Some(Err(match field {
                    Some(field) => refusal.field(field),
                    None => refusal,
                })));
            }
            CheckBegun::Repeat { operation, kept: None } if !waited => {
                waited = true;
                app.conductor.wait_for(operation, begin::patience(app, call.deadline)).await;
            }
            // Whoever began it has died, or is still waiting for the institution.
            CheckBegun::Repeat { operation, kept: None } => {
                if app.conductor.runs(operation) {
                    return Ok(Some(Err(ErrorCode::InstitutionUnavailable.into())));
                }
                let lost = Err(envelope_spent());
                keep(app, call, &lost).await?;
                return Ok(Some(lost));
            }
        }
    }
}

/// Guards come after the key: what was answered stays answered.
async fn ask(
    app: &App,
    call: &Call,
    request: CheckRequest,
    contract: ContractRow,
    institution: &Institution,
) -> Result<Vec<u8>, ApiError> {
    let money = Money { amount: request.amount, currency: request.currency };
    routing::open(&contract, institution, money).map_err(ApiError::of_payment)?;
    if !institution.connector().capabilities().can_check {
        return Err(ErrorCode::OperationUnsupported.into());
    }
    let now = app.clock.now();
    pay::check_envelope(app, institution, &request.envelope, now, call.deadline).await?;
    begin::enough_time(app, call)?;
    let order = CheckOrder {
        institution: contract.institution,
        contract_number: contract.number,
        order_id: request.order_id,
        money,
        envelope: request.envelope,
    };
    let outcome = app.driver.check(institution, &order).await.map_err(|fault| {
        warn!(institution_id = %order.institution, cause = chain(&fault), "a check was not answered");
        refusal_of(&fault)
    })?;
    let answer = CheckAnswer::from_reason(match outcome {
        CheckOutcome::Sufficient => None,
        CheckOutcome::TooLow => Some(DeclineReason::InsufficientFunds),
        CheckOutcome::Expired => Some(DeclineReason::ExpiredCard),
        CheckOutcome::Refused(reason) => Some(reason),
    });
    serde_json::to_vec(&answer).map_err(ApiError::internal)
}

/// Keeps what is answered under the key, as for payments: an answer, and a refusal that time could
/// undo. Another refusal frees the key.
async fn keep(app: &App, call: &Call, answer: &Result<Vec<u8>, ApiError>) -> Result<(), ApiError> {
    let kept = match answer {
        Ok(body) => Some(CheckKept::Answer(body.as_slice().into())),
        Err(refusal) if refusal.code().is_kept() => Some(CheckKept::Refusal {
            code: refusal.code(),
            field: refusal.named_field().map(Into::into),
        }),
        Err(_) => None,
    };
    let finish = FinishCheck { shop: call.shop.id(), key: call.key.clone(), kept };
    Ok(app.store.finish_check(finish).await?)
}

/// Where the answer was lost the institution may have opened the envelope, and takes it no second
/// time: the page seals another.
fn refusal_of(fault: &Fault) -> ApiError {
    match fault {
        Fault::Refused { code, .. } => match InstitutionCode::from_wire(code) {
            Some(InstitutionCode::EnvelopeExpired) => {
                ApiError::new(ErrorCode::EnvelopeExpired).field("envelope.not_after_ms")
            }
            Some(InstitutionCode::EnvelopeInvalid) => {
                ApiError::new(ErrorCode::EnvelopeInvalid).field("envelope")
            }
            Some(InstitutionCode::EnvelopeUsed) => envelope_spent(),
            _ => ErrorCode::InstitutionUnavailable.into(),
        },
        Fault::Busy
        | Fault::Connect(_)
        | Fault::Expired
        | Fault::LeaseLost
        | Fault::NoInquiry
        | Fault::Prepare(_) => ErrorCode::InstitutionUnavailable.into(),
        Fault::Body(_)
        | Fault::Foreign { .. }
        | Fault::KeySet(_)
        | Fault::Line(_)
        | Fault::Mismatch { .. }
        | Fault::NotFoundYet
        | Fault::Reversed
        | Fault::Signature { .. }
        | Fault::TimedOut
        | Fault::TooLate
        | Fault::TooLarge { .. } => envelope_spent(),
    }
}

fn envelope_spent() -> ApiError {
    ApiError::of_payment(ErrorCode::EnvelopeUsed)
}

#[cfg(test)]
mod tests {
    use pos_protocol::Retry;

    use super::*;

    #[test]
    fn a_lost_answer_asks_for_another_envelope_and_an_unsent_check_does_not() {
        let refused = |code: &str| Fault::Refused { code: code.into(), message: "No.".into() };
        for (fault, code, kept) in [
            (Fault::TimedOut, "envelope_used", true),
            (Fault::TooLarge { most: 1 }, "envelope_used", true),
            (refused("envelope_used"), "envelope_used", true),
            (refused("envelope_expired"), "envelope_expired", true),
            (refused("envelope_invalid"), "envelope_invalid", false),
            (refused("not_found"), "institution_unavailable", false),
            (Fault::Busy, "institution_unavailable", false),
        ] {
            let refusal = refusal_of(&fault);
            assert_eq!((refusal.code().wire(), refusal.code().is_kept()), (code, kept), "{fault}");
        }
        assert_eq!(envelope_spent().code().retry(), Retry::NewQuote);
    }
}
