//! The task that owns an operation from its first commit to its last (`payments.md` 2.3).
//!
//! It is detached from the call: a caller that hangs up changes nothing. It sends once, gives what
//! it learns to `step`, and records that before anybody is told.

use std::sync::Arc;
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::id::{InstitutionId, OperationId};
use pos_protocol::payment::{Event, OperationState, Outcome};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::begin::OperationAnswer;
use super::conductor::Entered;
use super::next_look::{Span, next_look};
use super::recovery::{self, Errand};
use super::transition::{follow, task, transition};
use super::view;
use crate::app::App;
use crate::connectors::{Answer, Fault, Institution, News, OperationOrder, SendPermit};
use crate::crash;
use crate::http::v1::error::ApiError;
use crate::notices;
use crate::readiness;
use crate::store::StoreError;
use crate::store::rows::{Evidence, StoredPayment};
use crate::store::verbs::{RecordOutcome, Recorded};
use crate::telemetry::logs::chain;

/// After so many inquiries without an outcome a person is told.
const ALARM_AFTER: u32 = 6;

/// A lease outlives the last moment at which its operation may still be processed by this much, and
/// so every wait for an answer.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Between tries to write an outcome that the store does not take.
const STORE_RETRY: Duration = Duration::from_millis(250);

/// Where the task of a call says what the call is answered. Dropped without a word where it does
/// not know.
pub(super) type Tell = oneshot::Sender<Result<OperationAnswer, ApiError>>;

/// An operation that this process owns.
#[derive(Debug)]
pub(super) struct Owned {
    /// Its payment as it stands in the store.
    pub(super) payment: StoredPayment,
    /// Who is asked.
    pub(super) institution: Arc<Institution>,
    /// Which of the payment's operations.
    pub(super) operation: OperationId,
    /// Says that it runs, until this is dropped.
    pub(super) entered: Entered,
}

/// Until when the first byte of an operation may leave: both clocks must say that there is time.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendUntil {
    /// On the monotonic clock.
    pub(super) monotonic: Duration,
    /// On the wall clock, which a call's `expires` is written in.
    pub(super) expires: Timestamp,
}

/// Sends an operation that was just begun, unless its time is over, and records what came of it.
/// `tell` gets the end; it is dropped without a word when the store does not take the outcome.
pub(super) async fn conduct(
    app: &Arc<App>,
    owned: Owned,
    order: &OperationOrder,
    until: SendUntil,
    tell: Tell,
) {
    let permit = SendPermit {
        not_after: until.monotonic,
        expires: until.expires,
        lease_until: lease_left(app, &owned),
    };
    let began = app.clock.monotonic();
    let answer = app.driver.send(&owned.institution, order, permit).await;
    learn(app, owned, &answer, began, false, Some(tell)).await;
}

/// Starts the task of an operation that was taken over, under a lease until `lease_until` on the
/// monotonic clock.
pub(super) fn pursue(app: &Arc<App>, owned: Owned, errand: Errand, lease_until: Duration) {
    let app = Arc::clone(app);
    app.executor.clone().spawn(async move {
        let began = app.clock.monotonic();
        let answer = match &errand {
            Errand::Ask(order) => app.driver.inquire(&owned.institution, order).await,
            Errand::Reverse(order) => {
                let answer = app.driver.reverse(&owned.institution, order).await;
                crash::point("reverse.answered");
                answer
            }
            Errand::Send(order) => {
                let left = order.not_after.since(app.clock.now());
                let permit = SendPermit {
                    not_after: began.saturating_add(left),
                    expires: order.not_after,
                    lease_until,
                };
                app.driver.send(&owned.institution, order, permit).await
            }
        };
        // Where no line was free nobody was asked.
        let asked = !matches!(answer.fault, Some(Fault::Busy));
        learn(&app, owned, &answer, began, asked, None).await;
    });
}

/// What follows every exchange. The operation runs until all of it is done.
async fn learn(
    app: &Arc<App>,
    owned: Owned,
    answer: &Answer,
    began: Duration,
    asked: bool,
    tell: Option<Tell>,
) {
    let Owned { payment, institution, operation, entered } = owned;
    let id = &institution.record().id;
    count(app, id, answer, began);
    record(app, payment, &institution, operation, answer, asked, tell).await;
    drop(entered);
    let news = answered(answer.fault.as_ref())
        .and_then(|answered| institution.health.heard(answered, app.clock.monotonic()));
    if news == Some(News::Silent) {
        warn!(institution_id = %id, "the institution is silent: new payments are refused");
    }
    if news == Some(News::Back) {
        info!(institution_id = %id, "the institution answers again");
        if let Err(cause) = recovery::hasten(app, id).await {
            warn!(cause = %cause, "open operations were not hastened");
        }
    }
}

/// When a lease taken at `now` ends: as configured, and never before the last answer that may be
/// waited for has come (`payments.md` 5.1).
pub(super) fn lease_end(app: &App, institution: &Institution, now: Timestamp) -> Timestamp {
    let limit = institution.connector().capabilities().processing_limit();
    now.plus(app.config.worker.lease.max(limit.saturating_add(LEASE_MARGIN)))
}

/// When the lease of a fresh operation ends, on the monotonic clock.
fn lease_left(app: &App, owned: &Owned) -> Duration {
    let begun = owned.payment.operation(owned.operation);
    let begun = begun.map_or_else(|| app.clock.now(), |one| one.created_at);
    let ends = lease_end(app, &owned.institution, begun);
    app.clock.monotonic().saturating_add(ends.since(app.clock.now()))
}

fn count(app: &App, institution: &InstitutionId, answer: &Answer, began: Duration) {
    let outcome = match answer.outcome {
        Outcome::Done(_) => "done",
        Outcome::Declined(_) => "declined",
        Outcome::NotSent => "not_sent",
        Outcome::NeedsPayer => "needs_payer",
        Outcome::Pending => "pending",
        Outcome::Unknown => "unknown",
        Outcome::Mismatched => "mismatched",
        Outcome::NeedsHuman => "needs_human",
        Outcome::Undoable => "undoable",
        Outcome::Settled => "settled",
    };
    let took = app.clock.monotonic().saturating_sub(began);
    app.metrics.institution_call(institution.as_str(), outcome, took);
}

/// Gives an answer to `step` and writes what follows, however often the payment moves meanwhile:
/// no evidence is dropped.
async fn record(
    app: &Arc<App>,
    mut payment: StoredPayment,
    institution: &Institution,
    id: OperationId,
    answer: &Answer,
    asked: bool,
    mut tell: Option<Tell>,
) {
    loop {
        let Some((verb, after)) = stepped(app, &payment, institution, id, answer, asked) else {
            error!(operation_id = %id, "an operation is not among its payment's");
            return;
        };
        crash::point("outcome.before_commit");
        match app.store.record_outcome(verb).await {
            Ok(Recorded::Done { version }) => {
                crash::point("outcome.committed");
                app.readiness.clear(readiness::Fault::Database);
                let ended = StoredPayment { version, ..after };
                log(&ended, id, answer);
                if let Some(tell) = tell {
                    // Nobody listens when the caller has gone; the outcome stands all the same.
                    let _ = tell.send(view::answer(&ended, id));
                }
                return;
            }
            Ok(Recorded::Moved) => match reload(app, &payment).await {
                Some(moved) => payment = moved,
                None => return,
            },
            Err(StoreError::Behind | StoreError::Stopped) => {
                error!(operation_id = %id, "the store has stopped: the outcome is asked for again after the restart");
                return;
            }
            // Trying again would bring the same; the lease runs out, and the institution is asked.
            Err(cause @ (StoreError::Corrupt { .. } | StoreError::Crossed)) => {
                error!(operation_id = %id, cause = %cause, "an outcome cannot be written");
                return;
            }
            Err(
                cause @ (StoreError::Away { .. }
                | StoreError::Engine { .. }
                | StoreError::Full
                | StoreError::Unknown { .. }),
            ) => {
                warn!(operation_id = %id, cause = %cause, "an outcome could not be written; trying again");
                app.readiness.raise(readiness::Fault::Database);
                tell = None; // The caller gets 202 now.
                tokio::time::sleep(STORE_RETRY).await;
            }
        }
    }
}

async fn reload(app: &Arc<App>, payment: &StoredPayment) -> Option<StoredPayment> {
    let (shop, id) = (payment.shop, payment.id);
    loop {
        match app.store.read(move |reader| reader.payment(shop, id)).await {
            Ok(found) => return found,
            Err(StoreError::Behind | StoreError::Stopped) => return None,
            Err(cause @ StoreError::Corrupt { .. }) => {
                error!(payment_id = %payment.id, cause = %cause, "a payment cannot be read");
                return None;
            }
            Err(cause) => {
                warn!(payment_id = %payment.id, cause = %cause, "a payment could not be read; trying again");
                tokio::time::sleep(STORE_RETRY).await;
            }
        }
    }
}

/// One turn of `step`, as the verb that writes it and the payment as it will stand.
fn stepped(
    app: &App,
    payment: &StoredPayment,
    institution: &Institution,
    id: OperationId,
    answer: &Answer,
    asked: bool,
) -> Option<(RecordOutcome, StoredPayment)> {
    let before = payment.operation(id)?;
    let now = app.clock.now();
    let inquiries = before.inquiries.saturating_add(u32::from(asked));
    // What is learnt is never refused.
    let moved = transition(app, payment, institution, &Event::Learnt(id, answer.outcome)).ok()?;
    let state = moved.model.operation(id)?.state;
    // The store keeps a task once for as long as it is open.
    let mut tasks: Vec<_> =
        moved.alarms.iter().map(|alarm| task(app, payment, id, alarm.sentence())).collect();
    if state == OperationState::Unknown && asked && inquiries == ALARM_AFTER {
        tasks.push(task(app, payment, id, "the outcome is still unknown after six tries"));
    }
    // What a finished operation was answered stays as it is, to the letter.
    let is_news = before.state.is_open() || before.state != state;
    let evidence = Evidence {
        reference: answer.reference.as_deref().map(Into::into),
        card_reference: answer.card_reference.as_deref().map(Into::into),
        raw_code: answer.raw_code.as_deref().map(Into::into),
    };
    let evidence = if is_news { evidence } else { Evidence::default() };
    // What came late may open again what had ended.
    let ended_at = (!state.is_open()).then(|| before.ended_at.unwrap_or(now));
    let due_at = is_worked_on(state)
        .then(|| now.plus(next_look(state, answer, Span::of(before, payment), app.started, now)));
    let frees_order = !payment.model().frees_order() && moved.model.frees_order();

    let mut after = follow(payment, &moved, now);
    if let Some(one) = after.operations.iter_mut().find(|one| one.id == id) {
        one.state = state;
        one.ended_at = ended_at;
        one.inquiries = inquiries;
        let keep = |new: &Option<Box<str>>, old: &mut Option<Box<str>>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        keep(&evidence.reference, &mut one.evidence.reference);
        keep(&evidence.card_reference, &mut one.evidence.card_reference);
        keep(&evidence.raw_code, &mut one.evidence.raw_code);
    }
    let mut follows = moved.follows;
    follows.notices = notices::of_step(app, payment, &after, now);
    let verb = RecordOutcome {
        shop: payment.shop,
        payment: payment.id,
        version: payment.version,
        sums: moved.model.sums,
        operation: id,
        lease_epoch: before.lease_epoch,
        state,
        evidence,
        inquiries,
        ended_at,
        due_at,
        frees_order,
        tasks,
        follows,
        now,
    };
    Some((verb, after))
}

/// Whether somebody has to look again. What is being reversed, or waits for that, ends with the reverse,
/// which is an operation of its own.
const fn is_worked_on(state: OperationState) -> bool {
    state.is_open() && !matches!(state, OperationState::Reversing(_) | OperationState::Accepted)
}

/// One line for each outcome, with ids alone.
fn log(payment: &StoredPayment, id: OperationId, answer: &Answer) {
    let Some(one) = payment.operation(id) else { return };
    let (kind, state, payment_id) = (one.kind.wire(), one.state.wire(), payment.id);
    let raw_code = answer.raw_code.as_deref().unwrap_or_default();
    match &answer.fault {
        None => info!(operation_id = %id, %payment_id, kind, state, raw_code, "outcome"),
        Some(fault) => {
            let cause = chain(fault);
            warn!(operation_id = %id, %payment_id, kind, state, raw_code, cause, "outcome");
        }
    }
}

/// Whether the institution gave an answer of its own; `None` where it was not asked.
const fn answered(fault: Option<&Fault>) -> Option<bool> {
    match fault {
        None
        | Some(
            Fault::Foreign { .. }
            | Fault::KeySet(_)
            | Fault::Mismatch { .. }
            | Fault::NotFoundYet
            | Fault::Refused { .. }
            | Fault::Reversed
            | Fault::TooLate,
        ) => Some(true),
        Some(
            Fault::Body(_)
            | Fault::Connect(_)
            | Fault::Line(_)
            | Fault::Signature { .. }
            | Fault::TimedOut
            | Fault::TooLarge { .. },
        ) => Some(false),
        Some(
            Fault::Busy | Fault::Expired | Fault::LeaseLost | Fault::NoInquiry | Fault::Prepare(_),
        ) => None,
    }
}
