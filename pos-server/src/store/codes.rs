//! The small integers that stand for kinds, states and roles in the tables of every engine. They are on
//! disk: a number never changes its meaning, and a new one never takes an old one's place.

use pos_protocol::Amount;
use pos_protocol::payment::{OperationKind, OperationState};
use pos_protocol::reason::DeclineReason;
use pos_protocol::wire::KeyRole;

use super::StoreError;
use super::cells::unsigned;
use super::rows::Channel;

/// The state of a row that is a kept refusal and no operation.
pub(super) const REFUSED: i64 = 32;

/// The number of a kind.
pub(super) const fn of_kind(kind: OperationKind) -> i64 {
    match kind {
        OperationKind::Sale => 1,
        OperationKind::Authorise => 2,
        OperationKind::Capture => 3,
        OperationKind::Void => 4,
        OperationKind::Refund => 5,
        OperationKind::Reverse => 6,
    }
}

/// The kind with this number.
pub(super) fn to_kind(number: i64) -> Option<OperationKind> {
    OperationKind::ALL.iter().copied().find(|kind| of_kind(*kind) == number)
}

/// The number of a state, below 16 while it is open, as the schema's partial indexes know; what
/// states carry has columns of its own.
pub(super) const fn of_state(state: OperationState) -> i64 {
    match state {
        OperationState::Accepted => 0,
        OperationState::Sending => 1,
        OperationState::NeedsPayer => 2,
        OperationState::Pending => 3,
        OperationState::Unknown => 4,
        OperationState::Reversing(_) => 5,
        OperationState::NeedsHuman => 6,
        OperationState::Done(_) => 16,
        OperationState::Declined(_) => 17,
        OperationState::NotSent => 18,
        OperationState::Reversed(_) => 19,
    }
}

/// The state with this number, from the columns `moved` and `reason`.
pub(super) fn to_state(
    number: i64,
    moved: Option<Amount>,
    reason: Option<&str>,
) -> Option<OperationState> {
    Some(match number {
        0 => OperationState::Accepted,
        1 => OperationState::Sending,
        2 => OperationState::NeedsPayer,
        3 => OperationState::Pending,
        4 => OperationState::Unknown,
        5 => OperationState::Reversing(moved),
        6 => OperationState::NeedsHuman,
        16 => OperationState::Done(moved?),
        17 => OperationState::Declined(to_reason(reason?)?),
        18 => OperationState::NotSent,
        19 => OperationState::Reversed(moved),
        _ => return None,
    })
}

/// The name on the wire of an open state.
pub(super) fn open_name(number: i64) -> Option<&'static str> {
    to_state(number, None, None).map(OperationState::wire)
}

/// The number of a role.
pub(super) const fn of_role(role: KeyRole) -> i64 {
    match role {
        KeyRole::Module => 1,
        KeyRole::Session => 2,
    }
}

/// The role with this number.
pub(super) const fn to_role(number: i64) -> Option<KeyRole> {
    match number {
        1 => Some(KeyRole::Module),
        2 => Some(KeyRole::Session),
        _ => None,
    }
}

/// The number of a channel.
pub(super) const fn of_channel(channel: Channel) -> i64 {
    match channel {
        Channel::Mail => 1,
        Channel::Webhook => 2,
    }
}

/// The channel with this number.
pub(super) const fn to_channel(number: i64) -> Option<Channel> {
    match number {
        1 => Some(Channel::Mail),
        2 => Some(Channel::Webhook),
        _ => None,
    }
}

/// The columns of what a state carries.
pub(super) fn carried(
    state: OperationState,
) -> Result<(Option<i64>, Option<&'static str>), StoreError> {
    Ok(match state {
        OperationState::Done(amount)
        | OperationState::Reversing(Some(amount))
        | OperationState::Reversed(Some(amount)) => (Some(unsigned(amount.minor())?), None),
        OperationState::Declined(reason) => (None, Some(reason.wire())),
        _ => (None, None),
    })
}

fn to_reason(name: &str) -> Option<DeclineReason> {
    DeclineReason::ALL.iter().copied().find(|reason| reason.wire() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_on_disk_are_these() {
        use OperationState as State;
        let amount = Amount::new(7).unwrap();
        let states = [
            (State::Accepted, 0),
            (State::Sending, 1),
            (State::NeedsPayer, 2),
            (State::Pending, 3),
            (State::Unknown, 4),
            (State::Reversing(Some(amount)), 5),
            (State::NeedsHuman, 6),
            (State::Done(amount), 16),
            (State::Declined(DeclineReason::ExpiredCard), 17),
            (State::NotSent, 18),
            (State::Reversed(Some(amount)), 19),
        ];
        for (state, number) in states {
            assert_eq!(of_state(state), number);
            assert_eq!(to_state(number, Some(amount), Some("expired_card")), Some(state));
            assert_eq!(state.is_open(), number < 16, "{state:?}");
        }
        for unknown in [-1, 7, 15, 20, REFUSED] {
            assert_eq!(to_state(unknown, Some(amount), Some("expired_card")), None);
        }
        assert_eq!(to_state(16, None, None), None);
        assert_eq!(to_state(17, None, Some("no such reason")), None);
        assert_eq!(
            [1, 2, 3, 4, 5, 6].map(|n| to_kind(n).unwrap().wire()),
            ["sale", "authorise", "capture", "void", "refund", "reverse"]
        );
        assert_eq!(to_kind(7), None);
        assert_eq!(to_state(19, None, None), Some(State::Reversed(None)));
        for role in [KeyRole::Module, KeyRole::Session] {
            assert_eq!(to_role(of_role(role)), Some(role));
        }
        assert_eq!(to_role(3), None);
        assert_eq!((of_channel(Channel::Mail), of_channel(Channel::Webhook)), (1, 2));
        assert_eq!(
            [0, 1, 2, 3].map(to_channel),
            [None, Some(Channel::Mail), Some(Channel::Webhook), None]
        );
    }

    #[test]
    fn every_decline_reason_reads_back() {
        for reason in DeclineReason::ALL {
            let read = to_state(17, None, Some(reason.wire()));
            assert_eq!(read, Some(OperationState::Declined(*reason)));
        }
    }
}
