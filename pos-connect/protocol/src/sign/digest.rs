//! `Content-Digest` (RFC 9530 section 2): SHA-256, one member, nothing else.

use sha2::{Digest as _, Sha256};

use super::error::SignError;
use super::header;
use super::received::byte_sequence;
use crate::text::base64;

/// The value of `Content-Digest` for a body: `sha-256=:…:`.
pub fn content_digest(body: &[u8]) -> String {
    written(&sha256(body))
}

pub(super) fn sha256(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// The field value of a digest.
pub(super) fn written(digest: &[u8; 32]) -> String {
    let mut value = String::with_capacity(55);
    value.push_str("sha-256=:");
    value.push_str(&base64(digest));
    value.push(':');
    value
}

/// Reads a field value. Another algorithm, a second member or a parameter is refused: the receiver
/// would have to decide which of them counts.
pub(super) fn read(value: &[u8]) -> Result<[u8; 32], SignError> {
    value
        .strip_prefix(b"sha-256=")
        .and_then(byte_sequence)
        .ok_or(SignError::Malformed {
            field: header::CONTENT_DIGEST,
        })
}
