//! How a sale or an authorisation begins: contract, envelope, order (`payments.md` 2, 4).

use std::sync::Arc;
use std::time::Duration;

use pos_protocol::id::{OperationId, PaymentId};
use pos_protocol::money::Money;
use pos_protocol::payment::{Event, NewOperation, Payment, step};
use pos_protocol::seal::Envelope;
use pos_protocol::wire::PayRequest;
use pos_protocol::{ErrorCode, Timestamp};
use tracing::warn;

use super::begin::{
    Beginning, Call, LEAST_TIME, OperationAnswer, Tried, allowed, answers, begun, enough_time,
    finish, known, left, owned_by_a_task, refuse, replay, signer_ended,
};
use super::{fingerprint, routing};
use crate::app::App;
use crate::connectors::{Institution, OperationOrder};
use crate::http::v1::error::ApiError;
use crate::store::rows::StoredPayment;
use crate::store::verbs::{Begun, Follows, NewPayment, Target};
use crate::telemetry::logs::chain;

/// The longest time in seconds after which a shop may give up: a week.
const LONGEST_GIVE_UP_S: u32 = 604_800;

/// Begins a sale or an authorisation and waits for it as long as the caller does.
///
/// # Errors
/// What forbids it; nothing was sent then.
pub async fn pay(
    app: &Arc<App>,
    call: Call,
    request: PayRequest,
) -> Result<OperationAnswer, ApiError> {
    let deadline = call.deadline;
    owned_by_a_task(app, deadline, async move |app, first, last| {
        let tried = begin_payment(&app, &call, request).await;
        finish(&app, tried, first, last).await;
    })
    .await
}

async fn begin_payment(
    app: &Arc<App>,
    call: &Call,
    request: PayRequest,
) -> Result<Tried, ApiError> {
    let kind = request.operation;
    if !kind.begins_payment() {
        let message = "The operation of a new payment must be `sale` or `authorise`.";
        return Err(ApiError::with_message(ErrorCode::InvalidField, message).field("operation"));
    }
    let nullifier = request.envelope.sha256();
    let fingerprint = fingerprint::of_payment(
        kind,
        request.contract_id,
        &request.order_id,
        Money { amount: request.amount, currency: request.currency },
        &nullifier,
        request.allow_partial,
        request.give_up_after_s,
    );
    if let Some(known) = known(app, call, &fingerprint).await? {
        return Ok(Tried::Answered(known));
    }
    match try_pay(app, call, request, fingerprint, nullifier).await {
        Err(refusal) => refuse(app, call, fingerprint, refusal).await.map(Tried::Answered),
        tried => tried,
    }
}

async fn try_pay(
    app: &Arc<App>,
    call: &Call,
    request: PayRequest,
    fingerprint: [u8; 32],
    nullifier: [u8; 32],
) -> Result<Tried, ApiError> {
    let not_found = || ApiError::new(ErrorCode::NotFound).field("contract_id");
    let (shop, wanted) = (call.shop.id(), request.contract_id);
    let found = app.store.read(move |reader| reader.contract(shop, wanted)).await?;
    let contract = found.filter(|found| call.shop.may_use(found.pos)).ok_or_else(not_found)?;
    let institution = app.institutions.get(&contract.institution).ok_or_else(not_found)?;
    let money = Money { amount: request.amount, currency: request.currency };
    routing::usable(&contract, &institution, request.operation, money)
        .map_err(ApiError::of_payment)?;
    enough_time(app, call)?;
    if !app.driver.has_seal_keys(&institution) {
        // The wait for them is the institution's time.
        call.place.give_back();
    }
    let asked = app.clock.now();
    check_envelope(app, &institution, &request.envelope, asked, call.deadline).await?;
    enough_time(app, call)?;
    answers(app, &institution)?;
    // Only now: what was waited for must not count against the operation's own time.
    let now = app.clock.now();

    let id = OperationId::fresh(now, app.entropy.array());
    let order = OperationOrder {
        institution: contract.institution.clone(),
        operation_id: id,
        kind: request.operation,
        original: None,
        contract_number: contract.number.clone(),
        order_id: request.order_id.clone(),
        money,
        not_after: now.plus(institution.connector().capabilities().processing_limit()),
        allow_partial: request.allow_partial,
        sent_before: false,
        envelope: Some(request.envelope),
    };
    allowed(&institution, &order)?;
    let stored = StoredPayment {
        id: PaymentId::fresh(now, app.entropy.array()),
        shop: call.shop.id(),
        pos: contract.pos,
        contract: contract.id,
        contract_number: contract.number,
        institution: contract.institution,
        order_id: request.order_id,
        amount: money.amount,
        currency: money.currency,
        sums: pos_protocol::payment::Sums::default(),
        created_at: now,
        version: 0,
        operations: Vec::new(),
    };
    let target = Target::New(NewPayment {
        id: stored.id,
        pos: stored.pos,
        contract: stored.contract,
        contract_number: stored.contract_number.clone(),
        institution: stored.institution.clone(),
        order_id: stored.order_id.clone(),
        currency: money.currency,
        envelope: nullifier,
        envelope_not_after: order.envelope.as_ref().map_or(now, |one| one.not_after()),
    });
    let new = NewOperation {
        id,
        kind: order.kind,
        amount: Some(money.amount),
        allow_partial: order.allow_partial,
        give_up_at: give_up_at(request.give_up_after_s, now)?,
        by_server: false,
    };
    let give_up_at = new.give_up_at;
    let first = Payment::new(money.amount, money.currency);
    let stepped = step(&first, &Event::Begin(new), now).map_err(|refusal| refusal.code)?;
    let model = stepped.payment;
    let begin = Beginning { call, fingerprint, target, order, give_up_at, now };
    let entered = app.conductor.enter(id);
    match begin.commit(app, &institution, &Follows::default()).await? {
        Begun::New { version } => {
            let payment = begun(stored, &model, &begin, version);
            Ok(begin.begun(app, payment, institution, entered))
        }
        Begun::Known(found) => replay(app, call, &fingerprint, found).await.map(Tried::Answered),
        Begun::OrderTaken(_) => Err(ApiError::of_payment(ErrorCode::OrderTaken)),
        Begun::EnvelopeUsed => Err(ApiError::of_payment(ErrorCode::EnvelopeUsed)),
        Begun::SignerEnded => Err(signer_ended(call)),
        Begun::ContractDisabled => Err(ApiError::of_payment(ErrorCode::ContractDisabled)),
        Begun::InstitutionDisabled => Err(ApiError::of_payment(ErrorCode::InstitutionDisabled)),
        Begun::Moved | Begun::NotFound => {
            Err(ApiError::internal("a new payment cannot have moved"))
        }
    }
}

/// The envelope must be sealed to a key of the institution's present set, and outlive neither that
/// key nor the time that an envelope may have.
pub(super) async fn check_envelope(
    app: &App,
    institution: &Institution,
    envelope: &Envelope,
    now: Timestamp,
    deadline: Duration,
) -> Result<(), ApiError> {
    // One code and one sentence for both ends: it is kept under the key, because a held copy of a
    // call that came too early could find its envelope in time.
    envelope
        .check_not_after(now)
        .map_err(|_| ApiError::new(ErrorCode::EnvelopeExpired).field("envelope.not_after_ms"))?;
    let patience = left(app, deadline).saturating_sub(LEAST_TIME);
    let keys = app.driver.seal_keys(institution, patience).await.map_err(|fault| {
        let institution_id = &institution.record().id;
        warn!(%institution_id, cause = %chain(&fault), "no seal keys");
        ErrorCode::InstitutionUnavailable
    })?;
    if keys.set.takes(envelope) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::EnvelopeInvalid).field("envelope.key_id"))
}

/// When the shop gives up.
fn give_up_at(after_s: Option<u32>, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    match after_s {
        None => Ok(None),
        Some(after_s) if (1..=LONGEST_GIVE_UP_S).contains(&after_s) => {
            Ok(Some(now.plus(Duration::from_secs(after_s.into()))))
        }
        Some(_) => {
            let message = format!("`give_up_after_s` must be from 1 to {LONGEST_GIVE_UP_S}.");
            let error = ApiError::with_message(ErrorCode::InvalidField, message);
            Err(error.field("give_up_after_s"))
        }
    }
}
