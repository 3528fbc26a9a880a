//! When an operation that is open is looked at again.

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::payment::{OperationKind, OperationState};

use crate::connectors::{Answer, Fault};
use crate::store::rows::{StoredOperation, StoredPayment};

/// Waits between inquiries: 1, 2, 4 … 45 s. A question that is lost is noticed after the time-out, and
/// within a minute of it the next one is answered.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(45);

/// So long after an operation's last moment the institution is asked whether it ever came.
const JUST_AFTER: Duration = Duration::from_millis(250);

/// While what is waited for can still happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    begun: Timestamp,
    last_moment: Timestamp,
}

impl Span {
    /// That of one of the payment's operations. A reverse is final when its original can no longer come.
    pub(super) fn of(one: &StoredOperation, payment: &StoredPayment) -> Self {
        let last_moment = match payment.operations.first() {
            Some(first) if one.kind == OperationKind::Reverse => first.not_after,
            _ => one.not_after,
        };
        Self { begun: one.created_at, last_moment }
    }
}

/// How long until somebody looks again at an operation that is open. What a person has to decide is
/// asked about all the same: the institution may decide it first.
///
/// As long as the operation has been waited for: that makes 1, 2, 4 … 45 s. It is reckoned anew from
/// the last moment at which it can still be processed, before which most waits end, and from the start
/// of the process, so that no long silence of the past delays what can be known now.
pub(super) fn next_look(
    state: OperationState,
    answer: &Answer,
    span: Span,
    started: Timestamp,
    now: Timestamp,
) -> Duration {
    if state == OperationState::NeedsHuman {
        return LONGEST_WAIT;
    }
    let since = if now < span.last_moment { span.begun } else { span.last_moment.max(span.begun) };
    let wait = now.since(since.max(started)).clamp(SHORTEST_WAIT, LONGEST_WAIT);
    match (&answer.fault, answer.institution_time, answer.next_look) {
        (Some(Fault::NotFoundYet), Some(time), _) => {
            wait.min(span.last_moment.since(time).saturating_add(JUST_AFTER))
        }
        (_, _, Some(wanted)) => wanted.clamp(wait, LONGEST_WAIT),
        _ => wait,
    }
}

#[cfg(test)]
mod tests {
    use pos_protocol::payment::Outcome;

    use super::*;

    const BEGUN: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn after(ms: u64) -> Timestamp {
        BEGUN.plus(Duration::from_millis(ms))
    }

    /// Of an operation of ten seconds.
    fn span() -> Span {
        Span { begun: BEGUN, last_moment: after(10_000) }
    }

    fn wait_ms(answer: &Answer, started: Timestamp, now: Timestamp) -> u128 {
        next_look(OperationState::Unknown, answer, span(), started, now).as_millis()
    }

    /// The moments after `from` at which a silent institution is asked, each at once unanswered.
    fn looks(started: Timestamp, mut now: Timestamp) -> Vec<u64> {
        let unknown = Answer::bare(Outcome::Unknown);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = next_look(OperationState::Unknown, &unknown, span(), started, now);
            waits.push(wait.as_secs());
            now = now.plus(wait);
        }
        waits
    }

    #[test]
    fn inquiries_come_after_1_2_4_and_at_most_45_s() {
        assert_eq!(looks(BEGUN, after(11_000)), [1, 2, 4, 8, 16, 32, 45, 45]);
        let unknown = Answer::bare(Outcome::Unknown);
        let human = next_look(OperationState::NeedsHuman, &unknown, span(), BEGUN, after(500));
        assert_eq!(human, Duration::from_secs(45));
    }

    #[test]
    fn a_start_begins_the_waits_anew_however_often_was_asked_before() {
        let day = 24 * 60 * 60 * 1000;
        assert_eq!(looks(after(day), after(day)), [1, 1, 2, 4, 8, 16, 32, 45]);
        assert_eq!(wait_ms(&Answer::bare(Outcome::Unknown), BEGUN, after(day)), 45_000);
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
        assert_eq!(wait_ms(&pending(7_200), BEGUN, after(2_000)), 45_000);
    }
}
