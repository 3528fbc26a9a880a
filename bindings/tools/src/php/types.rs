//! Types, as PHP itself knows them and as its comments tell them.

use anyhow::bail;
use uniffi_bindgen::interface::Type;

use super::surface::Surface;

/// How a file names classes: those beside it by their own name, all others in full.
#[derive(Clone, Copy)]
pub(super) struct Space {
    pub(super) class: &'static str,
    pub(super) native: &'static str,
}

/// `PosConnect` itself.
pub(super) const ROOT: Space = Space { class: "", native: "Native\\" };
/// What belongs to one class, such as the variants of an enum.
pub(super) const BELOW: Space = Space { class: "\\PosConnect\\", native: "\\PosConnect\\Native\\" };
/// `PosConnect\Native`.
pub(super) const NATIVE: Space = Space { class: "\\PosConnect\\", native: "" };

impl Surface {
    /// What a declaration says.
    pub(super) fn native(&self, of: &Type, space: Space) -> anyhow::Result<String> {
        Ok(match of {
            Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64 => "int".into(),
            Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 => "int".into(),
            Type::Boolean => "bool".into(),
            Type::String | Type::Bytes => "string".into(),
            Type::Sequence { .. } | Type::Map { .. } => "array".into(),
            Type::Record { name, .. } | Type::Enum { name, .. } | Type::Object { name, .. } => {
                format!("{}{}", space.class, self.class(name))
            }
            Type::Optional { inner_type } => match &**inner_type {
                Type::Optional { .. } => bail!("PHP has one null only: no option of an option"),
                inner => format!("?{}", self.native(inner, space)?),
            },
            Type::Box { inner_type } => self.native(inner_type, space)?,
            other => bail!("PHP has no form for {other:?}"),
        })
    }

    /// What the declaration of an argument says. One for a whole number lets a broken one through, for
    /// `Check` to refuse it: PHP would cut it to a whole one in a file without `strict_types`, and
    /// an amount is money.
    pub(super) fn taken(&self, of: &Type, space: Space) -> anyhow::Result<String> {
        match of {
            Type::Optional { inner_type } if is_whole(inner_type) => Ok("int|float|null".into()),
            Type::Box { inner_type } => self.taken(inner_type, space),
            of if is_whole(of) => Ok("int|float".into()),
            of => self.native(of, space),
        }
    }

    /// What a comment says, which is more.
    pub(super) fn told(&self, of: &Type, space: Space) -> anyhow::Result<String> {
        Ok(match of {
            Type::UInt64 => "int<0, max>".into(),
            Type::Optional { inner_type } => format!("{}|null", self.told(inner_type, space)?),
            Type::Sequence { inner_type } => format!("list<{}>", self.told(inner_type, space)?),
            Type::Map { key_type, value_type } => {
                if **key_type != Type::String {
                    bail!("the keys of a PHP array are texts here, not {key_type:?}");
                }
                format!("array<string, {}>", self.told(value_type, space)?)
            }
            Type::Box { inner_type } => self.told(inner_type, space)?,
            other => match range(other) {
                Some((least, most)) => format!("int<{least}, {most}>"),
                None => self.native(other, space)?,
            },
        })
    }
}

fn is_whole(of: &Type) -> bool {
    *of == Type::Int64 || range(of).is_some()
}

/// The least and the largest value, where PHP's own integers reach further.
pub(super) fn range(of: &Type) -> Option<(i64, i64)> {
    Some(match of {
        Type::UInt8 => (0, u8::MAX.into()),
        Type::UInt16 => (0, u16::MAX.into()),
        Type::UInt32 => (0, u32::MAX.into()),
        Type::UInt64 => (0, i64::MAX),
        Type::Int8 => (i8::MIN.into(), i8::MAX.into()),
        Type::Int16 => (i16::MIN.into(), i16::MAX.into()),
        Type::Int32 => (i32::MIN.into(), i32::MAX.into()),
        _ => return None,
    })
}
