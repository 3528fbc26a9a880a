//! Short texts that an institution makes up: references, approval codes, raw decline codes.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
