//! A call, and how it is signed.

use std::fmt;
use std::sync::Arc;

use pos_protocol::Timestamp;
use pos_protocol::id::{IdempotencyKey, OrderId, PaymentId};
use pos_protocol::key::Signature;
use pos_protocol::money::Money;
use pos_protocol::sign::call::{CallParts, Unsigned};
use pos_protocol::sign::{self, POS_CONNECT, header};
use pos_protocol::wire::{OperationView, route};
use sha2::{Digest as _, Sha256};

use super::Unverified;
use crate::crypto::Signer;
use crate::env::EnvironmentError;
use crate::journal::Digest;

/// What it takes to make a call, whoever signs it and when.
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// Without `?`.
    pub(crate) query: String,
    /// JSON, or nothing.
    pub(crate) body: Vec<u8>,
    pub(crate) effect: Effect,
}

/// What doing it twice would mean.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Nothing.
    Read,
    /// The same as doing it once: the server answers a repeat as it answered the first.
    Repeatable(Option<IdempotencyKey>),
    /// Money may move; the outcome is found out and never assumed.
    Money(Expected),
}

/// What the operation in an answer must say of itself.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) key: IdempotencyKey,
    /// By its name on the wire.
    pub(crate) operation: String,
    /// A void takes no amount.
    pub(crate) money: Option<Money>,
    pub(crate) order_id: Option<OrderId>,
    pub(crate) payment_id: Option<PaymentId>,
}

/// What an exchange is about.
#[derive(Debug)]
pub(super) enum Subject {
    /// A call to be made.
    Call(Call),
    /// A call of an earlier life. There is nothing here that could be sent: it is only asked about.
    Open(Expected),
}

impl Subject {
    /// What the operation must say of itself, where money may move.
    pub(super) fn expected(&self) -> Option<&Expected> {
        match self {
            Self::Call(Call { effect: Effect::Money(expected), .. }) | Self::Open(expected) => {
                Some(expected)
            }
            Self::Call(_) => None,
        }
    }
}

/// A message ready to be sent.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Path, with `?` and query where there is one.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Shared with every attempt.
    pub(crate) body: Arc<[u8]>,
}

impl fmt::Debug for Call {
    /// Leaves the body out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    /// Leaves the body out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Request {
    /// A read that needs no proof.
    pub(crate) fn unsigned_get(path: &str) -> Self {
        Self { method: "GET", target: path.to_owned(), headers: Vec::new(), body: Arc::default() }
    }
}

impl Expected {
    /// What became of it?
    pub(super) fn question(&self) -> Call {
        Call::get(route::OPERATION.replace("{idempotency_key}", self.key.as_str()))
    }

    /// What an operation says that does not fit.
    pub(crate) fn mismatch(&self, operation: &OperationView) -> Option<Unverified> {
        let differs = |field| Some(Unverified::OtherOperation { field });
        if operation.idempotency_key != self.key {
            return differs("idempotency_key");
        }
        if operation.operation.as_str() != self.operation {
            return differs("operation");
        }
        if self.money.is_some_and(|money| money.amount != operation.amount) {
            return differs("amount");
        }
        if self.money.is_some_and(|money| money.currency != operation.currency) {
            return differs("currency");
        }
        if self.order_id.as_ref().is_some_and(|order| *order != operation.order_id) {
            return differs("order_id");
        }
        if self.payment_id.is_some_and(|payment| payment != operation.payment_id) {
            return differs("payment_id");
        }
        None
    }
}

impl Call {
    /// A read.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            query: String::new(),
            body: Vec::new(),
            effect: Effect::Read,
        }
    }

    /// A call with a body.
    pub(crate) fn post(path: impl Into<String>, body: Vec<u8>, effect: Effect) -> Self {
        Self { method: "POST", path: path.into(), query: String::new(), body, effect }
    }

    /// The idempotency key that it is sent with.
    pub(crate) fn key(&self) -> Option<&IdempotencyKey> {
        match &self.effect {
            Effect::Read => None,
            Effect::Repeatable(key) => key.as_ref(),
            Effect::Money(expected) => Some(&expected.key),
        }
    }

    /// What the journal knows the call by: SHA-256 over path, a line feed, and body.
    pub(crate) fn digest(&self) -> Digest {
        let hash = Sha256::new().chain_update(&self.path).chain_update("\n");
        Digest(hash.chain_update(&self.body).finalize().into())
    }

    /// The message with its headers, and the signature that its answer is bound to.
    pub(super) async fn sign(
        &self,
        authority: &str,
        signer: &Signer,
        created: Timestamp,
        expires: Timestamp,
    ) -> Result<(Request, Signature), EnvironmentError> {
        let key = self.key().map(IdempotencyKey::as_str);
        let parts = CallParts {
            method: self.method,
            authority,
            path: &self.path,
            query: &self.query,
            body: &self.body,
            idempotency_key: key,
        };
        let unsigned = Unsigned::new(&POS_CONNECT, &parts, created, expires, signer.public().id())
            .expect("routes, ids and a checked authority can stand in a call of 1 to 60 s");
        let signature = signer.sign(unsigned.base()).await?;
        let signed = unsigned.into_headers(&signature);
        let mut headers = vec![
            (header::SIGNATURE_INPUT, signed.signature_input),
            (header::SIGNATURE, signed.signature),
        ];
        if let Some(digest) = signed.content_digest {
            headers.push((header::CONTENT_DIGEST, digest));
            headers.push((header::CONTENT_TYPE, sign::CONTENT_TYPE.to_owned()));
        }
        if let Some(key) = key {
            headers.push((header::IDEMPOTENCY_KEY, key.to_owned()));
        }
        let mut target = self.path.clone();
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&self.query);
        }
        let body = self.body.as_slice().into();
        Ok((Request { method: self.method, target, headers, body }, signature))
    }
}
