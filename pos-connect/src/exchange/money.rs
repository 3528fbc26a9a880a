//! What verified answers mean for a call that moves money (`docs/PROTOCOL.md`, idempotency).

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::code::{ErrorCode, WireCode};
use pos_protocol::wire::{
    KeyStatus, NotFoundEvidence, OperationView, Problem, TimeGap, WireOperationState as State,
};

use super::{
    Exchange, LEAST, LEAST_FOR_MONEY, Message, Now, Outcome, Response, backoff, key_status,
};
use crate::error::Cause;
use crate::journal::Attempt;

/// How far past its `expires` an attempt may still be on its way through the server.
const ARRIVAL: Duration = Duration::from_secs(15);
/// How far the server's clock may be behind ours when it takes a call.
const AHEAD: Duration = Duration::from_secs(10);
/// The most often a call is sent; then it is only asked for.
const MAX_SENT: usize = 5;
/// The shortest and longest wait before asking for an open operation.
const ASK_AFTER: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

impl Exchange {
    pub(super) fn operation_answered(&mut self, body: &[u8], now: Now) {
        match serde_json::from_slice::<OperationView>(body) {
            Ok(operation) => self.heard(operation, now),
            Err(unreadable) => self.unreadable(unreadable.into(), now),
        }
    }

    /// A verified answer to the question by key.
    pub(super) fn question_answered(&mut self, response: &Response, time: Timestamp, now: Now) {
        if response.status == 200 {
            match key_status(&response.body) {
                Ok(KeyStatus::Operation(operation)) => self.heard(operation, now),
                Ok(KeyStatus::Refusal(problem)) => self.over(Outcome::Refused(Box::new(problem))),
                Ok(KeyStatus::Nothing(evidence)) => self.nothing_there(&evidence, time, now),
                Err(unreadable) => self.unreadable(unreadable.into(), now),
            }
            return;
        }
        match serde_json::from_slice::<Problem>(&response.body) {
            Ok(problem) if self.is_to_be_signed_again(response.status, &problem) => {
                self.trouble = Some(Cause::Refused(Box::new(problem)));
                self.again(Message::Question, now);
            }
            // Busy, or a bent copy of the question was refused.
            Ok(problem)
                if response.status == 429
                    || response.status >= 500
                    || !comes_after_verification(&problem.code)
                        && !is_about_the_key(&problem.code) =>
            {
                self.put_off(problem, now);
            }
            // The question itself is refused: nobody answers it to this key, and the outcome stays
            // unknown.
            Ok(problem) => {
                self.trouble = Some(Cause::Refused(Box::new(problem)));
                let outcome = self.end();
                self.over(outcome);
            }
            Err(unreadable) => self.unreadable(unreadable.into(), now),
        }
    }

    /// A verified refusal of the last attempt. It is the last word only if no other attempt can
    /// still arrive, or have arrived.
    pub(super) fn conclude(&mut self, problem: Problem, server_time: Timestamp, now: Now) {
        let before = self.attempts.split_last().map_or(&[][..], |(_, before)| before);
        let may_stand =
            before.iter().any(|tried| !tried.refused || tried.attempt.expires_ms > server_time);
        if may_stand {
            self.refusal = Some(Box::new(problem));
            self.may_send = false;
            self.again(Message::Question, now);
        } else {
            self.over(Outcome::Refused(Box::new(problem)));
        }
    }

    /// A refusal that the server gave before it had verified the call. It is signed and names the
    /// call's signature, but somebody on the line may have made a bent copy only to be refused, and
    /// hold the call itself back: it becomes the last word when that can no longer arrive.
    pub(super) fn doubt(&mut self, problem: Problem, now: Now) {
        // Under another key, where one is at hand, the call is worth sending again; the very same
        // would be refused again.
        self.may_send &= is_about_the_key(&problem.code);
        self.refusal = Some(Box::new(problem));
        self.again(Message::Question, now);
    }

    /// Verified word of the operation.
    fn heard(&mut self, operation: OperationView, now: Now) {
        let expected = self.subject.expected();
        if let Some(wrong) = expected.and_then(|expected| expected.mismatch(&operation)) {
            return self.unreadable(Cause::Unverified(wrong), now);
        }
        // What a person or another day decides is not waited for; a state of a newer server counts
        // as pending.
        let is_settling =
            matches!(operation.state, State::Processing | State::Unknown | State::Reversing);
        if !is_settling {
            return self.over(Outcome::Operation(Box::new(operation)));
        }
        let asked_for =
            operation.ask_after_ms.map_or(Duration::from_secs(1), Duration::from_millis);
        self.latest = Some(Box::new(operation));
        self.after(Message::Question, asked_for.clamp(ASK_AFTER.0, ASK_AFTER.1), now);
    }

    /// Verified: no call has arrived under this key so far, as far as the server remembers.
    fn nothing_there(&mut self, evidence: &NotFoundEvidence, signed: Timestamp, now: Now) {
        let server_time = signed.min(evidence.server_time_ms);
        let is_lost = self.latest.is_some()
            || self.attempts.iter().any(|tried| is_in_gap(&tried.attempt, &evidence.gaps));
        if is_lost {
            return self.over(Outcome::NeedsHuman);
        }
        let last = self.attempts.iter().map(|tried| tried.attempt.expires_ms).max();
        let settled = last.unwrap_or_default().plus(ARRIVAL);
        if server_time > settled {
            let outcome = self.refusal.take().map_or(Outcome::NotMade, Outcome::Refused);
            self.over(outcome);
        } else if self.may_send && self.attempts.len() < MAX_SENT && self.has_time_to_send(now) {
            self.again(Message::Call, now);
        } else {
            self.failures = self.failures.saturating_add(1);
            let proof = settled.since(server_time).saturating_add(Duration::from_secs(1));
            self.after(Message::Question, self.in_time(proof, now), now);
        }
    }

    /// Waits for the proof if the verb lives that long; asks now and then otherwise, because the
    /// call may yet arrive.
    fn in_time(&self, proof: Duration, now: Now) -> Duration {
        if proof.saturating_add(LEAST) < self.left(now) { proof } else { backoff(self.failures) }
    }

    fn has_time_to_send(&self, now: Now) -> bool {
        self.left(now) >= LEAST_FOR_MONEY
    }

    fn over(&mut self, outcome: Outcome) {
        self.state = super::State::Over(outcome);
    }
}

/// Whether the server does not take the key that signed.
pub(crate) fn is_about_the_key(code: &WireCode) -> bool {
    use ErrorCode::{KeyRevoked, KeyUnknown, SessionEnded};
    matches!(code, WireCode::Known(KeyRevoked | KeyUnknown | SessionEnded))
}

/// Whether the call was verified when it was refused so, and the refusal is therefore about it. Nobody
/// knows when a newer server gives a code that this build does not know.
pub(super) fn comes_after_verification(code: &WireCode) -> bool {
    code.known().is_some_and(ErrorCode::comes_after_verification)
}

/// Whether the call may have been taken at a time of which the server remembers nothing.
fn is_in_gap(attempt: &Attempt, gaps: &[TimeGap]) -> bool {
    let (from, to) = (attempt.created_ms.minus(AHEAD), attempt.expires_ms.plus(ARRIVAL));
    gaps.iter().any(|gap| gap.from_ms <= to && from <= gap.to_ms)
}
