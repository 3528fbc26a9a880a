//! What a person of the operator decides where no machine could (`payments.md` 3).

use pos_protocol::id::{OperationId, TaskId};
use pos_protocol::payment::{Decision, Event, OperationState, Refusal};
use tracing::info;

use super::transition::{follow, transition};
use crate::app::App;
use crate::notices;
use crate::store::StoreError;
use crate::store::rows::{Evidence, InstitutionTask, StoredPayment, TaskRow};
use crate::store::verbs::{RecordOutcome, Recorded, ResolveInstitutionTask, ResolveTask};

/// How often a payment that moves under the decision is looked at again.
const LOOKS: u32 = 8;

/// How many open tasks are looked through for others of the same operation.
const LISTED: u32 = 1_000;

/// Why a task stays open.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// It was closed before.
    #[error("the task is closed already")]
    Closed,
    /// The decision does not fit what the operation is.
    #[error(
        "the decision does not fit: a sale or authorise can be done (with the amount that was done), \
         declined, not-sent or reversed; a capture, void or refund done, declined or not-sent; a \
         reverse reversed, or done (with the amount for which the original stands). Only what needs a \
         person is decided by one"
    )]
    DoesNotFit(#[source] Refusal),
    /// The payment moved again and again.
    #[error("the payment is moving now: look at it again, and then decide")]
    Moved,
    /// A decision where none is asked for.
    #[error(
        "this task asks for no decision: see to it with the institution, and close it with --note alone"
    )]
    NothingToDecide,
    /// Nothing can end the operation but a decision.
    #[error(
        "the operation waits for a decision: say what became of it with --as, after asking the \
         institution"
    )]
    NeedsDecision,
    /// There is no such task.
    #[error("there is no such task")]
    NotFound,
    /// The shop database did not answer.
    #[error("the shop database did not answer")]
    Store(#[from] StoreError),
}

/// A task that was found.
#[derive(Clone, Debug)]
pub enum Found {
    /// About an operation, with its payment.
    Operation(TaskRow, Box<StoredPayment>),
    /// About an institution; nothing is decided by closing it.
    Institution(InstitutionTask),
}

/// A task and its payment, for the person who decides.
///
/// # Errors
/// [`ResolveError::NotFound`], [`ResolveError::Store`].
pub async fn find(app: &App, id: TaskId) -> Result<Found, ResolveError> {
    let Some(task) = app.store.read(move |reader| reader.task(id)).await? else {
        let task = app.store.read(move |reader| reader.institution_task(id)).await?;
        return Ok(Found::Institution(task.ok_or(ResolveError::NotFound)?));
    };
    let (shop, payment) = (task.shop, task.payment);
    let payment = app.store.read(move |reader| reader.payment(shop, payment)).await?;
    Ok(Found::Operation(task, Box::new(payment.ok_or(ResolveError::NotFound)?)))
}

/// Takes the decision, where there is one, and closes the task, and with a decision every other open
/// task of the same operation.
///
/// # Errors
/// [`ResolveError`]: the task stays open. A decision that was taken before the store failed stands; the
/// same command closes the task then.
pub async fn resolve(
    app: &App,
    id: TaskId,
    decision: Option<Decision>,
    note: &str,
) -> Result<Found, ResolveError> {
    let (task, payment) = match find(app, id).await? {
        Found::Operation(task, payment) => (task, *payment),
        Found::Institution(task) => return close(app, task, decision, note).await,
    };
    if task.resolved_at.is_some() {
        return Err(ResolveError::Closed);
    }
    let mut closing = vec![task.id];
    match decision {
        Some(decision) => {
            decide(app, payment, task.operation, decision).await?;
            let open = app.store.read_slow(|reader| reader.tasks(LISTED)).await?;
            let same = |one: &&TaskRow| one.operation == task.operation && one.id != task.id;
            closing.extend(open.iter().filter(same).map(|one| one.id));
        }
        None if waits(&payment, task.operation) => return Err(ResolveError::NeedsDecision),
        None => {}
    }
    for one in closing {
        let now = app.clock.now();
        let verb = ResolveTask { shop: task.shop, task: one, note: note.into(), now };
        app.store.resolve_task(verb).await?;
    }
    find(app, id).await
}

/// Closes a task about an institution.
async fn close(
    app: &App,
    task: InstitutionTask,
    decision: Option<Decision>,
    note: &str,
) -> Result<Found, ResolveError> {
    if decision.is_some() {
        return Err(ResolveError::NothingToDecide);
    }
    let now = app.clock.now();
    let (institution, id) = (task.institution.clone(), task.id);
    let verb = ResolveInstitutionTask { institution, task: id, note: note.into(), now };
    if !app.store.resolve_institution_task(verb).await? {
        return Err(ResolveError::Closed);
    }
    if task.holds {
        app.load_institutions().await?;
    }
    find(app, id).await
}

fn waits(payment: &StoredPayment, operation: OperationId) -> bool {
    let found = payment.operation(operation);
    found.is_some_and(|one| one.state == OperationState::NeedsHuman)
}

async fn decide(
    app: &App,
    mut payment: StoredPayment,
    id: OperationId,
    decision: Decision,
) -> Result<(), ResolveError> {
    for _ in 0..LOOKS {
        let verb = decided(app, &payment, id, decision)?;
        if let Recorded::Done { .. } = app.store.record_outcome(verb).await? {
            info!(operation_id = %id, "a person decided what became of an operation");
            return Ok(());
        }
        let (shop, found) = (payment.shop, payment.id);
        let moved = app.store.read(move |reader| reader.payment(shop, found)).await?;
        payment = moved.ok_or(ResolveError::NotFound)?;
    }
    Err(ResolveError::Moved)
}

fn decided(
    app: &App,
    payment: &StoredPayment,
    id: OperationId,
    decision: Decision,
) -> Result<RecordOutcome, ResolveError> {
    let institution = app.institutions.get(&payment.institution).ok_or(ResolveError::NotFound)?;
    let moved = transition(app, payment, &institution, &Event::Decided(id, decision))
        .map_err(ResolveError::DoesNotFit)?;
    let one = payment.operation(id).ok_or(ResolveError::NotFound)?;
    let state = moved.model.operation(id).map_or(one.state, |after| after.state);
    let now = app.clock.now();
    let mut after = follow(payment, &moved, now);
    if let Some(one) = after.operations.iter_mut().find(|one| one.id == id) {
        one.state = state;
        one.ended_at = (!state.is_open()).then_some(now);
    }
    let mut follows = moved.follows;
    follows.notices = notices::of_step(app, payment, &after, now);
    Ok(RecordOutcome {
        shop: payment.shop,
        payment: payment.id,
        version: payment.version,
        sums: moved.model.sums,
        operation: id,
        lease_epoch: one.lease_epoch,
        state,
        evidence: Evidence::default(),
        inquiries: one.inquiries,
        ended_at: (!state.is_open()).then_some(now),
        due_at: None,
        frees_order: !payment.model().frees_order() && moved.model.frees_order(),
        tasks: Vec::new(),
        follows,
        now,
    })
}
