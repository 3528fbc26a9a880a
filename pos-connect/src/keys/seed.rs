//! A private key as octets.

use std::fmt;

use pos_protocol::key::{PublicKey, SigningKey};
use pos_protocol::text::{base64url, fixed_from_base64url};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// The 32 secret octets of a private key. They print as `[redacted]` and are wiped when dropped.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Takes octets drawn from the system's randomness.
    pub const fn new(octets: Zeroizing<[u8; 32]>) -> Self {
        Self(octets)
    }

    /// The octets, for a store that keeps them.
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// The private key.
    pub fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.0)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.key().public()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed([redacted])")
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(base64url(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        fixed_from_base64url(&text)
            .map(|octets| Self(Zeroizing::new(octets)))
            .ok_or_else(|| D::Error::custom("a seed is 32 octets in base64url without padding"))
    }
}
