//! A private key that the host may keep to itself.

use std::fmt;

use pos_protocol::key::PublicKey;
use pos_protocol::text::{base64url, fixed_from_base64url};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// A private key: its 32 secret octets where the host does not keep them, and its public half by
/// which the host finds it where it does. The octets are wiped when dropped.
#[derive(Clone)]
pub struct Seed {
    public: PublicKey,
    secret: Option<Zeroizing<[u8; 32]>>,
}

impl Seed {
    /// A key that was drawn.
    pub const fn new(public: PublicKey, secret: Option<Zeroizing<[u8; 32]>>) -> Self {
        Self { public, secret }
    }

    /// Its public half.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The octets, where the host does not keep them.
    pub fn secret(&self) -> Option<&[u8; 32]> {
        self.secret.as_deref()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed([redacted])")
    }
}

/// In JSON the secret octets where they are known, then a point and the public half.
impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let secret = self.secret.as_ref().map(|secret| base64url(&**secret)).unwrap_or_default();
        let mut text = Zeroizing::new(secret);
        text.push('.');
        text.push_str(&base64url(self.public.octets()));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let wrong = || D::Error::custom("must be the secret octets where known, and a public key");
        let (secret, public) = text.split_once('.').ok_or_else(wrong)?;
        let secret = match secret {
            "" => None,
            secret => Some(Zeroizing::new(fixed_from_base64url(secret).ok_or_else(wrong)?)),
        };
        Ok(Self { public: public.parse().map_err(|_| wrong())?, secret })
    }
}
