//! A server of a few lines that speaks HTTP/1.1 on a real socket, verifies what it gets and signs
//! what it says. What it says is each test's own.

#![allow(dead_code, reason = "each test file is a program of its own and uses a part of this")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pos_connect::env::{Environment, EnvironmentError, System, Task};
use pos_connect::protocol::key::{KeyId, PublicKey, Signature, SigningKey};
use pos_connect::protocol::seal::{SealKey, SealKeySet, SealSecretKey};
use pos_connect::protocol::sign::call::{self, CallParts};
use pos_connect::protocol::sign::{POS_CONNECT, answer};
use pos_connect::protocol::succession::{Fingerprint, Statement};
use pos_connect::protocol::wire::{AnswerKeys, route};
use pos_connect::{Config, Envelope, Instrument, Money, Order, SignedSealKeySet, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The shop whose keys the tests hold.
pub(crate) const SHOP: &str = "shp_014d2pf2dbzzzzzzzzzzzzzzzz";

pub(crate) type Spoken = Box<dyn Fn(&Heard) -> Reply + Send + Sync>;

/// The system's, but nobody waits: a sleep only moves the clock by which waits are measured.
#[derive(Default)]
pub(crate) struct Hurried(AtomicU64);

impl Environment for Hurried {
    fn now(&self) -> Result<Timestamp, EnvironmentError> {
        System.now()
    }

    fn uptime(&self) -> Duration {
        System.uptime() + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn fill(&self, octets: &mut [u8]) -> Result<(), EnvironmentError> {
        System.fill(octets)
    }

    fn sleep(&self, span: Duration) -> Task<'_, ()> {
        self.0.fetch_add(u64::try_from(span.as_millis()).unwrap() + 1, Ordering::SeqCst);
        Box::pin(async {})
    }
}

/// A call as it came in, its signature verified.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) idempotency_key: Option<String>,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server does with a call.
pub(crate) enum Reply {
    /// Answers, signed.
    Says(u16, Value),
    /// Answers with these octets of HTTP.
    Raw(Vec<u8>),
    /// Ends the connection without a word.
    HangUp,
    /// Never answers.
    Silence,
}

/// What the server is at the moment; tests change it.
pub(crate) struct State {
    /// Its answer keys, oldest first; the last signs.
    pub(crate) answer_keys: Vec<u8>,
    pub(crate) known_keys: HashMap<KeyId, PublicKey>,
    pub(crate) heard: Vec<Heard>,
    /// Ahead of the machine's clock by this much.
    pub(crate) ahead_ms: i64,
    /// How many were accepted, of TCP or of TLS.
    pub(crate) connections: usize,
}

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) async fn start(spoken: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let authority = url.strip_prefix("http://").unwrap().to_owned();
        let server = Self { url, state: Arc::default() };
        let speaker = Arc::new(Speaker {
            state: Arc::clone(&server.state),
            authority,
            spoken: Box::new(spoken),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&speaker).serve(stream));
            }
        });
        server
    }

    /// The same over TLS, by the name `localhost`.
    pub(crate) async fn start_tls(
        acceptor: tokio_rustls::TlsAcceptor,
        spoken: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
        let server = Self { url: format!("https://{authority}"), state: Arc::default() };
        let speaker = Arc::new(Speaker {
            state: Arc::clone(&server.state),
            authority,
            spoken: Box::new(spoken),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, speaker) = (acceptor.clone(), Arc::clone(&speaker));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        speaker.serve(stream).await;
                    }
                });
            }
        });
        server
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(&self.url).unwrap()
    }

    /// The pin of its first answer key.
    pub(crate) fn pin(&self) -> Fingerprint {
        Fingerprint::of(&key(self.state.lock().unwrap().answer_keys[0]).public())
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.state.lock().unwrap().heard.clone()
    }

    /// What was asked of it, in order, without the requests for its answer keys.
    pub(crate) fn targets(&self) -> Vec<String> {
        let heard = self.heard().into_iter().map(|heard| heard.target);
        heard.filter(|target| target != route::ANSWER_KEYS).collect()
    }

    pub(crate) fn know(&self, key: &PublicKey) {
        self.state.lock().unwrap().known_keys.insert(key.id(), *key);
    }

    pub(crate) fn forget_all_keys(&self) {
        self.state.lock().unwrap().known_keys.clear();
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            answer_keys: vec![11],
            known_keys: HashMap::new(),
            heard: Vec::new(),
            ahead_ms: 0,
            connections: 0,
        }
    }
}

struct Speaker {
    state: Arc<Mutex<State>>,
    authority: String,
    spoken: Spoken,
}

impl Speaker {
    async fn serve(self: Arc<Self>, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        self.state.lock().unwrap().connections += 1;
        let mut received = Vec::new();
        loop {
            let Some(call) = read_message(&mut stream, &mut received).await else { return };
            match self.answer(call) {
                Some(octets) => {
                    if stream.write_all(&octets).await.is_err() {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    /// The octets to send; `None` to hang up.
    fn answer(&self, mut call: Heard) -> Option<Vec<u8>> {
        if call.target == route::ANSWER_KEYS {
            self.state.lock().unwrap().heard.push(call);
            return Some(http(200, &[], &serde_json::to_vec(&self.answer_keys()).unwrap()));
        }
        let (signature, refusal) = self.check(&mut call);
        self.state.lock().unwrap().heard.push(call.clone());
        let reply = refusal.unwrap_or_else(|| (self.spoken)(&call));
        match reply {
            Reply::Says(status, body) => Some(self.signed(status, &body, &signature)),
            Reply::Raw(octets) => Some(octets),
            Reply::HangUp => None,
            Reply::Silence => Some(Vec::new()),
        }
    }

    fn answer_keys(&self) -> AnswerKeys {
        let keys = self.state.lock().unwrap().answer_keys.clone();
        let statements = keys.windows(2).map(|pair| {
            Statement::sign(&key(pair[0]), key(pair[1]).public(), Timestamp::from_secs(1))
        });
        AnswerKeys {
            current: key(*keys.last().unwrap()).public(),
            statements: statements.collect(),
        }
    }

    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let now = Timestamp::default().plus(now);
        Timestamp::from_ms(now.as_ms().saturating_add_signed(self.state.lock().unwrap().ahead_ms))
    }

    /// Verifies as the real one does.
    fn check(&self, heard: &mut Heard) -> (Signature, Option<Reply>) {
        let field = |name: &str| heard.header(name);
        let received = call::Received {
            signature_input: field("signature-input").into(),
            signature: field("signature").into(),
            content_digest: field("content-digest").into(),
            content_type: field("content-type").into(),
            idempotency_key: field("idempotency-key").into(),
        };
        let claimed = call::parse(&POS_CONNECT, &received).unwrap();
        let signature = *claimed.signature();
        if claimed.check_fresh(self.now()).is_err() {
            let stale = problem("signature_stale", "same_key");
            return (signature, Some(Reply::Says(401, stale)));
        }
        let is_unproven = matches!(heard.target.as_str(), route::REGISTRATIONS | route::SESSIONS);
        let public = if is_unproven {
            serde_json::from_value(heard.json()["key"].clone()).ok()
        } else {
            self.state.lock().unwrap().known_keys.get(&claimed.key_id()).copied()
        };
        let Some(public) = public else {
            return (signature, Some(Reply::Says(401, problem("key_unknown", "never"))));
        };
        let (path, query) = heard.target.split_once('?').unwrap_or((&heard.target, ""));
        let parts = CallParts {
            method: &heard.method,
            authority: &self.authority,
            path,
            query,
            body: &heard.body,
            idempotency_key: heard.header("idempotency-key"),
        };
        claimed.verify(&parts, &public).unwrap();
        heard.idempotency_key = heard.header("idempotency-key").map(str::to_owned);
        heard.key_id = Some(claimed.key_id());
        (signature, None)
    }

    fn signed(&self, status: u16, body: &Value, call: &Signature) -> Vec<u8> {
        let body = serde_json::to_vec(body).unwrap();
        let key = key(*self.state.lock().unwrap().answer_keys.last().unwrap());
        let id = key.public().id();
        let unsigned = answer::Unsigned::new(&POS_CONNECT, status, &body, call, self.now(), id);
        let signature = key.sign(unsigned.base());
        let fields = unsigned.into_headers(&signature);
        let headers = [
            ("content-digest", fields.content_digest.as_str()),
            ("signature", fields.signature.as_str()),
            ("signature-input", fields.signature_input.as_str()),
        ];
        http(status, &headers, &body)
    }
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// A message of HTTP as a server sends it.
pub(crate) fn http(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [text.as_bytes(), body].concat()
}

async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut Vec<u8>,
) -> Option<Heard> {
    let head_end = loop {
        if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, received).await?;
    };
    let head = String::from_utf8(received[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut request = lines.next()?.split(' ');
    let (method, target) = (request.next()?.to_owned(), request.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    while received.len() < head_end + length {
        more(stream, received).await?;
    }
    let body = received[head_end..head_end + length].to_vec();
    received.drain(..head_end + length);
    Some(Heard { method, target, headers, body, key_id: None, idempotency_key: None })
}

async fn more(stream: &mut (impl AsyncRead + Unpin), received: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    let length = stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
    received.extend_from_slice(&piece[..length]);
    Some(())
}

pub(crate) fn problem(code: &str, retry: &str) -> Value {
    json!({
        "code": code,
        "message": "no",
        "message_ja": "いいえ",
        "request_id": "req_014d2pf2dbzzzzzzzzzzzzzzzz",
        "retry": retry,
    })
}

/// The operation that a call for it would make.
pub(crate) fn operation(call: &Heard, state: &str) -> Value {
    let body = call.json();
    let movement = match call.target.rsplit('/').next() {
        Some("captures") => "capture",
        Some("voids") => "void",
        _ => "refund",
    };
    json!({
        "operation_id": "op_014d2pf2dbzzzzzzzzzzzzzzzz",
        "payment_id": "pay_014d2pf2dbzzzzzzzzzzzzzzzz",
        "order_id": body["order_id"].as_str().unwrap_or("order-1"),
        "idempotency_key": call.idempotency_key,
        "operation": body["operation"].as_str().unwrap_or(movement),
        "state": state,
        "amount": body["amount"].as_u64().unwrap_or(1_200),
        "currency": body["currency"].as_str().unwrap_or("JPY"),
        "contract_id": "con_014d2pf2dbzzzzzzzzzzzzzzzz",
        "institution": "sakura-card",
        "created_at_ms": 1_795_132_800_000_u64,
    })
}

/// An institution's seal keys, as its root has signed them.
pub(crate) fn seal_keys(root: u8, version: u64) -> SignedSealKeySet {
    let end = Timestamp::from_secs(4_000_000_000);
    let secret = SealSecretKey::from_octets(&[21; 32]);
    let set = SealKeySet {
        institution: "sakura-card".parse().unwrap(),
        version,
        not_after_ms: end,
        keys: vec![SealKey::new(secret.public(), end)],
    };
    set.sign(&key(root))
}

/// A contract of that institution.
pub(crate) fn contract(root: u8) -> Value {
    json!({
        "contract_id": "con_014d2pf2dbzzzzzzzzzzzzzzzz",
        "pos_id": "pos_014d2pf2dbzzzzzzzzzzzzzzzz",
        "institution": "sakura-card",
        "institution_name": "Sakura Card",
        "institution_name_ja": "さくらカード",
        "seal_root": key(root).public(),
        "contract_number": "4980012345",
        "methods": ["card:visa"],
        "currencies": [{ "currency": "JPY", "least": 1, "most": 1_000_000 }],
        "operations": ["sale"],
        "can_check": true,
    })
}

pub(crate) fn envelope(order_id: &str) -> Envelope {
    let card =
        r#"{"type":"card","number":"4111111111111111","expiry_year":2030,"expiry_month":12}"#;
    let card = Instrument::from_json(card.as_bytes()).unwrap();
    let binding = pos_connect::Binding {
        institution: "sakura-card".parse().unwrap(),
        contract_number: "4980012345".parse().unwrap(),
        operation: pos_connect::SealedOperation::Sale,
        order_id: order_id.parse().unwrap(),
        money: money(),
    };
    pos_connect::seal(&card, &binding, &seal_keys(31, 1), &key(31).public()).unwrap()
}

pub(crate) fn money() -> Money {
    Money::new(1_200, pos_connect::Currency::JPY).unwrap()
}

pub(crate) fn order(order_id: &str) -> Order {
    let contract_id = "con_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap();
    Order::new(contract_id, order_id.parse().unwrap(), money(), envelope(order_id))
}
