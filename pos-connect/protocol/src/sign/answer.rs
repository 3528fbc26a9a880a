//! Signed answers: bound to the call by its signature, refusals included.

use super::base::{Base, push_number};
use super::digest;
use super::error::SignError;
use super::params::{self, Params};
use super::received::{self, Field, member};
use super::{CONTENT_TYPE, Profile, header};
use crate::Timestamp;
use crate::key::{Claim, KeyId, PublicKey, Signature};
use crate::text::base64;

/// An answer ready to be signed with the answer key: sign [`base`](Self::base), then
/// [`into_headers`](Self::into_headers).
#[derive(Debug)]
pub struct Unsigned {
    profile: &'static Profile,
    base: String,
    params_at: usize,
    content_digest: String,
}

/// The header fields that a signed answer carries beside `Content-Type: application/json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Value of `Signature-Input`.
    pub signature_input: String,
    /// Value of `Signature`.
    pub signature: String,
    /// Value of `Content-Digest`.
    pub content_digest: String,
}

impl Unsigned {
    /// Lays out what must be signed. `status` is the HTTP status, `body` the JSON octets exactly as
    /// sent, `call` the signature of the call that is answered, `created` the server's time (cut to
    /// whole seconds), `key_id` the answer key.
    pub fn new(
        profile: &'static Profile,
        status: u16,
        body: &[u8],
        call: &Signature,
        created: Timestamp,
        key_id: KeyId,
    ) -> Self {
        let content_digest = digest::written(&digest::sha256(body));
        let params =
            Params { created_s: created.as_secs(), expires_s: 0, key_id, order: params::ANSWER };
        let (base, params_at) = base(profile, status, &content_digest, call, &params);
        Self { profile, base, params_at, content_digest }
    }

    /// The octets to sign with the answer key.
    pub fn base(&self) -> &[u8] {
        self.base.as_bytes()
    }

    /// The header fields, with the signature that was made over [`base`](Self::base).
    pub fn into_headers(self, signature: &Signature) -> Headers {
        let label = self.profile.answer_label;
        Headers {
            signature_input: format!("{label}={}", &self.base[self.params_at..]),
            signature: format!("{label}=:{}:", base64(signature.octets())),
            content_digest: self.content_digest,
        }
    }
}

/// The header fields of a received answer that the profile reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received<'a> {
    /// `Signature-Input`.
    pub signature_input: Field<'a>,
    /// `Signature`.
    pub signature: Field<'a>,
    /// `Content-Digest`.
    pub content_digest: Field<'a>,
    /// `Content-Type`.
    pub content_type: Field<'a>,
}

impl<'a> Received<'a> {
    /// Collects the fields from whatever holds them: `values` gives all values of a field by its
    /// lower-case name.
    pub fn read<I: IntoIterator<Item = &'a [u8]>>(values: impl Fn(&'static str) -> I) -> Self {
        let field = |name| Field::from_values(values(name));
        Self {
            signature_input: field(header::SIGNATURE_INPUT),
            signature: field(header::SIGNATURE),
            content_digest: field(header::CONTENT_DIGEST),
            content_type: field(header::CONTENT_TYPE),
        }
    }
}

/// What an answer claims, read from its header fields alone: nothing of it is proved before
/// [`verify`](Self::verify).
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    profile: &'static Profile,
    params: Params<3>,
    signature: Signature,
    digest: [u8; 32],
}

/// Reads the header fields of an answer, to learn which answer key it names.
///
/// # Errors
/// Every [`SignError`] that shows in the fields.
pub fn parse(profile: &'static Profile, received: &Received<'_>) -> Result<Claimed, SignError> {
    let input = received.signature_input.required(header::SIGNATURE_INPUT)?;
    let signature = received.signature.required(header::SIGNATURE)?;
    let content_digest = received.content_digest.required(header::CONTENT_DIGEST)?;
    let content_type = received.content_type.required(header::CONTENT_TYPE)?;

    let member = member(input, profile.answer_label, header::SIGNATURE_INPUT)?;
    let after = member.strip_prefix(covered(profile).as_bytes()).ok_or(SignError::Components)?;
    let params = Params::read(after, params::ANSWER, profile.answer_tag)?;
    if content_type != CONTENT_TYPE.as_bytes() {
        return Err(SignError::ContentType);
    }
    let signature = received::signature(signature, profile.answer_label)?;
    let digest = digest::read(content_digest)?;
    Ok(Claimed { profile, params, signature, digest })
}

impl Claimed {
    /// The answer key that the answer names. One that is not the pinned key is to be reached by
    /// [`succession`](crate::succession) before the answer is believed.
    pub fn key_id(&self) -> KeyId {
        self.params.key_id
    }

    /// What is to be proved of the answer; it gives the server's time (whole seconds). `status` and
    /// `body` are as received, `call` is the signature of the call as it was sent.
    ///
    /// # Errors
    /// [`KeyId`](SignError::KeyId) or [`DigestMismatch`](SignError::DigestMismatch). One that is
    /// not proved is a [`WrongSignature`](SignError::WrongSignature), also as the answer to another
    /// call.
    pub fn claim(
        &self,
        status: u16,
        body: &[u8],
        call: &Signature,
        key: &PublicKey,
    ) -> Result<Claim<Timestamp>, SignError> {
        if key.id() != self.params.key_id {
            return Err(SignError::KeyId);
        }
        let digest = digest::sha256(body);
        if digest != self.digest {
            return Err(SignError::DigestMismatch);
        }
        let (base, _) = base(self.profile, status, &digest::written(&digest), call, &self.params);
        let time = Timestamp::from_secs(self.params.created_s);
        Ok(Claim::new(*key, base.into_bytes(), self.signature, time))
    }

    /// Proves the answer, and gives the server's time: [`claim`](Self::claim), then its proof.
    ///
    /// # Errors
    /// Those of the claim, or [`WrongSignature`](SignError::WrongSignature).
    #[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
    pub fn verify(
        &self,
        status: u16,
        body: &[u8],
        call: &Signature,
        key: &PublicKey,
    ) -> Result<Timestamp, SignError> {
        self.claim(status, body, call, key)?.prove().map_err(|_| SignError::WrongSignature)
    }
}

/// [`parse`] and [`Claimed::verify`] in one, for a caller that knows the answer key.
///
/// # Errors
/// Those of both. Whatever it is, the answer was not given.
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
pub fn verify(
    profile: &'static Profile,
    received: &Received<'_>,
    status: u16,
    body: &[u8],
    call: &Signature,
    key: &PublicKey,
) -> Result<Timestamp, SignError> {
    parse(profile, received)?.verify(status, body, call, key)
}

/// The covered components with their parentheses.
fn covered(profile: &Profile) -> String {
    format!(r#"("@status" "content-digest" "content-type" {})"#, bound_to(profile))
}

/// The component that binds an answer to its call: the member of the call's `Signature` field.
fn bound_to(profile: &Profile) -> String {
    format!(r#""signature";req;key="{}""#, profile.label)
}

/// The signature base, and where the value of its last line begins.
fn base(
    profile: &Profile,
    status: u16,
    content_digest: &str,
    call: &Signature,
    params: &Params<3>,
) -> (String, usize) {
    let mut digits = String::with_capacity(3);
    push_number(&mut digits, status.into());
    let mut base = Base::with_capacity(560); // Enough for the fixed text.
    base.line("\"@status\"", &[&digits]);
    base.line("\"content-digest\"", &[content_digest]);
    base.line("\"content-type\"", &[CONTENT_TYPE]);
    base.line(&bound_to(profile), &[":", &base64(call.octets()), ":"]);
    base.finish(|text| {
        text.push_str(&covered(profile));
        params.write(profile.answer_tag, text);
    })
}
