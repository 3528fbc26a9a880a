//! `__init__.pyi`, in the form that mypy and pyright both accept in their strict modes.
//!
//! A class cannot derive from the one that it stands in while that is still being written. So a variant is
//! a class of its own beside its enum, and the enum holds it as an attribute: `Error.Wait` can then be
//! caught and `Instrument.CARD(...)` is an `Instrument`.

use std::fmt::Write as _;

use pos_connect_tools::words;
use uniffi_bindgen::ComponentInterface;
use uniffi_bindgen::interface::{
    Argument, AsType as _, Callable, Constructor, Enum, Field, Function, Method, Object, Record,
    Variant,
};

use super::spelling::{
    ABOUT, Closing, INTERNAL_ERROR, MADE, all, annotation, closes, default, docs, is_error, word,
};

/// The whole file.
pub(super) fn of(surface: &ComponentInterface) -> anyhow::Result<String> {
    let mut out = format!(
        "{MADE}{}\nimport abc\nimport enum\nfrom types import TracebackType\n\
         from typing import ClassVar, NoReturn, final\n\n{}",
        docs(Some(ABOUT), 0),
        all(surface)
    );
    write!(
        out,
        "\nclass {INTERNAL_ERROR}(Exception):\n    \
         \"\"\"A fault of the module itself: tell whoever maintains it.\"\"\"\n"
    )?;
    for words in surface.enum_definitions() {
        out.push_str(&if is_error(surface, words) {
            error(words)?
        } else if words.is_flat() {
            flat(words)
        } else {
            variants(words)?
        });
    }
    for one in surface.record_definitions() {
        out.push_str(&record(one)?);
    }
    for one in surface.object_definitions() {
        out.push_str(&if one.has_callback_interface() { interface(one)? } else { object(one)? });
    }
    for one in surface.function_definitions() {
        out.push_str(&function(one)?);
    }
    Ok(words::in_python(surface, &out))
}

fn record(of: &Record) -> anyhow::Result<String> {
    let body = body(of.fields(), of.fields(), true)?;
    Ok(format!("\n@final\nclass {}:\n{}{body}{EQUAL}", of.name(), docs(of.docstring(), 4)))
}

/// Records and variants are compared by their fields, and as they can be changed have no hash.
const EQUAL: &str = "    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
";

/// Attributes, and the constructor that sets all of them.
fn body<'a>(
    own: impl IntoIterator<Item = &'a Field>,
    fields: &[Field],
    is_by_name: bool,
) -> anyhow::Result<String> {
    let mut out = attributes(own)?;
    let mut arguments = String::new();
    for field in fields {
        write!(arguments, ",\n        {}: {}", field.name(), annotation(&field.as_type())?)?;
        if let Some(value) = field.default_value() {
            write!(arguments, " = {}", default(value)?)?;
        }
    }
    let star = if is_by_name && !fields.is_empty() { ",\n        *" } else { "" };
    let end = if fields.is_empty() { "" } else { ",\n    " };
    writeln!(out, "    def __init__(\n        self{star}{arguments}{end}) -> None: ...")?;
    Ok(out)
}

fn attributes<'a>(fields: impl IntoIterator<Item = &'a Field>) -> anyhow::Result<String> {
    let mut out = String::new();
    for field in fields {
        let of = annotation(&field.as_type())?;
        write!(out, "    {}: {of}\n{}", field.name(), docs(field.docstring(), 4))?;
    }
    Ok(out)
}

fn flat(of: &Enum) -> String {
    let mut out = format!("\n@final\nclass {}(enum.Enum):\n{}", of.name(), docs(of.docstring(), 4));
    for (at, variant) in of.variants().iter().enumerate() {
        let name = word(variant.name());
        out.push_str(&format!("    {name} = {at}\n{}", docs(variant.docstring(), 4)));
    }
    out
}

fn variants(of: &Enum) -> anyhow::Result<String> {
    let name = of.name();
    let mut out = format!("\nclass {name}:\n{}", docs(of.docstring(), 4));
    out.push_str(NO_CONSTRUCTOR);
    let mut apart = String::new();
    for variant in of.variants() {
        let spelt = word(variant.name());
        writeln!(out, "    {spelt}: ClassVar[type[{}]]", apart_name(of, variant))?;
        out.push_str(&docs(variant.docstring(), 4));
        write!(
            apart,
            "\n@final\nclass {}({name}):\n{}{}{EQUAL}",
            apart_name(of, variant),
            docs(variant.docstring(), 4),
            body(variant.fields(), variant.fields(), false)?
        )?;
    }
    for variant in of.variants() {
        let asked = word(variant.name());
        for asked in [asked.clone(), asked.to_lowercase()] {
            writeln!(out, "    def is_{asked}(self) -> bool: ...")?;
        }
    }
    Ok(out + &apart)
}

/// What can be had in another way only.
const NO_CONSTRUCTOR: &str =
    "    def __init__(self, *, made_in_another_way: NoReturn) -> None: ...\n";

fn error(of: &Enum) -> anyhow::Result<String> {
    let name = of.name();
    let shared = shared_fields(of);
    let mut out = format!("\nclass {name}(Exception):\n{}", docs(of.docstring(), 4));
    let mut apart = String::new();
    for variant in of.variants() {
        let (variant_name, class) = (variant.name(), apart_name(of, variant));
        let own = variant.fields().iter().filter(|field| !shared.contains(field));
        writeln!(out, "    {variant_name}: ClassVar[type[{class}]]")?;
        out.push_str(&docs(variant.docstring(), 4));
        write!(
            apart,
            "\n@final\nclass {class}({name}):\n{}{}",
            docs(variant.docstring(), 4),
            body(own, variant.fields(), false)?
        )?;
    }
    out.push_str(&attributes(shared)?);
    Ok(out + &apart)
}

/// Fields that every variant has can be read of whatever was caught.
fn shared_fields(of: &Enum) -> Vec<&Field> {
    let Some((first, others)) = of.variants().split_first() else { return Vec::new() };
    let is_shared = |field: &&Field| {
        others.iter().all(|variant| {
            let alike =
                |one: &Field| one.name() == field.name() && one.as_type() == field.as_type();
            variant.fields().iter().any(alike)
        })
    };
    first.fields().iter().filter(is_shared).collect()
}

fn apart_name(of: &Enum, variant: &Variant) -> String {
    format!("_{}{}", of.name(), variant.name())
}

/// What the host implements.
fn interface(of: &Object) -> anyhow::Result<String> {
    let mut out = format!("\nclass {}(abc.ABC):\n{}", of.name(), docs(of.docstring(), 4));
    for one in of.methods() {
        write!(out, "    @abc.abstractmethod\n{}", method(one)?)?;
    }
    Ok(out)
}

fn object(of: &Object) -> anyhow::Result<String> {
    let name = of.name();
    let mut out = format!("\n@final\nclass {name}:\n{}", docs(of.docstring(), 4));
    match of.primary_constructor() {
        Some(one) => {
            let arguments = arguments(&one.arguments(), "self")?;
            let docs = docs(one.docstring(), 8);
            write!(out, "    def __init__({arguments}) -> None:\n{docs}")?;
        }
        None => out.push_str(NO_CONSTRUCTOR),
    }
    for one in of.alternate_constructors() {
        out.push_str(&constructor(name, one)?);
    }
    for one in of.methods() {
        out.push_str(&method(one)?);
    }
    out.push_str(&closing(of));
    Ok(out)
}

fn constructor(of: &str, one: &Constructor) -> anyhow::Result<String> {
    let (name, arguments) = (one.name(), arguments(&one.arguments(), "cls")?);
    let docs = docs(one.docstring(), 8);
    Ok(format!("    @classmethod\n    def {name}({arguments}) -> {of}:\n{docs}"))
}

fn method(one: &Method) -> anyhow::Result<String> {
    let head = head(one, one.name(), "self")?;
    Ok(format!("    {head}:\n{}", body_docs(one.docstring(), 8)))
}

fn function(one: &Function) -> anyhow::Result<String> {
    let head = head(one, one.name(), "")?;
    Ok(format!("\n{head}:\n{}", body_docs(one.docstring(), 4)))
}

/// Documentation where a body belongs.
fn body_docs(text: Option<&str>, indent: usize) -> String {
    if text.is_some() { docs(text, indent) } else { format!("{}...\n", " ".repeat(indent)) }
}

fn head(one: &impl Callable, name: &str, this: &str) -> anyhow::Result<String> {
    let kind = if one.is_async() { "async def" } else { "def" };
    let gives = one.return_type().map_or(Ok("None".to_owned()), annotation)?;
    Ok(format!("{kind} {name}({}) -> {gives}", arguments(&one.arguments(), this)?))
}

/// `this` and what follows it, one to a line where there is more.
fn arguments(given: &[&Argument], this: &str) -> anyhow::Result<String> {
    if given.is_empty() {
        return Ok(this.to_owned());
    }
    let mut out = String::new();
    if !this.is_empty() {
        write!(out, "{this}, ")?;
    }
    for (at, one) in given.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(out, "{comma}{}: {}", one.name(), annotation(&one.as_type())?)?;
        if let Some(value) = one.default_value() {
            write!(out, " = {}", default(value)?)?;
        }
    }
    Ok(out)
}

/// `with`, where it can be closed.
fn closing(of: &Object) -> String {
    let (kind, a, name) = match closes(of) {
        None => return String::new(),
        Some(Closing::Blocking) => ("def", "", of.name()),
        Some(Closing::Async) => ("async def", "a", of.name()),
    };
    format!(
        "    {kind} __{a}enter__(self) -> {name}: ...\n    {kind} __{a}exit__(\n        self,\n        \
         kind: type[BaseException] | None,\n        error: BaseException | None,\n        \
         trace: TracebackType | None,\n        /,\n    ) -> None: ...\n"
    )
}
