//! Base64 and base32 as the protocol writes them, and the checks that keep identifiers plain.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// base64url without padding (RFC 4648 section 5), as JWK members use it.
pub fn base64url(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// Reads base64url without padding. `None` for any other alphabet, padding or stray bits.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Reads base64url that must hold exactly `N` octets.
pub fn fixed_from_base64url<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_base64url(text)?.try_into().ok()
}

/// base64 with padding (RFC 4648 section 4), as structured header fields use it (RFC 9651).
pub fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Reads base64 with padding that must hold exactly `N` octets.
pub fn fixed_from_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Crockford's base32 digits in lower case: no `i`, `l`, `o`, `u`.
pub(crate) const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The value of one base32 digit as people type it: either case, `i` and `l` read as 1, `o` as 0.
pub(crate) fn base32_value(digit: u8) -> Option<u8> {
    let digit = match digit.to_ascii_lowercase() {
        b'i' | b'l' => b'1',
        b'o' => b'0',
        other => other,
    };
    BASE32.iter().position(|&known| known == digit).and_then(|at| u8::try_from(at).ok())
}
