//! Both ends of a line in one thread: the exchange, a server that signs, and a clock of our own.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pos_protocol::id::RequestId;
use pos_protocol::key::SigningKey;
use pos_protocol::money::{Currency, Money};
use pos_protocol::sign::call::{self, CallParts};
use pos_protocol::sign::{POS_CONNECT, answer};
use pos_protocol::succession::Statement;
use pos_protocol::wire::{AnswerKeys, NotFoundEvidence};
use serde_json::{Value, json};

use super::super::*;
use crate::journal::Attempt;
use crate::transport::Lower;

pub(super) const KEY: &str = "0123456789abcdef";
pub(super) const AUTHORITY: &str = "pos.example";
/// 2026-11-20, and well within a second.
pub(super) const BEGINNING: Timestamp = Timestamp::from_ms(1_795_132_800_400);

/// What never waits, because the keys are here.
pub(super) fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("an exchange waits for nobody"),
    }
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The shop's key, and the server's answer keys in their order.
pub(super) const SHOP: u8 = 1;
pub(super) const FIRST: u8 = 11;
pub(super) const SECOND: u8 = 12;
pub(super) const STRANGER: u8 = 66;

/// What happens to one message, in the order in which they are sent.
pub(super) enum Then {
    /// The server answers, signed by this answer key.
    By(u8, u16, Value),
    /// The server answers, signed by the first answer key.
    Says(u16, Value),
    /// The server answers, but a word of the body is another when it arrives.
    Altered(u16, Value),
    /// The server answers another call.
    Elsewhere(u16, Value),
    /// Somebody in between answers.
    Page(u16, &'static str),
    /// The list of answer keys: present one, then the statements (from, to).
    Keys(u8, Vec<(u8, u8)>),
    /// No answer comes.
    Silence,
    /// The line breaks off.
    Break,
    /// No connection.
    Nowhere,
    /// The certificate is wrong.
    Untrusted,
}

/// One message as it went out.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) target: String,
    pub(super) body: Vec<u8>,
    pub(super) idempotency_key: Option<String>,
    /// By the clock of the caller.
    pub(super) created_s: u64,
    pub(super) expires_s: u64,
    pub(super) signature: String,
    pub(super) attempt: Option<Attempt>,
    pub(super) at_ms: u128,
}

pub(super) struct Line {
    pub(super) exchange: Exchange,
    pub(super) now: Now,
    /// The server's clock less the caller's.
    pub(super) server_ahead_ms: i64,
    /// How long a message and its answer take.
    pub(super) travel: Duration,
    pub(super) sent: Vec<Sent>,
    pub(super) pinned: Vec<PublicKey>,
}

pub(super) fn expected() -> Expected {
    Expected {
        key: KEY.parse().unwrap(),
        operation: "sale".into(),
        money: Some(Money::new(1_200, Currency::JPY).unwrap()),
        order_id: Some("order-1".parse().unwrap()),
        payment_id: None,
    }
}

pub(super) fn money_call() -> Call {
    Call::post("/v1/payments", br#"{"a":1}"#.to_vec(), Effect::Money(expected()))
}

pub(super) fn trust() -> Trust {
    let first = key(FIRST).public();
    Trust { pin: Fingerprint::of(&first), answer_key: Some(first), offset_ms: 0 }
}

impl Line {
    pub(super) fn new(call: Call) -> Self {
        Self::believing(call, trust())
    }

    pub(super) fn believing(call: Call, trust: Trust) -> Self {
        let limits = Limits { attempt: Duration::from_secs(20), total: Duration::from_secs(40) };
        let signer = Arc::new(key(SHOP).into());
        Self {
            exchange: Exchange::new(call, AUTHORITY.into(), signer, trust, limits),
            now: Now { wall: BEGINNING, uptime: Duration::from_secs(100) },
            server_ahead_ms: 0,
            travel: Duration::from_millis(80),
            sent: Vec::new(),
            pinned: Vec::new(),
        }
    }

    pub(super) fn payment() -> Self {
        Self::new(money_call())
    }

    /// Runs to the end. Every step must be used.
    pub(super) fn run(&mut self, script: impl IntoIterator<Item = Then>) -> Outcome {
        let mut script: VecDeque<Then> = script.into_iter().collect();
        let outcome = self.run_with(|line, outgoing| {
            let then = script.pop_front();
            let then = then.unwrap_or_else(|| panic!("unexpected {}", outgoing.request.target));
            line.happens(then, outgoing)
        });
        assert!(script.is_empty(), "{} messages were not sent", script.len());
        outcome
    }

    pub(super) fn run_with(
        &mut self,
        mut answer: impl FnMut(&mut Self, &Outgoing) -> Event,
    ) -> Outcome {
        for step in 0..2_000_u32 {
            match at_once(self.exchange.next(self.now, step.wrapping_mul(0x9e37_79b9))) {
                Action::Done(outcome) => return outcome,
                Action::Pin { from, to } => {
                    assert!(from.matches(&key(FIRST).public()));
                    self.pinned.push(to);
                }
                Action::Wait(span) => self.pass(span),
                Action::Send(outgoing) => {
                    self.sent.push(sent(&outgoing, self.elapsed_ms()));
                    let event = answer(self, &outgoing);
                    at_once(self.exchange.take(event, self.now));
                }
            }
        }
        panic!("the exchange does not end");
    }

    pub(super) fn pass(&mut self, span: Duration) {
        self.now.wall = self.now.wall.plus(span);
        self.now.uptime += span;
    }

    pub(super) fn elapsed_ms(&self) -> u128 {
        (self.now.uptime - Duration::from_secs(100)).as_millis()
    }

    pub(super) fn server_time(&self) -> Timestamp {
        Timestamp::from_ms(self.now.wall.as_ms().saturating_add_signed(self.server_ahead_ms))
    }

    fn happens(&mut self, then: Then, outgoing: &Outgoing) -> Event {
        let travel = self.travel;
        let signed = |line: &mut Self, by, status, body: &Value| {
            let body = serde_json::to_vec(body).unwrap();
            line.pass(travel / 2);
            let answer = signed(by, status, body, signature_of(outgoing), line.server_time());
            line.pass(travel / 2);
            answer
        };
        match then {
            Then::By(by, status, body) => Event::Answered(signed(self, by, status, &body)),
            Then::Says(status, body) => Event::Answered(signed(self, FIRST, status, &body)),
            Then::Altered(status, body) => {
                let mut answer = signed(self, FIRST, status, &body);
                let last = answer.body.len() - 2;
                answer.body[last] ^= 1;
                Event::Answered(answer)
            }
            Then::Elsewhere(status, body) => {
                let other = Signature::from_octets([7; 64]);
                let body = serde_json::to_vec(&body).unwrap();
                self.pass(travel);
                Event::Answered(super::line::signed(FIRST, status, body, other, self.server_time()))
            }
            Then::Page(status, text) => {
                self.pass(travel);
                let headers = vec![(Header::ContentType, b"text/html".to_vec())];
                Event::Answered(Response { status, headers, body: text.into() })
            }
            Then::Keys(current, statements) => {
                assert_eq!(outgoing.request.target, "/v1/answer-keys");
                assert!(outgoing.request.headers.is_empty(), "the keys are asked for unsigned");
                self.pass(travel);
                Event::Answered(keys(current, &statements))
            }
            Then::Silence => {
                self.pass(outgoing.timeout);
                Event::Failed(SendFailure::Timeout)
            }
            Then::Break => {
                self.pass(travel);
                Event::Failed(SendFailure::Broken(some_error()))
            }
            Then::Nowhere => {
                self.pass(travel);
                Event::Failed(SendFailure::Connect(some_error()))
            }
            Then::Untrusted => {
                self.pass(travel);
                Event::Failed(SendFailure::Untrusted(some_error()))
            }
        }
    }

    pub(super) fn targets(&self) -> Vec<&str> {
        self.sent.iter().map(|sent| sent.target.as_str()).collect()
    }
}

pub(super) const CALL: &str = "/v1/payments";
pub(super) const QUESTION: &str = "/v1/operations/0123456789abcdef";
pub(super) const KEYS: &str = "/v1/answer-keys";

/// Any error: the variant around it is what counts.
fn some_error() -> Lower {
    "no way".into()
}

pub(super) fn signed(
    by: u8,
    status: u16,
    body: Vec<u8>,
    call: Signature,
    time: Timestamp,
) -> Response {
    let key = key(by);
    let unsigned =
        answer::Unsigned::new(&POS_CONNECT, status, &body, &call, time, key.public().id());
    let signature = key.sign(unsigned.base());
    let fields = unsigned.into_headers(&signature);
    let headers = vec![
        (Header::ContentType, b"application/json".to_vec()),
        (Header::ContentDigest, fields.content_digest.into_bytes()),
        (Header::Signature, fields.signature.into_bytes()),
        (Header::SignatureInput, fields.signature_input.into_bytes()),
    ];
    Response { status, headers, body }
}

fn keys(current: u8, statements: &[(u8, u8)]) -> Response {
    let statement =
        |(from, to): &(u8, u8)| Statement::sign(&key(*from), key(*to).public(), BEGINNING);
    let statements = statements.iter().map(statement).collect();
    let body = serde_json::to_vec(&AnswerKeys { current: key(current).public(), statements });
    Response { status: 200, headers: Vec::new(), body: body.unwrap() }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let found = request.headers.iter().find(|(header, _)| *header == name);
    found.map(|(_, value)| value.as_str())
}

/// The call as a server reads it: its signature must be good for the shop's key.
fn claimed(request: &Request) -> call::Claimed {
    let received = call::Received {
        signature_input: header(request, "signature-input").into(),
        signature: header(request, "signature").into(),
        content_digest: header(request, "content-digest").into(),
        content_type: header(request, "content-type").into(),
        idempotency_key: header(request, "idempotency-key").into(),
    };
    let claimed = call::parse(&POS_CONNECT, &received).unwrap();
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let parts = CallParts {
        method: request.method,
        authority: AUTHORITY,
        path,
        query,
        body: &request.body,
        idempotency_key: header(request, "idempotency-key"),
    };
    claimed.verify(&parts, &key(SHOP).public()).unwrap();
    claimed
}

pub(super) fn signature_of(outgoing: &Outgoing) -> Signature {
    *claimed(&outgoing.request).signature()
}

fn sent(outgoing: &Outgoing, at_ms: u128) -> Sent {
    let request = &outgoing.request;
    let times = (!request.headers.is_empty()).then(|| claimed(request));
    Sent {
        target: request.target.clone(),
        body: request.body.to_vec(),
        idempotency_key: header(request, "idempotency-key").map(str::to_owned),
        created_s: times.map_or(0, |call| call.created().as_secs()),
        expires_s: times.map_or(0, |call| call.expires().as_secs()),
        signature: header(request, "signature").unwrap_or_default().to_owned(),
        attempt: outgoing.attempt,
        at_ms,
    }
}

/// An operation as the server tells it.
pub(super) fn operation(state: &str) -> Value {
    json!({
        "operation_id": "op_014d2pf2dbzzzzzzzzzzzzzzzz",
        "payment_id": "pay_014d2pf2dbzzzzzzzzzzzzzzzz",
        "order_id": "order-1",
        "idempotency_key": KEY,
        "operation": "sale",
        "state": state,
        "amount": 1200,
        "currency": "JPY",
        "contract_id": "con_014d2pf2dbzzzzzzzzzzzzzzzz",
        "institution": "sakura-card",
        "created_at_ms": BEGINNING.as_ms(),
        "a_field_of_a_newer_server": true,
    })
}

/// The same as the answer to a question by key.
pub(super) fn found(state: &str) -> Value {
    let mut body = operation(state);
    body["found"] = "operation".into();
    body
}

pub(super) fn nothing(server_time: Timestamp, gaps: Value) -> Value {
    let evidence = NotFoundEvidence { server_time_ms: server_time, gaps: Vec::new() };
    let mut body = serde_json::to_value(evidence).unwrap();
    body["found"] = "nothing".into();
    body["gaps"] = gaps;
    body
}

pub(super) fn problem(code: &str, retry: &str, retry_after_ms: Option<u64>) -> Value {
    let request_id = RequestId::fresh(BEGINNING, [3; 10]);
    json!({
        "code": code,
        "message": "no",
        "message_ja": "いいえ",
        "request_id": request_id,
        "retry": retry,
        "retry_after_ms": retry_after_ms,
    })
}

pub(super) fn state_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Operation(operation) => operation.state.wire(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn code_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(problem) => problem.code.as_str(),
        other => panic!("{other:?}"),
    }
}
