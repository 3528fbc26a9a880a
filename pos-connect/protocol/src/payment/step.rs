//! The one function that moves a payment.

use super::model::{Operation, OperationKind, OperationState, Payment};
use crate::code::ErrorCode;
use crate::id::OperationId;
use crate::money::Amount;
use crate::reason::DeclineReason;

/// An operation that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewOperation {
    /// The id it will have.
    pub id: OperationId,
    /// What it is to move.
    pub kind: OperationKind,
    /// How much; a void takes none and releases the whole rest.
    pub amount: Option<Amount>,
    /// Whether a smaller approval is welcome.
    pub allow_partial: bool,
}

/// What an institution said, or did not say, about an operation that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done, for this much.
    Done(Amount),
    /// Refused, finally.
    Declined(DeclineReason),
    /// Certainly not processed.
    NotSent,
    /// The shopper must act first.
    NeedsPayer,
    /// Taken; the result comes later.
    Pending,
    /// No answer that can be believed. Never an end: it has to be found out.
    Unknown,
    /// An answer came whose amount, currency, order or operation is not what was sent.
    Mismatched,
    /// No machine can find the outcome out.
    NeedsHuman,
}

/// What happens to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// An operation is begun.
    Begin(NewOperation),
    /// Something was learnt about an operation, from its answer or from an inquiry.
    Learnt(OperationId, Outcome),
}

/// What a person of the operator is told because of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// Another outcome came than the one that stands.
    Contradicted,
    /// A success came after the end, for another amount than was asked for.
    LateMisfit,
    /// A success came after the end.
    LateSuccess,
    /// The institution approved another amount than was asked for.
    Misfit,
    /// The institution answered for something else.
    Mismatched,
    /// No machine can find the outcome out.
    NeedsHuman,
}

impl Alarm {
    /// The sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Contradicted => "the institution contradicts an outcome that stands",
            Self::LateMisfit => {
                "a success for another amount than was asked for came after the operation had ended \
                 without one"
            }
            Self::LateSuccess => "a success came after the operation had ended without one",
            Self::Misfit => "the institution approved another amount than was asked for",
            Self::Mismatched => {
                "the institution answered for another amount, currency, order or operation"
            }
            Self::NeedsHuman => "no machine can find the outcome out",
        }
    }
}

/// Why an operation cannot be begun now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", .code.english())]
pub struct Refusal {
    /// The code that the caller gets.
    pub code: ErrorCode,
    /// The open operation in the way, where that is the reason.
    pub blocker: Option<OperationId>,
}

/// The payment after a step, and what a person is told. What else is to be done follows from the
/// states: what was begun is sent, and what is open is asked about.
pub type Stepped = (Payment, Option<Alarm>);

/// Operations of one payment at most that are open or have moved something, so that it stays a small
/// thing to read and to reckon with; for more than these there is [`ErrorCode::NothingLeft`].
pub const MOST_OPERATIONS: usize = 100;

/// Operations at most with those that came to nothing: an outage through which a shop tries again and
/// again must not use up the payment.
const MOST_TRIES: usize = 1_000;

/// Moves `payment` by `event`.
///
/// # Errors
/// [`Refusal`] when an operation must not begin. What was learnt about an operation is never
/// refused: evidence that changes nothing leaves the payment as it is.
pub fn step(payment: &Payment, event: &Event) -> Result<Stepped, Refusal> {
    match event {
        Event::Begin(new) => begin(payment, new),
        Event::Learnt(id, outcome) => Ok(learn(payment, *id, *outcome)),
    }
}

fn begin(payment: &Payment, new: &NewOperation) -> Result<Stepped, Refusal> {
    let amount = guard(payment, new)?;
    let mut next = payment.clone();
    next.operations.push(Operation {
        id: new.id,
        kind: new.kind,
        amount,
        state: OperationState::Sending,
        allow_partial: new.allow_partial,
    });
    Ok((next, None))
}

/// The guards of `payments.md` 1; open operations count as if they had succeeded.
fn guard(payment: &Payment, new: &NewOperation) -> Result<Amount, Refusal> {
    use OperationKind::{Authorise, Capture, Refund, Sale, Void};
    let wanted = || new.amount.ok_or(refuse(ErrorCode::InvalidField));
    let counts =
        |one: &&Operation| one.state.is_open() || matches!(one.state, OperationState::Done(_));
    if payment.operations.iter().filter(counts).count() >= MOST_OPERATIONS
        || payment.operations.len() >= MOST_TRIES
    {
        return Err(refuse(ErrorCode::NothingLeft));
    }
    match new.kind {
        Sale | Authorise => {
            if let Some(first) = payment.operations.first() {
                return Err(Refusal { code: ErrorCode::OrderTaken, blocker: Some(first.id) });
            }
            wanted()
        }
        Capture => {
            free_of(payment, &[Sale, Authorise, Void])?;
            let left = payment.sums.left_to_capture().saturating_sub(open_sum(payment, Capture));
            within(wanted()?, left)
        }
        Void => {
            free_of(payment, &[Sale, Authorise, Capture, Void])?;
            let rest = payment.sums.left_to_capture();
            Amount::new(rest).map_err(|_| refuse(ErrorCode::NothingLeft))
        }
        Refund => {
            free_of(payment, &[Sale, Authorise])?;
            let left = payment.sums.left_to_refund().saturating_sub(open_sum(payment, Refund));
            within(wanted()?, left)
        }
    }
}

const fn refuse(code: ErrorCode) -> Refusal {
    Refusal { code, blocker: None }
}

fn within(wanted: Amount, left: u64) -> Result<Amount, Refusal> {
    match left {
        0 => Err(refuse(ErrorCode::NothingLeft)),
        left if wanted.minor() > left => Err(refuse(ErrorCode::AmountExceeded)),
        _ => Ok(wanted),
    }
}

fn free_of(payment: &Payment, kinds: &[OperationKind]) -> Result<(), Refusal> {
    let open = |one: &&Operation| one.state.is_open() && kinds.contains(&one.kind);
    match payment.operations.iter().find(open) {
        Some(one) => Err(Refusal { code: ErrorCode::Busy, blocker: Some(one.id) }),
        None => Ok(()),
    }
}

fn open_sum(payment: &Payment, kind: OperationKind) -> u64 {
    let open = payment.operations.iter().filter(|one| one.kind == kind && one.state.is_open());
    open.fold(0, |sum, one| sum.saturating_add(one.amount.minor()))
}

fn learn(payment: &Payment, id: OperationId, outcome: Outcome) -> Stepped {
    let mut next = payment.clone();
    let Some(at) = next.operations.iter().position(|one| one.id == id) else {
        return (next, None);
    };
    let operation = &mut next.operations[at];
    let before = operation.state;
    let (after, alarm) = judge(operation, outcome);
    operation.state = after;
    if let (false, OperationState::Done(amount)) =
        (matches!(before, OperationState::Done(_)), after)
    {
        let kind = operation.kind;
        add(&mut next, kind, amount.minor());
    }
    (next, alarm)
}

/// The state that an operation reaches by an outcome, and what a person is told.
fn judge(operation: &Operation, outcome: Outcome) -> (OperationState, Option<Alarm>) {
    use OperationState as State;
    let state = operation.state;
    let stays = (state, None);
    let fits = |amount| amount_fits(operation, amount);
    match (state, outcome) {
        // Whatever it was about: before the end it leaves the outcome open, later it changes nothing.
        (
            State::Accepted | State::Sending | State::NeedsPayer | State::Pending | State::Unknown,
            Outcome::Mismatched,
        ) => (State::Unknown, Some(Alarm::Mismatched)),
        (_, Outcome::Mismatched) => (state, Some(Alarm::Mismatched)),
        // What is done stays so; a second "done" is the same answer twice.
        (State::Done(amount), Outcome::Done(again)) if amount == again => stays,
        (State::Done(_), Outcome::Done(_) | Outcome::Declined(_) | Outcome::NotSent) => {
            (state, Some(Alarm::Contradicted))
        }
        (State::Done(_), _) => stays,
        // A late success is recorded, never dropped; one that does not fit moves no sum.
        (State::Declined(_) | State::NotSent, Outcome::Done(amount)) if fits(amount) => {
            (State::Done(amount), Some(Alarm::LateSuccess))
        }
        (State::Declined(_) | State::NotSent, Outcome::Done(_)) => {
            (State::NeedsHuman, Some(Alarm::LateMisfit))
        }
        (State::Declined(_) | State::NotSent, _) => stays,
        // The reversal stands, whatever else comes; what it comes to decides (`payments.md` 3.5).
        (State::Reversed, _) => stays,
        (State::Reversing, Outcome::NeedsHuman) => (State::NeedsHuman, Some(Alarm::NeedsHuman)),
        (State::Reversing, _) => stays,
        (_, Outcome::Done(amount)) if fits(amount) => (State::Done(amount), None),
        // Confirmed by an inquiry it is no slip of one answer: a person decides what becomes of it.
        (State::Unknown | State::NeedsHuman, Outcome::Done(_)) => {
            (State::NeedsHuman, Some(Alarm::Misfit))
        }
        (_, Outcome::Done(_)) => (State::Unknown, Some(Alarm::Misfit)),
        (_, Outcome::Declined(reason)) => (State::Declined(reason), None),
        (_, Outcome::NotSent) => (State::NotSent, None),
        (State::NeedsHuman, _) => stays,
        (_, Outcome::NeedsHuman) => (State::NeedsHuman, Some(Alarm::NeedsHuman)),
        // An unanswered question takes nothing back: what waits for the payer or for a later
        // result goes on waiting.
        (State::NeedsPayer | State::Pending, Outcome::Unknown) => stays,
        (_, Outcome::NeedsPayer) => (State::NeedsPayer, None),
        (_, Outcome::Pending) => (State::Pending, None),
        (_, Outcome::Unknown) => (State::Unknown, None),
    }
}

/// More than was asked for never fits; less only where the shop allowed it, and only for a sale or
/// an authorisation.
fn amount_fits(operation: &Operation, done: Amount) -> bool {
    done == operation.amount
        || (operation.allow_partial && operation.kind.begins_payment() && done < operation.amount)
}

fn add(payment: &mut Payment, kind: OperationKind, amount: u64) {
    let sums = &mut payment.sums;
    let grow = |sum: &mut u64| *sum = sum.saturating_add(amount);
    match kind {
        OperationKind::Sale => {
            grow(&mut sums.authorised);
            grow(&mut sums.captured);
        }
        OperationKind::Authorise => grow(&mut sums.authorised),
        OperationKind::Capture => grow(&mut sums.captured),
        OperationKind::Void => grow(&mut sums.released),
        OperationKind::Refund => grow(&mut sums.refunded),
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
