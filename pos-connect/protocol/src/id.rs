//! Identifiers: random, time-ordered ones that the server makes, and named ones that people choose.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
use crate::text::{BASE32, base32_value};

/// Why a text is not an identifier of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct InvalidId {
    /// What the text must look like, as a sentence for the caller.
    pub rule: &'static str,
}

/// Octets of a generated identifier: 48 bits of milliseconds, then 80 random bits, so that rows
/// written later sort later and no id tells how many there are.
pub type IdOctets = [u8; 16];

/// Random octets that a fresh identifier needs.
pub type IdEntropy = [u8; 10];

const DIGITS: usize = 26;

fn fresh(now: Timestamp, entropy: IdEntropy) -> IdOctets {
    let mut octets = [0; 16];
    octets[..6].copy_from_slice(&now.as_ms().to_be_bytes()[2..]);
    octets[6..].copy_from_slice(&entropy);
    octets
}

fn to_digits(octets: IdOctets) -> [u8; DIGITS] {
    let mut rest = u128::from_be_bytes(octets);
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE32[usize::from((rest & 31) as u8)];
        rest >>= 5;
    }
    digits
}

fn from_digits(text: &[u8]) -> Option<IdOctets> {
    if text.len() != DIGITS || text[0] > b'7' {
        return None; // 26 digits hold 130 bits: the first may use only three of its five.
    }
    let mut value: u128 = 0;
    for &digit in text {
        // Only the canonical spelling: an id is compared as text by callers.
        let five = base32_value(digit).filter(|&v| BASE32[usize::from(v)] == digit)?;
        value = value << 5 | u128::from(five);
    }
    Some(value.to_be_bytes())
}

macro_rules! generated_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $pattern:literal, $example:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\nWritten `", $prefix, "_` and 26 lower-case Crockford base32 digits.")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = $pattern, example = $example))]
        pub struct $name(IdOctets);

        impl $name {
            /// What every such id begins with.
            pub const PREFIX: &'static str = concat!($prefix, "_");

            /// A fresh id from the present time and ten random octets.
            pub fn fresh(now: Timestamp, entropy: IdEntropy) -> Self {
                Self(fresh(now, entropy))
            }

            /// The id with these octets, as a database keeps it.
            pub const fn from_octets(octets: IdOctets) -> Self {
                Self(octets)
            }

            /// The octets, as a database keeps them.
            pub const fn octets(&self) -> &IdOctets {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digits = to_digits(self.0);
                let digits = std::str::from_utf8(&digits).map_err(|_| fmt::Error)?;
                write!(f, "{}{digits}", Self::PREFIX)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(Self::PREFIX)
                    .and_then(|digits| from_digits(digits.as_bytes()))
                    .map(Self)
                    .ok_or(InvalidId {
                        rule: concat!(
                            "must be `", $prefix,
                            "_` followed by 26 base32 digits, exactly as the server wrote it"
                        ),
                    })
            }
        }

        serde_as_text!($name);
    };
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // Cow would lend the common case; ids are short and the copy does not show.
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

generated_id!(/// A shop, the operator's customer.
    ShopId, "shp", "^shp_[0-7][0-9a-hjkmnp-tv-z]{25}$", "shp_06fpc9v3r0e4k7m2n8q1s5t9wx");
generated_id!(/// One virtual POS of a shop.
    PosId, "pos", "^pos_[0-7][0-9a-hjkmnp-tv-z]{25}$", "pos_06fpc9v3r0e4k7m2n8q1s5t9wx");
generated_id!(/// A shop's agreement with one institution, registered on one POS.
    ContractId, "con", "^con_[0-7][0-9a-hjkmnp-tv-z]{25}$", "con_06fpc9v3r0e4k7m2n8q1s5t9wx");
generated_id!(/// One shop order that is paid, or was tried to be.
    PaymentId, "pay", "^pay_[0-7][0-9a-hjkmnp-tv-z]{25}$", "pay_06fpc9v3r0e4k7m2n8q1s5t9wx");
generated_id!(/// One money movement of a payment; also the id that the institution knows it by.
    OperationId, "op", "^op_[0-7][0-9a-hjkmnp-tv-z]{25}$", "op_06fpc9v3r0e4k7m2n8q1s5t9wx");
generated_id!(/// One call, named in its answer and in the operator's log.
    RequestId, "req", "^req_[0-7][0-9a-hjkmnp-tv-z]{25}$", "req_06fpc9v3r0e4k7m2n8q1s5t9wx");
generated_id!(/// Who signs in: the one user id a shop has for all institutions.
    UserId, "usr", "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$", "usr_06fpc9v3r0e4k7m2n8q1s5t9wx");
generated_id!(/// Something a person of the operator must decide.
    TaskId, "tsk", "^tsk_[0-7][0-9a-hjkmnp-tv-z]{25}$", "tsk_06fpc9v3r0e4k7m2n8q1s5t9wx");

generated_id!(/// Something that a shop is told; the same for every try, by mail and by webhook.
    NoticeId, "ntc", "^ntc_[0-7][0-9a-hjkmnp-tv-z]{25}$", "ntc_06fpc9v3r0e4k7m2n8q1s5t9wx");

macro_rules! named_id {
    ($(#[$doc:meta])* $name:ident, $check:expr, $rule:literal, $pattern:literal, $example:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\nThe text ", $rule, ".")]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = $pattern, example = $example))]
        pub struct $name(Box<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let check: fn(&[u8]) -> bool = $check;
                if check(text.as_bytes()) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { rule: $rule })
                }
            }
        }

        serde_as_text!($name);
    };
}

named_id!(/// An institution, under the name that the operator gave it.
    InstitutionId,
    |text| sized(text, 1, 32)
        && text[0].is_ascii_lowercase()
        && text.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-'),
    "must be 1 to 32 of a-z, 0-9 and hyphen, beginning with a letter",
    "^[a-z][a-z0-9-]{0,31}$",
    "sakura-card");
named_id!(/// The shop's own number of an order; it names the payment together with the shop.
    OrderId,
    |text| sized(text, 1, 64)
        && text[0].is_ascii_alphanumeric()
        && text.iter().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(b)),
    "must be 1 to 64 of A-Z, a-z, 0-9 and _ . : - beginning with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$",
    "order-2026-000123");
named_id!(/// The number under which an institution keeps the shop.
    ContractNumber,
    |text| sized(text, 1, 32)
        && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-'),
    "must be 1 to 32 of A-Z, a-z, 0-9 and hyphen",
    "^[A-Za-z0-9-]{1,32}$",
    "4980012345");
named_id!(/// Names one mutation for as long as its payment is kept: the same key never acts twice
    /// (`docs/PROTOCOL.md`, idempotency).
    IdempotencyKey,
    |text| sized(text, 16, 64)
        && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_'),
    "must be 16 to 64 of A-Z, a-z, 0-9, hyphen and underscore",
    "^[A-Za-z0-9_-]{16,64}$",
    "01J9Z3T7-order-000123-sale");
named_id!(/// How a shopper pays, as the shop offers it: a kind and, where there are several, a scheme:
    /// `card:visa`, `bank:aozora`, `prepaid:sakura`.
    Method,
    |text| sized(text, 1, 32)
        && text[0].is_ascii_lowercase()
        && !text.ends_with(b":")
        && text.iter().filter(|b| **b == b':').count() <= 1
        && text.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:".contains(b)),
    "must be 1 to 32 of a-z, 0-9, hyphen and at most one colon, such as `card:visa`",
    "^(?=.{1,32}$)[a-z][a-z0-9-]*(:[a-z0-9-]+)?$",
    "card:visa");

fn sized(text: &[u8], least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_id_is_its_time_then_its_entropy() {
        let id = PaymentId::fresh(Timestamp::from_ms(0x0123_4567_89ab), [0xff; 10]);
        assert_eq!(id.octets()[..6], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab]);
        assert_eq!(id.to_string(), "pay_014d2pf2dbzzzzzzzzzzzzzzzz");
        assert_eq!("pay_014d2pf2dbzzzzzzzzzzzzzzzz".parse::<PaymentId>(), Ok(id));
    }

    #[test]
    fn later_ids_sort_later_as_octets_and_as_text() {
        let early = OperationId::fresh(Timestamp::from_ms(1_000), [0xff; 10]);
        let late = OperationId::fresh(Timestamp::from_ms(1_001), [0; 10]);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn only_the_canonical_spelling_is_an_id() {
        for wrong in [
            "",
            "pay_",
            "014d2pf2dbzzzzzzzzzzzzzzzz",
            "op_014d2pf2dbzzzzzzzzzzzzzzzz",
            "pay_014D2PF2DBZZZZZZZZZZZZZZZZ",
            "pay_814d2pf2dbzzzzzzzzzzzzzzzz",
            "pay_o14d2pf2dbzzzzzzzzzzzzzzzz",
            "pay_014d2pf2dbzzzzzzzzzzzzzzz",
            "pay_014d2pf2dbzzzzzzzzzzzzzzzzz",
            "pay_../../../../../../../..////",
        ] {
            assert!(wrong.parse::<PaymentId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn named_ids_refuse_path_pieces_controls_and_size() {
        let long = "a".repeat(1 << 20);
        for wrong in ["", ".", "..", "../x", "a/b", "a\nb", "a\u{0}", "-a", "日本", " a", &long] {
            assert!(wrong.parse::<OrderId>().is_err(), "{wrong:.20}");
        }
        assert!("order-1:2.3_4".parse::<OrderId>().is_ok());
        assert!("short".parse::<IdempotencyKey>().is_err());
        assert!("0123456789abcdef".parse::<IdempotencyKey>().is_ok());
        assert!("0123456789abcde/".parse::<IdempotencyKey>().is_err());
        for wrong in ["card:", "Card", "a:b:c", ""] {
            assert!(wrong.parse::<Method>().is_err(), "{wrong}");
        }
        assert!("card:visa".parse::<Method>().is_ok());
    }

    #[test]
    fn json_says_what_the_text_must_look_like() {
        let error = serde_json::from_str::<OrderId>("\"a/b\"").unwrap_err().to_string();
        assert!(error.contains("beginning with a letter or digit"), "{error}");
    }
}
