//! Sealed instruments: what the shopper gives travels to the institution past shop, module and
//! server, bound to one order (`docs/PROTOCOL.md`, sealed instruments).
//!
//! HPKE base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305.
//! Base mode does not say who sealed: that the shopper is the holder is the institution's to find
//! out.
//!
//! ```
//! use pos_protocol::Timestamp;
//! use pos_protocol::money::{Currency, Money};
//! use pos_protocol::seal::{
//!     Binding, Card, Expiry, Instrument, SealKey, SealSecretKey, SealedOperation, open, seal,
//! };
//!
//! let secret = SealSecretKey::from_octets(&[7; 32]); // The institution's, from real randomness.
//! let key = SealKey::new(secret.public(), Timestamp::from_secs(1_800_000_000));
//! let card = Card::new("4111111111111111", Expiry { year: 2030, month: 12 })?;
//! let binding = Binding {
//!     institution: "sakura-card".parse()?,
//!     contract_number: "4980012345".parse()?,
//!     operation: SealedOperation::Sale,
//!     order_id: "order-1".parse()?,
//!     money: Money::new(1_200, Currency::JPY)?,
//! };
//! let not_after = Timestamp::from_secs(1_795_000_600); // At most 15 minutes ahead.
//! let entropy = [1; 48]; // From the system's randomness, once for each envelope.
//! let envelope = seal(&Instrument::Card(card), &binding, not_after, &key, &entropy)?;
//! let opened = open(&envelope, &binding, &secret)?;
//! assert!(matches!(opened, Instrument::Card(card) if card.number() == "4111111111111111"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod envelope;
mod instrument;
mod key;
mod key_set;

use std::convert::Infallible;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use envelope::{CIPHERTEXT_OCTETS, Envelope, EnvelopeTime, MAX_LIFE, SUITE, VERSION};
pub use instrument::{
    Account, AccountKind, Card, Expiry, Instrument, InvalidInstrument, PLAINTEXT_OCTETS, Prepaid,
};
pub use key::{SealPublicKey, SealSecretKey};
pub use key_set::{
    InvalidKeySet, MAX_KEY_SET_OCTETS, MAX_SEAL_KEYS, NoSealKey, SealKey, SealKeySet,
    SignedPayload, SignedSealKeySet,
};

use crate::Timestamp;
use crate::id::{ContractNumber, InstitutionId, OrderId};
use crate::key::KeyId;
use crate::money::Money;
use crate::sign::length_prefixed;

/// Random octets that one envelope needs: 16 for its `rand`, then 32 for the ephemeral key
/// (`ikmE` of RFC 9180). They are used once; the last 32 are secret.
pub type SealEntropy = [u8; 48];

/// What an instrument may be sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SealedOperation {
    /// Authorise and capture in one.
    Sale,
    /// Hold the amount.
    Authorise,
    /// Ask whether a payment would pass, without paying.
    Check,
}

impl SealedOperation {
    /// The name on the wire, in the binding and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Authorise => "authorise",
            Self::Check => "check",
        }
    }
}

/// What an envelope is good for, and nothing else. The institution rebuilds it from the
/// operation that it is asked for; together with the envelope's own `not_after` and `rand` it is
/// what the ciphertext is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The institution, under the name that the operator gave it.
    pub institution: InstitutionId,
    /// The number under which the institution keeps the shop.
    pub contract_number: ContractNumber,
    /// What is to be done.
    pub operation: SealedOperation,
    /// The shop's number of the order.
    pub order_id: OrderId,
    /// The amount and its currency.
    pub money: Money,
}

impl Binding {
    /// The additional authenticated data: SHA-256 over the length-prefixed fields institution id,
    /// contract number, operation, order id, amount in minor units, currency, `not_after` in
    /// milliseconds, `rand`. Texts as they are, numbers in decimal, `rand` as its 16 octets.
    pub fn aad(&self, not_after: Timestamp, rand: &[u8; 16]) -> [u8; 32] {
        Sha256::digest(length_prefixed(&[
            self.institution.as_str().as_bytes(),
            self.contract_number.as_str().as_bytes(),
            self.operation.as_str().as_bytes(),
            self.order_id.as_str().as_bytes(),
            self.money.amount.minor().to_string().as_bytes(),
            self.money.currency.code().as_bytes(),
            not_after.as_ms().to_string().as_bytes(),
            rand,
        ]))
        .into()
    }
}

/// The `info` of the key schedule: the length-prefixed fields `pos-connect/1 seal`, institution
/// id, and the key id as its 43 characters.
pub fn info(institution: &InstitutionId, key_id: KeyId) -> Vec<u8> {
    length_prefixed(&[
        b"pos-connect/1 seal",
        institution.as_str().as_bytes(),
        key_id.to_string().as_bytes(),
    ])
}

/// The key is none that can be sealed to (a point of small order). The set that it came from is
/// wrong: tell the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seal key {key_id} cannot be used")]
pub struct UnusableKey {
    /// The key.
    pub key_id: KeyId,
}

/// Why an envelope did not open. The institution declines the operation; trying again with the
/// same envelope is useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It opened, but what was inside is no instrument.
    #[error("the sealed instrument is not valid: {0}")]
    Instrument(#[from] InvalidInstrument),
    /// It was sealed for another order, amount, operation, contract or institution, or altered.
    #[error("the envelope does not belong to this operation, or was altered")]
    NotForThis,
    /// It was sealed to another key.
    #[error("the envelope is sealed to key {key_id}, which is not this one")]
    OtherKey {
        /// The key that the envelope names.
        key_id: KeyId,
    },
}

/// Seals an instrument to an institution's key for one operation of one order.
///
/// The institution of the binding must be the one whose verified [`SealKeySet`] `key` comes from.
/// Sealing again gives other octets: a retry under the same idempotency key sends the same
/// envelope.
///
/// # Errors
/// [`UnusableKey`] for a key of small order.
pub fn seal(
    instrument: &Instrument,
    binding: &Binding,
    not_after: Timestamp,
    key: &SealKey,
    entropy: &SealEntropy,
) -> Result<Envelope, UnusableKey> {
    let (rand, ikm) = entropy.split_first_chunk().expect("48 octets have a first 16");
    let key_id = key.public.id();
    let unusable = |_| UnusableKey { key_id };
    let recipient =
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(key.public.octets()).map_err(unusable)?;
    let (enc, ct) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &recipient,
            &info(&binding.institution, key_id),
            &*instrument.to_plaintext(),
            &binding.aad(not_after, rand),
            &mut Drawn(ikm),
        )
        .map_err(unusable)?;
    let ct = ct.try_into().expect("the tag adds 16 octets to the padded plaintext");
    Ok(Envelope::new(key_id, enc.to_bytes().0, ct, *rand, not_after))
}

/// Opens an envelope with the institution's key, for the operation that the institution was asked
/// for. The caller has checked the envelope's time ([`Envelope::check_not_after`]), and takes its
/// `rand` for this operation id only.
///
/// # Errors
/// [`OpenError`] for another key, another binding, altered octets, or contents that are no
/// instrument.
pub fn open(
    envelope: &Envelope,
    binding: &Binding,
    key: &SealSecretKey,
) -> Result<Instrument, OpenError> {
    let key_id = key.public().id();
    if envelope.key_id() != key_id {
        return Err(OpenError::OtherKey { key_id: envelope.key_id() });
    }
    let not_for_this = |_| OpenError::NotForThis;
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(envelope.enc());
    let plaintext = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key.hpke(),
        &enc.map_err(not_for_this)?,
        &info(&binding.institution, key_id),
        envelope.ct(),
        &binding.aad(envelope.not_after(), envelope.rand()),
    )
    .map(Zeroizing::new)
    .map_err(not_for_this)?;
    Ok(Instrument::from_plaintext(&plaintext)?)
}

/// The caller's random octets in the shape that the crate draws them: `ikmE`, once.
struct Drawn<'a>(&'a [u8]);

impl TryRng for Drawn<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, wanted: &mut [u8]) -> Result<(), Infallible> {
        let (drawn, rest) = self
            .0
            .split_at_checked(wanted.len())
            .expect("an encapsulation draws one ikmE of 32 octets (RFC 9180 section 7.1.3)");
        wanted.copy_from_slice(drawn);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Drawn<'_> {}

#[cfg(test)]
mod tests;
