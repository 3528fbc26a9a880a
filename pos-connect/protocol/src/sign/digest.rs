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
        .ok_or(SignError::Malformed { field: header::CONTENT_DIGEST })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_digests_of_rfc_9530() {
        let vectors = include_str!("../../../../tests/vectors/rfc9530.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let digests = vectors["digests"].as_array().unwrap();
        assert_eq!(digests.len(), 8);
        for vector in digests {
            let content = vector["content"].as_str().unwrap().as_bytes();
            let written = vector["content_digest"].as_str().unwrap();
            assert_eq!(content_digest(content), written, "{}", vector["section"]);
            assert_eq!(read(written.as_bytes()), Ok(sha256(content)), "{}", vector["section"]);
        }
        for vector in vectors["refused"].as_array().unwrap() {
            let written = vector["content_digest"].as_str().unwrap();
            let malformed = Err(SignError::Malformed { field: "content-digest" });
            assert_eq!(read(written.as_bytes()), malformed, "{}", vector["why"]);
        }
    }
}
