//! What is checked of a value before it goes anywhere: what PHP's declarations cannot say.

use uniffi_bindgen::interface::Type;

use super::surface::Surface;
use super::types::{Space, range};

/// Whose value is checked.
pub(super) struct Place<'a> {
    /// An expression for the method that is told.
    pub(super) method: &'a str,
    /// An expression for the name of the argument.
    pub(super) name: &'a str,
    /// The variable.
    pub(super) variable: &'a str,
    /// Whether a declaration has already looked at the type.
    pub(super) is_declared: bool,
}

impl Place<'_> {
    /// The argument of this name.
    pub(super) fn argument<T>(name: &str, then: impl FnOnce(&Place<'_>) -> T) -> T {
        then(&Place {
            method: "__METHOD__",
            name: &format!("'{name}'"),
            variable: &format!("${name}"),
            is_declared: true,
        })
    }
}

impl Surface {
    /// The statement that refuses a wrong value; none where every value that the declaration lets
    /// through is good.
    pub(super) fn check(&self, of: &Type, at: &Place<'_>, space: Space) -> Option<String> {
        let call = |check: &str, more: &str| {
            let (native, Place { method, name, variable, .. }) = (space.native, at);
            Some(format!("{native}Check::{check}({method}, {name}, {variable}{more});"))
        };
        match of {
            Type::String => call("text", ""),
            Type::Optional { inner_type } => {
                let inner = self.check(inner_type, at, space)?;
                Some(format!("if ({} !== null) {{\n    {}\n}}", at.variable, indented(&inner)))
            }
            Type::Sequence { inner_type } => call("list", &self.each(inner_type, space)),
            Type::Map { value_type, .. } => call("map", &self.each(value_type, space)),
            Type::Box { inner_type } => self.check(inner_type, at, space),
            Type::Int64 => call("number", ", PHP_INT_MIN, PHP_INT_MAX"),
            Type::UInt64 => call("number", ", 0, PHP_INT_MAX"),
            other => match range(other) {
                Some((least, most)) => call("number", &format!(", {least}, {most}")),
                None if at.is_declared => None,
                None => {
                    let wanted = match other {
                        Type::Boolean => "'bool'".to_owned(),
                        Type::Bytes => "'string'".to_owned(),
                        Type::Record { name, .. }
                        | Type::Enum { name, .. }
                        | Type::Object { name, .. } => {
                            format!("{}{}::class", space.class, self.class(name))
                        }
                        // Refused by `native`, which every declaration passes.
                        _ => return None,
                    };
                    call("type", &format!(", {wanted}"))
                }
            },
        }
    }

    /// The closure that checks one element.
    fn each(&self, of: &Type, space: Space) -> String {
        let at = Place { method: "$method", name: "$name", variable: "$one", is_declared: false };
        let body = self.check(of, &at, space).unwrap_or_default();
        format!(
            ", static function (string $method, string $name, mixed $one): void {{\n    {}\n}}",
            indented(&body)
        )
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}
