//! A header field as it was received, and the strict reading of its parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::SignError;
use crate::key::Signature;

/// One header field of a message: absent, there once, or doubled.
///
/// A doubled field is kept apart because two readers may each believe another of its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// The message has no such field.
    #[default]
    Absent,
    /// The field occurs once, with this value, white space around it removed.
    Once(&'a [u8]),
    /// The field occurs more than once.
    Doubled,
}

impl<'a> Field<'a> {
    /// The field from all its values in the message.
    pub fn from_values(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::Once(value),
            (Some(_), Some(_)) => Self::Doubled,
        }
    }

    /// The value, `None` where the field is absent.
    pub(super) fn value(self, field: &'static str) -> Result<Option<&'a [u8]>, SignError> {
        match self {
            Self::Absent => Ok(None),
            Self::Once(value) => Ok(Some(value)),
            Self::Doubled => Err(SignError::Doubled { field }),
        }
    }

    /// The value of a field that must be there.
    pub(super) fn required(self, field: &'static str) -> Result<&'a [u8], SignError> {
        self.value(field)?.ok_or(SignError::Missing { field })
    }
}

impl<'a> From<Option<&'a str>> for Field<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::Absent, |text| Self::Once(text.as_bytes()))
    }
}

/// What follows `label=` in a dictionary field that must have this one member (RFC 9651
/// section 3.2).
pub(super) fn member<'a>(
    value: &'a [u8],
    label: &str,
    field: &'static str,
) -> Result<&'a [u8], SignError> {
    value
        .strip_prefix(label.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"="))
        .ok_or(SignError::Label { field })
}

/// Reads the `Signature` field: one byte sequence of 64 octets under `label`.
pub(super) fn signature(value: &[u8], label: &str) -> Result<Signature, SignError> {
    let field = super::header::SIGNATURE;
    let rest = member(value, label, field)?;
    byte_sequence(rest).map(Signature::from_octets).ok_or_else(|| {
        // A second member after a good first one is named for what it is.
        let second = rest.get(90).is_some_and(|after| *after == b',');
        if second { SignError::Label { field } } else { SignError::Malformed { field } }
    })
}

/// Reads `:base64:` that holds exactly `N` octets, canonically written. `N` is at most 64.
pub(super) fn byte_sequence<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digits = text.strip_prefix(b":")?.strip_suffix(b":")?;
    let mut octets = [0; 66]; // Room for the last group of base64, which may be cut short.
    let length = STANDARD.decode_slice(digits, &mut octets).ok()?;
    octets.get(..length)?.try_into().ok()
}

/// Whether a text may stand in a line of the signature base: visible ASCII, so that no line can be
/// broken and nobody reads it otherwise than we do.
pub(super) fn is_visible(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_value_is_noticed() {
        assert_eq!(Field::from_values([]), Field::Absent);
        assert_eq!(Field::from_values([&b"a"[..]]), Field::Once(b"a"));
        assert_eq!(Field::from_values([&b"a"[..], b"a"]), Field::Doubled);
    }

    #[test]
    fn byte_sequences_have_one_spelling() {
        assert_eq!(byte_sequence::<4>(b":AQIDBA==:"), Some([1, 2, 3, 4]));
        for wrong in ["AQIDBA==", ":AQIDBA==", ":AQIDBA:", ":AQIDBB==:", ":AQIDBAU=:", ":AQ ID==:"]
        {
            assert_eq!(byte_sequence::<4>(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
