//! What is believed: the answer key, followed from its pin, and the server's clock.

use pos_protocol::Timestamp;
use pos_protocol::key::PublicKey;
use pos_protocol::sign::{self, POS_CONNECT, SignError};
use pos_protocol::succession::{Fingerprint, SuccessionError, Walk};
use pos_protocol::wire::{AnswerKeys, Problem};

use super::money::comes_after_verification;
use super::{Exchange, Goal, Held, Message, Now, Response, Sent, State, Unverified};
use crate::crypto::Signer;

/// How far wall clock and uptime may part between a call and its answer, in milliseconds, before it
/// counts as a clock that was set.
const MOST_APART_MS: i64 = 250;

/// What is believed of the server, learnt from verified answers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// The pinned answer key's fingerprint.
    pub(crate) pin: Fingerprint,
    /// That key, once it was met.
    pub(crate) answer_key: Option<PublicKey>,
    /// Server time less this machine's, in milliseconds.
    pub(crate) offset_ms: i64,
}

impl Exchange {
    /// Proves an answer and acts on it.
    pub(super) async fn judge(&mut self, sent: Sent, response: Response, now: Now) {
        let verified = self.verify(sent, &response, now).await;
        match verified {
            Ok(server_time) => {
                self.is_key_taken |= proves_the_key(&response);
                match sent.message {
                    Message::Call => self.call_answered(response, server_time, now),
                    Message::Question => self.question_answered(&response, server_time, now),
                }
            }
            Err(Unverified::OtherKey { .. }) if !self.walked => {
                let goal = Goal::Judge(Held { sent, received: now, response });
                self.state = State::Walk { goal, not_before: now.uptime };
            }
            Err(unverified) => {
                self.trouble = Some(unverified.into());
                self.state = State::Sent(sent);
                self.lost(now);
            }
        }
    }

    async fn verify(
        &mut self,
        sent: Sent,
        response: &Response,
        now: Now,
    ) -> Result<Timestamp, Unverified> {
        let claimed = sign::answer::parse(&POS_CONNECT, &response.signature_fields())?;
        let key = match self.trust.answer_key {
            Some(key) if key.id() == claimed.key_id() => key,
            _ => return Err(Unverified::OtherKey { key_id: claimed.key_id() }),
        };
        let claim = claimed.claim(response.status, &response.body, &sent.signature, &key)?;
        let proved = self.signer.prove(claim).await;
        let server_time = proved.map_err(|_| SignError::WrongSignature)?;
        self.learn_time(server_time, sent.at, now);
        Ok(server_time)
    }

    /// The server signed between sending and receiving, in the second that it names. The offset is
    /// moved only when that proves it wrong, so that a delayed answer cannot shift a right clock. It
    /// says nothing where this machine's own clock was moved in between.
    fn learn_time(&mut self, server_time: Timestamp, sent: Now, received: Now) {
        let elapsed = received.uptime.saturating_sub(sent.uptime);
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let by_wall_ms = signed_ms(received.wall).saturating_sub(signed_ms(sent.wall));
        if by_wall_ms.saturating_sub(elapsed_ms).saturating_abs() > MOST_APART_MS {
            return;
        }
        let latest = signed_ms(received.wall);
        let earliest = latest.saturating_sub(elapsed_ms);
        let least = signed_ms(server_time).saturating_sub(latest);
        let most = signed_ms(server_time).saturating_add(999).saturating_sub(earliest);
        if !(least..=most).contains(&self.trust.offset_ms) {
            self.trust.offset_ms = least.midpoint(most);
            self.has_learnt_time = true;
        }
    }

    /// Follows the succession from the pin to the server's present answer key.
    pub(super) async fn walk(&mut self, goal: Goal, response: &Response, now: Now) {
        let pin = self.trust.pin;
        match answer_keys(&pin, response, &self.signer).await {
            Ok(key) => {
                self.walked = true;
                let is_new = self.trust.answer_key != Some(key);
                self.trust.pin = Fingerprint::of(&key);
                self.trust.answer_key = Some(key);
                if is_new {
                    self.state = State::Pinning { from: pin, to: key, goal };
                } else {
                    self.walked_to(goal, now).await;
                }
            }
            Err(unverified) => {
                self.walked = matches!(unverified, Unverified::Succession(_));
                self.trouble = Some(unverified.into());
                self.state = State::Walking { goal };
                if self.walked && self.trust.answer_key.is_none() {
                    self.state = State::Over(self.end());
                } else {
                    self.lost(now);
                }
            }
        }
    }

    /// Goes on with what the answer keys were wanted for.
    pub(super) async fn walked_to(&mut self, goal: Goal, now: Now) {
        match goal {
            Goal::Judge(held) => self.judge(held.sent, held.response, held.received).await,
            Goal::Send(message) => self.again(message, now),
        }
    }

    pub(super) fn by_server(&self, wall: Timestamp) -> Timestamp {
        Timestamp::from_ms(wall.as_ms().saturating_add_signed(self.trust.offset_ms))
    }
}

/// Whether a verified answer shows that the server takes the key that signed the call.
fn proves_the_key(response: &Response) -> bool {
    matches!(response.status, 200 | 202)
        || serde_json::from_slice::<Problem>(&response.body)
            .is_ok_and(|problem| comes_after_verification(&problem.code))
}

async fn answer_keys(
    pin: &Fingerprint,
    response: &Response,
    signer: &Signer,
) -> Result<PublicKey, Unverified> {
    if response.status != 200 {
        return Err(Unverified::NoAnswerKeys { status: response.status });
    }
    let keys: AnswerKeys = serde_json::from_slice(&response.body)
        .map_err(|_| Unverified::NoAnswerKeys { status: response.status })?;
    let mut walk = Walk::new(&keys.statements)?;
    while let Some(step) = walk.step()? {
        let at = walk.at();
        let proved = signer.prove(step).await;
        proved.map_err(|source| SuccessionError::BadSignature { at, source })?;
    }
    Ok(walk.end(pin, &keys.current)?)
}

fn signed_ms(time: Timestamp) -> i64 {
    i64::try_from(time.as_ms()).unwrap_or(i64::MAX)
}
