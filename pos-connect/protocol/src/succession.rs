//! How an answer key is followed by the next, and how a module that slept finds the newest.
//!
//! The first answer key is pinned by its [`Fingerprint`], which is part of the enrolment code.
//! Every later one is named in a [`Statement`] signed by its predecessor. The server serves them
//! all, oldest first; [`walk`] follows them from the pin, however old it is.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
use crate::key::SigningKey;
use crate::key::{BadSignature, Claim, PublicKey, Signature};
use crate::sign::length_prefixed;
use crate::text::{base64url, fixed_from_base64url};

/// The most statements that a walk takes: one a month for five years, and some.
pub const MAX_STATEMENTS: usize = 64;

/// The first 16 octets of a key's id: what the enrolment code carries and a module pins. In JSON 22
/// characters of base64url.
///
/// Half of SHA-256 is enough because only a second preimage helps an attacker: the operator alone
/// makes the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, example = "kPrK_qmxVWaYVA9wwBF6Ig"))]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of a key.
    pub fn of(key: &PublicKey) -> Self {
        let (mut first, id) = ([0; 16], key.id());
        first.copy_from_slice(&id.octets()[..16]);
        Self(first)
    }

    /// The fingerprint with these octets.
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The 16 octets.
    pub const fn octets(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether this is the fingerprint of `key`.
    pub fn matches(&self, key: &PublicKey) -> bool {
        *self == Self::of(key)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fixed_from_base64url(&String::deserialize(deserializer)?)
            .map(Self)
            .ok_or_else(|| D::Error::custom("must be 16 octets in base64url without padding"))
    }
}

/// One step: `predecessor` says that `successor` signs the answers from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Statement {
    /// The answer key that hands over, and signs.
    pub predecessor: PublicKey,
    /// The answer key that takes over.
    pub successor: PublicKey,
    /// When the statement was made, by the server's clock.
    pub created_ms: Timestamp,
    /// The predecessor's signature over both keys and the time.
    pub signature: Signature,
}

/// What the predecessor signs: the length-prefixed fields `pos-connect/1 answer key succession`,
/// predecessor (32 octets), successor (32 octets), time in milliseconds (8 octets, most significant
/// first).
pub fn statement_octets(
    predecessor: &PublicKey,
    successor: &PublicKey,
    created: Timestamp,
) -> Vec<u8> {
    length_prefixed(&[
        b"pos-connect/1 answer key succession",
        predecessor.octets(),
        successor.octets(),
        &created.as_ms().to_be_bytes(),
    ])
}

impl Statement {
    /// Makes and signs a statement with the predecessor's private key.
    #[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
    pub fn sign(predecessor: &SigningKey, successor: PublicKey, created: Timestamp) -> Self {
        let public = predecessor.public();
        let signature = predecessor.sign(&statement_octets(&public, &successor, created));
        Self { predecessor: public, successor, created_ms: created, signature }
    }

    fn octets(&self) -> Vec<u8> {
        statement_octets(&self.predecessor, &self.successor, self.created_ms)
    }

    /// Whether the predecessor signed it.
    ///
    /// # Errors
    /// [`BadSignature`]: take it for never said.
    #[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
    pub fn verify(&self) -> Result<(), BadSignature> {
        self.predecessor.verify(&self.octets(), &self.signature)
    }
}

/// Why statements do not lead from the pin to the offered key. Believe no answer of that key; a
/// server that keeps offering it needs a new enrolment code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// The signature of a statement does not verify.
    #[error("statement {at} is not signed by its predecessor")]
    BadSignature {
        /// Its index, from 0.
        at: usize,
        /// What the check said.
        source: BadSignature,
    },
    /// Two statements of one predecessor name different successors, or the same one twice.
    #[error("statement {at} is a second one by the same predecessor")]
    Fork {
        /// Its index, from 0.
        at: usize,
    },
    /// A statement's predecessor is not the successor of the statement before it.
    #[error("statement {at} does not follow the one before it")]
    Gap {
        /// Its index, from 0.
        at: usize,
    },
    /// A statement returns to a key that was in use before.
    #[error("statement {at} returns to an earlier key")]
    Loop {
        /// Its index, from 0.
        at: usize,
    },
    /// The statements end at another key than the one offered.
    #[error("the statements do not end at the offered answer key")]
    NotNewest,
    /// The pinned key is none of the keys named.
    #[error("the pinned answer key is none of those named")]
    PinUnknown,
    /// More than [`MAX_STATEMENTS`].
    #[error("more than {MAX_STATEMENTS} statements")]
    TooMany,
}

/// Follows `statements` (all that the server has, oldest first) from the pinned key to the newest,
/// which must be the `offered` one, and gives it. Pin it from now on: a later walk then cannot be
/// led back.
///
/// The statements must be one unbroken chain; those before the pin are held to the same rule. With
/// no statement, the offered key itself must be the pinned one.
///
/// # Errors
/// [`SuccessionError`]: the offered key is not to be believed.
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
pub fn walk(
    pin: &Fingerprint,
    offered: &PublicKey,
    statements: &[Statement],
) -> Result<PublicKey, SuccessionError> {
    let mut walk = Walk::new(statements)?;
    while let Some(step) = walk.step()? {
        let at = walk.at();
        step.prove().map_err(|source| SuccessionError::BadSignature { at, source })?;
    }
    walk.end(pin, offered)
}

/// [`walk`] for those who prove signatures by themselves: every step, then the end.
#[derive(Debug)]
pub struct Walk<'a> {
    statements: &'a [Statement],
    taken: usize,
}

impl<'a> Walk<'a> {
    /// The way that these statements lead.
    ///
    /// # Errors
    /// [`SuccessionError::TooMany`].
    pub fn new(statements: &'a [Statement]) -> Result<Self, SuccessionError> {
        if statements.len() > MAX_STATEMENTS {
            return Err(SuccessionError::TooMany);
        }
        Ok(Self { statements, taken: 0 })
    }

    /// What the next statement claims; `None` after the last one.
    ///
    /// # Errors
    /// [`SuccessionError`] where it does not continue those before it.
    pub fn step(&mut self) -> Result<Option<Claim<()>>, SuccessionError> {
        let Some(next) = self.statements.get(self.taken) else { return Ok(None) };
        check_link(&self.statements[..self.taken], next, self.taken)?;
        self.taken = self.taken.saturating_add(1);
        Ok(Some(Claim::new(next.predecessor, next.octets(), next.signature, ())))
    }

    /// Which statement the last [`step`](Self::step) was, from 0.
    pub fn at(&self) -> usize {
        self.taken.saturating_sub(1)
    }

    /// Where it leads from the pin, once every step is proved.
    ///
    /// # Errors
    /// [`SuccessionError`] where that is not the offered key.
    pub fn end(self, pin: &Fingerprint, offered: &PublicKey) -> Result<PublicKey, SuccessionError> {
        if self.statements.last().is_some_and(|last| last.successor != *offered) {
            return Err(SuccessionError::NotNewest);
        }
        let mut predecessors = self.statements.iter().map(|each| &each.predecessor);
        let is_pinned = pin.matches(offered) || predecessors.any(|key| pin.matches(key));
        if is_pinned { Ok(*offered) } else { Err(SuccessionError::PinUnknown) }
    }
}

/// That a statement continues those before it, without visiting any key twice.
fn check_link(before: &[Statement], next: &Statement, at: usize) -> Result<(), SuccessionError> {
    if before.iter().any(|earlier| earlier.predecessor == next.predecessor) {
        return Err(SuccessionError::Fork { at });
    }
    if before.last().is_some_and(|last| last.successor != next.predecessor) {
        return Err(SuccessionError::Gap { at });
    }
    let is_return = next.successor == next.predecessor
        || before.iter().any(|earlier| earlier.predecessor == next.successor);
    if is_return { Err(SuccessionError::Loop { at }) } else { Ok(()) }
}
