//! The parameters of a signature: `created`, `expires`, `keyid`, `tag`, and nothing else.
//!
//! RFC 9421 signs the parameters in the order in which they stand in `Signature-Input`, so any
//! order is taken as received; each must be there exactly once, in its canonical spelling. `alg` is
//! refused like any other stranger: the key's record names the algorithm, the wire chooses nothing.

use super::base::push_number;
use super::error::SignError;
use super::header;
use crate::key::KeyId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    Created,
    Expires,
    KeyId,
    Tag,
}

/// What the signature of a call must have, in the order in which we write it.
pub(super) const CALL: [Param; 4] = [Param::Created, Param::Expires, Param::KeyId, Param::Tag];
/// What the signature of an answer must have, in the order in which we write it.
pub(super) const ANSWER: [Param; 3] = [Param::Created, Param::KeyId, Param::Tag];

impl Param {
    const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Expires => "expires",
            Self::KeyId => "keyid",
            Self::Tag => "tag",
        }
    }
}

/// `N` parameters in the order in which they are written. The tag is the profile's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Params<const N: usize> {
    pub(super) created_s: u64,
    /// Zero where the signature has no such parameter.
    pub(super) expires_s: u64,
    pub(super) key_id: KeyId,
    pub(super) order: [Param; N],
}

impl<const N: usize> Params<N> {
    /// Appends `;created=…` and so on.
    pub(super) fn write(&self, tag: &str, text: &mut String) {
        for param in self.order {
            text.push(';');
            text.push_str(param.name());
            text.push('=');
            match param {
                Param::Created => push_number(text, self.created_s),
                Param::Expires => push_number(text, self.expires_s),
                Param::KeyId => {
                    text.push('"');
                    text.push_str(&self.key_id.to_string());
                    text.push('"');
                }
                Param::Tag => {
                    text.push('"');
                    text.push_str(tag);
                    text.push('"');
                }
            }
        }
    }

    /// Reads exactly the parameters `wanted`, in any order, up to the end of the field.
    pub(super) fn read(rest: &[u8], wanted: [Param; N], tag: &str) -> Result<Self, SignError> {
        let mut read =
            Self { created_s: 0, expires_s: 0, key_id: KeyId::from_octets([0; 32]), order: wanted };
        let mut rest = rest;
        for at in 0..N {
            let (param, value) = name(rest, &wanted, &read.order[..at])?;
            rest = match param {
                Param::Created => integer(value, param, &mut read.created_s)?,
                Param::Expires => integer(value, param, &mut read.expires_s)?,
                Param::KeyId => {
                    let (id, rest) = string(value, param)?;
                    read.key_id = std::str::from_utf8(id)
                        .ok()
                        .and_then(|id| id.parse().ok())
                        .ok_or_else(|| SignError::Parameter { name: param.name() })?;
                    rest
                }
                Param::Tag => {
                    let (found, rest) = string(value, param)?;
                    if found != tag.as_bytes() {
                        return Err(SignError::Tag);
                    }
                    rest
                }
            };
            read.order[at] = param;
        }
        match rest.first() {
            None => Ok(read),
            Some(b',') => Err(SignError::Label { field: header::SIGNATURE_INPUT }),
            Some(b';') => Err(SignError::Parameter { name: surplus(rest) }),
            Some(_) => Err(SignError::Malformed { field: header::SIGNATURE_INPUT }),
        }
    }
}

/// The next parameter's name, which must be wanted and not be `seen`, and what follows its `=`.
fn name<'a, const N: usize>(
    rest: &'a [u8],
    wanted: &[Param; N],
    seen: &[Param],
) -> Result<(Param, &'a [u8]), SignError> {
    let missing = wanted.iter().find(|param| !seen.contains(param)).map_or("other", |p| p.name());
    let after = match rest.split_first() {
        None | Some((b',', _)) => return Err(SignError::Parameter { name: missing }),
        Some((b';', after)) => after,
        Some(_) => {
            return Err(SignError::Malformed { field: header::SIGNATURE_INPUT });
        }
    };
    let (param, value) = wanted
        .iter()
        .find_map(|param| {
            let value = after.strip_prefix(param.name().as_bytes())?.strip_prefix(b"=")?;
            Some((*param, value))
        })
        .ok_or(SignError::Parameter { name: "other" })?;
    if seen.contains(&param) {
        return Err(SignError::Parameter { name: param.name() });
    }
    Ok((param, value))
}

/// The name of a parameter too many, as far as we know it.
fn surplus(rest: &[u8]) -> &'static str {
    let known = |param: &&Param| {
        let after = rest.get(1..).and_then(|rest| rest.strip_prefix(param.name().as_bytes()));
        after.is_some_and(|rest| rest.first() == Some(&b'='))
    };
    CALL.iter().find(known).map_or("other", |param| param.name())
}

/// A non-negative integer of at most 15 digits (RFC 9651 section 3.3.1) without leading zeros.
fn integer<'a>(value: &'a [u8], param: Param, into: &mut u64) -> Result<&'a [u8], SignError> {
    let malformed = SignError::Parameter { name: param.name() };
    let length = value.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = value.split_at(length);
    if digits.is_empty() || digits.len() > 15 || (digits[0] == b'0' && digits.len() > 1) {
        return Err(malformed);
    }
    let text = std::str::from_utf8(digits).map_err(|_| malformed)?;
    *into = text.parse().map_err(|_| malformed)?;
    Ok(rest)
}

/// A string (RFC 9651 section 3.3.3) without escapes: no value of the profile needs one.
fn string(value: &[u8], param: Param) -> Result<(&[u8], &[u8]), SignError> {
    let malformed = SignError::Parameter { name: param.name() };
    let inner = value.strip_prefix(b"\"").ok_or(malformed)?;
    let end = inner.iter().position(|octet| *octet == b'"').ok_or(malformed)?;
    let (text, rest) = inner.split_at(end);
    Ok((text, &rest[1..]))
}
