//! What evidence does to a payment: an institution's answer, or its silence.

use super::model::{Operation, OperationKind, OperationState, Payment};
use super::step::{Alarm, Outcome, Stepped, was_refused_reversal};
use crate::Timestamp;
use crate::id::OperationId;
use crate::money::Amount;
use crate::reason::DeclineReason;

/// What becomes of one operation by an outcome.
struct Judged {
    state: OperationState,
    alarm: Option<Alarm>,
    /// It must not stand.
    undo: bool,
}

pub(super) fn learn(
    payment: &Payment,
    id: OperationId,
    outcome: Outcome,
    now: Timestamp,
) -> Stepped {
    let mut next = payment.clone();
    let Some(at) = next.operations.iter().position(|one| one.id == id) else {
        return Stepped { payment: next, alarm: None, undo: false };
    };
    let Judged { alarm, undo, .. } = if next.operations[at].kind == OperationKind::Reverse {
        learn_of_reversal(&mut next, at, outcome)
    } else {
        let judged = judge(&next, &next.operations[at], outcome, now);
        next.operations[at].state = judged.state;
        judged
    };
    next.reckon();
    Stepped { payment: next, alarm, undo }
}

/// The state that an operation reaches by an outcome, and what follows.
fn judge(payment: &Payment, operation: &Operation, outcome: Outcome, now: Timestamp) -> Judged {
    use OperationState as State;
    let state = operation.state;
    let begins = operation.kind.begins_payment();
    let to = |state, alarm| Judged { state, alarm, undo: false };
    let stays = || to(state, None);
    let fits = |amount| amount_fits(operation, amount);
    match (state, outcome) {
        // Nothing was sent yet, so that no evidence can be about it.
        (State::Accepted, _) => stays(),
        // Whatever it was about: before the end it leaves the outcome open, later it changes nothing.
        (
            State::Sending | State::NeedsPayer | State::Pending | State::Unknown,
            Outcome::Mismatched,
        ) => to(State::Unknown, Some(Alarm::Mismatched)),
        (_, Outcome::Mismatched) => to(state, Some(Alarm::Mismatched)),
        // Only a reverse is answered so.
        (_, Outcome::Settled) => stays(),
        // What is done stays so; a second "done" is the same answer twice.
        (State::Done(amount), Outcome::Done(again)) if amount == again => stays(),
        (State::Done(_), Outcome::Done(_) | Outcome::Declined(_) | Outcome::NotSent) => {
            to(state, Some(Alarm::Contradicted))
        }
        (State::Done(_), _) => stays(),
        // A late success is recorded, never dropped; one that does not fit moves no sum. What began a
        // payment is undone: its order may have been paid anew.
        (State::Declined(_) | State::NotSent, Outcome::Done(amount)) if fits(amount) => Judged {
            state: State::Done(amount),
            alarm: (!begins).then_some(Alarm::LateSuccess),
            undo: begins,
        },
        (State::Declined(_) | State::NotSent, Outcome::Done(_)) => {
            to(State::NeedsHuman, Some(Alarm::LateMisfit))
        }
        (State::Declined(_) | State::NotSent, _) => stays(),
        // The reversal stands, whatever else comes; an approval is recorded all the same
        // (`payments.md` 3.5).
        (State::Reversing(_), Outcome::Done(amount)) => to(State::Reversing(Some(amount)), None),
        (State::Reversed(_), Outcome::Done(amount)) => to(State::Reversed(Some(amount)), None),
        (State::Reversing(_) | State::Reversed(_), _) => stays(),
        (_, Outcome::Done(amount)) if fits(amount) => {
            let given_up = operation.give_up_at.is_some_and(|at| now > at);
            let undo = begins && (given_up || was_refused_reversal(payment));
            Judged { state: State::Done(amount), alarm: None, undo }
        }
        // Confirmed by an inquiry it is no slip of one answer. Less than was asked for is a partial
        // approval that the shop does not want; of more a person decides.
        (State::Unknown | State::NeedsHuman, Outcome::Done(amount))
            if begins && amount < operation.amount =>
        {
            Judged { state: State::Done(amount), alarm: None, undo: true }
        }
        (State::Unknown | State::NeedsHuman, Outcome::Done(_)) => {
            to(State::NeedsHuman, Some(Alarm::Misfit))
        }
        (_, Outcome::Done(_)) => to(State::Unknown, Some(Alarm::Misfit)),
        (_, Outcome::Declined(reason)) => ended(operation, State::Declined(reason)),
        (_, Outcome::NotSent) => ended(operation, State::NotSent),
        (State::NeedsHuman, _) => stays(),
        (_, Outcome::NeedsHuman) => to(State::NeedsHuman, Some(Alarm::NeedsHuman)),
        // An unanswered question takes nothing back: what waits for the payer or for a later
        // result goes on waiting.
        (State::NeedsPayer | State::Pending, Outcome::Unknown | Outcome::Undoable) => stays(),
        (_, Outcome::NeedsPayer) => to(State::NeedsPayer, None),
        (_, Outcome::Pending) => to(State::Pending, None),
        (_, Outcome::Unknown) => to(State::Unknown, None),
        (_, Outcome::Undoable) if begins && !was_refused_reversal(payment) => {
            Judged { state: State::Unknown, alarm: None, undo: true }
        }
        (_, Outcome::Undoable) => to(State::NeedsHuman, Some(Alarm::NeedsHuman)),
    }
}

/// An end without success. What was to undo something is begun again where it was not processed; a
/// person is told where it was refused.
fn ended(operation: &Operation, state: OperationState) -> Judged {
    let undoes = operation.by_server;
    let refused = undoes && matches!(state, OperationState::Declined(_));
    let alarm = refused.then_some(Alarm::CannotUndo);
    Judged { state, alarm, undo: undoes && state == OperationState::NotSent }
}

/// More than was asked for never fits; less only where the shop allowed it, and only for a sale or
/// an authorisation.
fn amount_fits(operation: &Operation, done: Amount) -> bool {
    done == operation.amount
        || (operation.allow_partial && operation.kind.begins_payment() && done < operation.amount)
}

/// A reverse ends with the institution's yes, or with its word that the original is settled; whatever
/// else comes, it is tried again (`payments.md` 3.4).
fn learn_of_reversal(payment: &mut Payment, at: usize, outcome: Outcome) -> Judged {
    use OperationState as State;
    let reverse = &mut payment.operations[at];
    let (state, alarm) = match (reverse.state, outcome) {
        (State::Done(_) | State::Declined(_), _) => (reverse.state, None),
        (_, Outcome::Done(_)) => (State::Done(reverse.amount), None),
        (_, Outcome::Settled) => (State::Declined(DeclineReason::AlreadySettled), None),
        (State::NeedsHuman, _) => (State::NeedsHuman, None),
        (_, Outcome::Declined(_) | Outcome::NeedsHuman) => {
            (State::NeedsHuman, Some(Alarm::ReversalRefused))
        }
        (_, Outcome::Mismatched) => (State::Unknown, Some(Alarm::Mismatched)),
        _ => (State::Unknown, None),
    };
    let ends = reverse.state.is_open() && !state.is_open();
    reverse.state = state;
    let mut undo = false;
    match state {
        State::Done(_) if ends => payment.end_reversal(State::Reversed),
        State::Declined(_) if ends => payment.end_reversal(|approved| match approved {
            Some(amount) => {
                undo = true;
                State::Done(amount)
            }
            None => State::Unknown,
        }),
        _ => {}
    }
    Judged { state, alarm, undo }
}
