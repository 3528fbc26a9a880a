//! Why a signature was refused.

/// Why a received call or answer is not believed.
///
/// The receiver of a *call* answers with the code that each variant names. The receiver of an
/// *answer* treats all of them alike: the answer was never given, and a mutation is *unknown*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The covered components are not exactly those of the profile for this message: one is
    /// missing, added, doubled or out of order, or a body or idempotency key came uncovered.
    /// Code `signature_invalid`.
    #[error(
        "the covered components must be exactly those of the profile, in its order, with the body \
         and the idempotency key covered where they are present"
    )]
    Components,
    /// The `Content-Type` of a body is not `application/json`. Code `signature_invalid`.
    #[error("the content-type of a body must be exactly `application/json`")]
    ContentType,
    /// The digest in `Content-Digest` is not that of the received body. Code `digest_mismatch`.
    #[error("the content-digest is not the SHA-256 of the received body")]
    DigestMismatch,
    /// A field that the profile reads occurs more than once. Code `signature_invalid`.
    #[error("the field `{field}` must occur once")]
    Doubled {
        /// The field, in lower case.
        field: &'static str,
    },
    /// `expires` is past. Sign afresh. Code `signature_stale`.
    #[error("the signature has expired")]
    Expired,
    /// `created` is more than 10 s ahead: the caller's clock is fast. Code `signature_stale`.
    #[error("the signature was created more than 10 s in the future: check the clock")]
    Future,
    /// The key offered for verifying is not the one that `keyid` names. Code `signature_invalid`.
    #[error("the keyid does not name the key that the signature is checked with")]
    KeyId,
    /// The field does not carry exactly one signature under the profile's label. Code
    /// `signature_invalid`.
    #[error("the field `{field}` must carry one signature, under the label of the profile")]
    Label {
        /// The field, in lower case.
        field: &'static str,
    },
    /// `expires` is not after `created`, or more than 60 s after it. Code `signature_invalid`.
    #[error("`expires` must be 1 to 60 s after `created`")]
    Lifetime,
    /// A field or component is not written as the profile writes it. Code `signature_invalid`.
    #[error("`{field}` is not in the one form that the profile allows")]
    Malformed {
        /// The field in lower case, or the component (`@path`).
        field: &'static str,
    },
    /// `Signature-Input` or `Signature` is absent: the call is not signed. Code
    /// `signature_missing`.
    #[error("the call must be signed: the field `{field}` is missing")]
    Missing {
        /// The field, in lower case.
        field: &'static str,
    },
    /// A parameter is missing, unknown, doubled or malformed. Code `signature_invalid`.
    #[error("the signature must have exactly the parameters of the profile, each once: `{name}`")]
    Parameter {
        /// The parameter in question; `other` for one that the profile does not know.
        name: &'static str,
    },
    /// `created` is more than 60 s old. Sign afresh. Code `signature_stale`.
    #[error("the signature was created more than 60 s ago")]
    Stale,
    /// The `tag` is that of another profile, or of an answer where a call was expected. Code
    /// `signature_invalid`.
    #[error("the tag is not that of the profile")]
    Tag,
    /// The signature was not made by this key over this message. Code `signature_invalid`.
    #[error("the signature does not verify")]
    WrongSignature,
}

/// Why a call cannot be signed: a programming or configuration mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} {rule}")]
pub struct InvalidPart {
    /// The part of the call, as the profile names it (`@path`).
    pub part: &'static str,
    /// What it must look like.
    pub rule: &'static str,
}
