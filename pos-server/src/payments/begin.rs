//! How an operation begins: known key, guards, one commit, then the conductor (`payments.md` 2, 4).

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use pos_protocol::id::{IdempotencyKey, OperationId, PaymentId};
use pos_protocol::payment::Payment;
use pos_protocol::wire::{KeyRole, OperationView};
use pos_protocol::{ErrorCode, Timestamp};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::conduct::{self, Owned, SendUntil, Tell};
use super::conductor::Entered;
use super::view;
use crate::app::App;
use crate::connectors::{Institution, OperationOrder, PrepareError};
use crate::crash;
use crate::http::admission::Place;
use crate::http::v1::error::ApiError;
use crate::http::v1::identity::Shop;
use crate::store::rows::{Evidence, StoredOperation, StoredPayment, StoredRefusal, UnderKey};
use crate::store::verbs::{BeginOperation, Begun, Follows, KeepRefusal, Lease, Target};

/// An operation begins only if its caller waits at least this much longer (`payments.md` 3.7).
pub(super) const LEAST_TIME: Duration = Duration::from_secs(2);

/// So much earlier than its caller stops waiting an operation that is still open is answered, so
/// that the answer arrives.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// A mutation as it arrived, verified.
#[derive(Debug)]
pub struct Call {
    /// Who asks.
    pub shop: Shop,
    /// Under which key.
    pub key: IdempotencyKey,
    /// Until when the caller waits, on the monotonic clock.
    pub deadline: Duration,
    /// The same on the wall clock, as the caller signed it.
    pub expires: Timestamp,
    /// What the call holds among those that are worked on; given back for the wait.
    pub place: Place,
}

/// The status and body of an answer to a mutation.
pub type OperationAnswer = (StatusCode, OperationView);

/// Runs a call in a task that owns its operation from before the first commit to the last one, and
/// waits for what it tells as long as the caller does. A caller that hangs up changes nothing.
pub(super) async fn owned_by_a_task<F>(
    app: &Arc<App>,
    deadline: Duration,
    work: impl FnOnce(Arc<App>, Tell, Tell) -> F,
) -> Result<OperationAnswer, ApiError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (first, begun) = oneshot::channel();
    let (last, ended) = oneshot::channel();
    // Within the call's span, so that the line about the outcome has the call's request id.
    app.executor.spawn(work(Arc::clone(app), first, last).in_current_span());
    told_within(patience(app, deadline), begun, ended).await
}

/// What the task of a call tells: the last word, or the first where there is no last one in time.
/// Then the operation goes on, and its state is asked for by key.
async fn told_within(
    patience: Duration,
    begun: oneshot::Receiver<Result<OperationAnswer, ApiError>>,
    mut ended: oneshot::Receiver<Result<OperationAnswer, ApiError>>,
) -> Result<OperationAnswer, ApiError> {
    let silent = |_| ApiError::internal("the task of a call ended without a word");
    match tokio::time::timeout(patience, &mut ended).await {
        Ok(Ok(last)) => last,
        Ok(Err(_)) => begun.await.map_err(silent)?,
        Err(_) => match begun.await {
            Ok(first) => first,
            // It did not begin, and the last word says why.
            Err(_) => ended.await.map_err(silent)?,
        },
    }
}

/// What came of trying to begin.
pub(super) enum Tried {
    /// There is an answer already.
    Answered(OperationAnswer),
    /// It is written down: send it.
    Begun(Owned, Box<OperationOrder>, SendUntil),
}

/// The second half of a call's task. Where nobody listens the caller has gone; what was begun goes
/// on all the same.
pub(super) async fn finish(
    app: &Arc<App>,
    tried: Result<Tried, ApiError>,
    first: Tell,
    last: Tell,
) {
    let answered = match tried {
        Ok(Tried::Begun(owned, order, until)) => {
            let _ = first.send(view::answer(&owned.payment, owned.operation));
            // Boxed, so that the future of the whole call stays small enough to be moved.
            return Box::pin(conduct::conduct(app, owned, &order, until, last)).await;
        }
        Ok(Tried::Answered(answer)) => Ok(answer),
        Err(refusal) => Err(refusal),
    };
    let _ = last.send(answered);
}

/// A known key is answered from its row, whatever guards or deadline now say.
pub(super) async fn known(
    app: &Arc<App>,
    call: &Call,
    fingerprint: &[u8; 32],
) -> Result<Option<OperationAnswer>, ApiError> {
    let (shop, key) = (call.shop.id(), call.key.clone());
    let found = app.store.read(move |reader| reader.under_key(shop, &key)).await?;
    match found {
        Some(found) => Ok(Some(replay(app, call, fingerprint, found).await?)),
        None => Ok(None),
    }
}

pub(super) async fn replay(
    app: &Arc<App>,
    call: &Call,
    fingerprint: &[u8; 32],
    found: UnderKey,
) -> Result<OperationAnswer, ApiError> {
    if found.fingerprint() != Some(fingerprint) {
        return Err(ApiError::new(ErrorCode::IdempotencyKeyReused).field("idempotency-key"));
    }
    match found {
        UnderKey::Refusal(refusal) => Err(view::refusal(&refusal)),
        UnderKey::Operation(payment, id) => {
            let open = payment.operation(id).is_some_and(|one| one.state.is_open());
            if !open {
                return view::answer(&payment, id);
            }
            call.place.give_back();
            app.conductor.wait_for(id, patience(app, call.deadline)).await;
            // It may have ended meanwhile, also before we could wait: what stands now is the answer.
            status(app, call, payment.id, id).await
        }
    }
}

async fn status(
    app: &App,
    call: &Call,
    payment: PaymentId,
    id: OperationId,
) -> Result<OperationAnswer, ApiError> {
    let shop = call.shop.id();
    let found = app.store.read(move |reader| reader.payment(shop, payment)).await?;
    view::answer(&found.ok_or_else(|| ApiError::internal("a payment has gone"))?, id)
}

pub(super) fn left(app: &App, deadline: Duration) -> Duration {
    deadline.saturating_sub(app.clock.monotonic())
}

/// How long an answer may be waited for.
pub(super) fn patience(app: &App, deadline: Duration) -> Duration {
    left(app, deadline).saturating_sub(ANSWER_MARGIN)
}

/// Keeps a refusal under its key where a held copy of the call could otherwise still act.
pub(super) async fn refuse(
    app: &Arc<App>,
    call: &Call,
    fingerprint: [u8; 32],
    refusal: ApiError,
) -> Result<OperationAnswer, ApiError> {
    if !refusal.code().is_kept() {
        return Err(refusal);
    }
    let keep = KeepRefusal {
        shop: call.shop.id(),
        key: call.key.clone(),
        fingerprint,
        code: refusal.code(),
        field: refusal.named_field().map(Into::into),
        now: app.clock.now(),
    };
    // What is kept is the code and its field: the first answer says no more than a repeat will.
    let kept =
        StoredRefusal { fingerprint, code: keep.code, field: keep.field.clone(), at: keep.now };
    match app.store.keep_refusal(keep).await? {
        None => Err(view::refusal(&kept)),
        Some(before) => replay(app, call, &fingerprint, before).await,
    }
}

/// The key ended between its verification and the commit.
pub(super) fn signer_ended(call: &Call) -> ApiError {
    ApiError::new(match call.shop.role() {
        KeyRole::Module => ErrorCode::KeyRevoked,
        KeyRole::Session => ErrorCode::SessionEnded,
    })
}

pub(super) fn enough_time(app: &App, call: &Call) -> Result<(), ApiError> {
    if left(app, call.deadline) < LEAST_TIME {
        return Err(ErrorCode::DeadlineTooShort.into());
    }
    Ok(())
}

/// Nothing new is begun at an institution that is silent, but for a try now and then: the call is
/// refused at once instead of waiting for the time-out (`docs/adr/0267`). Nor at one that is held after a
/// restore, because what it did in the time that was lost is not known here (`docs/adr/0272`).
pub(super) fn answers(app: &App, institution: &Institution) -> Result<(), ApiError> {
    let held = app.institutions.is_held(&institution.record().id);
    if !held && institution.health.may_try(app.clock.monotonic()) {
        return Ok(());
    }
    Err(ErrorCode::InstitutionUnavailable.into())
}

pub(super) fn allowed(institution: &Institution, order: &OperationOrder) -> Result<(), ApiError> {
    let capabilities = institution.connector().capabilities();
    capabilities.allows(order).map_err(|error| match error {
        PrepareError::OperationUnsupported { .. }
        | PrepareError::CheckUnsupported
        | PrepareError::ReversalUnsupported => ErrorCode::OperationUnsupported.into(),
        PrepareError::CurrencyUnsupported { .. } => {
            ApiError::of_payment(ErrorCode::CurrencyNotAccepted)
        }
        PrepareError::AmountOutOfRange { .. } | PrepareError::Inexact { .. } => {
            let refusal = ApiError::with_message(
                ErrorCode::AmountOutOfLimits,
                format!("The amount cannot be taken: {error}."),
            );
            refusal.field("amount")
        }
        PrepareError::Malformed { .. } | PrepareError::Unwritable(_) => ApiError::internal(error),
    })
}

/// An operation that may begin, before its commit.
pub(super) struct Beginning<'a> {
    pub(super) call: &'a Call,
    pub(super) fingerprint: [u8; 32],
    pub(super) target: Target,
    pub(super) order: OperationOrder,
    pub(super) give_up_at: Option<Timestamp>,
    pub(super) now: Timestamp,
}

impl Beginning<'_> {
    pub(super) async fn commit(
        &self,
        app: &App,
        institution: &Institution,
        follows: &Follows,
    ) -> Result<Begun, ApiError> {
        let order = &self.order;
        let lease = Lease {
            owner: app.incarnation,
            expires_at: conduct::lease_end(app, institution, self.now),
        };
        let verb = BeginOperation {
            shop: self.call.shop.id(),
            signer: self.call.shop.key(),
            key: self.call.key.clone(),
            fingerprint: self.fingerprint,
            operation: order.operation_id,
            kind: order.kind,
            amount: order.money.amount,
            allow_partial: order.allow_partial,
            give_up_at: self.give_up_at,
            not_after: order.not_after,
            target: self.target.clone(),
            lease: follows.begun.is_none().then_some(lease),
            follows: follows.clone(),
            now: self.now,
        };
        crash::point("begin.before_commit");
        let begun = app.store.begin_operation(verb).await?;
        crash::point("begin.committed");
        Ok(begun)
    }

    /// What the rest of the task works on.
    pub(super) fn begun(
        self,
        app: &App,
        payment: StoredPayment,
        institution: Arc<Institution>,
        entered: Entered,
    ) -> Tried {
        let not_after = self.order.not_after.since(app.clock.now());
        let not_after = app.clock.monotonic().saturating_add(not_after);
        let until = SendUntil {
            monotonic: self.call.deadline.min(not_after),
            expires: self.call.expires.min(self.order.not_after),
        };
        self.call.place.give_back();
        let operation = self.order.operation_id;
        let owned = Owned { payment, institution, operation, entered };
        Tried::Begun(owned, Box::new(self.order), until)
    }
}

/// The payment as `begin_operation` has just written it.
pub(super) fn begun(
    mut stored: StoredPayment,
    model: &Payment,
    begin: &Beginning<'_>,
    version: u32,
) -> StoredPayment {
    let id = begin.order.operation_id;
    if let Some(one) = model.operation(id) {
        stored.operations.push(StoredOperation {
            id,
            key: begin.call.key.clone(),
            fingerprint: begin.fingerprint,
            kind: one.kind,
            amount: one.amount,
            allow_partial: one.allow_partial,
            give_up_at: one.give_up_at,
            by_server: false,
            state: one.state,
            not_after: begin.order.not_after,
            created_at: begin.now,
            ended_at: None,
            evidence: Evidence::default(),
            inquiries: 0,
            lease_epoch: 1,
        });
    }
    stored.version = version;
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    type Word = Result<OperationAnswer, ApiError>;

    /// What `told_within` answers to a task that tells these words.
    async fn told<F>(task: impl FnOnce(Tell, Tell) -> F) -> (Option<ErrorCode>, Duration)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ((first, begun), (last, ended)) = (oneshot::channel(), oneshot::channel());
        tokio::spawn(task(first, last));
        let asked = tokio::time::Instant::now();
        let answer = told_within(PATIENCE, begun, ended).await;
        (answer.err().map(|error| error.code()), asked.elapsed())
    }

    /// Words are told apart by codes; in these tests none of them is an answer.
    fn word(code: ErrorCode) -> Word {
        Err(code.into())
    }

    async fn wait(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_in_time_is_the_answer() {
        let said = told(async |first: Tell, last: Tell| {
            let _ = first.send(word(ErrorCode::Busy));
            wait(3).await;
            let _ = last.send(word(ErrorCode::NothingLeft));
        });
        assert_eq!(said.await, (Some(ErrorCode::NothingLeft), Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_time_is_up_the_first_word_is_the_answer() {
        let said = told(async |first: Tell, last: Tell| {
            let _ = first.send(word(ErrorCode::Busy));
            wait(300).await;
            drop(last);
        });
        assert_eq!(said.await, (Some(ErrorCode::Busy), PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_end_will_come_the_first_word_is_the_answer_at_once() {
        let said = told(async |first: Tell, last: Tell| {
            let _ = first.send(word(ErrorCode::Busy));
            wait(1).await;
            drop(last);
        });
        assert_eq!(said.await, (Some(ErrorCode::Busy), Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_that_comes_late_is_told_all_the_same() {
        let said = told(async |first: Tell, last: Tell| {
            wait(31).await;
            drop(first);
            let _ = last.send(word(ErrorCode::NothingLeft));
        });
        assert_eq!(said.await, (Some(ErrorCode::NothingLeft), Duration::from_secs(31)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_says_nothing_is_a_fault() {
        let said = told(async |_: Tell, _: Tell| {});
        assert_eq!(said.await.0, Some(ErrorCode::Internal));
        let said = told(async |first: Tell, last: Tell| {
            wait(31).await;
            drop((first, last));
        });
        assert_eq!(said.await.0, Some(ErrorCode::Internal));
    }
}
