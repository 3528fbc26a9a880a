//! How an operation begins: known key, guards, one commit, then the conductor (`payments.md` 2, 4).

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use pos_protocol::id::{IdempotencyKey, OperationId, PaymentId};
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::{Alarm, Event, NewOperation, OperationKind, Payment, step};
use pos_protocol::seal::Envelope;
use pos_protocol::wire::{KeyRole, OperationView, PayRequest};
use pos_protocol::{ErrorCode, Timestamp};
use tokio::sync::oneshot;
use tracing::{Instrument as _, warn};

use super::conduct::{self, Owned, SendUntil, Tell};
use super::conductor::Entered;
use super::transition::{Transition, follow, transition};
use super::{fingerprint, routing, view};
use crate::app::App;
use crate::connectors::{Institution, OperationOrder, PrepareError};
use crate::http::admission::Place;
use crate::http::v1::error::ApiError;
use crate::http::v1::identity::Shop;
use crate::store::rows::{Evidence, StoredOperation, StoredPayment, StoredRefusal, UnderKey};
use crate::store::verbs::{BeginOperation, Begun, Follows, KeepRefusal, Lease, NewPayment, Target};
use crate::telemetry::logs::chain;

/// An operation begins only if its caller waits at least this much longer (`payments.md` 3.7).
const LEAST_TIME: Duration = Duration::from_secs(2);

/// So much earlier than its caller stops waiting an operation that is still open is answered, so
/// that the answer arrives.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// The longest time in seconds after which a shop may give up: a week.
const LONGEST_GIVE_UP_S: u32 = 604_800;

/// How often a payment that moves under the guards is looked at again.
const LOOKS: u32 = 8;

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

/// The status and body of an answer to a mutation.
pub type OperationAnswer = (StatusCode, OperationView);

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

/// Runs a call in a task that owns its operation from before the first commit to the last one, and
/// waits for what it tells as long as the caller does. A caller that hangs up changes nothing.
async fn owned_by_a_task<F>(
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
    tokio::spawn(work(Arc::clone(app), first, last).in_current_span());
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
enum Tried {
    /// There is an answer already.
    Answered(OperationAnswer),
    /// It is written down: send it.
    Begun(Owned, Box<OperationOrder>, SendUntil),
}

/// The second half of a call's task. Where nobody listens the caller has gone; what was begun goes
/// on all the same.
async fn finish(app: &Arc<App>, tried: Result<Tried, ApiError>, first: Tell, last: Tell) {
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

/// Begins a capture, void or refund and waits for it as long as the caller does.
///
/// # Errors
/// What forbids it; nothing was sent then.
pub async fn movement(
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

/// A known key is answered from its row, whatever guards or deadline now say.
async fn known(
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

async fn replay(
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

fn left(app: &App, deadline: Duration) -> Duration {
    deadline.saturating_sub(app.clock.monotonic())
}

/// How long an answer may be waited for.
pub(super) fn patience(app: &App, deadline: Duration) -> Duration {
    left(app, deadline).saturating_sub(ANSWER_MARGIN)
}

/// Keeps a refusal under its key where a held copy of the call could otherwise still act.
async fn refuse(
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
fn signer_ended(call: &Call) -> ApiError {
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

/// Nothing new is begun at an institution that is silent, but for a try now and then: the call is
/// refused at once instead of waiting for the time-out (`docs/adr/0267`).
fn answers(app: &App, institution: &Institution) -> Result<(), ApiError> {
    if institution.health.may_try(app.clock.monotonic()) {
        return Ok(());
    }
    Err(ErrorCode::InstitutionUnavailable.into())
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

fn allowed(institution: &Institution, order: &OperationOrder) -> Result<(), ApiError> {
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
struct Beginning<'a> {
    call: &'a Call,
    fingerprint: [u8; 32],
    target: Target,
    order: OperationOrder,
    give_up_at: Option<Timestamp>,
    now: Timestamp,
}

impl Beginning<'_> {
    async fn commit(
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
        Ok(app.store.begin_operation(verb).await?)
    }

    /// What the rest of the task works on.
    fn begun(
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
fn begun(
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
