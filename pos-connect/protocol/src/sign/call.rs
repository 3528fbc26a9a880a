//! Signed calls.

use std::time::Duration;

use super::base::Base;
use super::digest;
use super::error::{InvalidPart, SignError};
use super::params::{self, Params};
use super::received::{self, Field, is_visible, member};
use super::{CONTENT_TYPE, Profile, header};
use crate::Timestamp;
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
use crate::key::PublicKey;
use crate::key::{KeyId, Signature};
use crate::text::base64;

/// The longest span between `created` and `expires`, and the oldest `created` that is taken.
pub const MAX_AGE: Duration = Duration::from_secs(60);

/// How far ahead of the receiver's clock `created` may lie.
pub const MAX_AHEAD: Duration = Duration::from_secs(10);

/// The parts of a call that its signature covers.
#[derive(Clone, Copy, Debug)]
pub struct CallParts<'a> {
    /// The method, as in the request line: `POST`.
    pub method: &'a str,
    /// Host and port without a default port, in lower case ([`authority`]): `pos.example:8443`. The
    /// receiver gives the name it is configured with, never one that it was told in the call.
    pub authority: &'a str,
    /// The path as in the request line, still percent-encoded, beginning with `/`.
    pub path: &'a str,
    /// The query as in the request line, without its `?`. Empty where there is none; the profile
    /// does not tell `/x` from `/x?`.
    pub query: &'a str,
    /// The body's octets exactly as sent or received. Empty where the call has none; an empty body
    /// is no JSON, so the two need not be told apart.
    pub body: &'a [u8],
    /// The value of `Idempotency-Key`: every mutation has one, no read has.
    pub idempotency_key: Option<&'a str>,
}

/// A call ready to be signed: sign [`base`](Self::base), then [`into_headers`](Self::into_headers).
#[derive(Debug)]
pub struct Unsigned {
    profile: &'static Profile,
    base: String,
    params_at: usize,
    content_digest: Option<String>,
}

/// The header fields that a signed call carries beside `Content-Type` (where it has a body) and
/// `Idempotency-Key` (where it has one), which the caller sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Value of `Signature-Input`.
    pub signature_input: String,
    /// Value of `Signature`.
    pub signature: String,
    /// Value of `Content-Digest`; `None` for a call without body.
    pub content_digest: Option<String>,
}

impl Unsigned {
    /// Lays out what must be signed. `created` and `expires` are cut to whole seconds; `expires` is
    /// the caller's deadline.
    ///
    /// # Errors
    /// [`InvalidPart`] when a part cannot stand in a call, or `expires` is not 1 to 60 s after
    /// `created`.
    pub fn new(
        profile: &'static Profile,
        parts: &CallParts<'_>,
        created: Timestamp,
        expires: Timestamp,
        key_id: KeyId,
    ) -> Result<Self, InvalidPart> {
        check_parts(parts)?;
        let (created_s, expires_s) = (created.as_secs(), expires.as_secs());
        if !is_lifetime(created_s, expires_s) {
            return Err(InvalidPart { part: "expires", rule: "must be 1 to 60 s after `created`" });
        }
        let content_digest =
            (!parts.body.is_empty()).then(|| digest::written(&digest::sha256(parts.body)));
        let params = Params { created_s, expires_s, key_id, order: params::CALL };
        let (base, params_at) = base(profile, parts, content_digest.as_deref(), &params);
        Ok(Self { profile, base, params_at, content_digest })
    }

    /// The octets to sign with the private key of `key_id`.
    pub fn base(&self) -> &[u8] {
        self.base.as_bytes()
    }

    /// The header fields, with the signature that was made over [`base`](Self::base). Keep the
    /// signature: the answer is bound to it.
    pub fn into_headers(self, signature: &Signature) -> Headers {
        let label = self.profile.label;
        Headers {
            signature_input: format!("{label}={}", &self.base[self.params_at..]),
            signature: format!("{label}=:{}:", base64(signature.octets())),
            content_digest: self.content_digest,
        }
    }
}

/// The header fields of a received call that the profile reads.
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
    /// `Idempotency-Key`.
    pub idempotency_key: Field<'a>,
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
            idempotency_key: field(header::IDEMPOTENCY_KEY),
        }
    }
}

impl Received<'_> {
    /// The signature alone, where it is well-formed: a refusal of a call that is otherwise not as
    /// the profile has it is still bound to it.
    pub fn well_formed_signature(&self, profile: &'static Profile) -> Option<Signature> {
        let value = self.signature.required(header::SIGNATURE).ok()?;
        received::signature(value, profile.label).ok()
    }
}

/// What a call claims, read from its header fields alone: nothing of it is proved before
/// [`verify`](Self::verify).
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    profile: &'static Profile,
    params: Params<4>,
    signature: Signature,
    /// The digest that covers the body; `None` for a call without one.
    digest: Option<[u8; 32]>,
    keyed: bool,
}

/// Reads the header fields of a call. Needs neither key nor body, so that both can be refused
/// first.
///
/// # Errors
/// Every [`SignError`] that shows in the fields: [`Missing`](SignError::Missing) when the call is
/// not signed at all, else what is not as the profile has it.
pub fn parse(profile: &'static Profile, received: &Received<'_>) -> Result<Claimed, SignError> {
    let input = received.signature_input.required(header::SIGNATURE_INPUT)?;
    let signature = received.signature.required(header::SIGNATURE)?;
    let content_digest = received.content_digest.value(header::CONTENT_DIGEST)?;
    let content_type = received.content_type.value(header::CONTENT_TYPE)?;
    let keyed = received.idempotency_key.value(header::IDEMPOTENCY_KEY)?.is_some();

    let member = member(input, profile.label, header::SIGNATURE_INPUT)?;
    let end = member.iter().position(|octet| *octet == b')').ok_or(SignError::Components)?;
    let (covered, after) = member.split_at(end);
    // A digest or key beside the signature must be covered by it, and a covered one be there.
    if covered.strip_prefix(b"(") != Some(components(content_digest.is_some(), keyed).as_bytes()) {
        return Err(SignError::Components);
    }
    let params = Params::read(&after[1..], params::CALL, profile.tag)?;
    if !is_lifetime(params.created_s, params.expires_s) {
        return Err(SignError::Lifetime);
    }
    if content_digest.is_some() && content_type != Some(CONTENT_TYPE.as_bytes()) {
        return Err(SignError::ContentType);
    }
    let signature = received::signature(signature, profile.label)?;
    let digest = content_digest.map(digest::read).transpose()?;
    Ok(Claimed { profile, params, signature, digest, keyed })
}

impl Claimed {
    /// The key that the call says it is signed with.
    pub fn key_id(&self) -> KeyId {
        self.params.key_id
    }

    /// When the caller says it signed, by its own clock; whole seconds.
    pub fn created(&self) -> Timestamp {
        Timestamp::from_secs(self.params.created_s)
    }

    /// The caller's deadline, by its own clock; whole seconds.
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_secs(self.params.expires_s)
    }

    /// The signature, which the answer is to be bound to (also where the call is refused).
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Whether the signature covers a body.
    pub fn covers_body(&self) -> bool {
        self.digest.is_some()
    }

    /// Checks the times against the receiver's clock and gives how long it may work on the call:
    /// min(`expires` − now, `expires` − `created`), so that a caller whose clock is ahead gets no
    /// more than it asked for.
    ///
    /// # Errors
    /// [`Stale`](SignError::Stale), [`Future`](SignError::Future) or
    /// [`Expired`](SignError::Expired); the instant `expires` itself is past.
    pub fn check_fresh(&self, now: Timestamp) -> Result<Duration, SignError> {
        let (created, expires) = (self.created(), self.expires());
        if created.since(now) > MAX_AHEAD {
            return Err(SignError::Future);
        }
        if now.since(created) > MAX_AGE {
            return Err(SignError::Stale);
        }
        if now >= expires {
            return Err(SignError::Expired);
        }
        Ok(expires.since(now).min(expires.since(created)))
    }

    /// Proves the call: `parts` as the receiver sees them, `key` as its own records have it.
    ///
    /// # Errors
    /// [`Components`](SignError::Components) when body or idempotency key are there but not
    /// covered, [`DigestMismatch`](SignError::DigestMismatch),
    /// [`Malformed`](SignError::Malformed) for a part that cannot stand in a call,
    /// [`KeyId`](SignError::KeyId), [`WrongSignature`](SignError::WrongSignature).
    #[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
    pub fn verify(&self, parts: &CallParts<'_>, key: &PublicKey) -> Result<(), SignError> {
        if key.id() != self.params.key_id {
            return Err(SignError::KeyId);
        }
        let octets = self.signed_octets(parts)?;
        key.verify(octets.as_bytes(), &self.signature).map_err(|_| SignError::WrongSignature)
    }

    /// The signature base of the received call, after everything but the signature itself was
    /// checked: for a receiver that verifies by other means than [`verify`](Self::verify).
    ///
    /// # Errors
    /// As for [`verify`](Self::verify), except `KeyId` and `WrongSignature`.
    pub fn signed_octets(&self, parts: &CallParts<'_>) -> Result<String, SignError> {
        let covers_body = self.digest.is_some();
        if parts.body.is_empty() == covers_body || parts.idempotency_key.is_some() != self.keyed {
            return Err(SignError::Components);
        }
        check_parts(parts).map_err(|invalid| SignError::Malformed { field: invalid.part })?;
        let digest = self.digest.map(|claimed| {
            let found = digest::sha256(parts.body);
            if found == claimed {
                Ok(digest::written(&found))
            } else {
                Err(SignError::DigestMismatch)
            }
        });
        let digest = digest.transpose()?;
        Ok(base(self.profile, parts, digest.as_deref(), &self.params).0)
    }
}

/// The authority of a URL as the profile writes it (RFC 9421 section 2.2.3): lower case, without
/// the scheme's default port. `text` is host and optional port; `default_port` is 443 for https, 80
/// for http.
///
/// # Errors
/// [`InvalidPart`] when `text` is empty, has user information or is not visible ASCII.
pub fn authority(text: &str, default_port: u16) -> Result<String, InvalidPart> {
    let lower = text.to_ascii_lowercase();
    let bare = match lower.rsplit_once(':') {
        Some((host, port)) if port.parse() == Ok(default_port) => host,
        Some((host, "")) => host,
        _ => &lower,
    };
    check_authority(bare)?;
    Ok(bare.to_owned())
}

fn is_lifetime(created_s: u64, expires_s: u64) -> bool {
    expires_s.checked_sub(created_s).is_some_and(|span| (1..=MAX_AGE.as_secs()).contains(&span))
}

/// The covered components, as they stand between the parentheses.
const fn components(body: bool, keyed: bool) -> &'static str {
    match (body, keyed) {
        (false, false) => r#""@method" "@authority" "@path" "@query""#,
        (true, false) => {
            r#""@method" "@authority" "@path" "@query" "content-digest" "content-type""#
        }
        (false, true) => r#""@method" "@authority" "@path" "@query" "idempotency-key""#,
        (true, true) => {
            r#""@method" "@authority" "@path" "@query" "content-digest" "content-type" "idempotency-key""#
        }
    }
}

fn check_parts(parts: &CallParts<'_>) -> Result<(), InvalidPart> {
    let visible = |part, text: &str| {
        if is_visible(text) {
            Ok(())
        } else {
            Err(InvalidPart { part, rule: "must be visible ASCII" })
        }
    };
    visible("@method", parts.method)?;
    check_authority(parts.authority)?;
    visible("@path", parts.path)?;
    visible("@query", parts.query)?;
    visible(header::IDEMPOTENCY_KEY, parts.idempotency_key.unwrap_or_default())?;
    if parts.method.is_empty() {
        return Err(InvalidPart { part: "@method", rule: "must not be empty" });
    }
    if !parts.path.starts_with('/') || parts.path.contains(['?', '#']) {
        let rule = "must begin with `/` and contain neither `?` nor `#`";
        return Err(InvalidPart { part: "@path", rule });
    }
    if parts.query.contains('#') {
        return Err(InvalidPart { part: "@query", rule: "must not contain `#`" });
    }
    Ok(())
}

fn check_authority(text: &str) -> Result<(), InvalidPart> {
    let is_good = !text.is_empty()
        && is_visible(text)
        && !text.contains(['/', '@', '?', '#'])
        && !text.bytes().any(|octet| octet.is_ascii_uppercase());
    let rule = "must be a host in lower case, with its port where that is not the default";
    if is_good { Ok(()) } else { Err(InvalidPart { part: "@authority", rule }) }
}

/// The signature base, and where the value of its last line begins.
fn base(
    profile: &Profile,
    parts: &CallParts<'_>,
    content_digest: Option<&str>,
    params: &Params<4>,
) -> (String, usize) {
    let keyed = parts.idempotency_key;
    let own = [parts.authority.len(), parts.path.len(), parts.query.len()];
    let mut base =
        Base::with_capacity(own.iter().fold(640, |sum, length| sum.saturating_add(*length)));
    base.line("\"@method\"", &[parts.method]);
    base.line("\"@authority\"", &[parts.authority]);
    base.line("\"@path\"", &[parts.path]);
    base.line("\"@query\"", &["?", parts.query]); // RFC 9421 2.2.7: `?` where there is none.
    if let Some(digest) = content_digest {
        base.line("\"content-digest\"", &[digest]);
        base.line("\"content-type\"", &[CONTENT_TYPE]);
    }
    if let Some(key) = keyed {
        base.line("\"idempotency-key\"", &[key]);
    }
    base.finish(|text| {
        text.push('(');
        text.push_str(components(content_digest.is_some(), keyed.is_some()));
        text.push(')');
        params.write(profile.tag, text);
    })
}
