//! One verb from first attempt to outcome, without I/O: what to send, when to wait, what to
//! believe. Clocks and randomness are arguments.
//!
//! The owner asks [`Exchange::next`] what to do, does it, and tells [`Exchange::take`] what came
//! of it, until [`Action::Done`]. Every answer is verified before anything in it counts.
//!
//! For a call that moves money, whatever is not a verified answer leaves the outcome unknown, and
//! is followed by a question by the same key. The same body is sent again, signed afresh, only
//! where a verified answer says that nothing stands under the key.

mod answer;
mod call;
mod money;
#[cfg(test)]
mod tests;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::code::Retry;
use pos_protocol::key::{PublicKey, Signature};
use pos_protocol::succession::Fingerprint;
use pos_protocol::wire::{OperationView, Problem, route};

pub(crate) use answer::{Header, Response, Unverified, key_status};
use call::Subject;
pub(crate) use call::{Call, Effect, Expected, Request};
use money::comes_after_verification;
pub(crate) use money::is_about_the_key;
pub(crate) use trust::Trust;

use crate::crypto::Signer;
use crate::env::EnvironmentError;
use crate::error::Cause;
use crate::journal::Attempt;
use crate::transport::SendFailure;

/// How often a call is sent again because the server asked for a fresh signature.
const MAX_RESIGNED: u32 = 2;
/// How many messages one verb sends at most, questions included.
const MAX_MESSAGES: u32 = 200;
/// The least time worth beginning an attempt that moves money; the server wants 2 s of it.
const LEAST_FOR_MONEY: Duration = Duration::from_millis(4_500);
/// The least time in which a payment is still sent once it is noted: 2 s for the server, the second
/// that is left to its answer, and the way there.
const LEAST_AFTER_NOTING: Duration = Duration::from_millis(3_200);
/// The least time worth beginning any other attempt.
const LEAST: Duration = Duration::from_millis(500);
/// The least life of a signature that is not a payment's deadline.
const LEAST_LIFE: Duration = Duration::from_secs(5);
/// When a server that wants to be left alone for longer than the verb lives is asked all the same,
/// before the verb's end.
const LAST_QUESTION: Duration = Duration::from_secs(5);
/// How long a single question by key may take.
const MOST_FOR_QUESTION: Duration = Duration::from_secs(10);
/// First and longest wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// The two clocks at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// This machine's wall clock.
    pub(crate) wall: Timestamp,
    /// A clock that never goes back.
    pub(crate) uptime: Duration,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// One attempt.
    pub(crate) attempt: Duration,
    /// The whole verb.
    pub(crate) total: Duration,
}

/// What the owner of an exchange has to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// The verb is over.
    Done(Outcome),
    /// Store that this answer key follows the pinned one, then ask on.
    Pin { from: Fingerprint, to: PublicKey },
    /// Note the attempt, if there is one, then send.
    Send(Outgoing),
    /// Sleep.
    Wait(Duration),
}

/// One message to send.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// What to send.
    pub(crate) request: Request,
    /// How long to wait for its answer.
    pub(crate) timeout: Duration,
    /// What the journal must hold before the first octet leaves.
    pub(crate) attempt: Option<Attempt>,
    /// With less time than this left after that it is not sent.
    pub(crate) least: Duration,
}

/// What came of an action.
#[derive(Debug)]
pub(crate) enum Event {
    /// The journal did not take the attempt, and nothing was sent.
    NotNoted(Cause),
    /// The key was in the journal before, with these attempts, and nothing was sent by this call.
    Known { attempts: Vec<Attempt>, may_send: bool },
    /// Noting the attempt took so long that it was not sent.
    TooLate,
    /// An answer, of whatever honesty.
    Answered(Response),
    /// No answer.
    Failed(SendFailure),
    /// The clock or the randomness gave out.
    Interrupted(Cause),
}

/// How a verb ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A verified success; not for calls that move money.
    Answer(Vec<u8>),
    /// Nothing stands and nothing was sent that could: no verified answer, or for a read no answer.
    Failed(Cause),
    /// The server lost its memory of the time in which the call may have arrived.
    NeedsHuman,
    /// Proved: no attempt arrived, and none can any more.
    NotMade,
    /// The operation, perhaps still open.
    Operation(Box<OperationView>),
    /// A verified refusal that is the last word.
    Refused(Box<Problem>),
    /// The call may have moved money, and no verified answer says what became of it.
    Unknown(Option<Cause>),
}

/// One verb under way.
pub(crate) struct Exchange {
    subject: Subject,
    authority: Arc<str>,
    signer: Arc<Signer>,
    trust: Trust,
    limits: Limits,
    /// Uptime at which the verb ends, set by the first `next`.
    deadline: Option<Duration>,
    state: State,
    attempts: Vec<Tried>,
    may_send: bool,
    messages: u32,
    resigned: u32,
    failures: u32,
    walked: bool,
    /// Whether a verified answer has shown that the server takes the key that signs.
    is_key_taken: bool,
    /// Whether the clock's offset was learnt here.
    has_learnt_time: bool,
    /// The operation as last heard, while it is open.
    latest: Option<Box<OperationView>>,
    /// The refusal of the last attempt, once no later copy of that attempt can do otherwise.
    refusal: Option<Box<Problem>>,
    /// Why the last message brought nothing.
    trouble: Option<Cause>,
}

/// An attempt that may have reached the server.
#[derive(Clone, Copy, Debug)]
struct Tried {
    attempt: Attempt,
    /// A verified answer refused this very copy.
    refused: bool,
}

#[derive(Debug)]
enum State {
    /// Send the message at this uptime.
    Ready {
        message: Message,
        not_before: Duration,
    },
    /// Waiting for its answer.
    Sent(Sent),
    /// The answer keys are to be fetched first.
    Walk {
        goal: Goal,
        not_before: Duration,
    },
    /// Waiting for the answer keys.
    Walking {
        goal: Goal,
    },
    /// A new answer key is to be stored first.
    Pinning {
        from: Fingerprint,
        to: PublicKey,
        goal: Goal,
    },
    Over(Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Call,
    /// `GET /v1/operations/{key}`.
    Question,
}

/// What the answer keys are wanted for.
#[derive(Debug)]
enum Goal {
    Judge(Held),
    Send(Message),
}

impl Goal {
    const fn message(&self) -> Message {
        match self {
            Self::Judge(held) => held.sent.message,
            Self::Send(message) => *message,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    message: Message,
    signature: Signature,
    at: Now,
}

/// An answer that is signed by a key not yet known.
#[derive(Debug)]
struct Held {
    sent: Sent,
    received: Now,
    response: Response,
}

impl Exchange {
    /// A verb that begins with its call.
    pub(crate) fn new(
        call: Call,
        authority: Arc<str>,
        signer: Arc<Signer>,
        trust: Trust,
        limits: Limits,
    ) -> Self {
        let subject = Subject::Call(call);
        let mut exchange = Self::about(subject, authority, signer, trust, limits);
        exchange.go_on(Message::Call, Duration::ZERO);
        exchange
    }

    /// Only asks, for a call of an earlier life of this process.
    pub(crate) fn resume(
        expected: Expected,
        attempts: Vec<Attempt>,
        authority: Arc<str>,
        signer: Arc<Signer>,
        trust: Trust,
        limits: Limits,
    ) -> Self {
        let subject = Subject::Open(expected);
        let mut exchange = Self::about(subject, authority, signer, trust, limits);
        exchange.ask_first(attempts, false);
        exchange
    }

    /// Begins with the question, because these attempts were made before. `may_send` where the same
    /// call may be sent again, should nothing stand.
    pub(crate) fn ask_first(&mut self, attempts: Vec<Attempt>, may_send: bool) {
        self.adopt(attempts);
        self.may_send = may_send;
        self.go_on(Message::Question, Duration::ZERO);
    }

    /// What was taken for the last word is none, because others have made attempts meanwhile.
    pub(crate) fn reopen(&mut self, others: Vec<Attempt>, refusal: Option<Box<Problem>>) {
        self.refusal = refusal;
        self.ask_first(others, false);
    }

    fn about(
        subject: Subject,
        authority: Arc<str>,
        signer: Arc<Signer>,
        trust: Trust,
        limits: Limits,
    ) -> Self {
        Self {
            subject,
            authority,
            signer,
            trust,
            limits,
            deadline: None,
            state: State::Over(Outcome::NotMade),
            attempts: Vec::new(),
            may_send: true,
            messages: 0,
            resigned: 0,
            failures: 0,
            walked: false,
            is_key_taken: false,
            has_learnt_time: false,
            latest: None,
            refusal: None,
            trouble: None,
        }
    }

    /// The clock's offset, where an answer of this exchange has told it.
    pub(crate) fn learnt_offset_ms(&self) -> Option<i64> {
        self.has_learnt_time.then_some(self.trust.offset_ms)
    }

    /// Whether the server takes the key that signs.
    pub(crate) fn is_key_taken(&self) -> bool {
        self.is_key_taken
    }

    /// What to do next. `jitter` is random.
    pub(crate) async fn next(&mut self, now: Now, jitter: u32) -> Action {
        let deadline =
            *self.deadline.get_or_insert_with(|| now.uptime.saturating_add(self.limits.total));
        let left = deadline.saturating_sub(now.uptime);
        if let State::Ready { not_before, .. } | State::Walk { not_before, .. } = self.state {
            let wait = not_before.saturating_sub(now.uptime);
            let spare = left.saturating_sub(wait).checked_sub(self.least());
            let Some(spare) = spare.filter(|_| self.messages < MAX_MESSAGES) else {
                return Action::Done(self.end());
            };
            if !wait.is_zero() {
                // Up to a quarter longer, so that clients that were cut off together do not come
                // back together.
                return Action::Wait(wait.saturating_add(share(wait, jitter).min(spare)));
            }
            self.messages = self.messages.saturating_add(1);
        }
        match self.take_state() {
            State::Ready { message, .. } => match self.sign(message, now, left).await {
                Ok(outgoing) => Action::Send(outgoing),
                Err(cause) => {
                    self.trouble = Some(cause.into());
                    Action::Done(self.end())
                }
            },
            State::Walk { goal, .. } => {
                self.state = State::Walking { goal };
                let timeout = left.min(MOST_FOR_QUESTION);
                let request = Request::unsigned_get(route::ANSWER_KEYS);
                Action::Send(Outgoing { request, timeout, attempt: None, least: Duration::ZERO })
            }
            State::Pinning { from, to, goal } => {
                // Now that the key is known; `next` is asked again after pinning.
                self.walked_to(goal, now).await;
                Action::Pin { from, to }
            }
            State::Over(outcome) => Action::Done(outcome),
            waiting @ (State::Sent(_) | State::Walking { .. }) => {
                // The owner asks only after it has told what became of the last message; should it
                // not, the message counts as lost.
                self.state = waiting;
                self.lost(now);
                Action::Wait(Duration::ZERO)
            }
        }
    }

    /// What came of the last [`Action::Send`].
    pub(crate) async fn take(&mut self, event: Event, now: Now) {
        match event {
            Event::Answered(response) => self.answered(response, now).await,
            Event::Failed(failure) => self.failed(failure, now),
            Event::Known { attempts, may_send } => self.known(attempts, may_send),
            Event::NotNoted(cause) => {
                self.attempts.pop();
                self.interrupted(cause);
            }
            Event::TooLate => {
                self.attempts.pop();
                self.trouble = Some(SendFailure::no_time().into());
                self.lost(now);
            }
            Event::Interrupted(cause) => self.interrupted(cause),
        }
    }

    /// The verb ended because the server does not take the key, and another key is at hand: goes on
    /// with that.
    pub(crate) fn sign_as(&mut self, signer: Arc<Signer>, now: Now) {
        self.signer = signer;
        self.is_key_taken = false;
        self.refusal = None;
        self.trouble = None;
        let may_stand = self.attempts.iter().any(|tried| !tried.refused);
        self.again(if may_stand { Message::Question } else { Message::Call }, now);
    }

    /// The least time that what is to be done next is worth beginning with.
    fn least(&self) -> Duration {
        let is_call = matches!(self.state, State::Ready { message: Message::Call, .. });
        if is_call && self.is_money() { LEAST_FOR_MONEY } else { LEAST }
    }

    fn is_money(&self) -> bool {
        self.subject.expected().is_some()
    }

    /// Takes the state out; whoever does puts another in.
    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Over(Outcome::NotMade))
    }

    fn question(&self) -> Call {
        let asked = self.subject.expected().map(Expected::question);
        asked.expect("only what moves money is asked about")
    }

    /// Signs the message with times by the server's clock.
    async fn sign(
        &mut self,
        message: Message,
        now: Now,
        left: Duration,
    ) -> Result<Outgoing, EnvironmentError> {
        let most = match message {
            Message::Call => self.limits.attempt,
            Message::Question => self.limits.attempt.min(MOST_FOR_QUESTION),
        };
        let timeout = left.min(most);
        let created = self.by_server(now.wall);
        let question;
        let (call, message) = match (message, &self.subject) {
            (Message::Call, Subject::Call(call)) => (call, message),
            _ => {
                question = self.question();
                (&question, Message::Question)
            }
        };
        let is_noted = message == Message::Call && self.is_money();
        // A second earlier than we stop waiting, so that a 202 given at the deadline still arrives.
        let span = timeout.saturating_sub(Duration::from_secs(1));
        let span = if is_noted { span } else { span.max(LEAST_LIFE) };
        let expires = Timestamp::from_secs(created.plus(span).as_secs());
        let created = Timestamp::from_secs(created.as_secs());
        let signed = call.sign(&self.authority, &self.signer, created, expires).await;
        let (request, signature) = signed?;
        let attempt = Attempt { created_ms: created, expires_ms: expires };
        if is_noted {
            self.attempts.push(Tried { attempt, refused: false });
        }
        self.state = State::Sent(Sent { message, signature, at: now });
        let attempt = is_noted.then_some(attempt);
        let least = attempt.map_or(Duration::ZERO, |_| LEAST_AFTER_NOTING);
        Ok(Outgoing { request, timeout, attempt, least })
    }

    async fn answered(&mut self, response: Response, now: Now) {
        match self.take_state() {
            State::Sent(sent) => self.judge(sent, response, now).await,
            State::Walking { goal } => self.walk(goal, &response, now).await,
            // An answer to nothing that was asked.
            other => self.state = other,
        }
    }

    fn failed(&mut self, failure: SendFailure, now: Now) {
        let nothing_left = failure.nothing_was_sent();
        let is_untrusted = failure.is_untrusted();
        self.trouble = Some(failure.into());
        if nothing_left && matches!(self.state, State::Sent(Sent { message: Message::Call, .. })) {
            self.attempts.pop();
        }
        if is_untrusted {
            // A wrong certificate does not mend itself within seconds.
            self.state = State::Over(self.end());
        } else {
            self.lost(now);
        }
    }

    /// The last message brought nothing that can be believed.
    fn lost(&mut self, now: Now) {
        self.failures = self.failures.saturating_add(1);
        let message = match &self.state {
            State::Sent(sent) => sent.message,
            State::Walking { goal } => goal.message(),
            _ => Message::Call,
        };
        let next =
            if self.is_money() && !self.attempts.is_empty() { Message::Question } else { message };
        self.after(next, backoff(self.failures), now);
    }

    fn known(&mut self, attempts: Vec<Attempt>, may_send: bool) {
        self.attempts.clear();
        self.ask_first(attempts, may_send);
    }

    /// Takes in attempts that somebody else has made.
    fn adopt(&mut self, attempts: Vec<Attempt>) {
        let tried = |attempt| Tried { attempt, refused: false };
        self.attempts.extend(attempts.into_iter().map(tried));
    }

    fn interrupted(&mut self, cause: Cause) {
        self.trouble = Some(cause);
        self.state = State::Over(self.end());
    }

    /// A verified answer to the call.
    fn call_answered(&mut self, response: Response, server_time: Timestamp, now: Now) {
        if matches!(response.status, 200 | 202) {
            if self.is_money() {
                self.operation_answered(&response.body, now);
            } else {
                self.state = State::Over(Outcome::Answer(response.body));
            }
            return;
        }
        let problem: Problem = match serde_json::from_slice(&response.body) {
            Ok(problem) => problem,
            Err(unreadable) => return self.unreadable(unreadable.into(), now),
        };
        let is_proved = comes_after_verification(&problem.code);
        if self.may_send && self.is_to_be_signed_again(response.status, &problem) {
            if is_proved {
                self.mark_refused();
            }
            self.trouble = Some(Cause::Refused(Box::new(problem)));
            self.again(Message::Call, now);
        } else if response.status == 429 || response.status >= 500 {
            self.put_off(problem, now);
        } else if self.is_money() && !is_proved {
            self.doubt(problem, now);
        } else {
            self.mark_refused();
            self.conclude(problem, server_time, now);
        }
    }

    /// Whether a fresh signature is all that the server wants: the clock was wrong, or the call too
    /// long on its way.
    fn is_to_be_signed_again(&mut self, status: u16, problem: &Problem) -> bool {
        let wanted = status < 429 && problem.retry == Retry::SameKey;
        if wanted && self.resigned < MAX_RESIGNED {
            self.resigned = self.resigned.saturating_add(1);
            true
        } else {
            false
        }
    }

    /// 429 and 5xx: later, and for money by a question first, because such an answer says nothing
    /// of what was begun.
    fn put_off(&mut self, problem: Problem, now: Now) {
        self.failures = self.failures.saturating_add(1);
        let advised = problem.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
        let is_final = problem.retry == Retry::Never;
        self.trouble = Some(Cause::Refused(Box::new(problem)));
        if is_final && !self.is_money() {
            self.state = State::Over(self.end());
            return;
        }
        let wait = advised.max(backoff(self.failures));
        if !self.is_money() {
            return self.after(Message::Call, wait, now);
        }
        // What was begun may have ended meanwhile: the verb asks once before it ends itself.
        let left = self.left(now);
        let last = left.saturating_sub(LAST_QUESTION);
        let is_too_long = wait.saturating_add(LEAST) > left && !last.is_zero();
        self.after(Message::Question, if is_too_long { last } else { wait }, now);
    }

    fn left(&self, now: Now) -> Duration {
        self.deadline.unwrap_or_default().saturating_sub(now.uptime)
    }

    /// A verified answer that this build cannot read; sending again would bring the same.
    fn unreadable(&mut self, cause: Cause, now: Now) {
        self.trouble = Some(cause);
        if self.is_money() {
            self.failures = self.failures.saturating_add(1);
            self.after(Message::Question, backoff(self.failures), now);
        } else {
            self.state = State::Over(self.end());
        }
    }

    fn mark_refused(&mut self) {
        if let Some(last) = self.attempts.last_mut() {
            last.refused = true;
        }
    }

    fn again(&mut self, message: Message, now: Now) {
        self.after(message, Duration::ZERO, now);
    }

    fn after(&mut self, message: Message, wait: Duration, now: Now) {
        self.go_on(message, now.uptime.saturating_add(wait));
    }

    fn go_on(&mut self, message: Message, not_before: Duration) {
        self.state = if self.trust.answer_key.is_some() {
            State::Ready { message, not_before }
        } else {
            // Without an answer key nothing can be believed, so nothing is begun.
            State::Walk { goal: Goal::Send(message), not_before }
        };
    }

    /// The outcome when there is no time left, or no use in going on.
    fn end(&mut self) -> Outcome {
        let trouble = self.trouble.take().or_else(|| self.refusal.take().map(Cause::Refused));
        if let Some(latest) = self.latest.take() {
            return Outcome::Operation(latest);
        }
        if self.is_money() && !self.attempts.is_empty() {
            return Outcome::Unknown(trouble);
        }
        match trouble {
            Some(Cause::Refused(problem)) => Outcome::Refused(problem),
            Some(cause) => Outcome::Failed(cause),
            None => Outcome::Failed(SendFailure::no_time().into()),
        }
    }
}

/// Doubling from the first wait to the longest.
fn backoff(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    BACKOFF.0.saturating_mul(doubled).min(BACKOFF.1)
}

/// Up to a quarter of a span.
fn share(span: Duration, jitter: u32) -> Duration {
    span.mul_f64(f64::from(jitter) / f64::from(u32::MAX) / 4.0)
}
