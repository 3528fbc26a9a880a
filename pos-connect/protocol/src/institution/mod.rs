//! The institution protocol, version 1: what the operator's server says to an institution and what
//! it hears back (`docs/INSTITUTION.md`).
//!
//! Bodies are JSON. [`parse`] reads one and checks it whole, and [`to_json`] writes one; no type
//! of this module can hold what the protocol forbids. Requests with members that are not known
//! are refused; answers may have more, because an institution may be newer than the server.
//!
//! Calls and answers are signed by the profile
//! [`POS_INSTITUTION`](crate::sign::POS_INSTITUTION). On [`OPERATIONS`] and [`REVERSALS`] the
//! `Idempotency-Key` is the body's operation id; the other calls have none.

mod answer;
mod check;
mod error;
mod info;
mod operation;
mod reversal;
mod text;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::code::ErrorCode;
use crate::id::OperationId;
use crate::seal::{MAX_KEY_SET_OCTETS, SealKeySet, SignedSealKeySet};
use crate::wire::{ReadError, read_body};

pub use answer::{Echo, EchoMismatch, OperationAnswer, Outcome, OutcomeState};
pub use check::{CheckAnswer, CheckRequest, CheckState};
pub use error::{InstitutionCode, InstitutionError, InstitutionWireCode};
pub use info::{Capabilities, CurrencyLimits, InstitutionInfo, Names};
pub use operation::{Movement, OperationRequest, PayerInstruction};
pub use reversal::{ReversalAnswer, ReversalRequest, ReversalState};
pub use text::{InvalidPlainText, PlainText};

/// The protocol's name, as [`InstitutionInfo`] says it; also the tag of a call's signature.
pub const PROTOCOL: &str = "pos-institution/1";

/// `GET`: who the institution is and what it can do.
pub const INSTITUTION: &str = "/v1/institution";

/// `GET`: its signed seal key set.
pub const SEAL_KEYS: &str = "/v1/seal-keys";

/// `POST`: a money movement.
pub const OPERATIONS: &str = "/v1/operations";

/// `POST`: undo a sale or authorise whose outcome must not stand.
pub const REVERSALS: &str = "/v1/reversals";

/// `POST`: would this be paid?
pub const CHECKS: &str = "/v1/checks";

/// `GET`: what became of an operation.
pub fn operation_path(id: OperationId) -> String {
    format!("{OPERATIONS}/{id}")
}

/// Octets that a request's body may have.
pub const MAX_REQUEST_OCTETS: usize = 16 * 1024;

/// Octets that an answer's body may have.
pub const MAX_ANSWER_OCTETS: usize = 64 * 1024;

/// Why a body is not what the protocol says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBody {
    /// One member is missing, unknown, doubled, of a wrong type, out of range, or contradicts the
    /// others.
    #[error("`{field}`: {message}")]
    Field {
        /// The member, with dots into its depths; empty where the whole body is meant.
        field: String,
        /// What is wrong, as a sentence.
        message: String,
    },
    /// It is no JSON, or there is more behind it.
    #[error("the body must be one JSON object: {message}")]
    Json {
        /// What the parser met.
        message: String,
    },
    /// It is longer than its kind may be.
    #[error("the body has {found} octets, more than {most}")]
    TooLarge {
        /// Octets received.
        found: usize,
        /// Octets allowed.
        most: usize,
    },
}

/// One member of a body contradicts the rules; turned into [`InvalidBody::Field`] by [`parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction {
    field: &'static str,
    rule: &'static str,
}

fn contradiction<T>(field: &'static str, rule: &'static str) -> Result<T, Contradiction> {
    Err(Contradiction { field, rule })
}

/// A body of the protocol. Sealed: the bodies are the ones of this module.
pub trait Body: private::Json {}

impl<T: private::Json> Body for T {}

mod private {
    use super::{Contradiction, DeserializeOwned, Serialize};

    /// How a body's checked form and its JSON members relate.
    pub trait Json: Sized {
        /// The members, before they are checked against each other.
        type Members: Serialize + DeserializeOwned;

        /// Octets that the body may have.
        const MOST_OCTETS: usize;

        /// Checks the members against each other.
        fn from_members(members: Self::Members) -> Result<Self, Contradiction>;

        /// The members that say this.
        fn to_members(&self) -> Self::Members;
    }
}

/// Bodies whose members need no check against each other are their own members.
macro_rules! plain_body {
    ($name:ty, $most:expr, |$body:ident| $check:expr) => {
        impl $crate::institution::private::Json for $name {
            type Members = Self;

            const MOST_OCTETS: usize = $most;

            fn from_members($body: Self) -> Result<Self, $crate::institution::Contradiction> {
                $check?;
                Ok($body)
            }

            fn to_members(&self) -> Self {
                self.clone()
            }
        }
    };
}

use plain_body;

plain_body!(SignedSealKeySet, MAX_ANSWER_OCTETS, |body| match body.payload() {
    Some(_) => Ok(()),
    None => contradiction("payload", "must be 1 to 16384 octets in base64url without padding"),
});
plain_body!(SealKeySet, MAX_KEY_SET_OCTETS, |body| if body.keys_are_sound() {
    Ok(())
} else {
    contradiction("keys", "must hold 1 to 16 different keys under their own thumbprints")
});

/// Reads a body and checks it whole.
///
/// # Errors
/// [`InvalidBody`]. An institution answers it with `invalid_json`, `invalid_field` or
/// `body_too_large`; to the server an answer that does not parse leaves the operation unknown.
pub fn parse<T: Body>(octets: &[u8]) -> Result<T, InvalidBody> {
    if octets.len() > T::MOST_OCTETS {
        return Err(InvalidBody::TooLarge { found: octets.len(), most: T::MOST_OCTETS });
    }
    // A member that is ignored is not looked at: two readers could part over whether it is a text.
    if std::str::from_utf8(octets).is_err() {
        return Err(InvalidBody::Json { message: "it is not UTF-8".into() });
    }
    // Serde would also take a list of the members in their order; the protocol has objects only.
    if octets.trim_ascii_start().first() != Some(&b'{') {
        return Err(InvalidBody::Json { message: "it does not begin with a brace".into() });
    }
    let members = read_body(octets).map_err(|ReadError { code, field, message }| match code {
        ErrorCode::InvalidField => InvalidBody::Field { field: field.unwrap_or_default(), message },
        _ => InvalidBody::Json { message },
    })?;
    T::from_members(members).map_err(|Contradiction { field, rule }| InvalidBody::Field {
        field: field.into(),
        message: rule.into(),
    })
}

/// Writes a body: compact, members in the order of `docs/INSTITUTION.md`.
pub fn to_json<T: Body>(body: &T) -> Vec<u8> {
    serde_json::to_vec(&body.to_members()).expect("texts, numbers and lists have a JSON form")
}

#[cfg(test)]
mod tests;
