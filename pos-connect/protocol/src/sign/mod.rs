//! The signing profile: how a call and its answer are proved (RFC 9421, RFC 9530).
//!
//! One fixed profile, so that there is nothing to negotiate and nothing to forget: which parts of a
//! message are covered, in which order, with which parameters, is decided here and an exact match
//! is demanded. `docs/PROTOCOL.md` says the same for writers of other languages, and
//! `tests/vectors/signatures.json` holds the bytes.
//!
//! Nothing here holds a private key. [`call::Unsigned`] and [`answer::Unsigned`] give the octets to
//! sign and take the signature back, so that a browser may sign in WebCrypto and a server with
//! whatever library it has. [`call::parse`] and [`answer::parse`] read what was received, before
//! the key is looked up and before the body is read.

pub mod answer;
mod base;
pub mod call;
mod digest;
mod error;
mod fields;
mod params;
mod received;

pub use digest::content_digest;
pub use error::{InvalidPart, SignError};
pub use fields::length_prefixed;
pub use received::Field;

/// The `Content-Type` of every body, exactly so and without parameters.
pub const CONTENT_TYPE: &str = "application/json";

/// The fields that the profile reads and writes, as lower-case names.
pub mod header {
    /// Carries the covered components and the parameters (RFC 9421 section 4.1).
    pub const SIGNATURE_INPUT: &str = "signature-input";
    /// Carries the signature (RFC 9421 section 4.2).
    pub const SIGNATURE: &str = "signature";
    /// Carries the SHA-256 of the body (RFC 9530 section 2).
    pub const CONTENT_DIGEST: &str = "content-digest";
    /// Carries [`CONTENT_TYPE`](super::CONTENT_TYPE) wherever there is a body.
    pub const CONTENT_TYPE: &str = "content-type";
    /// Names a mutation for as long as its effect is kept.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
}

/// What keeps signatures of one use from being taken for another's: labels and tags.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// Label of a call's signature in `Signature-Input` and `Signature`.
    pub label: &'static str,
    /// `tag` parameter of a call's signature.
    pub tag: &'static str,
    /// Label of an answer's signature.
    pub answer_label: &'static str,
    /// `tag` parameter of an answer's signature.
    pub answer_tag: &'static str,
}

/// Shops' calls to the operator's server, and its answers.
pub const POS_CONNECT: Profile = Profile {
    label: "pos",
    tag: "pos-connect/1",
    answer_label: "pos-answer",
    answer_tag: "pos-connect/1-answer",
};

/// The server's calls to an institution that speaks this project's institution protocol, and the
/// institution's answers.
pub const POS_INSTITUTION: Profile = Profile {
    label: "pos",
    tag: "pos-institution/1",
    answer_label: "pos-answer",
    answer_tag: "pos-institution/1-answer",
};
