//! Ed25519 in this process.

use std::fmt;

use pos_protocol::key::{BadSignature, Claim, PublicKey, Signature, SigningKey};

use crate::env::EnvironmentError;

/// A key that signs.
pub(crate) struct Signer(SigningKey);

impl From<SigningKey> for Signer {
    fn from(key: SigningKey) -> Self {
        Self(key)
    }
}

impl Signer {
    /// Its public half.
    pub(crate) fn public(&self) -> PublicKey {
        self.0.public()
    }

    /// Signs. Ready at once.
    #[expect(clippy::unused_async, reason = "elsewhere somebody else is asked to sign")]
    pub(crate) async fn sign(&self, octets: &[u8]) -> Result<Signature, EnvironmentError> {
        Ok(self.0.sign(octets))
    }

    /// Proves what any key is said to have signed. Ready at once.
    #[expect(clippy::unused_async, reason = "elsewhere somebody else is asked to verify")]
    pub(crate) async fn prove<T>(&self, claim: Claim<T>) -> Result<T, BadSignature> {
        claim.prove()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
