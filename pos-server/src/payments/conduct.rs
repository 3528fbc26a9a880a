//! The task that owns an operation from its first commit to its last (`payments.md` 2.3).
//!
//! It is detached from the call: a caller that hangs up changes nothing. It sends once, gives what
//! it learns to `step`, and records that before anybody is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::id::{InstitutionId, OperationId, TaskId};
use pos_protocol::payment::{Event, OperationState, Outcome, step};
use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::begin::OperationAnswer;
use super::{recovery, view};
use crate::app::App;
use crate::connectors::{Answer, Fault, Institution, OperationOrder, SendPermit};
use crate::http::v1::error::ApiError;
use crate::readiness;
use crate::store::StoreError;
use crate::store::rows::{Evidence, StoredOperation, StoredPayment, TaskRow};
use crate::store::verbs::{RecordOutcome, Recorded};
use crate::telemetry::logs::chain;

/// Waits between inquiries: 1, 2, 4 … 60 s.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// So long after an operation's last moment the institution is asked whether it ever came.
const JUST_AFTER: Duration = Duration::from_millis(250);

/// After so many inquiries without an outcome a person is told.
const ALARM_AFTER: u32 = 6;

/// After so many exchanges in a row without an answer an institution counts as silent.
const SILENT_AFTER: u32 = 3;

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
    /// What is asked.
    pub(super) order: OperationOrder,
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

/// The operations that run in this process: so that a repeated call can wait for them, and the
/// end of the process too; and how the institutions' lines are.
#[derive(Debug, Default)]
pub struct Conductor {
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    operations: HashMap<OperationId, watch::Receiver<()>>,
    /// How many are being asked about.
    inquiries: HashMap<InstitutionId, usize>,
    /// Exchanges in a row that brought no answer.
    unanswered: HashMap<InstitutionId, u32>,
}

impl Conductor {
    /// Waits until the operation has stopped running in this process. `false` at once where it
    /// does not run here, or when `at_most` is over first.
    pub async fn wait_for(&self, id: OperationId, at_most: Duration) -> bool {
        let Some(mut running) = self.lock().operations.get(&id).cloned() else {
            return false;
        };
        // The sender is dropped when the task ends: that is the message.
        tokio::time::timeout(at_most, async { while running.changed().await.is_ok() {} })
            .await
            .is_ok()
    }

    /// Whether the operation runs in this process.
    pub fn runs(&self, id: OperationId) -> bool {
        self.lock().operations.contains_key(&id)
    }

    /// Returns when no operation runs any more.
    pub async fn idle(&self) {
        loop {
            let Some(mut any) = self.lock().operations.values().next().cloned() else {
                return;
            };
            while any.changed().await.is_ok() {}
        }
    }

    /// How many operations of this institution are being asked about.
    pub fn inquiries(&self, institution: &InstitutionId) -> usize {
        self.lock().inquiries.get(institution).copied().unwrap_or_default()
    }

    /// Says that an operation runs. Before its first commit, so that a repeat which meets it in the
    /// store always finds it here too.
    pub(super) fn enter(self: &Arc<Self>, id: OperationId) -> Entered {
        self.enter_as(id, None)
    }

    /// The same of one that is asked about.
    pub(super) fn enter_inquiry(
        self: &Arc<Self>,
        id: OperationId,
        institution: &InstitutionId,
    ) -> Entered {
        self.enter_as(id, Some(institution.clone()))
    }

    fn enter_as(self: &Arc<Self>, id: OperationId, inquiry: Option<InstitutionId>) -> Entered {
        let (ends, running) = watch::channel(());
        let mut all = self.lock();
        all.operations.insert(id, running);
        if let Some(institution) = &inquiry {
            let count = all.inquiries.entry(institution.clone()).or_default();
            *count = count.saturating_add(1);
        }
        drop(all);
        Entered { conductor: Arc::clone(self), id, ends, inquiry }
    }

    /// Notes how an exchange went. `true`: the institution answers again after it was silent.
    fn heard(&self, institution: &InstitutionId, answer: &Answer) -> bool {
        let unanswered = &mut self.lock().unanswered;
        match answered(answer.fault.as_ref()) {
            None => false,
            Some(true) => unanswered.remove(institution).is_some_and(|many| many >= SILENT_AFTER),
            Some(false) => {
                let many = unanswered.entry(institution.clone()).or_default();
                *many = many.saturating_add(1);
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
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
            | Fault::Reversed,
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

/// Membership of a running operation; its end is its drop.
#[derive(Debug)]
pub(super) struct Entered {
    conductor: Arc<Conductor>,
    id: OperationId,
    ends: watch::Sender<()>,
    inquiry: Option<InstitutionId>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let running = &mut *self.conductor.lock();
        // Whoever entered the same operation later stays.
        let mine = |one: &watch::Receiver<()>| one.same_channel(&self.ends.subscribe());
        if running.operations.get(&self.id).is_some_and(mine) {
            running.operations.remove(&self.id);
        }
        if let Some(institution) = &self.inquiry
            && let Some(count) = running.inquiries.get_mut(institution)
        {
            *count = count.saturating_sub(1);
        }
    }
}

/// Sends an operation that was just begun, unless its time is over, and records what came of it.
/// `tell` gets the end; it is dropped without a word when the store does not take the outcome.
pub(super) async fn conduct(app: &Arc<App>, owned: Owned, until: SendUntil, tell: Tell) {
    let permit = SendPermit {
        not_after: until.monotonic,
        expires: until.expires,
        lease_until: lease_left(app, &owned),
    };
    let began = app.clock.monotonic();
    let answer = app.driver.send(&owned.institution, &owned.order, permit).await;
    learn(app, owned, &answer, began, false, Some(tell)).await;
}

/// Starts the task of an operation that was taken over: it asks what became of it.
pub(super) fn inquire(app: &Arc<App>, owned: Owned) {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let began = app.clock.monotonic();
        let answer = app.driver.inquire(&owned.institution, &owned.order).await;
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
    let Owned { payment, order, entered, .. } = owned;
    count(app, &order, answer, began);
    record(app, payment, order.operation_id, answer, asked, tell).await;
    drop(entered);
    if app.conductor.heard(&order.institution, answer) {
        info!(institution_id = %order.institution, "the institution answers again");
        if let Err(cause) = recovery::hasten(app, &order.institution).await {
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
    let begun = owned.payment.operation(owned.order.operation_id);
    let begun = begun.map_or_else(|| app.clock.now(), |one| one.created_at);
    let ends = lease_end(app, &owned.institution, begun);
    app.clock.monotonic().saturating_add(ends.since(app.clock.now()))
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
    asked: bool,
    mut tell: Option<Tell>,
) {
    loop {
        let Some((verb, after)) = stepped(app, &payment, id, answer, asked) else {
            error!(operation_id = %id, "an operation is not among its payment's");
            return;
        };
        match app.store.record_outcome(verb).await {
            Ok(Recorded::Done { version }) => {
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
            Err(StoreError::Stopped) => {
                error!(operation_id = %id, "the store has stopped: the outcome is asked for again after the restart");
                return;
            }
            // Trying again would bring the same; the lease runs out, and the institution is asked.
            Err(cause @ (StoreError::Corrupt { .. } | StoreError::Crossed)) => {
                error!(operation_id = %id, cause = %cause, "an outcome cannot be written");
                return;
            }
            Err(
                cause @ (StoreError::Engine { .. } | StoreError::Full | StoreError::Unknown { .. }),
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
            Err(StoreError::Stopped) => return None,
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
    id: OperationId,
    answer: &Answer,
    asked: bool,
) -> Option<(RecordOutcome, StoredPayment)> {
    let before = payment.operation(id)?;
    let now = app.clock.now();
    let inquiries = before.inquiries.saturating_add(u32::from(asked));
    // What is learnt is never refused.
    let (model, alarm) = step(&payment.model(), &Event::Learnt(id, answer.outcome)).ok()?;
    let state = model.operation(id)?.state;
    // The store keeps a task once for as long as it is open.
    let mut tasks: Vec<_> =
        alarm.into_iter().map(|alarm| task(app, payment, id, alarm.sentence())).collect();
    if state == OperationState::Unknown && asked && inquiries == ALARM_AFTER {
        let text = "the outcome is still unknown after six inquiries";
        tasks.push(task(app, payment, id, text));
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
    let due_at =
        state.is_open().then(|| now.plus(next_look(state, answer, before, app.started, now)));
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

/// How long until somebody looks again at an operation that is open. What a person has to decide is
/// asked about all the same: the institution may decide it first.
///
/// As long as the operation has been waited for: that makes 1, 2, 4 … 60 s. It is reckoned anew from
/// the operation's last moment, before which most waits end, and from the start of the process, so
/// that no long silence of the past delays what can be known now.
fn next_look(
    state: OperationState,
    answer: &Answer,
    one: &StoredOperation,
    started: Timestamp,
    now: Timestamp,
) -> Duration {
    if state == OperationState::NeedsHuman {
        return LONGEST_WAIT;
    }
    let since = if now < one.not_after { one.created_at } else { one.not_after };
    let wait = now.since(since.max(started)).clamp(SHORTEST_WAIT, LONGEST_WAIT);
    match (&answer.fault, answer.institution_time, answer.next_look) {
        (Some(Fault::NotFoundYet), Some(time), _) => {
            wait.min(one.not_after.since(time).saturating_add(JUST_AFTER))
        }
        (_, _, Some(wanted)) => wanted.clamp(wait, LONGEST_WAIT),
        _ => wait,
    }
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
    use pos_protocol::payment::OperationKind;

    use super::*;

    const BEGUN: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn after(ms: u64) -> Timestamp {
        BEGUN.plus(Duration::from_millis(ms))
    }

    /// An operation of ten seconds.
    fn operation() -> StoredOperation {
        StoredOperation {
            id: OperationId::from_octets([1; 16]),
            key: "key-0000000000000001".parse().unwrap(),
            fingerprint: [0; 32],
            kind: OperationKind::Sale,
            amount: Amount::new(1200).unwrap(),
            allow_partial: false,
            state: OperationState::Sending,
            not_after: after(10_000),
            created_at: BEGUN,
            ended_at: None,
            evidence: Evidence::default(),
            inquiries: 40,
            lease_epoch: 1,
        }
    }

    fn wait_ms(answer: &Answer, started: Timestamp, now: Timestamp) -> u128 {
        next_look(OperationState::Unknown, answer, &operation(), started, now).as_millis()
    }

    /// The moments after `from` at which a silent institution is asked, each at once unanswered.
    fn looks(started: Timestamp, mut now: Timestamp) -> Vec<u64> {
        let unknown = Answer::bare(Outcome::Unknown);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = next_look(OperationState::Unknown, &unknown, &operation(), started, now);
            waits.push(wait.as_secs());
            now = now.plus(wait);
        }
        waits
    }

    #[test]
    fn inquiries_come_after_1_2_4_and_at_most_60_s() {
        assert_eq!(looks(BEGUN, after(11_000)), [1, 2, 4, 8, 16, 32, 60, 60]);
        let unknown = Answer::bare(Outcome::Unknown);
        let human =
            next_look(OperationState::NeedsHuman, &unknown, &operation(), BEGUN, after(500));
        assert_eq!(human, Duration::from_secs(60));
    }

    #[test]
    fn a_start_begins_the_waits_anew_however_often_was_asked_before() {
        let day = 24 * 60 * 60 * 1000;
        assert_eq!(looks(after(day), after(day)), [1, 1, 2, 4, 8, 16, 32, 60]);
        assert_eq!(wait_ms(&Answer::bare(Outcome::Unknown), BEGUN, after(day)), 60_000);
    }

    #[test]
    fn what_was_not_found_yet_is_asked_for_just_after_its_last_moment() {
        let yet = |ms| Answer {
            institution_time: Some(after(ms)),
            ..Answer::unknown(Fault::NotFoundYet)
        };
        // The institution's clock is two seconds behind ours.
        assert_eq!(wait_ms(&yet(9_400), BEGUN, after(11_400)), 850);
        assert_eq!(wait_ms(&yet(6_000), BEGUN, after(8_000)), 4_250);
        // A clock that is hours behind changes nothing.
        let behind = Answer {
            institution_time: Some(Timestamp::from_secs(1)),
            ..Answer::unknown(Fault::NotFoundYet)
        };
        assert_eq!(wait_ms(&behind, BEGUN, after(14_000)), 4_000);
    }

    #[test]
    fn what_the_institution_asks_for_is_kept_within_the_bounds() {
        let pending = |secs| Answer {
            next_look: Some(Duration::from_secs(secs)),
            ..Answer::bare(Outcome::Pending)
        };
        assert_eq!(wait_ms(&pending(30), BEGUN, after(2_000)), 30_000);
        assert_eq!(wait_ms(&pending(0), BEGUN, after(2_000)), 2_000);
        assert_eq!(wait_ms(&pending(7_200), BEGUN, after(2_000)), 60_000);
    }

    #[test]
    fn an_institution_answers_again_once_after_it_was_silent() {
        let conductor = Conductor::default();
        let (bank, card) = ("umi-bank".parse().unwrap(), "sakura-card".parse().unwrap());
        let (answer, none) = (Answer::bare(Outcome::NotSent), Answer::unknown(Fault::TimedOut));
        let busy = Answer::unknown(Fault::Busy);
        for fault in [&none, &none, &busy] {
            assert!(!conductor.heard(&bank, fault));
        }
        assert!(!conductor.heard(&bank, &answer), "two in a row are no silence");
        for fault in [&none, &none, &busy, &none] {
            assert!(!conductor.heard(&bank, fault));
        }
        assert!(!conductor.heard(&card, &answer));
        assert!(conductor.heard(&bank, &Answer::unknown(Fault::NotFoundYet)));
        assert!(!conductor.heard(&bank, &answer));
    }

    #[test]
    fn whoever_entered_later_stays_when_the_first_leaves() {
        let conductor = Arc::new(Conductor::default());
        let (id, bank) = (OperationId::from_octets([1; 16]), "umi-bank".parse().unwrap());
        let first = conductor.enter(id);
        let second = conductor.enter_inquiry(id, &bank);
        assert_eq!(conductor.inquiries(&bank), 1);
        drop(first);
        assert_eq!(conductor.lock().operations.len(), 1);
        drop(second);
        assert_eq!(conductor.lock().operations.len(), 0);
        assert_eq!(conductor.inquiries(&bank), 0);
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
        assert_eq!(conductor.lock().operations.len(), 0);
    }
}
