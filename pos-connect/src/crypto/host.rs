//! Ed25519 by the host: WebCrypto, or what stands in for it.

use std::fmt;
use std::sync::Arc;

use pos_protocol::key::{BadSignature, Claim, PublicKey, Signature};

use crate::env::{EnvironmentError, Shared, Task};
use crate::keys::Seed;

/// What the host does with keys. It may keep private keys where nobody can read them.
pub trait Crypto: Shared {
    /// A fresh key, with its secret octets where the host does not keep them itself.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    fn draw(&self) -> Task<'_, Result<Seed, EnvironmentError>>;

    /// Signs by the secret octets, or else by the key that it keeps under the public half.
    ///
    /// # Errors
    /// [`EnvironmentError::Key`].
    fn sign(
        &self,
        key: Option<PublicKey>,
        secret: Option<&[u8; 32]>,
        octets: &[u8],
    ) -> Task<'_, Result<Signature, EnvironmentError>>;

    /// Whether the key has signed these octets.
    fn verify(&self, key: &PublicKey, octets: &[u8], signature: &Signature) -> Task<'_, bool>;
}

/// A key that signs, in the host's hands.
#[derive(Clone)]
pub(crate) struct Signer {
    key: Seed,
    crypto: Arc<dyn Crypto>,
}

impl Signer {
    pub(crate) fn new(key: Seed, crypto: Arc<dyn Crypto>) -> Self {
        Self { key, crypto }
    }

    /// Its public half.
    pub(crate) fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Asks for a signature.
    pub(crate) async fn sign(&self, octets: &[u8]) -> Result<Signature, EnvironmentError> {
        self.crypto.sign(Some(self.key.public()), self.key.secret(), octets).await
    }

    /// Proves what any key is said to have signed.
    pub(crate) async fn prove<T>(&self, claim: Claim<T>) -> Result<T, BadSignature> {
        let is_good = self.crypto.verify(&claim.key, &claim.octets, &claim.signature).await;
        claim.proved(is_good)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, [redacted])", self.public().id())
    }
}
