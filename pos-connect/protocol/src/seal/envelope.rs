//! The sealed form that shop, module and server carry without being able to read it.

use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::instrument::PLAINTEXT_OCTETS;
use crate::Timestamp;
use crate::key::KeyId;
use crate::sign::length_prefixed;
use crate::text::{base64url, fixed_from_base64url};

/// The version of the envelope format.
pub const VERSION: u8 = 1;

/// The one suite of this version: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
pub const SUITE: u8 = 1;

/// How far ahead of the present an envelope's end of life may lie at most.
pub const MAX_LIFE: Duration = Duration::from_secs(15 * 60);

/// Ciphertext octets: the padded plaintext and a 16-octet tag.
pub const CIPHERTEXT_OCTETS: usize = PLAINTEXT_OCTETS + 16;

/// A sealed instrument. Everything in it may be seen by anybody, but it is never stored or
/// logged: what stays of it is its SHA-256.
///
/// JSON: `{"v":1,"suite":1,"key_id":…,"enc":…,"ct":…,"rand":…,"not_after_ms":…}`; octets in
/// base64url without padding, sizes fixed, no other members.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Envelope {
    /// The format's version: 1.
    #[serde(deserialize_with = "only_version_1")]
    #[cfg_attr(feature = "openapi", schema(value_type = u8, minimum = 1, maximum = 1))]
    v: u8,
    /// The cryptographic suite: 1.
    #[serde(deserialize_with = "only_suite_1")]
    #[cfg_attr(feature = "openapi", schema(value_type = u8, minimum = 1, maximum = 1))]
    suite: u8,
    /// The seal key that this was sealed to.
    key_id: KeyId,
    /// The encapsulated key: 32 octets in base64url.
    #[serde(with = "octets")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 43, max_length = 43))]
    enc: [u8; 32],
    /// The ciphertext: 528 octets in base64url.
    #[serde(with = "boxed_octets")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 704, max_length = 704))]
    ct: Box<[u8; CIPHERTEXT_OCTETS]>,
    /// 16 random octets in base64url; the institution takes them for one operation only.
    #[serde(with = "octets")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 22, max_length = 22))]
    rand: [u8; 16],
    /// When the envelope ends, at most 15 minutes ahead.
    not_after_ms: Timestamp,
}

/// Why an envelope cannot be taken at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeTime {
    /// Its life is over: the shopper seals again.
    #[error("the envelope has expired: seal the instrument again")]
    Expired,
    /// It would live too long: whoever sealed it has a wrong clock or a wrong idea.
    #[error("the envelope's end lies more than 15 minutes ahead: seal it with a nearer end")]
    TooFarAhead,
}

impl Envelope {
    /// The envelope with these parts, of the one version and suite that there are.
    pub const fn new(
        key_id: KeyId,
        enc: [u8; 32],
        ct: Box<[u8; CIPHERTEXT_OCTETS]>,
        rand: [u8; 16],
        not_after: Timestamp,
    ) -> Self {
        Self { v: VERSION, suite: SUITE, key_id, enc, ct, rand, not_after_ms: not_after }
    }

    /// The seal key that this was sealed to.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The encapsulated key.
    pub const fn enc(&self) -> &[u8; 32] {
        &self.enc
    }

    /// The ciphertext with its tag.
    pub fn ct(&self) -> &[u8; CIPHERTEXT_OCTETS] {
        &self.ct
    }

    /// The random octets that an institution takes for one operation id only.
    pub const fn rand(&self) -> &[u8; 16] {
        &self.rand
    }

    /// When the envelope ends.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after_ms
    }

    /// Checks the end of life against the checker's own clock.
    ///
    /// # Errors
    /// [`EnvelopeTime`] when it has passed, or lies more than [`MAX_LIFE`] ahead.
    pub fn check_not_after(&self, now: Timestamp) -> Result<(), EnvelopeTime> {
        if self.not_after_ms <= now {
            Err(EnvelopeTime::Expired)
        } else if self.not_after_ms > now.plus(MAX_LIFE) {
            Err(EnvelopeTime::TooFarAhead)
        } else {
            Ok(())
        }
    }

    /// The nullifier: SHA-256 over the envelope's canonical octets, which are the length-prefixed
    /// fields `pos-connect/1 envelope`, `v`, `suite`, `key_id`, `enc`, `ct`, `rand`,
    /// `not_after_ms`: numbers in decimal, the key id as its 43 characters, octets as they are.
    ///
    /// No other envelope opens to the same instrument without being sealed anew: version, suite
    /// and key are fixed by the key schedule, `enc` and `ct` by the tag, the rest by the AAD.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(length_prefixed(&[
            b"pos-connect/1 envelope",
            self.v.to_string().as_bytes(),
            self.suite.to_string().as_bytes(),
            self.key_id.to_string().as_bytes(),
            &self.enc,
            &*self.ct,
            &self.rand,
            self.not_after_ms.as_ms().to_string().as_bytes(),
        ]))
        .into()
    }
}

impl fmt::Debug for Envelope {
    /// The envelope is kept out of logs; what finds it again is its hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope(sha256 {})", base64url(&self.sha256()))
    }
}

fn only_version_1<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    only(VERSION, "`v` must be 1", deserializer)
}

fn only_suite_1<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    only(SUITE, "`suite` must be 1", deserializer)
}

fn only<'de, D: Deserializer<'de>>(
    known: u8,
    rule: &'static str,
    deserializer: D,
) -> Result<u8, D::Error> {
    match u8::deserialize(deserializer)? {
        number if number == known => Ok(number),
        _ => Err(D::Error::custom(rule)),
    }
}

mod octets {
    use super::*;

    pub(super) fn serialize<const N: usize, S: Serializer>(
        octets: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url(octets))
    }

    pub(super) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        fixed_from_base64url(&String::deserialize(deserializer)?).ok_or_else(|| {
            D::Error::custom(format_args!("must be {N} octets in base64url without padding"))
        })
    }
}

mod boxed_octets {
    use super::*;

    pub(super) fn serialize<const N: usize, S: Serializer>(
        octets: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        octets::serialize(octets, serializer)
    }

    pub(super) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<[u8; N]>, D::Error> {
        octets::deserialize(deserializer).map(Box::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::read_body;

    fn envelope() -> Envelope {
        let ct = Box::new([7; CIPHERTEXT_OCTETS]);
        Envelope::new(KeyId::from_octets([1; 32]), [2; 32], ct, [3; 16], Timestamp::from_secs(900))
    }

    #[test]
    fn an_envelope_lives_at_most_15_minutes() {
        let at = |s| envelope().check_not_after(Timestamp::from_secs(s));
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(899), Ok(()));
        assert_eq!(at(900), Err(EnvelopeTime::Expired));
        let long = Envelope { not_after_ms: Timestamp::from_ms(900_001), ..envelope() };
        assert_eq!(long.check_not_after(Timestamp::default()), Err(EnvelopeTime::TooFarAhead));
    }

    #[test]
    fn json_is_strict() {
        let read = |json: &serde_json::Value| read_body::<Envelope>(json.to_string().as_bytes());
        let good = serde_json::to_value(envelope()).unwrap();
        assert_eq!(read(&good).unwrap(), envelope());
        for (member, wrong) in [
            ("v", 2.into()),
            ("v", "1".into()),
            ("suite", 0.into()),
            ("suite", 257.into()),
            ("key_id", "AQ".into()),
            ("enc", base64url(&[2; 31]).into()),
            ("enc", format!("{}=", base64url(&[2; 32])).into()),
            ("ct", base64url(&[7; 527]).into()),
            ("ct", base64url(&[7; 529]).into()),
            ("rand", base64url(&[3; 17]).into()),
            ("not_after_ms", (-1).into()),
            ("not_after_ms", 1.5.into()),
            ("more", 1.into()),
        ] {
            let mut bad: serde_json::Value = good.clone();
            bad[member] = wrong;
            assert!(read(&bad).is_err(), "{member}: {bad}");
        }
        let members = ["v", "suite", "key_id", "enc", "ct", "rand", "not_after_ms"];
        let list: serde_json::Value = members.map(|member| good[member].clone()).into();
        assert!(read(&list).is_err());
        for member in members {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(member);
            assert!(read(&bad).is_err(), "without {member}");
        }
    }

    #[test]
    fn every_field_moves_the_nullifier() {
        let base = envelope();
        let others = [
            Envelope { key_id: KeyId::from_octets([9; 32]), ..base.clone() },
            Envelope { enc: [9; 32], ..base.clone() },
            Envelope { ct: Box::new([9; CIPHERTEXT_OCTETS]), ..base.clone() },
            Envelope { rand: [9; 16], ..base.clone() },
            Envelope { not_after_ms: Timestamp::from_secs(901), ..base.clone() },
        ];
        for other in others {
            assert_ne!(other.sha256(), base.sha256());
        }
        let text = format!("{base:?}");
        assert!(text.starts_with("Envelope(sha256 ") && text.len() < 80, "{text}");
    }
}
