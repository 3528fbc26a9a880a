//! An answer as it came in, and why it may not be believed.

use pos_protocol::key::KeyId;
use pos_protocol::sign::answer::Received;
use pos_protocol::sign::{SignError, header};
use pos_protocol::succession::SuccessionError;
use pos_protocol::wire::KeyStatus;
use serde::Deserialize;

/// The header fields of an answer that are read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    ContentDigest,
    ContentType,
    Signature,
    SignatureInput,
}

impl Header {
    pub(crate) const ALL: [Self; 4] =
        [Self::ContentDigest, Self::ContentType, Self::Signature, Self::SignatureInput];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ContentDigest => header::CONTENT_DIGEST,
            Self::ContentType => header::CONTENT_TYPE,
            Self::Signature => header::SIGNATURE,
            Self::SignatureInput => header::SIGNATURE_INPUT,
        }
    }
}

/// An answer, nothing of it proved.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Every value of every field of [`Header::ALL`].
    pub(crate) headers: Vec<(Header, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(super) fn signature_fields(&self) -> Received<'_> {
        Received::read(|name| {
            let values = self.headers.iter().filter(move |(header, _)| header.name() == name);
            values.map(|(_, value)| value.as_slice())
        })
    }
}

/// What stands under an idempotency key, as [`KeyStatus`] itself would be read. That is, read from
/// the kind first and then from the text again: serde keeps the whole value aside instead, by code
/// that doubles each type within it, which a browser would have to download.
pub(crate) fn key_status(body: &[u8]) -> Result<KeyStatus, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Found {
        Operation,
        Refusal,
        Nothing,
    }
    #[derive(Deserialize)]
    struct Kind {
        found: Found,
    }
    Ok(match serde_json::from_slice::<Kind>(body)?.found {
        Found::Operation => KeyStatus::Operation(serde_json::from_slice(body)?),
        Found::Refusal => KeyStatus::Refusal(serde_json::from_slice(body)?),
        Found::Nothing => KeyStatus::Nothing(serde_json::from_slice(body)?),
    })
}

/// Why an answer was not believed. For a payment it counts as no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unverified {
    /// A signed answer about another operation than the one that was asked for.
    #[error("the answer is about another operation: its {field} differs")]
    OtherOperation {
        /// What differs.
        field: &'static str,
    },
    /// The server's answer keys could not be had.
    #[error("the server's answer keys could not be read (status {status})")]
    NoAnswerKeys {
        /// The HTTP status of that answer.
        status: u16,
    },
    /// It names another key than the pinned one, and no succession leads there.
    #[error("the answer is signed by key {key_id}, which does not follow the pinned one")]
    OtherKey {
        /// The key that it names.
        key_id: KeyId,
    },
    /// Not signed, wrongly signed, or altered on its way.
    #[error("the answer is not proved: {0}")]
    Signature(#[from] SignError),
    /// The answer keys do not follow one another from the pinned one.
    #[error("the server's answer key is not proved: {0}")]
    Succession(#[from] SuccessionError),
}
