//! How a capture, a void or a refund begins: the guards of the payment that it moves.

use std::sync::Arc;

use pos_protocol::id::{OperationId, PaymentId};
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::{Alarm, Event, NewOperation, OperationKind, Payment};
use pos_protocol::{ErrorCode, Timestamp};

use super::begin::{
    Beginning, Call, OperationAnswer, Tried, allowed, answers, begun, enough_time, finish, known,
    owned_by_a_task, refuse, replay, signer_ended,
};
use super::transition::{Transition, follow, transition};
use super::{fingerprint, view};
use crate::app::App;
use crate::connectors::{Institution, OperationOrder};
use crate::http::v1::error::ApiError;
use crate::store::rows::StoredPayment;
use crate::store::verbs::{Begun, Target};

/// How often a payment that moves under the guards is looked at again.
const LOOKS: u32 = 8;

/// What a mutation of a payment asks for.
#[derive(Clone, Copy, Debug)]
pub struct Movement {
    /// Capture, void or refund.
    pub kind: OperationKind,
    /// Of which payment.
    pub payment: PaymentId,
    /// How much; none for a void.
    pub money: Option<(Amount, Currency)>,
}

/// Begins a capture, void or refund and waits for it as long as the caller does.
///
/// # Errors
/// What forbids it; nothing was sent then.
pub async fn begin(
    app: &Arc<App>,
    call: Call,
    movement: Movement,
) -> Result<OperationAnswer, ApiError> {
    let deadline = call.deadline;
    owned_by_a_task(app, deadline, async move |app, first, last| {
        let tried = begin_movement(&app, &call, movement).await;
        finish(&app, tried, first, last).await;
    })
    .await
}

async fn begin_movement(
    app: &Arc<App>,
    call: &Call,
    movement: Movement,
) -> Result<Tried, ApiError> {
    let fingerprint = fingerprint::of_movement(movement.kind, movement.payment, movement.money);
    if let Some(known) = known(app, call, &fingerprint).await? {
        return Ok(Tried::Answered(known));
    }
    match try_movement(app, call, movement, fingerprint).await {
        Err(refusal) => refuse(app, call, fingerprint, refusal).await.map(Tried::Answered),
        tried => tried,
    }
}

async fn try_movement(
    app: &Arc<App>,
    call: &Call,
    movement: Movement,
    fingerprint: [u8; 32],
) -> Result<Tried, ApiError> {
    let mut looks: u32 = 0;
    loop {
        looks = looks.saturating_add(1);
        let not_found = || ApiError::new(ErrorCode::NotFound).field("payment_id");
        let (shop, wanted) = (call.shop.id(), movement.payment);
        let found = app.store.read(move |reader| reader.payment(shop, wanted)).await?;
        let stored = found.filter(|one| call.shop.may_use(one.pos)).ok_or_else(not_found)?;
        let institution = app.institutions.get(&stored.institution);
        let institution = institution.ok_or(ErrorCode::InstitutionUnavailable)?;
        if movement.money.is_some_and(|(_, currency)| currency != stored.currency) {
            return Err(ApiError::new(ErrorCode::CurrencyMismatch).field("currency"));
        }
        let now = app.clock.now();
        let id = OperationId::fresh(now, app.entropy.array());
        let amount = movement.money.map(|(amount, _)| amount);
        let new = NewOperation {
            id,
            kind: movement.kind,
            amount,
            allow_partial: false,
            give_up_at: None,
            by_server: false,
        };
        let moved = guarded(app, &stored, &institution, new)?;
        enough_time(app, call)?;
        let order = order_of(&stored, &moved.model, id, now, &institution)?;
        if moved.follows.begun.is_none() {
            allowed(&institution, &order)?;
            answers(app, &institution)?;
        }
        let target = Target::Existing { payment: stored.id, version: stored.version };
        let begin = Beginning { call, fingerprint, target, order, give_up_at: None, now };
        let entered = app.conductor.enter(id);
        match begin.commit(app, &institution, &moved.follows).await? {
            Begun::New { version } => {
                let payment = follow(&stored, &moved, now);
                let payment = begun(payment, &moved.model, &begin, version);
                if moved.follows.begun.is_some() {
                    // Nobody sends it: it ends with the reversal, which the worker carries out.
                    return view::answer(&payment, id).map(Tried::Answered);
                }
                return Ok(begin.begun(app, payment, institution, entered));
            }
            Begun::Known(found) => {
                return replay(app, call, &fingerprint, found).await.map(Tried::Answered);
            }
            Begun::Moved if looks < LOOKS => {}
            Begun::Moved => return Err(ErrorCode::Overloaded.into()),
            Begun::SignerEnded => return Err(signer_ended(call)),
            Begun::NotFound => return Err(not_found()),
            Begun::OrderTaken(_)
            | Begun::EnvelopeUsed
            | Begun::ContractDisabled
            | Begun::InstitutionDisabled => {
                return Err(ApiError::internal("a movement of a payment makes no claim"));
            }
        }
    }
}

/// The guards of `step`. A void of what is not known to stand is taken where it can be carried out.
fn guarded(
    app: &App,
    stored: &StoredPayment,
    institution: &Institution,
    new: NewOperation,
) -> Result<Transition, ApiError> {
    let moved = transition(app, stored, institution, &Event::Begin(new)).map_err(|refusal| {
        let error = ApiError::new(refusal.code);
        match (refusal.blocker, refusal.code) {
            (Some(blocker), _) => error.field(blocker.to_string()),
            (None, ErrorCode::AmountExceeded) => error.field("amount"),
            (None, _) => error,
        }
    })?;
    if moved.alarms.contains(&Alarm::CannotUndo) {
        return Err(ErrorCode::OperationUnsupported.into());
    }
    Ok(moved)
}

fn order_of(
    stored: &StoredPayment,
    model: &Payment,
    id: OperationId,
    now: Timestamp,
    institution: &Institution,
) -> Result<OperationOrder, ApiError> {
    let limit = institution.connector().capabilities().processing_limit();
    let one = model.operation(id).ok_or_else(|| ApiError::internal("a begun operation is lost"))?;
    Ok(OperationOrder {
        institution: stored.institution.clone(),
        operation_id: id,
        kind: one.kind,
        original: stored.operations.first().map(|first| first.id),
        contract_number: stored.contract_number.clone(),
        order_id: stored.order_id.clone(),
        money: Money { amount: one.amount, currency: stored.currency },
        not_after: now.plus(limit),
        allow_partial: false,
        sent_before: false,
        envelope: None,
    })
}
