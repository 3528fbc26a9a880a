//! Signing and verifying by ed25519-dalek.

use std::fmt;

use ed25519_dalek::{Signer as _, Verifier as _};
use zeroize::Zeroizing;

use super::{BadSignature, Claim, PublicKey, Signature};

/// A point that was read, so that verifying need not read it again.
pub(super) type Point = ed25519_dalek::VerifyingKey;

/// The point of these octets, if it is one and not of small order.
pub(super) fn point(octets: &[u8; 32]) -> Option<Point> {
    Point::from_bytes(octets).ok().filter(|point| !point.is_weak())
}

impl PublicKey {
    /// Checks `signature` over `message`, strictly.
    ///
    /// # Errors
    /// [`BadSignature`] when it was not made by this key over exactly these octets.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        if signature.r_has_small_order() {
            return Err(BadSignature);
        }
        let signature = ed25519_dalek::Signature::from_bytes(signature.octets());
        self.0.verify(message, &signature).map_err(|_| BadSignature)
    }
}

impl<T> Claim<T> {
    /// Proves it.
    ///
    /// # Errors
    /// [`BadSignature`]: take it for never said.
    pub fn prove(self) -> Result<T, BadSignature> {
        let verified = self.key.verify(&self.octets, &self.signature);
        self.proved(verified.is_ok())
    }
}

/// A private key held in memory. It cannot be printed, and its octets are wiped when it is dropped.
pub struct SigningKey(pub(super) ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of this 32-octet seed (RFC 8032 section 5.1.5). The seed is the whole secret: draw
    /// it from the system's randomness.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The seed, for a key store that keeps it.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.public().id())
    }
}
