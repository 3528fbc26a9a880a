//! The one function that moves a payment.

use super::learn::learn;
use super::model::{Operation, OperationKind, OperationState, Payment};
use crate::Timestamp;
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
    /// How much; a void takes none and releases the whole rest, a reverse none and undoes all.
    pub amount: Option<Amount>,
    /// Whether a smaller approval is welcome.
    pub allow_partial: bool,
    /// When the shop gives up: an approval that is learnt of later is reversed.
    pub give_up_at: Option<Timestamp>,
    /// Whether the server asks for it, to undo what must not stand.
    pub by_server: bool,
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
    /// Nobody can be asked what became of it, but whatever it did can be undone.
    Undoable,
    /// Of a reverse: the original is settled and can only be refunded.
    Settled,
}

/// What a person of the operator decides about an operation that needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It was done, for this much. Of a reverse: the original stands, for this much.
    Done(Amount),
    /// The institution refused it.
    Declined,
    /// It was never processed.
    NotSent,
    /// It counts for nothing: it was undone. Of a reverse: it was carried out.
    Reversed,
}

/// What happens to a payment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// An operation is begun.
    Begin(NewOperation),
    /// Something was learnt about an operation, from its answer or from an inquiry.
    Learnt(OperationId, Outcome),
    /// A person decided about an operation in [`OperationState::NeedsHuman`].
    Decided(OperationId, Decision),
}

/// What a person of the operator is told because of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// What must not stand cannot be undone by a machine.
    CannotUndo,
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
    /// The institution will not reverse.
    ReversalRefused,
}

impl Alarm {
    /// The sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::CannotUndo => {
                "a success that must not stand cannot be undone by a machine: undo it at the \
                 institution"
            }
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
            Self::ReversalRefused => "the institution refuses to reverse; it is still tried",
        }
    }
}

/// Why an operation cannot be begun now, or a decision not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", .code.english())]
pub struct Refusal {
    /// The code that the caller gets.
    pub code: ErrorCode,
    /// The open operation in the way, where that is the reason.
    pub blocker: Option<OperationId>,
}

/// What comes of a step. What else is to be done follows from the states: what was begun is sent,
/// and what is open is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// The payment from now on.
    pub payment: Payment,
    /// What a person is told.
    pub alarm: Option<Alarm>,
    /// Whether the sale or authorise that began the payment must not stand: begin what [`undoing`]
    /// says, in the same transaction.
    pub undo: bool,
}

/// How an institution lets a success be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Means {
    /// It reverses, whatever the original did or will still do.
    pub reverse: bool,
    /// It releases what was authorised.
    pub void: bool,
    /// It pays back what was captured.
    pub refund: bool,
}

/// Operations of one payment at most that are open or have moved something, so that it stays a small
/// thing to read and to reckon with; for more than these there is [`ErrorCode::NothingLeft`].
pub const MOST_OPERATIONS: usize = 100;

/// Operations at most with those that came to nothing: an outage through which a shop tries again and
/// again must not use up the payment.
const MOST_TRIES: usize = 1_000;

/// Moves `payment` by `event`, which is known at `now`.
///
/// # Errors
/// [`Refusal`] when an operation must not begin or a decision does not fit. What was learnt about an
/// operation is never refused: evidence that changes nothing leaves the payment as it is.
pub fn step(payment: &Payment, event: &Event, now: Timestamp) -> Result<Stepped, Refusal> {
    match event {
        Event::Begin(new) => begin(payment, new),
        Event::Learnt(id, outcome) => Ok(learn(payment, *id, *outcome, now)),
        Event::Decided(id, decision) => decide(payment, *id, *decision),
    }
}

/// What undoes the sale or authorise that began the payment, by the means there are: its kind, and
/// how much where it takes an amount. `None`: no machine can.
pub fn undoing(payment: &Payment, means: Means) -> Option<(OperationKind, Option<Amount>)> {
    let first = payment.operations.first()?;
    let refused = was_refused_reversal(payment);
    if means.reverse && !refused {
        return Some((OperationKind::Reverse, None));
    }
    match (first.kind, first.state) {
        (OperationKind::Sale, OperationState::Done(_)) if means.refund => {
            let open = open_sum(payment, OperationKind::Refund);
            let left = payment.sums.left_to_refund().saturating_sub(open);
            Some((OperationKind::Refund, Some(Amount::new(left).ok()?)))
        }
        // What was settled was captured: there is nothing to release.
        (OperationKind::Authorise, OperationState::Done(_)) if means.void && !refused => {
            Some((OperationKind::Void, None))
        }
        _ => None,
    }
}

/// Whether the institution said that it is too late to reverse.
pub(super) fn was_refused_reversal(payment: &Payment) -> bool {
    let refused = |one: &Operation| {
        one.kind == OperationKind::Reverse && matches!(one.state, OperationState::Declined(_))
    };
    payment.operations.iter().any(refused)
}

fn begin(payment: &Payment, new: &NewOperation) -> Result<Stepped, Refusal> {
    let amount = guard(payment, new)?;
    // A void of what is not known to stand waits for the reversal that carries it out.
    let abandons = new.kind == OperationKind::Void && can_be_abandoned(payment);
    let mut next = payment.clone();
    if new.kind == OperationKind::Reverse
        && let Some(first) = next.operations.first_mut()
    {
        first.state = OperationState::Reversing(match first.state {
            OperationState::Done(amount) => Some(amount),
            _ => None,
        });
    }
    next.operations.push(Operation {
        id: new.id,
        kind: new.kind,
        amount,
        state: if abandons { OperationState::Accepted } else { OperationState::Sending },
        allow_partial: new.allow_partial,
        give_up_at: new.give_up_at,
        by_server: new.by_server,
    });
    next.reckon();
    Ok(Stepped { payment: next, alarm: None, undo: abandons })
}

/// The guards of `payments.md` 1; open operations count as if they had succeeded.
fn guard(payment: &Payment, new: &NewOperation) -> Result<Amount, Refusal> {
    use OperationKind::{Authorise, Capture, Refund, Reverse, Sale, Void};
    let wanted = || new.amount.ok_or(refuse(ErrorCode::InvalidField));
    if new.kind != Reverse && is_full(payment) {
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
            free_of(payment, &[Reverse, Sale, Authorise, Void])?;
            let left = payment.sums.left_to_capture().saturating_sub(open_sum(payment, Capture));
            within(wanted()?, left)
        }
        Void => {
            free_of(payment, &[Reverse, Capture, Void])?;
            match payment.operations.first() {
                Some(first) if can_be_abandoned(payment) => Ok(first.amount),
                _ => {
                    free_of(payment, &[Sale, Authorise])?;
                    let rest = payment.sums.left_to_capture();
                    Amount::new(rest).map_err(|_| refuse(ErrorCode::NothingLeft))
                }
            }
        }
        Refund => {
            free_of(payment, &[Reverse, Sale, Authorise])?;
            let left = payment.sums.left_to_refund().saturating_sub(open_sum(payment, Refund));
            within(wanted()?, left)
        }
        Reverse => guard_reverse(payment),
    }
}

/// Only what nothing was built upon can be taken away whole, and never while it is being sent.
fn guard_reverse(payment: &Payment) -> Result<Amount, Refusal> {
    use OperationKind::{Authorise, Capture, Refund, Reverse, Sale};
    free_of(payment, &[Reverse, Capture, Refund])?;
    let first = payment.operations.first().ok_or(refuse(ErrorCode::NothingLeft))?;
    // The void that asks for it is the only one that may be open.
    let voids = payment.operations.iter().filter(|one| one.kind == OperationKind::Void);
    let mut sent = voids.filter(|one| one.state.is_open() && one.state != OperationState::Accepted);
    if let Some(void) = sent.next() {
        return Err(Refusal { code: ErrorCode::Busy, blocker: Some(void.id) });
    }
    let whole = match first.kind {
        Sale => payment.sums.refunded == 0,
        Authorise => payment.sums.captured == 0,
        _ => false,
    };
    match first.state {
        OperationState::Done(_) if whole => Ok(first.amount),
        _ if can_be_abandoned(payment) => Ok(first.amount),
        state if state.is_open() => Err(Refusal { code: ErrorCode::Busy, blocker: Some(first.id) }),
        _ => Err(refuse(ErrorCode::NothingLeft)),
    }
}

/// Whether the payment's beginning was sent, and nobody knows yet what became of it.
fn can_be_abandoned(payment: &Payment) -> bool {
    use OperationState::{NeedsHuman, NeedsPayer, Pending, Unknown};
    let state = payment.operations.first().map(|first| first.state);
    matches!(state, Some(NeedsPayer | Pending | Unknown | NeedsHuman))
}

fn is_full(payment: &Payment) -> bool {
    let counts =
        |one: &&Operation| one.state.is_open() || matches!(one.state, OperationState::Done(_));
    payment.operations.iter().filter(counts).count() >= MOST_OPERATIONS
        || payment.operations.len() >= MOST_TRIES
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

/// What a person found out ends what no machine could end.
fn decide(payment: &Payment, id: OperationId, decision: Decision) -> Result<Stepped, Refusal> {
    let mut next = payment.clone();
    let found = next.operations.iter().position(|one| one.id == id);
    let at = found.ok_or(refuse(ErrorCode::NotFound))?;
    let one = &mut next.operations[at];
    // A success that no machine could undo is undone by a person, at the institution.
    if at == 0
        && let (OperationState::Done(amount), Decision::Reversed) = (one.state, decision)
    {
        guard_reverse(payment)?;
        one.state = OperationState::Reversed(Some(amount));
        next.reckon();
        return Ok(Stepped { payment: next, alarm: None, undo: false });
    }
    if one.state != OperationState::NeedsHuman {
        return Err(refuse(ErrorCode::InvalidField));
    }
    match (one.kind, decision) {
        (OperationKind::Reverse, Decision::Reversed) => {
            one.state = OperationState::Done(one.amount);
            next.end_reversal(OperationState::Reversed);
        }
        (OperationKind::Reverse, Decision::Done(amount)) => {
            one.state = OperationState::Declined(DeclineReason::Other);
            next.end_reversal(|_| OperationState::Done(amount));
        }
        (OperationKind::Reverse, Decision::Declined | Decision::NotSent) => {
            return Err(refuse(ErrorCode::InvalidField));
        }
        (_, Decision::Declined) => one.state = OperationState::Declined(DeclineReason::Other),
        (_, Decision::NotSent) => one.state = OperationState::NotSent,
        (kind, Decision::Reversed) if kind.begins_payment() => {
            one.state = OperationState::Reversed(None);
        }
        (kind, Decision::Done(amount))
            if amount == one.amount || (kind.begins_payment() && amount < one.amount) =>
        {
            one.state = OperationState::Done(amount);
        }
        (_, Decision::Done(_) | Decision::Reversed) => {
            return Err(refuse(ErrorCode::InvalidField));
        }
    }
    next.reckon();
    Ok(Stepped { payment: next, alarm: None, undo: false })
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
