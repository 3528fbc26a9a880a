//! Proving an answer without a connection: for those who bring their own sender, and for tests.

use pos_protocol::Timestamp;
use pos_protocol::key::{PublicKey, Signature};
use pos_protocol::sign::answer::{self, Received};
use pos_protocol::sign::{POS_CONNECT, SignError};

#[cfg(target_arch = "wasm32")]
use crate::crypto::Crypto;

/// Proves that the server gave this answer to the call with this signature, and gives the server's
/// time (whole seconds). `header` gives all values of a header field by its lower-case name;
/// `status` and `body` are as received.
///
/// # Errors
/// [`SignError`]. Whatever it is, take the answer for never given; for a payment that means that
/// the outcome is unknown.
#[cfg(not(target_arch = "wasm32"))]
pub fn verify<'a, I: IntoIterator<Item = &'a [u8]>>(
    answer_key: &PublicKey,
    call: &Signature,
    status: u16,
    header: impl Fn(&'static str) -> I,
    body: &[u8],
) -> Result<Timestamp, SignError> {
    answer::verify(&POS_CONNECT, &Received::read(header), status, body, call, answer_key)
}

/// The same where the host verifies.
///
/// # Errors
/// [`SignError`], as there.
#[cfg(target_arch = "wasm32")]
pub async fn verify_by<'a, I: IntoIterator<Item = &'a [u8]>>(
    crypto: &dyn Crypto,
    answer_key: &PublicKey,
    call: &Signature,
    status: u16,
    header: impl Fn(&'static str) -> I,
    body: &[u8],
) -> Result<Timestamp, SignError> {
    let claimed = answer::parse(&POS_CONNECT, &Received::read(header))?;
    let claim = claimed.claim(status, body, call, answer_key)?;
    let is_good = crypto.verify(&claim.key, &claim.octets, &claim.signature).await;
    claim.proved(is_good).map_err(|_| SignError::WrongSignature)
}
