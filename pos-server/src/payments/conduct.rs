//! The task that owns an operation from its first commit to its last (`payments.md` 2.3).
//!
//! It is detached from the call: a caller that hangs up changes nothing. It sends once, gives what
//! it learns to `step`, and records that before anybody is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::id::{OperationId, TaskId};
use pos_protocol::payment::{Action, Event, OperationState, Outcome, step};
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use crate::app::App;
use crate::connectors::{Answer, Institution, OperationOrder, SendPermit};
use crate::readiness::Fault;
use crate::store::StoreError;
use crate::store::rows::{Evidence, StoredPayment, TaskRow};
use crate::store::verbs::{RecordOutcome, Recorded};
use crate::telemetry::logs::chain;

/// Waits between inquiries: 1, 2, 4 … 60 s.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so many inquiries without an outcome a person is told.
const ALARM_AFTER: u32 = 6;

/// A lease outlives the wait for the answer that it covers by this much.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Between tries to write an outcome that the store does not take.
const STORE_RETRY: Duration = Duration::from_millis(250);

/// An operation that this process owns.
#[derive(Debug)]
pub struct Owned {
    /// Its payment as it stands in the store.
    pub payment: StoredPayment,
    /// Who is asked.
    pub institution: Arc<Institution>,
    /// What is asked.
    pub order: OperationOrder,
    /// No first byte leaves after this, on the monotonic clock.
    pub send_before: Duration,
    /// The same on the wall clock.
    pub expires: Timestamp,
}

/// The operations that run in this process: so that a repeated call can wait for them, and the
/// end of the process too.
#[derive(Debug, Default)]
pub struct Conductor {
    running: Mutex<HashMap<OperationId, watch::Receiver<()>>>,
}

impl Conductor {
    /// Waits until the operation has stopped running in this process. `false` at once where it
    /// does not run here, or when `at_most` is over first.
    pub async fn wait_for(&self, id: OperationId, at_most: Duration) -> bool {
        let Some(mut running) = self.lock().get(&id).cloned() else {
            return false;
        };
        // The sender is dropped when the task ends: that is the message.
        tokio::time::timeout(at_most, async { while running.changed().await.is_ok() {} })
            .await
            .is_ok()
    }

    /// Returns when no operation runs any more.
    pub async fn idle(&self) {
        loop {
            let Some(mut any) = self.lock().values().next().cloned() else {
                return;
            };
            while any.changed().await.is_ok() {}
        }
    }

    /// How many operations run in this process.
    pub fn running(&self) -> usize {
        self.lock().len()
    }

    fn enter(self: &Arc<Self>, id: OperationId) -> Entered {
        let (ends, running) = watch::channel(());
        self.lock().insert(id, running);
        Entered { conductor: Arc::clone(self), id, _ends: ends }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OperationId, watch::Receiver<()>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Membership of a running operation; its end is its drop.
struct Entered {
    conductor: Arc<Conductor>,
    id: OperationId,
    _ends: watch::Sender<()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.conductor.lock().remove(&self.id);
    }
}

/// Starts the task of an operation that was just begun. The receiver gets the payment as it was
/// recorded; it is closed without a word when the store does not take the outcome.
pub fn start(app: &Arc<App>, owned: Owned) -> oneshot::Receiver<StoredPayment> {
    let (tell, told) = oneshot::channel();
    let entered = app.conductor.enter(owned.order.operation_id);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let permit = SendPermit {
            not_after: owned.send_before,
            expires: owned.expires,
            lease_until: lease_left(&app, &owned),
        };
        let began = app.clock.monotonic();
        let answer = app.driver.send(&owned.institution, &owned.order, permit).await;
        count(&app, &owned.order, &answer, began);
        record(&app, owned.payment, owned.order.operation_id, &answer, 0, Some(tell)).await;
        drop(entered);
    });
    told
}

/// When a lease taken at `now` ends: as configured, and never before the last answer that may be
/// waited for has come (`payments.md` 5.1).
pub(super) fn lease_end(app: &App, now: Timestamp, not_after: Timestamp) -> Timestamp {
    now.plus(app.config.worker.lease).max(not_after.plus(LEASE_MARGIN))
}

/// When the lease of a fresh operation ends, on the monotonic clock.
fn lease_left(app: &App, owned: &Owned) -> Duration {
    let begun = owned.payment.operation(owned.order.operation_id);
    let begun = begun.map_or_else(|| app.clock.now(), |one| one.created_at);
    let ends = lease_end(app, begun, owned.order.not_after);
    app.clock.monotonic().saturating_add(ends.since(app.clock.now()))
}

/// Starts the task of an operation that was taken over: it asks what became of it.
pub fn inquire(app: &Arc<App>, owned: Owned, inquiries: u32) {
    let entered = app.conductor.enter(owned.order.operation_id);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let began = app.clock.monotonic();
        let answer = app.driver.inquire(&owned.institution, &owned.order).await;
        count(&app, &owned.order, &answer, began);
        let inquiries = inquiries.saturating_add(1);
        record(&app, owned.payment, owned.order.operation_id, &answer, inquiries, None).await;
        drop(entered);
    });
}

fn count(app: &App, order: &OperationOrder, answer: &Answer, began: Duration) {
    let outcome = match answer.outcome {
        Outcome::Done(_) => "done",
        Outcome::Declined(_) => "declined",
        Outcome::NotSent => "not_sent",
        Outcome::NeedsPayer => "needs_payer",
        Outcome::Pending => "pending",
        Outcome::Unknown => "unknown",
        Outcome::Mismatched => "mismatched",
        Outcome::NeedsHuman => "needs_human",
    };
    let took = app.clock.monotonic().saturating_sub(began);
    app.metrics.institution_call(order.institution.as_str(), outcome, took);
}

/// Gives an answer to `step` and writes what follows, however often the payment moves meanwhile:
/// no evidence is dropped.
async fn record(
    app: &Arc<App>,
    mut payment: StoredPayment,
    id: OperationId,
    answer: &Answer,
    inquiries: u32,
    tell: Option<oneshot::Sender<StoredPayment>>,
) {
    let mut tell = tell;
    loop {
        let Some((verb, after)) = stepped(app, &payment, id, answer, inquiries) else {
            error!(operation_id = %id, "an operation is not among its payment's");
            return;
        };
        match app.store.record_outcome(verb).await {
            Ok(Recorded::Done { version }) => {
                app.readiness.clear(Fault::Database);
                let ended = StoredPayment { version, ..after };
                log(&ended, id, answer);
                if let Some(tell) = tell {
                    // Nobody listens when the caller has gone; the outcome stands all the same.
                    let _ = tell.send(ended);
                }
                return;
            }
            Ok(Recorded::Moved) => match reload(app, &payment).await {
                Some(moved) => payment = moved,
                None => return,
            },
            Err(StoreError::Stopped) => {
                error!(operation_id = %id, "the store has stopped: the outcome is asked for again after the restart");
                return;
            }
            Err(cause) => {
                warn!(operation_id = %id, cause = %cause, "an outcome could not be written; trying again");
                app.readiness.raise(Fault::Database);
                tell = None; // The caller gets 202 now.
                tokio::time::sleep(STORE_RETRY).await;
            }
        }
    }
}

async fn reload(app: &Arc<App>, payment: &StoredPayment) -> Option<StoredPayment> {
    loop {
        match app.store.read(|reader| reader.payment(payment.shop, payment.id)) {
            Ok(found) => return found,
            Err(StoreError::Stopped) => return None,
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
    id: OperationId,
    answer: &Answer,
    inquiries: u32,
) -> Option<(RecordOutcome, StoredPayment)> {
    let before = payment.operation(id)?;
    let now = app.clock.now();
    // What is learnt is never refused.
    let (model, actions) = step(&payment.model(), &Event::Learnt(id, answer.outcome)).ok()?;
    let state = model.operation(id)?.state;
    // The same wrong answer again is no news: only what changes the state, or contradicts an end.
    let is_news = before.state != state || !state.is_open();
    let mut tasks: Vec<_> =
        alarms(&actions).filter(|_| is_news).map(|text| task(app, payment, id, text)).collect();
    if state == OperationState::Unknown && inquiries == ALARM_AFTER {
        let text = "the outcome is still unknown after six inquiries";
        tasks.push(task(app, payment, id, text));
    }
    let evidence = Evidence {
        reference: answer.reference.as_deref().map(Into::into),
        card_reference: answer.card_reference.as_deref().map(Into::into),
        raw_code: answer.raw_code.as_deref().map(Into::into),
    };
    let ended_at = before.ended_at.or_else(|| (!state.is_open()).then_some(now));
    let due_at = next_look(state, answer, inquiries).map(|wait| now.plus(wait));
    let frees_order = !payment.model().frees_order() && model.frees_order();

    let mut after = payment.clone();
    after.sums = model.sums;
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
    let verb = RecordOutcome {
        shop: payment.shop,
        payment: payment.id,
        version: payment.version,
        sums: model.sums,
        operation: id,
        lease_epoch: before.lease_epoch,
        state,
        evidence,
        inquiries,
        ended_at,
        due_at,
        frees_order,
        tasks,
    };
    Some((verb, after))
}

fn alarms(actions: &[Action]) -> impl Iterator<Item = &'static str> {
    actions.iter().filter_map(|action| match action {
        Action::Alarm(_, text) => Some(*text),
        Action::Send(_) | Action::Inquire(_) | Action::Finish(_) => None,
    })
}

fn task(app: &App, payment: &StoredPayment, operation: OperationId, text: &str) -> TaskRow {
    let created_at: Timestamp = app.clock.now();
    TaskRow {
        id: TaskId::fresh(created_at, app.entropy.array()),
        created_at,
        shop: payment.shop,
        payment: payment.id,
        operation,
        text: text.into(),
        resolved_at: None,
    }
}

/// How long until somebody looks again: 1, 2, 4 … 60 s. `None` when nobody needs to. What a person
/// has to decide is asked about all the same: the institution may decide it first.
fn next_look(state: OperationState, answer: &Answer, inquiries: u32) -> Option<Duration> {
    if !state.is_open() {
        return None;
    }
    if state == OperationState::NeedsHuman {
        return Some(LONGEST_WAIT);
    }
    let doubled = Duration::from_secs(1 << inquiries.min(6)).min(LONGEST_WAIT);
    Some(answer.next_look.map_or(doubled, |wanted| wanted.clamp(doubled, LONGEST_WAIT)))
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

#[cfg(test)]
mod tests {
    use pos_protocol::money::Amount;

    use super::*;

    #[test]
    fn inquiries_come_after_1_2_4_and_at_most_60_s() {
        let unknown = Answer::bare(Outcome::Unknown);
        let waits: Vec<_> = (0..9)
            .map(|tried| next_look(OperationState::Unknown, &unknown, tried).unwrap().as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let done = OperationState::Done(Amount::new(1).unwrap());
        assert_eq!(next_look(done, &unknown, 0), None);
        let human = next_look(OperationState::NeedsHuman, &unknown, 0);
        assert_eq!(human, Some(Duration::from_secs(60)));
    }

    #[tokio::test]
    async fn a_repeat_waits_for_what_runs_here_and_for_nothing_else() {
        let conductor = Arc::new(Conductor::default());
        let id = OperationId::from_octets([1; 16]);
        assert!(!conductor.wait_for(id, Duration::from_secs(60)).await);
        let entered = conductor.enter(id);
        assert!(!conductor.wait_for(id, Duration::ZERO).await);
        let ends = async { drop(entered) };
        let (waited, ()) = tokio::join!(conductor.wait_for(id, Duration::from_secs(60)), ends);
        assert!(waited);
        conductor.idle().await;
        assert_eq!(conductor.running(), 0);
    }
}
