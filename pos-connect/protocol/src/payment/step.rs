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

/// What must be done outside because of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send the operation to its institution, once.
    Send(OperationId),
    /// Find the outcome out by inquiry.
    Inquire(OperationId),
    /// The operation has ended: whoever waits may be answered.
    Finish(OperationId),
    /// Tell a person of the operator: the reason is a sentence.
    Alarm(OperationId, &'static str),
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

/// The payment after a step, and what the step asks for.
pub type Stepped = (Payment, Vec<Action>);

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
    Ok((next, vec![Action::Send(new.id)]))
}

/// The guards of `payments.md` 1; open operations count as if they had succeeded.
fn guard(payment: &Payment, new: &NewOperation) -> Result<Amount, Refusal> {
    use OperationKind::{Authorise, Capture, Refund, Sale, Void};
    let wanted = || new.amount.ok_or(refuse(ErrorCode::InvalidField));
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
        return (next, Vec::new());
    };
    let operation = &mut next.operations[at];
    let before = operation.state;
    let (after, actions) = judge(operation, outcome);
    operation.state = after;
    if let (false, OperationState::Done(amount)) =
        (matches!(before, OperationState::Done(_)), after)
    {
        let kind = operation.kind;
        add(&mut next, kind, amount.minor());
    }
    (next, actions)
}

/// The state that an operation reaches by an outcome, and what that asks for.
fn judge(operation: &Operation, outcome: Outcome) -> (OperationState, Vec<Action>) {
    use OperationState as State;
    let id = operation.id;
    let state = operation.state;
    let ended = |state| (state, vec![Action::Finish(id)]);
    match (state, outcome) {
        // What is done or undone stays so; a second "done" is the same answer twice.
        (State::Done(amount), Outcome::Done(again)) if amount == again => (state, Vec::new()),
        (State::Done(_), Outcome::Done(_) | Outcome::Declined(_) | Outcome::NotSent) => {
            (state, vec![Action::Alarm(id, "the institution contradicts an outcome that stands")])
        }
        (State::Done(_) | State::Reversed, _) => (state, Vec::new()),
        // A late success is recorded, never dropped; a person sees that it came late.
        (State::Declined(_) | State::NotSent, Outcome::Done(amount)) => {
            let late = "a success came after the operation had ended without one";
            (State::Done(amount), vec![Action::Finish(id), Action::Alarm(id, late)])
        }
        (State::Declined(_) | State::NotSent, _) => (state, Vec::new()),
        (_, Outcome::Done(amount)) if !amount_fits(operation, amount) => {
            let wrong = "the institution approved another amount than was asked for";
            (State::Unknown, vec![Action::Inquire(id), Action::Alarm(id, wrong)])
        }
        (_, Outcome::Done(amount)) => ended(State::Done(amount)),
        (_, Outcome::Declined(reason)) => ended(State::Declined(reason)),
        (_, Outcome::NotSent) => ended(State::NotSent),
        (State::NeedsHuman | State::Reversing, _) => (state, Vec::new()),
        (_, Outcome::Mismatched) => {
            let wrong = "the institution answered for another amount, currency, order or operation";
            (State::Unknown, vec![Action::Inquire(id), Action::Alarm(id, wrong)])
        }
        (_, Outcome::NeedsHuman) => {
            (State::NeedsHuman, vec![Action::Alarm(id, "no machine can find the outcome out")])
        }
        // An unanswered question takes nothing back: what waits for the payer or for a later
        // result goes on waiting.
        (State::NeedsPayer | State::Pending, Outcome::Unknown) => {
            (state, vec![Action::Inquire(id)])
        }
        (_, Outcome::NeedsPayer) => (State::NeedsPayer, vec![Action::Inquire(id)]),
        (_, Outcome::Pending) => (State::Pending, vec![Action::Inquire(id)]),
        (_, Outcome::Unknown) => (State::Unknown, vec![Action::Inquire(id)]),
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
