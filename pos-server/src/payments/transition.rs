//! One step of a payment with what it brings about: an undoing where a success must not stand.

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::id::{OperationId, TaskId};
use pos_protocol::payment::{
    Alarm, Event, Means, NewOperation, Operation, OperationKind, OperationState, Payment, Refusal,
    Stepped, step, undoing,
};

use crate::app::App;
use crate::connectors::Institution;
use crate::store::rows::{Evidence, StoredOperation, StoredPayment, TaskRow};
use crate::store::verbs::{Change, Follows, OwnOperation};

/// Waits between the server's own tries to undo something where each is an operation of its own: the
/// shortest is doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// What a step came to.
#[derive(Debug)]
pub(super) struct Transition {
    /// The payment from now on.
    pub(super) model: Payment,
    /// What a person is told.
    pub(super) alarms: Vec<Alarm>,
    /// What the store writes besides the operation that the step was about.
    pub(super) follows: Follows,
}

/// Moves `payment` by `event`. What must not stand is undone in the same transition, by the institution's
/// means; where there are none a person is told.
///
/// # Errors
/// [`Refusal`], where `step` refuses.
pub(super) fn transition(
    app: &App,
    payment: &StoredPayment,
    institution: &Institution,
    event: &Event,
) -> Result<Transition, Refusal> {
    let now = app.clock.now();
    let capabilities = institution.connector().capabilities();
    let before = payment.model();
    let Stepped { payment: mut model, alarm, undo } = step(&before, event, now)?;
    let mut alarms: Vec<Alarm> = alarm.into_iter().collect();
    let mut begun = None;
    if undo {
        match undone(app, &model, capabilities.means(), now) {
            Some((next, own)) => {
                let due_at = now.plus(retry_after(payment));
                begun = Some(OwnOperation {
                    id: own.id,
                    kind: own.kind,
                    amount: own.amount,
                    not_after: due_at.plus(capabilities.processing_limit()),
                    due_at,
                });
                model = next;
            }
            None => alarms.push(Alarm::CannotUndo),
        }
    }
    let about = match event {
        Event::Begin(new) => new.id,
        Event::Learnt(id, _) | Event::Decided(id, _) => *id,
    };
    let changed = changes(&before, &model, about, now);
    Ok(Transition { model, alarms, follows: Follows { changed, begun, notices: Vec::new() } })
}

/// The payment with the operation begun that undoes it.
fn undone(
    app: &App,
    model: &Payment,
    means: Means,
    now: Timestamp,
) -> Option<(Payment, Operation)> {
    let (kind, amount) = undoing(model, means)?;
    let new = NewOperation {
        id: OperationId::fresh(now, app.entropy.array()),
        kind,
        amount,
        allow_partial: false,
        give_up_at: None,
        by_server: true,
    };
    let id = new.id;
    // Refused where something else is under way: then a person looks.
    let stepped = step(model, &Event::Begin(new), now).ok()?;
    let own = stepped.payment.operation(id)?.clone();
    Some((stepped.payment, own))
}

/// A reverse is repeated under its own id. A refund or void that was never processed is begun anew,
/// and each time later, so that an outage does not fill the payment.
fn retry_after(payment: &StoredPayment) -> Duration {
    let own = payment.operations.iter().filter(|one| one.by_server);
    let tries = own.filter(|one| one.kind != OperationKind::Reverse).count();
    match u32::try_from(tries) {
        Ok(0) => Duration::ZERO,
        Ok(tries) => FIRST_RETRY.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST_RETRY),
        Err(_) => LONGEST_RETRY,
    }
}

/// The operations besides `about` that stand elsewhere now. One that is unknown again is asked about
/// at once.
fn changes(before: &Payment, after: &Payment, about: OperationId, now: Timestamp) -> Vec<Change> {
    let moved = after.operations.iter().filter(|one| {
        one.id != about && before.operation(one.id).is_some_and(|old| old.state != one.state)
    });
    moved
        .map(|one| Change {
            operation: one.id,
            state: one.state,
            ended_at: (!one.state.is_open()).then_some(now),
            due_at: (one.state == OperationState::Unknown).then_some(now),
        })
        .collect()
}

/// The stored payment after a transition, but for the operation that it was about.
pub(super) fn follow(
    payment: &StoredPayment,
    transition: &Transition,
    now: Timestamp,
) -> StoredPayment {
    let mut after = payment.clone();
    after.sums = transition.model.sums;
    for change in &transition.follows.changed {
        if let Some(one) = after.operations.iter_mut().find(|one| one.id == change.operation) {
            one.state = change.state;
            one.ended_at = change.ended_at;
        }
    }
    if let Some(own) = &transition.follows.begun {
        after.operations.push(StoredOperation {
            id: own.id,
            key: own.key(),
            fingerprint: [0; 32],
            kind: own.kind,
            amount: own.amount,
            allow_partial: false,
            give_up_at: None,
            by_server: true,
            state: OperationState::Sending,
            not_after: own.not_after,
            created_at: now,
            ended_at: None,
            evidence: Evidence::default(),
            inquiries: 0,
            lease_epoch: 0,
        });
    }
    after
}

/// A task for a person about one operation.
pub(super) fn task(
    app: &App,
    payment: &StoredPayment,
    operation: OperationId,
    text: &str,
) -> TaskRow {
    let created_at = app.clock.now();
    TaskRow {
        id: TaskId::fresh(created_at, app.entropy.array()),
        created_at,
        shop: payment.shop,
        payment: payment.id,
        operation,
        text: text.into(),
        resolved_at: None,
        note: None,
    }
}
