//! How names, types, defaults and documentation are written in Python.

use anyhow::bail;
use heck::ToShoutySnakeCase as _;
use uniffi_bindgen::ComponentInterface;
use uniffi_bindgen::interface::{DefaultValue, Enum, Literal, Object, Type};

/// The head of both files.
pub(super) const MADE: &str =
    "# Made by `pos-bindgen python-stubs` from the library's own metadata. Do not edit.\n";

/// What the package says of itself.
pub(super) const ABOUT: &str = "\
The connection module of the payment operator: login, signing and forwarding of payments.

``BlockingConnection`` is for programs that wait, ``Connection`` for those on ``asyncio``; both have
the same verbs.";

/// What UniFFI raises where the module itself is at fault; it is no part of the metadata.
pub(super) const INTERNAL_ERROR: &str = "InternalError";

/// Every public name of the package, in alphabetical order.
pub(super) fn names(surface: &ComponentInterface) -> Vec<&str> {
    let records = surface.record_definitions().iter().map(|one| one.name());
    let enums = surface.enum_definitions().iter().map(|one| one.name());
    let objects = surface.object_definitions().iter().map(|one| one.name());
    let functions = surface.function_definitions().iter().map(|one| one.name());
    let mut names: Vec<_> = records.chain(enums).chain(objects).chain(functions).collect();
    names.push(INTERNAL_ERROR);
    names.sort_unstable();
    names
}

/// The package's list of them.
pub(super) fn all(surface: &ComponentInterface) -> String {
    let names: String = names(surface).iter().map(|name| format!("    \"{name}\",\n")).collect();
    format!("__all__ = [\n{names}]\n")
}

/// How UniFFI names a value of an enum, or a variant of one with fields.
pub(super) fn word(name: &str) -> String {
    name.to_shouty_snake_case()
}

/// Whether `with` can close it, and if so whether that is `async with`.
pub(super) fn closes(object: &Object) -> Option<Closing> {
    let methods = object.methods();
    let is_there = methods.iter().any(|one| one.name() == "close" && one.arguments().is_empty());
    let is_async = methods.iter().any(|one| one.is_async());
    is_there.then_some(if is_async { Closing::Async } else { Closing::Blocking })
}

/// Which kind of `with`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    Blocking,
    Async,
}

/// Whether it is an error, which Python raises.
pub(super) fn is_error(surface: &ComponentInterface, of: &Enum) -> bool {
    surface.is_name_used_as_error(of.name())
}

/// A type as an annotation.
pub(super) fn annotation(of: &Type) -> anyhow::Result<String> {
    Ok(match of {
        Type::UInt8
        | Type::Int8
        | Type::UInt16
        | Type::Int16
        | Type::UInt32
        | Type::Int32
        | Type::UInt64
        | Type::Int64 => "int".into(),
        Type::Float32 | Type::Float64 => "float".into(),
        Type::Boolean => "bool".into(),
        Type::String => "str".into(),
        Type::Bytes => "bytes".into(),
        Type::Object { name, .. } | Type::Record { name, .. } | Type::Enum { name, .. } => {
            name.clone()
        }
        Type::Box { inner_type } => annotation(inner_type)?,
        Type::Optional { inner_type } => format!("{} | None", annotation(inner_type)?),
        Type::Sequence { inner_type } => format!("list[{}]", annotation(inner_type)?),
        Type::Set { inner_type } => format!("set[{}]", annotation(inner_type)?),
        Type::Map { key_type, value_type } => {
            format!("dict[{}, {}]", annotation(key_type)?, annotation(value_type)?)
        }
        Type::Timestamp | Type::Duration | Type::CallbackInterface { .. } | Type::Custom { .. } => {
            bail!("{of:?} was never written in Python: give it a form in spelling.rs")
        }
    })
}

/// What an argument is when it is left out.
pub(super) fn default(value: &DefaultValue) -> anyhow::Result<&'static str> {
    Ok(match value {
        // `None`, which the annotation allows; UniFFI's code has an object of its own there, and a
        // comparison of the two would find them different.
        DefaultValue::Literal(Literal::None) => "...",
        DefaultValue::Literal(Literal::Boolean(true)) => "True",
        DefaultValue::Literal(Literal::Boolean(false)) => "False",
        // Empty, or whatever the type says.
        DefaultValue::Default => "...",
        DefaultValue::Literal(other) => {
            bail!("{other:?} was never a default in Python: give it a form in spelling.rs")
        }
    })
}

/// Documentation, indented; nothing where there is none.
pub(super) fn docs(text: Option<&str>, indent: usize) -> String {
    let Some(text) = text else { return String::new() };
    let margin = " ".repeat(indent);
    let text = text.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"");
    let mut lines = text.trim_end().lines().map(str::trim_end);
    let first = lines.next().unwrap_or_default().trim_start();
    let mut written = format!("{margin}\"\"\"{first}");
    let mut is_long = false;
    for line in lines {
        is_long = true;
        written.push('\n');
        if !line.is_empty() {
            written.push_str(&margin);
            written.push_str(line);
        }
    }
    if is_long {
        written.push('\n');
        written.push_str(&margin);
    } else if first.ends_with('"') {
        written.push(' ');
    }
    written.push_str("\"\"\"\n");
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_python_does() {
        let optional = |of| Type::Optional { inner_type: Box::new(of) };
        let list = |of| Type::Sequence { inner_type: Box::new(of) };
        let map = Type::Map {
            key_type: Box::new(Type::String),
            value_type: Box::new(list(optional(Type::UInt64))),
        };
        assert_eq!(annotation(&map).expect("it is known"), "dict[str, list[int | None]]");
        assert!(annotation(&Type::Duration).is_err());
    }

    #[test]
    fn documentation_cannot_end_its_own_text() {
        assert_eq!(docs(None, 4), "");
        assert_eq!(docs(Some("One line."), 4), "    \"\"\"One line.\"\"\"\n");
        assert_eq!(docs(Some("A \"quote\""), 0), "\"\"\"A \"quote\" \"\"\"\n");
        let long = docs(Some("A \\ and \"\"\".\n\nMore."), 2);
        assert_eq!(long, "  \"\"\"A \\\\ and \\\"\\\"\\\".\n\n  More.\n  \"\"\"\n");
    }
}
