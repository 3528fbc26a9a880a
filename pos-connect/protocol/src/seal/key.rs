//! The X25519 keys that instruments are sealed to.

use std::fmt;

use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, Serializable as _};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::key::KeyId;
use crate::text::{base64url, fixed_from_base64url};

/// The public half of a seal key: an X25519 point (RFC 7748), in JSON a JWK of RFC 8037.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealPublicKey([u8; 32]);

/// The institution's half of a seal key. It cannot be printed, and is wiped when dropped.
#[derive(Clone)]
pub struct SealSecretKey {
    octets: Zeroizing<[u8; 32]>,
    public: SealPublicKey,
}

impl SealPublicKey {
    /// The key with these octets (the u-coordinate of RFC 7748).
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The u-coordinate.
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's id: the RFC 7638 thumbprint of its JWK.
    pub fn id(&self) -> KeyId {
        let jwk = format!(r#"{{"crv":"X25519","kty":"OKP","x":"{}"}}"#, base64url(&self.0));
        KeyId::from_octets(Sha256::digest(jwk).into())
    }
}

impl fmt::Debug for SealPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealPublicKey({})", self.id())
    }
}

impl SealSecretKey {
    /// The key of these 32 octets, which are the whole secret: draw them from the system's
    /// randomness. They are clamped as RFC 7748 section 5 says.
    pub fn from_octets(octets: &[u8; 32]) -> Self {
        let secret = secret_of(octets);
        let public = X25519HkdfSha256::sk_to_pk(&secret).to_bytes().0;
        Self { octets: Zeroizing::new(secret.to_bytes().0), public: SealPublicKey(public) }
    }

    /// The octets, clamped, for a key store that keeps them.
    pub fn octets(&self) -> &[u8; 32] {
        &self.octets
    }

    /// The public half.
    pub const fn public(&self) -> SealPublicKey {
        self.public
    }

    pub(super) fn hpke(&self) -> <X25519HkdfSha256 as hpke::Kem>::PrivateKey {
        secret_of(&self.octets)
    }
}

impl fmt::Debug for SealSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealSecretKey({}, [redacted])", self.public.id())
    }
}

fn secret_of(octets: &[u8; 32]) -> <X25519HkdfSha256 as hpke::Kem>::PrivateKey {
    <X25519HkdfSha256 as hpke::Kem>::PrivateKey::from_bytes(octets)
        .expect("32 octets, once clamped, are an X25519 private key")
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = SealPublicKey))]
struct Jwk {
    /// Always `OKP`.
    #[cfg_attr(feature = "openapi", schema(example = "OKP"))]
    kty: String,
    /// Always `X25519`.
    #[cfg_attr(feature = "openapi", schema(example = "X25519"))]
    crv: String,
    /// The public key, 32 octets in base64url without padding.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08")
    )]
    x: String,
}

impl Serialize for SealPublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kty, crv) = ("OKP".into(), "X25519".into());
        Jwk { kty, crv, x: base64url(&self.0) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SealPublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let jwk = Jwk::deserialize(deserializer)?;
        if jwk.kty != "OKP" || jwk.crv != "X25519" {
            return Err(D::Error::custom("must be a JWK with kty `OKP` and crv `X25519`"));
        }
        fixed_from_base64url(&jwk.x)
            .map(Self)
            .ok_or_else(|| D::Error::custom("`x` must be 32 octets in base64url without padding"))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for SealPublicKey {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <Jwk as utoipa::PartialSchema>::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for SealPublicKey {
    fn name() -> std::borrow::Cow<'static, str> {
        "SealPublicKey".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748 section 6.1, Bob's key; the JWK and its parts are those of RFC 8037 A.6.
    #[test]
    fn the_rfc_7748_key_pair() {
        let secret = "XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os";
        let key = SealSecretKey::from_octets(&fixed_from_base64url(secret).unwrap());
        let jwk = serde_json::to_string(&key.public()).unwrap();
        let expected =
            r#"{"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}"#;
        assert_eq!(jwk, expected);
        assert_eq!(serde_json::from_str::<SealPublicKey>(&jwk).unwrap(), key.public());
        assert!(serde_json::from_str::<SealPublicKey>(&jwk.replace("X25519", "Ed25519")).is_err());
        let text = format!("{key:?}");
        assert!(text.contains("[redacted]") && !text.contains(secret), "{text}");
    }
}
