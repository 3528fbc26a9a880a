//! Proving an answer without a connection: for those who bring their own sender, and for tests.

use pos_protocol::Timestamp;
use pos_protocol::key::{PublicKey, Signature};
use pos_protocol::sign::answer::{self, Received};
use pos_protocol::sign::{POS_CONNECT, SignError};

/// Proves that the server gave this answer to the call with this signature, and gives the server's
/// time (whole seconds). `header` gives all values of a header field by its lower-case name;
/// `status` and `body` are as received.
///
/// # Errors
/// [`SignError`]. Whatever it is, take the answer for never given; for a payment that means that
/// the outcome is unknown.
pub fn verify<'a, I: IntoIterator<Item = &'a [u8]>>(
    answer_key: &PublicKey,
    call: &Signature,
    status: u16,
    header: impl Fn(&'static str) -> I,
    body: &[u8],
) -> Result<Timestamp, SignError> {
    answer::verify(&POS_CONNECT, &Received::read(header), status, body, call, answer_key)
}
