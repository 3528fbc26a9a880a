//! Short texts that an institution makes up: references, approval codes, raw decline codes.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::reason::DeclineReason;

/// 1 to 64 printable ASCII characters, as an institution wrote them. Nothing is read out of them;
/// they are kept, compared and shown to the operator.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlainText(Box<str>);

/// Why a text is not a [`PlainText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 printable ASCII characters")]
pub struct InvalidPlainText;

impl PlainText {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlainText {
    type Err = InvalidPlainText;

    fn from_str(text: &str) -> Result<Self, InvalidPlainText> {
        let printable = text.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        if printable && (1..=64).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidPlainText)
        }
    }
}

impl fmt::Display for PlainText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PlainText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for PlainText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PlainText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A word of a closed list as it stood in an answer: one that this build knows, or one that a
/// newer institution has.
pub(super) enum Word<T> {
    Known(T),
    Unknown(String),
}

impl<T> Word<T> {
    pub(super) fn known(self) -> Option<T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Unknown(_) => None,
        }
    }
}

impl Word<DeclineReason> {
    /// The reason, and the raw code beside it: a reason that is not known is `other`, and its word
    /// stands in for a raw code that the institution did not give.
    pub(super) fn reason(self, raw_code: Option<PlainText>) -> (DeclineReason, Option<PlainText>) {
        match self {
            Self::Known(reason) => (reason, raw_code),
            Self::Unknown(word) => (DeclineReason::Other, raw_code.or_else(|| word.parse().ok())),
        }
    }
}

impl<T: Serialize> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(known) => known.serialize(serializer),
            Self::Unknown(word) => serializer.serialize_str(word),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        if word.is_empty() {
            return Err(D::Error::custom("must not be empty"));
        }
        let text: serde::de::value::StringDeserializer<D::Error> = word.clone().into_deserializer();
        Ok(T::deserialize(text).map_or(Self::Unknown(word), Self::Known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_printable_ascii_is_plain() {
        let longest = "x".repeat(64);
        for good in ["A1", "05 do not honour", &longest] {
            assert_eq!(good.parse::<PlainText>().unwrap().as_str(), good);
        }
        let longer = "x".repeat(65);
        for wrong in ["", "a\nb", "a\u{7f}", "承認", &longer] {
            assert_eq!(wrong.parse::<PlainText>(), Err(InvalidPlainText), "{wrong:?}");
        }
    }
}
