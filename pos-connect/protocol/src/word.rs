//! Words of closed lists, and how an answer carries them.
//!
//! A list grows with the server. What a caller *asks* for must be on the list; in an *answer* a word
//! that this build does not know is kept as text, so that the rest of the answer can still be read.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list of words: error codes, reasons, advice, kinds of operation.
pub trait Word: Copy + 'static {
    /// What the list is called in the `OpenAPI` document.
    const NAME: &'static str;

    /// What the words say, and what to make of one that is not known.
    const MEANING: &'static str;

    /// Every word that this build knows.
    const ALL: &'static [Self];

    /// The word on the wire.
    fn wire(self) -> &'static str;
}

/// A word as an answer has it: one that this build knows, or a newer server's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Open<W> {
    /// A word of [`Word::ALL`].
    Known(W),
    /// A word that a newer server gave; [`Word::MEANING`] says what to make of it.
    Unknown(String),
}

impl<W: Word> Open<W> {
    /// The word as it stood on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(word) => word.wire(),
            Self::Unknown(text) => text,
        }
    }

    /// The word, if this build knows it.
    pub fn known(&self) -> Option<W> {
        match self {
            Self::Known(word) => Some(*word),
            Self::Unknown(_) => None,
        }
    }
}

impl<W> From<W> for Open<W> {
    fn from(word: W) -> Self {
        Self::Known(word)
    }
}

impl<W: Word + PartialEq> PartialEq<W> for Open<W> {
    fn eq(&self, word: &W) -> bool {
        self.known().is_some_and(|known| known == *word)
    }
}

impl<W: Word> Serialize for Open<W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, W: Word> Deserialize<'de> for Open<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = W::ALL.iter().find(|word| word.wire() == text);
        Ok(known.map_or(Self::Unknown(text), |word| Self::Known(*word)))
    }
}

#[cfg(feature = "openapi")]
impl<W: Word> utoipa::PartialSchema for Open<W> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::openapi::open_text(W::MEANING, W::ALL.iter().map(|word| word.wire()))
    }
}

#[cfg(feature = "openapi")]
impl<W: Word> utoipa::ToSchema for Open<W> {
    fn name() -> std::borrow::Cow<'static, str> {
        W::NAME.into()
    }
}

/// Names the words of an enum, and makes a [`Word`] of it.
macro_rules! words {
    ($list:ident, $meaning:literal, $($name:ident $wire:literal),* $(,)?) => {
        impl $list {
            /// Every word of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word on the wire.
            pub const fn wire(self) -> &'static str {
                match self { $(Self::$name => $wire),* }
            }
        }

        $crate::word::word!($list, stringify!($list), $meaning);
    };
}

/// Makes a [`Word`] of an enum that has `ALL` and `wire` already.
macro_rules! word {
    ($list:ident, $name:expr, $meaning:literal) => {
        impl $crate::word::Word for $list {
            const NAME: &'static str = $name;
            const MEANING: &'static str = $meaning;
            const ALL: &'static [Self] = Self::ALL;

            fn wire(self) -> &'static str {
                self.wire()
            }
        }
    };
}

pub(crate) use {word, words};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Retry;

    #[test]
    fn a_word_of_a_newer_server_is_kept_as_text() {
        let known: Open<Retry> = serde_json::from_str("\"same_key\"").unwrap();
        assert_eq!(known, Open::Known(Retry::SameKey));
        assert_eq!(known, Retry::SameKey);
        let newer: Open<Retry> = serde_json::from_str("\"ask_the_moon\"").unwrap();
        assert_eq!(newer, Open::Unknown("ask_the_moon".into()));
        assert_eq!(newer.known(), None);
        assert_eq!(serde_json::to_string(&newer).unwrap(), "\"ask_the_moon\"");
        for wrong in ["1", "null", "{\"same_key\":null}", "[\"same_key\"]"] {
            assert!(serde_json::from_str::<Open<Retry>>(wrong).is_err(), "{wrong}");
        }
    }
}
