//! Sealing, for wallets and tests: a [`Connection`](crate::Connection) takes envelopes only.

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::key::PublicKey;
use pos_protocol::seal::{
    Binding, Envelope, Instrument, InvalidKeySet, NoSealKey, SealKeySet, SignedSealKeySet,
    UnusableKey,
};
use zeroize::Zeroizing;

use crate::env::{Environment, EnvironmentError, System};

/// How long an envelope lives that [`seal`] makes: long enough for a shopper to press the button,
/// and less than the 15 minutes that institutions take.
pub const ENVELOPE_LIFE: Duration = Duration::from_secs(10 * 60);

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No clock or no randomness.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The key set is not to be used: fetch it again, and tell the operator when that does not
    /// help.
    #[error(transparent)]
    KeySet(#[from] InvalidKeySet),
    /// No key of the set lives long enough: fetch the set again.
    #[error(transparent)]
    NoKey(#[from] NoSealKey),
    /// A key that cannot be sealed to: tell the operator.
    #[error(transparent)]
    Unusable(#[from] UnusableKey),
}

/// Seals what the shopper pays with to the institution of the binding, by the system's clock and
/// randomness.
///
/// `keys` comes with a quote or with the methods, and `root` is the key that the institution signs
/// it with: the contract names it, but whoever has it from the institution itself takes that one.
///
/// # Errors
/// [`SealError`]; see there for what to do on each.
pub fn seal(
    instrument: &Instrument,
    binding: &Binding,
    keys: &SignedSealKeySet,
    root: &PublicKey,
) -> Result<Envelope, SealError> {
    let now = System.now()?;
    let set = keys.verify(root, &binding.institution, now, 0)?;
    seal_at(instrument, binding, &set, now, &System)
}

/// Seals by another clock, such as [`Connection::server_time`](crate::Connection::server_time), to
/// a set that the caller has verified, with the newest version it has seen
/// ([`SignedSealKeySet::verify`]).
///
/// # Errors
/// [`SealError`]; see there for what to do on each.
pub fn seal_at(
    instrument: &Instrument,
    binding: &Binding,
    keys: &SealKeySet,
    now: Timestamp,
    environment: &dyn Environment,
) -> Result<Envelope, SealError> {
    let not_after = now.plus(ENVELOPE_LIFE);
    let key = keys.key_for(now, not_after)?;
    let mut entropy = Zeroizing::new([0; 48]);
    environment.fill(&mut *entropy)?;
    Ok(pos_protocol::seal::seal(instrument, binding, not_after, key, &entropy)?)
}
