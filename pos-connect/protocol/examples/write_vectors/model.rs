//! The shape of `signatures.json`.

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Signatures {
    pub(crate) about: String,
    pub(crate) keys: Vec<Key>,
    pub(crate) calls: Vec<CallVector>,
    pub(crate) answers: Vec<AnswerVector>,
    pub(crate) received_calls: Vec<ReceivedCall>,
    pub(crate) received_answers: Vec<ReceivedAnswer>,
}

/// A key by its name in this file.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// Its private seed, 32 octets in base64url.
    pub(crate) seed: String,
    /// The member `x` of its JWK.
    pub(crate) x: String,
    /// Its id.
    pub(crate) id: String,
}

/// A call as the signer makes it: inputs, then the base and the header fields that must come out.
#[derive(Serialize, Deserialize)]
pub(crate) struct CallVector {
    pub(crate) name: String,
    pub(crate) profile: String,
    pub(crate) key: String,
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) created_s: u64,
    pub(crate) expires_s: u64,
    pub(crate) base: String,
    pub(crate) signature_input: String,
    pub(crate) signature: String,
    pub(crate) content_digest: Option<String>,
}

/// An answer as the server makes it.
#[derive(Serialize, Deserialize)]
pub(crate) struct AnswerVector {
    pub(crate) name: String,
    pub(crate) profile: String,
    pub(crate) key: String,
    /// The vector of the call that is answered.
    pub(crate) call: String,
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) created_s: u64,
    pub(crate) base: String,
    pub(crate) signature_input: String,
    pub(crate) signature: String,
    pub(crate) content_digest: String,
}

/// One header field, name in lower case.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Header(pub(crate) String, pub(crate) String);

/// A call as a receiver sees it, and what it must make of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ReceivedCall {
    pub(crate) name: String,
    pub(crate) why: String,
    pub(crate) profile: String,
    /// The key under the `keyid` in the receiver's records.
    pub(crate) key: String,
    pub(crate) now_ms: u64,
    pub(crate) method: String,
    /// The receiver's own configured name.
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: String,
    /// Whether the signature is a good one by RFC 9421 alone, so that only the profile refuses it.
    pub(crate) is_rfc9421: bool,
    /// The time left to work, where the call is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) work_ms: Option<u64>,
    /// The error, where it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The code on the wire of that error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

/// An answer as the module sees it, and what it must make of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ReceivedAnswer {
    pub(crate) name: String,
    pub(crate) why: String,
    pub(crate) profile: String,
    pub(crate) key: String,
    /// The signature of the call that was sent, base64.
    pub(crate) call_signature: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: String,
    /// The server's time, where the answer is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_s: Option<u64>,
    /// The error, where it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}
