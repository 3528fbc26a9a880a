//! Which keys an institution opens, said by its root key (`docs/PROTOCOL.md`, sealed instruments).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::key::SealPublicKey;
use crate::Timestamp;
use crate::id::InstitutionId;
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
use crate::key::SigningKey;
use crate::key::{BadSignature, Claim, KeyId, PublicKey, Signature};
use crate::sign::length_prefixed;
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
use crate::text::base64url;
use crate::text::from_base64url;

/// Keys that a set may hold.
pub const MAX_SEAL_KEYS: usize = 16;

/// Octets that a set's payload may have.
pub const MAX_KEY_SET_OCTETS: usize = 16 * 1024;

/// One key that an institution opens envelopes with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SealKey {
    /// The RFC 7638 thumbprint of `public`.
    pub key_id: KeyId,
    /// The X25519 key as a JWK.
    pub public: SealPublicKey,
    /// No envelope may live longer than this.
    pub not_after_ms: Timestamp,
}

impl SealKey {
    /// The key with its own id.
    pub fn new(public: SealPublicKey, not_after: Timestamp) -> Self {
        Self { key_id: public.id(), public, not_after_ms: not_after }
    }
}

/// The seal keys of one institution: the payload of a [`SignedSealKeySet`].
///
/// Readers ignore members that they do not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SealKeySet {
    /// The institution, under the name that the operator gave it.
    pub institution: InstitutionId,
    /// Grows by at least one with every change; nobody takes a version older than one seen before.
    pub version: u64,
    /// When the set ends; a new one must be signed before.
    pub not_after_ms: Timestamp,
    /// 1 to 16 keys in the institution's order of preference.
    pub keys: Vec<SealKey>,
}

/// A key set as it travels: the exact octets that the root key signed, and its signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedSealKeySet {
    /// The JSON of the set, in base64url without padding.
    payload: String,
    /// The root key's signature over the length-prefixed fields `pos-connect/1 seal key set` and
    /// the payload's octets.
    signature: Signature,
}

/// Why a key set is not to be used. Nothing is sealed then: fetch the set again, and tell the
/// operator when that does not help.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeySet {
    /// The root key did not sign it.
    #[error("the seal key set is not signed by the institution's root key")]
    BadSignature(#[from] BadSignature),
    /// Its end has passed.
    #[error("the seal key set has expired")]
    Expired,
    /// It belongs to another institution.
    #[error("the seal key set is of institution `{found}`, not `{expected}`")]
    Foreign {
        /// Who was asked.
        expected: InstitutionId,
        /// Who it names.
        found: InstitutionId,
    },
    /// The payload is no base64url, empty, or longer than [`MAX_KEY_SET_OCTETS`].
    #[error("the seal key set's payload must be base64url of 1 to 16384 octets")]
    Malformed,
    /// An older version than one that was seen before.
    #[error("the seal key set has version {found}, but version {seen} was seen before")]
    Older {
        /// The newest version seen.
        seen: u64,
        /// The version offered.
        found: u64,
    },
    /// The payload is signed, but not the JSON of a key set.
    #[error("the seal key set's payload is not the JSON of a key set")]
    Payload(#[from] serde_json::Error),
    /// It has no key, too many, one twice, or one under a wrong id.
    #[error("the seal key set must hold 1 to 16 different keys under their own thumbprints")]
    Keys,
}

/// No key of the set lives as long as the envelope would: fetch the set again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no seal key of the set is good until the envelope's end")]
pub struct NoSealKey;

impl SealKeySet {
    /// Signs the set with the institution's root key. The same set gives the same octets.
    #[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
    pub fn sign(&self, root: &SigningKey) -> SignedSealKeySet {
        let payload = serde_json::to_vec(self).expect("ids, numbers and keys have a JSON form");
        let signature = root.sign(&signed_octets(&payload));
        SignedSealKeySet { payload: base64url(&payload), signature }
    }

    /// The key to seal to: the institution's first choice among those that outlive an envelope
    /// ending at `not_after`.
    ///
    /// # Errors
    /// [`NoSealKey`] when there is none, or the set itself has ended by `now`.
    pub fn key_for(&self, now: Timestamp, not_after: Timestamp) -> Result<&SealKey, NoSealKey> {
        if self.not_after_ms <= now {
            return Err(NoSealKey);
        }
        self.keys.iter().find(|key| key.not_after_ms >= not_after).ok_or(NoSealKey)
    }

    /// Whether the envelope is sealed to a key of this set that is good until the envelope's end.
    pub fn takes(&self, envelope: &Envelope) -> bool {
        let key = self.keys.iter().find(|key| key.key_id == envelope.key_id());
        key.is_some_and(|key| key.not_after_ms >= envelope.not_after())
    }

    /// Whether there are 1 to 16 keys, different ones, each under its own id.
    pub(crate) fn keys_are_sound(&self) -> bool {
        // Sixteen are compared with one another sooner than code to sort them is downloaded.
        let is_new = |at: usize| {
            let (before, key) = (&self.keys[..at], &self.keys[at]);
            before.iter().all(|other| other.key_id != key.key_id)
        };
        (1..=MAX_SEAL_KEYS).contains(&self.keys.len())
            && (0..self.keys.len()).all(is_new)
            && self.keys.iter().all(|key| key.key_id == key.public.id())
    }
}

impl SignedSealKeySet {
    /// The set with this payload, in base64url, and this signature; neither has been looked at.
    pub const fn new(payload: String, signature: Signature) -> Self {
        Self { payload, signature }
    }

    /// The payload's octets, unverified.
    pub(crate) fn payload(&self) -> Option<Vec<u8>> {
        from_base64url(&self.payload)
            .filter(|payload| (1..=MAX_KEY_SET_OCTETS).contains(&payload.len()))
    }

    /// Checks the set and reads it. `last_seen_version` is the newest version that the caller has
    /// ever taken from this institution, 0 at first; keep the returned one.
    ///
    /// # Errors
    /// [`InvalidKeySet`] saying what is wrong; see there for what to do.
    #[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
    pub fn verify(
        &self,
        root: &PublicKey,
        institution: &InstitutionId,
        now: Timestamp,
        last_seen_version: u64,
    ) -> Result<SealKeySet, InvalidKeySet> {
        self.claim(root)?.prove()?.read(institution, now, last_seen_version)
    }

    /// What the root key is said to have signed; [`SignedPayload::read`] checks the rest.
    ///
    /// # Errors
    /// [`InvalidKeySet::Malformed`].
    pub fn claim(&self, root: &PublicKey) -> Result<Claim<SignedPayload>, InvalidKeySet> {
        let payload = self.payload().ok_or(InvalidKeySet::Malformed)?;
        let octets = signed_octets(&payload);
        Ok(Claim::new(*root, octets, self.signature, SignedPayload(payload)))
    }
}

/// The octets of a key set, as the root key has signed them.
#[derive(Debug)]
pub struct SignedPayload(Vec<u8>);

impl SignedPayload {
    /// Checks the set and reads it, as [`SignedSealKeySet::verify`] does.
    ///
    /// # Errors
    /// [`InvalidKeySet`].
    pub fn read(
        &self,
        institution: &InstitutionId,
        now: Timestamp,
        last_seen_version: u64,
    ) -> Result<SealKeySet, InvalidKeySet> {
        let set: SealKeySet = serde_json::from_slice(&self.0)?;
        if set.institution != *institution {
            let expected = institution.clone();
            return Err(InvalidKeySet::Foreign { expected, found: set.institution });
        }
        if set.version < last_seen_version {
            return Err(InvalidKeySet::Older { seen: last_seen_version, found: set.version });
        }
        if set.not_after_ms <= now {
            return Err(InvalidKeySet::Expired);
        }
        if !set.keys_are_sound() {
            return Err(InvalidKeySet::Keys);
        }
        Ok(set)
    }
}

impl fmt::Debug for SignedSealKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedSealKeySet({} characters)", self.payload.len())
    }
}

fn signed_octets(payload: &[u8]) -> Vec<u8> {
    length_prefixed(&[b"pos-connect/1 seal key set", payload])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::SealSecretKey;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn root() -> SigningKey {
        SigningKey::from_seed(&[5; 32])
    }

    fn sakura() -> InstitutionId {
        "sakura-card".parse().unwrap()
    }

    fn key(seed: u8, end_s: u64) -> SealKey {
        SealKey::new(SealSecretKey::from_octets(&[seed; 32]).public(), Timestamp::from_secs(end_s))
    }

    fn set() -> SealKeySet {
        let not_after_ms = Timestamp::from_secs(5_000);
        SealKeySet {
            institution: sakura(),
            version: 7,
            not_after_ms,
            keys: vec![key(1, 2_000), key(2, 9_000)],
        }
    }

    fn verify(signed: &SignedSealKeySet) -> Result<SealKeySet, InvalidKeySet> {
        signed.verify(&root().public(), &sakura(), NOW, 7)
    }

    #[test]
    fn a_signed_set_is_read_back() {
        let json = serde_json::to_string(&set().sign(&root())).unwrap();
        assert_eq!(verify(&serde_json::from_str(&json).unwrap()).unwrap(), set());
    }

    #[test]
    fn who_when_and_which_version_are_checked() {
        let signed = set().sign(&root());
        let other_root = SigningKey::from_seed(&[6; 32]).public();
        let other = "other-card".parse().unwrap();
        let ask = |root: &PublicKey, of: &InstitutionId, now, seen| {
            signed.verify(root, of, Timestamp::from_secs(now), seen).unwrap_err()
        };
        let root = root().public();
        assert!(matches!(ask(&other_root, &sakura(), 1_000, 7), InvalidKeySet::BadSignature(_)));
        assert!(matches!(ask(&root, &other, 1_000, 7), InvalidKeySet::Foreign { .. }));
        assert!(matches!(ask(&root, &sakura(), 5_000, 7), InvalidKeySet::Expired));
        let older = ask(&root, &sakura(), 1_000, 8);
        assert!(matches!(older, InvalidKeySet::Older { seen: 8, found: 7 }));
    }

    #[test]
    fn every_altered_octet_is_refused() {
        let signed = set().sign(&root());
        for at in 0..signed.payload.len() {
            let mut payload = signed.payload.clone().into_bytes();
            payload[at] = if payload[at] == b'A' { b'B' } else { b'A' };
            let payload = String::from_utf8(payload).unwrap();
            let altered = SignedSealKeySet { payload, signature: signed.signature };
            assert!(verify(&altered).is_err(), "character {at}");
        }
        // The same octets signed as something else are no key set.
        let payload = serde_json::to_vec(&set()).unwrap();
        let signature = root().sign(&payload);
        let bare = SignedSealKeySet { payload: base64url(&payload), signature };
        assert!(matches!(verify(&bare), Err(InvalidKeySet::BadSignature(_))));
    }

    #[test]
    fn keys_must_be_few_different_and_rightly_named() {
        let signed = |keys| SealKeySet { keys, ..set() }.sign(&root());
        let misnamed = SealKey { key_id: key(2, 0).key_id, ..key(1, 2_000) };
        let many = (0..17).map(|seed| key(seed, 2_000)).collect();
        for keys in [vec![], vec![key(1, 2_000), key(1, 3_000)], vec![misnamed], many] {
            assert!(matches!(verify(&signed(keys)), Err(InvalidKeySet::Keys)));
        }
        let payload = base64url(&vec![b' '; MAX_KEY_SET_OCTETS + 1]);
        let huge = SignedSealKeySet { payload, signature: set().sign(&root()).signature };
        assert!(matches!(verify(&huge), Err(InvalidKeySet::Malformed)));
    }

    #[test]
    fn the_first_key_that_lives_long_enough_is_chosen() {
        let set = set();
        let chosen = |now, end| {
            set.key_for(Timestamp::from_secs(now), Timestamp::from_secs(end)).map(|key| key.key_id)
        };
        assert_eq!(chosen(1_000, 1_900), Ok(key(1, 0).key_id));
        assert_eq!(chosen(1_000, 2_000), Ok(key(1, 0).key_id));
        assert_eq!(chosen(1_000, 2_001), Ok(key(2, 0).key_id));
        assert_eq!(chosen(1_000, 9_001), Err(NoSealKey));
        assert_eq!(chosen(5_000, 5_100), Err(NoSealKey));
    }
}
