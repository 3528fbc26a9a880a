//! The enrolment code: what a newly admitted shop registers with, and what is signed with it.
//!
//! The code holds 128 random bits and the fingerprint of the server's answer key, so that the
//! module knows whose answers to believe before it has heard any. The random bits never travel:
//! they are the seed of the *enrolment key*, whose public half is all that the server keeps.

use std::fmt;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::id::UserId;
use crate::key::PublicKey;
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
use crate::key::SigningKey;
use crate::secret::SecretText;
use crate::sign::length_prefixed;
use crate::succession::Fingerprint;
use crate::text::{BASE32, base32_value};

/// Random octets that a fresh code needs.
pub type CodeEntropy = [u8; 16];

/// Digits of a printed code, hyphens not counted.
pub const CODE_DIGITS: usize = 56;

const OCTETS: usize = 35; // Secret 16, fingerprint 16, check 3: exactly 56 digits of five bits.
const GROUP: usize = 4;

/// An enrolment code. It cannot be printed by accident; [`printed`](Self::printed) is the one way.
#[derive(Clone)]
pub struct EnrolmentCode {
    secret: Zeroizing<[u8; 16]>,
    answer_key: Fingerprint,
}

/// Why a text is not an enrolment code: what to tell the person who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// A character that no code contains.
    #[error("character {at} of the code, `{found}`, is none that a code contains")]
    Character {
        /// Its place, from 1, spaces and hyphens not counted.
        at: usize,
        /// The character.
        found: char,
    },
    /// The check letters do not fit: something was mistyped or two characters were swapped.
    #[error("the code has a typing error: its check letters do not fit the rest")]
    Check,
    /// Too few or too many characters.
    #[error("the code has {CODE_DIGITS} letters and digits, {found} were given")]
    Length {
        /// How many were given, spaces and hyphens not counted.
        found: usize,
    },
}

impl EnrolmentCode {
    /// A fresh code for a shop of the server that answers with `answer_key`.
    pub fn new(secret: CodeEntropy, answer_key: &PublicKey) -> Self {
        Self { secret: Zeroizing::new(secret), answer_key: Fingerprint::of(answer_key) }
    }

    /// Reads a code as people type it: either case, with or without hyphens and spaces, `i` and `l`
    /// for 1, `o` for 0, and the full-width forms of a Japanese keyboard.
    ///
    /// # Errors
    /// [`CodeError`], which says what is wrong without repeating the code.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let digits = read_digits(text)?;
        let octets = to_octets(&digits);
        let (content, check) = octets.split_at(32);
        if crc24(content).to_be_bytes()[1..] != *check {
            return Err(CodeError::Check);
        }
        let (mut secret, mut answer_key) = (Zeroizing::new([0; 16]), [0; 16]);
        secret.copy_from_slice(&content[..16]);
        answer_key.copy_from_slice(&content[16..]);
        Ok(Self { secret, answer_key: Fingerprint::from_octets(answer_key) })
    }

    /// The code as it is shown to the shop once: 14 groups of four, in lower case.
    pub fn printed(&self) -> SecretText {
        let mut octets = Zeroizing::new([0; OCTETS]);
        octets[..16].copy_from_slice(&*self.secret);
        octets[16..32].copy_from_slice(self.answer_key.octets());
        let check = crc24(&octets[..32]).to_be_bytes();
        octets[32..].copy_from_slice(&check[1..]);
        let digits = to_digits(&octets);
        let mut text = String::with_capacity(CODE_DIGITS + CODE_DIGITS / GROUP);
        for (at, digit) in digits.iter().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(*digit));
        }
        SecretText::new(text)
    }

    /// The key that signs the [`registration_proof`]; the server keeps its public half.
    #[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
    pub fn enrolment_key(&self) -> SigningKey {
        SigningKey::from_seed(&self.enrolment_seed())
    }

    /// The seed of that key.
    ///
    /// It is SHA-256 over the length-prefixed fields `pos-connect/1 enrolment key` and the 16
    /// secret octets. They are uniformly random, so no slow derivation is needed.
    pub fn enrolment_seed(&self) -> Zeroizing<[u8; 32]> {
        let fields =
            Zeroizing::new(length_prefixed(&[b"pos-connect/1 enrolment key", &*self.secret]));
        Zeroizing::new(Sha256::digest(&*fields).into())
    }

    /// The pin of the server's answer key.
    pub fn answer_key(&self) -> Fingerprint {
        self.answer_key
    }
}

impl fmt::Debug for EnrolmentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentCode([redacted], {})", self.answer_key)
    }
}

/// What the enrolment key signs at registration: the length-prefixed fields `pos-connect/1
/// registration`, user id as text, module key (32 octets). So a proxy cannot spend the code for a
/// key of its own.
pub fn registration_proof(user_id: &UserId, module_key: &PublicKey) -> Vec<u8> {
    let user_id = user_id.to_string();
    length_prefixed(&[b"pos-connect/1 registration", user_id.as_bytes(), module_key.octets()])
}

/// What a new module key signs to show that it is there and means to follow the old one: the
/// length-prefixed fields `pos-connect/1 key roll`, old key (32 octets), new key (32 octets). The
/// call that carries the proof is signed by the old key.
pub fn key_roll_proof(old: &PublicKey, new: &PublicKey) -> Vec<u8> {
    length_prefixed(&[b"pos-connect/1 key roll", old.octets(), new.octets()])
}

/// The values of the 56 digits, spaces and hyphens left out.
fn read_digits(text: &str) -> Result<Zeroizing<[u8; CODE_DIGITS]>, CodeError> {
    let characters = text.chars().map(narrow).filter(|c| !is_filler(*c));
    let found = characters.clone().count();
    if found != CODE_DIGITS {
        return Err(CodeError::Length { found });
    }
    let mut digits = Zeroizing::new([0; CODE_DIGITS]);
    for ((at, found), digit) in (1..).zip(characters).zip(digits.iter_mut()) {
        *digit = u8::try_from(found)
            .ok()
            .and_then(base32_value)
            .ok_or(CodeError::Character { at, found })?;
    }
    Ok(digits)
}

/// The ASCII character of a full-width one.
fn narrow(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => {
            u32::from(character).checked_sub(0xfee0).and_then(char::from_u32).unwrap_or(character)
        }
        other => other,
    }
}

/// White space, and whatever a keyboard or word processor makes of a hyphen.
fn is_filler(character: char) -> bool {
    character.is_whitespace() || matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Eight digits of five bits are five octets, first digit highest.
fn to_octets(values: &[u8; CODE_DIGITS]) -> Zeroizing<[u8; OCTETS]> {
    let mut octets = Zeroizing::new([0; OCTETS]);
    for (group, into) in values.chunks_exact(8).zip(octets.chunks_exact_mut(5)) {
        let bits = group.iter().fold(0_u64, |bits, value| bits << 5 | u64::from(*value));
        into.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    octets
}

fn to_digits(octets: &[u8; OCTETS]) -> Zeroizing<[u8; CODE_DIGITS]> {
    let mut digits = Zeroizing::new([0; CODE_DIGITS]);
    for (five, into) in octets.chunks_exact(5).zip(digits.chunks_exact_mut(8)) {
        let bits = five.iter().fold(0_u64, |bits, octet| bits << 8 | u64::from(*octet));
        for (digit, shift) in into.iter_mut().zip([35, 30, 25, 20, 15, 10, 5, 0]) {
            *digit = BASE32[usize::from((bits >> shift).to_le_bytes()[0] & 31)];
        }
    }
    digits
}

/// The CRC-24 of OpenPGP (RFC 9580 section 6.1). It catches for certain every error within 24
/// neighbouring bits: any one wrong character, any two swapped neighbours, any one wrong group.
fn crc24(octets: &[u8]) -> u32 {
    let mut crc: u32 = 0x00b7_04ce;
    for octet in octets {
        crc ^= u32::from(*octet) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value that catalogues of CRCs give for CRC-24/OPENPGP.
    #[test]
    fn the_crc_is_that_of_openpgp() {
        assert_eq!(crc24(b"123456789"), 0x0021_cf02);
    }
}
