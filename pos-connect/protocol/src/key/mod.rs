//! Ed25519 keys, their ids and their signatures (`docs/PROTOCOL.md`, keys).
//!
//! One algorithm, chosen by the key record and never by the wire. Verification is strict: points of
//! small order, and an S that is not below the group order, are refused, so that a signature means
//! one message. A point that is written with a y beyond the field's prime is read, under the id of
//! the octets as they are.

// Natively always; in a browser, which can do both itself, only where it is asked for.
#[cfg(not(any(not(target_arch = "wasm32"), feature = "dalek")))]
#[path = "bare.rs"]
mod algorithm;
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
#[path = "dalek.rs"]
mod algorithm;

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
pub use algorithm::SigningKey;
use algorithm::{Point, point};

use crate::text::{base64url, fixed_from_base64url};

/// An Ed25519 public key that passed the checks of strict verification (RFC 8032 section 5.1.7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(Point);

/// Why octets are not a public key that this protocol takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the 32 octets of an Ed25519 public key of full order, in base64url")]
pub struct InvalidKey;

/// A signature did not verify: treat what it covered as never said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl PublicKey {
    /// Reads the 32 octets of RFC 8032.
    ///
    /// # Errors
    /// [`InvalidKey`] for octets that are no point, or one of small order.
    pub fn from_octets(octets: &[u8; 32]) -> Result<Self, InvalidKey> {
        point(octets).map(Self).ok_or(InvalidKey)
    }

    /// The 32 octets of RFC 8032.
    pub fn octets(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key's id: its RFC 7638 thumbprint (SHA-256, base64url).
    pub fn id(&self) -> KeyId {
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(self.octets()));
        KeyId(Sha256::digest(jwk).into())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

/// The JSON form: a JWK of RFC 8037, whose `kty` and `crv` name the algorithm.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PublicKey))]
struct Jwk {
    /// Always `OKP`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^OKP$", example = "OKP"))]
    kty: String,
    /// Always `Ed25519`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^Ed25519$", example = "Ed25519"))]
    crv: String,
    /// The public key, 32 octets in base64url without padding.
    #[cfg_attr(
        feature = "openapi",
        schema(
            pattern = "^[A-Za-z0-9_-]{43}$",
            example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        )
    )]
    x: String,
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kty, crv) = ("OKP".into(), "Ed25519".into());
        Jwk { kty, crv, x: base64url(self.octets()) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let jwk = Jwk::deserialize(deserializer)?;
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
            return Err(D::Error::custom("must be a JWK with kty `OKP` and crv `Ed25519`"));
        }
        jwk.x.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for PublicKey {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <Jwk as utoipa::PartialSchema>::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for PublicKey {
    fn name() -> std::borrow::Cow<'static, str> {
        "PublicKey".into()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    /// Reads the `x` member alone: 43 characters of base64url.
    fn from_str(x: &str) -> Result<Self, InvalidKey> {
        Self::from_octets(&fixed_from_base64url(x).ok_or(InvalidKey)?)
    }
}

/// A key's id: the RFC 7638 thumbprint of its JWK, written as 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[A-Za-z0-9_-]{43}$", example = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"))]
pub struct KeyId([u8; 32]);

/// Why a text is not a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 7638 thumbprint: 43 characters of base64url")]
pub struct InvalidKeyId;

impl KeyId {
    /// The id with these octets, as a database keeps it.
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The SHA-256 octets.
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        fixed_from_base64url(text).map(Self).ok_or(InvalidKeyId)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// 64 octets of an Ed25519 signature; in JSON base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[A-Za-z0-9_-]{86}$"))]
pub struct Signature([u8; 64]);

impl Signature {
    /// The signature with these octets (R then S, RFC 8032).
    pub const fn from_octets(octets: [u8; 64]) -> Self {
        Self(octets)
    }

    /// R then S.
    pub const fn octets(&self) -> &[u8; 64] {
        &self.0
    }

    /// Whether R is an encoding of a point of small order. Verifying compares R with the encoding of
    /// the point that it computes, so other encodings of such points are refused there.
    fn r_has_small_order(&self) -> bool {
        let mut r = [0; 32];
        r.copy_from_slice(&self.0[..32]);
        has_small_order(&r)
    }
}

/// Whether these octets stand for a point of small order.
fn has_small_order(octets: &[u8; 32]) -> bool {
    let mut y = *octets;
    y[31] &= 0x7f;
    SMALL_ORDER_Y.contains(&y)
}

/// The y of the eight points of small order, each least octet first: of order 1, 2, 4 (two points),
/// and 8 (two points each). The sign of x is the highest bit.
const SMALL_ORDER_Y: [[u8; 32]; 5] = {
    let (mut one, mut minus_one) = ([0; 32], [0xff; 32]);
    one[0] = 1;
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    [
        one,
        minus_one,
        [0; 32],
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ]
};

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url(&self.0))
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fixed_from_base64url(&String::deserialize(deserializer)?)
            .map(Self)
            .ok_or_else(|| D::Error::custom("must be 64 octets in base64url without padding"))
    }
}

/// What holds if `key` has signed these octets. Readers lay it out; whoever has the means proves it.
#[derive(Debug)]
#[must_use]
pub struct Claim<T> {
    /// Who is said to have signed.
    pub key: PublicKey,
    /// What was signed.
    pub octets: Vec<u8>,
    /// The signature.
    pub signature: Signature,
    value: T,
}

impl<T> Claim<T> {
    pub(crate) const fn new(
        key: PublicKey,
        octets: Vec<u8>,
        signature: Signature,
        value: T,
    ) -> Self {
        Self { key, octets, signature, value }
    }

    /// What is claimed, once its signature was verified elsewhere, strictly.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not good, or its R of small order, which not everybody refuses.
    pub fn proved(self, is_good: bool) -> Result<T, BadSignature> {
        if is_good && !self.signature.r_has_small_order() {
            Ok(self.value)
        } else {
            Err(BadSignature)
        }
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use ed25519_dalek::Verifier as _;
    use sha2::Sha512;

    use super::*;

    /// RFC 8037 appendix A: the key, its thumbprint and a signature.
    #[test]
    fn rfc_8037_examples() {
        let seed = fixed_from_base64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = SigningKey::from_seed(&seed);
        let jwk = serde_json::to_value(key.public()).unwrap();
        assert_eq!(jwk["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.public().id().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = key.sign(message);
        assert_eq!(
            base64url(signature.octets()),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        assert_eq!(key.public().verify(message, &signature), Ok(()));
        assert_eq!(key.public().verify(b"other", &signature), Err(BadSignature));
    }

    #[test]
    fn keys_of_small_order_and_other_kinds_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_octets(&identity), Err(InvalidKey));
        for wrong in [
            r#"{"kty":"EC","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"x"}"#,
        ] {
            assert!(serde_json::from_str::<PublicKey>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_points_of_small_order_are_these() {
        let r = |octets: [u8; 32]| {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&octets);
            Signature(signature)
        };
        for point in EIGHT_TORSION {
            let octets = point.compress().to_bytes();
            assert!(r(octets).r_has_small_order(), "{octets:?}");
        }
        let mut ys: Vec<_> = EIGHT_TORSION.map(|point| point.compress().to_bytes()).into();
        ys.iter_mut().for_each(|y| y[31] &= 0x7f);
        ys.sort_unstable();
        ys.dedup();
        assert_eq!(ys.len(), SMALL_ORDER_Y.len());
        assert!(!r(*SigningKey::from_seed(&[7; 32]).public().octets()).r_has_small_order());
    }

    #[test]
    fn verifying_says_what_the_strict_one_of_the_library_says() {
        let key = SigningKey::from_seed(&[7; 32]);
        let signature = key.sign(b"a message");
        let both = |octets: [u8; 64]| {
            let theirs = ed25519_dalek::Signature::from_bytes(&octets);
            let strict = key.public().0.verify_strict(b"a message", &theirs);
            (key.public().verify(b"a message", &Signature(octets)).is_ok(), strict.is_ok())
        };
        assert_eq!(both(*signature.octets()), (true, true));
        for bit in 0..512 {
            let mut octets = *signature.octets();
            octets[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(both(octets), (false, false), "bit {bit}");
        }
    }

    /// A key of mixed order makes the equation hold for each R of small order, under the message
    /// whose k fits.
    #[test]
    fn every_r_of_small_order_is_refused() {
        let secret = SigningKey::from_seed(&[7; 32]).0.to_scalar();
        let mixed = EdwardsPoint::mul_base(&secret) + EIGHT_TORSION[1];
        let key = PublicKey::from_octets(&mixed.compress().to_bytes()).unwrap();
        for r in EIGHT_TORSION.map(|point| point.compress().to_bytes()) {
            let fits = (0_u32..1_000).find_map(|number| {
                let message = number.to_be_bytes();
                let k = Sha512::new().chain_update(r).chain_update(key.octets());
                let k = k.chain_update(message).finalize().into();
                let s = Scalar::from_bytes_mod_order_wide(&k) * secret;
                let mut octets = [0; 64];
                octets[..32].copy_from_slice(&r);
                octets[32..].copy_from_slice(s.as_bytes());
                let theirs = ed25519_dalek::Signature::from_bytes(&octets);
                key.0.verify(&message, &theirs).is_ok().then_some((message, octets))
            });
            let (message, octets) = fits.expect("one message of eight fits");
            assert_eq!(key.verify(&message, &Signature(octets)), Err(BadSignature), "{r:?}");
        }
    }

    /// S plus the group's order fulfils the equation as well.
    #[test]
    fn an_s_beyond_the_order_is_refused() {
        let key = SigningKey::from_seed(&[7; 32]);
        let mut octets = *key.sign(b"a message").octets();
        let order = (-Scalar::ONE).to_bytes();
        let mut carry = 1_u16;
        for (octet, add) in octets[32..].iter_mut().zip(order) {
            carry += u16::from(*octet) + u16::from(add);
            *octet = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        assert_eq!(key.public().verify(b"a message", &Signature(octets)), Err(BadSignature));
    }

    #[test]
    fn a_private_key_does_not_print_itself() {
        let key = SigningKey::from_seed(&[7; 32]);
        let text = format!("{key:?}");
        assert!(text.contains("[redacted]") && !text.contains("7, 7"), "{text}");
    }
}
