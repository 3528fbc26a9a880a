//! Calls signed by the profile itself, without the connection module: whatever a test wants to bend
//! can be bent between the signature and the line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pos_protocol::Timestamp;
use pos_protocol::id::IdempotencyKey;
use pos_protocol::key::{PublicKey, Signature, SigningKey};
use pos_protocol::sign::call::{CallParts, Unsigned};
use pos_protocol::sign::{self, POS_CONNECT, answer};
use pos_protocol::wire::Problem;
use serde_json::Value;

use crate::error::BedError;
use crate::line::{Line, Place, Request, Response};

/// How long a call gives the server unless a test says otherwise.
const LIFE: Duration = Duration::from_secs(30);

/// The time of this machine.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Random octets of this machine.
///
/// # Panics
/// On a machine without any.
pub fn random<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).expect("the operating system has random octets");
    octets
}

/// A fresh idempotency key.
///
/// # Panics
/// On a machine without random octets.
pub fn fresh_key() -> IdempotencyKey {
    let text = pos_protocol::text::base64url(&random::<18>());
    text.parse().expect("24 characters of base64url are a key")
}

/// A fresh order id with a readable beginning.
///
/// # Panics
/// On a machine without random octets.
pub fn fresh_order(name: &str) -> pos_protocol::id::OrderId {
    let text = pos_protocol::text::base64url(&random::<9>());
    format!("{name}-{text}").parse().expect("a short name and base64url are an order id")
}

/// A fresh Ed25519 key.
///
/// # Panics
/// On a machine without random octets.
pub fn fresh_signing_key() -> SigningKey {
    SigningKey::from_seed(&random())
}

/// Who calls, and whose answers count.
#[derive(Debug)]
pub struct Caller {
    /// The name that calls are signed for.
    pub authority: String,
    /// Signs calls.
    pub key: SigningKey,
    /// Must have signed the answers.
    pub answer_key: PublicKey,
}

/// A call before it is signed.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The method.
    pub method: String,
    /// The path as in the request line.
    pub path: String,
    /// The query without `?`.
    pub query: String,
    /// The body's octets.
    pub body: Vec<u8>,
    /// The value of `Idempotency-Key`.
    pub key: Option<String>,
    /// When it is signed.
    pub created: Timestamp,
    /// From then to `expires`.
    pub life: Duration,
}

impl Draft {
    /// A read.
    pub fn get(path: impl Into<String>) -> Self {
        let path = path.into();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        Self {
            method: "GET".into(),
            path: path.into(),
            query: query.into(),
            body: Vec::new(),
            key: None,
            created: now(),
            life: LIFE,
        }
    }

    /// A call with a body; without idempotency key until it gets one.
    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        Self { method: "POST".into(), body: body.to_string().into_bytes(), ..Self::get(path) }
    }

    /// Under this key.
    #[must_use]
    pub fn keyed(self, key: impl ToString) -> Self {
        Self { key: Some(key.to_string()), ..self }
    }

    /// With these octets in place of the body.
    #[must_use]
    pub fn octets(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }
}

/// A signed call. What is bent here is no longer what was signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// As it will go on the line.
    pub request: Request,
    /// Its signature, which the answer is bound to.
    pub signature: Signature,
}

impl Caller {
    /// Signs a call.
    ///
    /// # Panics
    /// For a call that the profile cannot express; a test bends what was signed instead.
    pub fn sign(&self, draft: &Draft) -> Signed {
        let parts = CallParts {
            method: &draft.method,
            authority: &self.authority,
            path: &draft.path,
            query: &draft.query,
            body: &draft.body,
            idempotency_key: draft.key.as_deref(),
        };
        let expires = draft.created.plus(draft.life);
        let key_id = self.key.public().id();
        let unsigned = Unsigned::new(&POS_CONNECT, &parts, draft.created, expires, key_id)
            .expect("the draft can be signed");
        let signature = self.key.sign(unsigned.base());
        let signed = unsigned.into_headers(&signature);
        let mut headers = vec![
            (sign::header::SIGNATURE_INPUT.into(), signed.signature_input),
            (sign::header::SIGNATURE.into(), signed.signature),
        ];
        if let Some(digest) = signed.content_digest {
            headers.push((sign::header::CONTENT_DIGEST.into(), digest));
            headers.push((sign::header::CONTENT_TYPE.into(), sign::CONTENT_TYPE.into()));
        }
        if let Some(key) = &draft.key {
            headers.push((sign::header::IDEMPOTENCY_KEY.into(), key.clone()));
        }
        let query = if draft.query.is_empty() { "" } else { "?" };
        let target = format!("{}{query}{}", draft.path, draft.query);
        let request =
            Request { method: draft.method.clone(), target, headers, body: draft.body.clone() };
        Signed { request, signature }
    }

    /// Signs and sends a call on a connection of its own.
    ///
    /// # Errors
    /// [`BedError::Line`].
    pub async fn call(&self, place: &Place, draft: &Draft) -> Result<Answer, BedError> {
        self.send(place, &self.sign(draft)).await
    }

    /// Sends what was signed, bent or not.
    ///
    /// # Errors
    /// [`BedError::Line`].
    pub async fn send(&self, place: &Place, signed: &Signed) -> Result<Answer, BedError> {
        Ok(self.judge(signed, place.send(&signed.request).await?))
    }

    /// The same on a connection that is open already.
    ///
    /// # Errors
    /// [`BedError::Line`].
    pub async fn call_on(&self, line: &mut Line, draft: &Draft) -> Result<Answer, BedError> {
        let signed = self.sign(draft);
        let response = line.send(&signed.request).await?;
        Ok(self.judge(&signed, response))
    }

    fn judge(&self, signed: &Signed, response: Response) -> Answer {
        let received = answer::Received::read(|name| {
            response.headers.get_all(name).iter().map(|value| value.as_bytes())
        });
        let verified = answer::verify(
            &POS_CONNECT,
            &received,
            response.status,
            &response.body,
            &signed.signature,
            &self.answer_key,
        );
        let verified = verified.map_err(|cause| cause.to_string());
        Answer { status: response.status, body: response.body, verified }
    }
}

/// An answer, and whether it was signed as the profile demands.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body's octets.
    pub body: Vec<u8>,
    /// The server's time, or why the answer must not be believed.
    pub verified: Result<Timestamp, String>,
}

impl Answer {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as a refusal.
    ///
    /// # Errors
    /// [`BedError::Answer`] when it is none.
    pub fn problem(&self) -> Result<Problem, BedError> {
        serde_json::from_slice(&self.body).map_err(BedError::answer("a refusal"))
    }
}

/// Checks that a call was refused as the shop's own mistake is: by this status, code and field, with a
/// sentence in two languages and a request id, under the server's signature.
///
/// # Panics
/// When anything of it is otherwise.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, code: &str, field: Option<&str>) {
    let text = String::from_utf8_lossy(&answer.body);
    assert!(answer.verified.is_ok(), "{:?}: {text}", answer.verified);
    let problem = answer.problem().unwrap_or_else(|cause| panic!("{cause}: {text}"));
    assert_eq!((answer.status, problem.code.as_str()), (status, code), "{text}");
    assert_eq!(problem.field.as_deref(), field, "{text}");
    assert!(problem.message.len() > 15 && problem.message.ends_with('.'), "{text}");
    assert!(!problem.message_ja.is_ascii(), "{text}");
    assert!(problem.request_id.to_string().starts_with("req_"), "{text}");
}
