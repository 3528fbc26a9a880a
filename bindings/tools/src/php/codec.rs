//! How values become octets and words, and again values: UniFFI's own form, in PHP's expressions.

use anyhow::bail;
use uniffi_bindgen::interface::{AsType as _, Enum, Field, Record, Type};

use super::File;
use super::records::field_name;
use super::surface::Surface;
use super::text::{class_name, indented};
use super::types::{NATIVE, Space};

/// The class that writes and reads each record, enum and error.
pub(super) fn file(surface: &Surface) -> anyhow::Result<File> {
    let mut methods = String::new();
    for record in surface.ci.record_definitions() {
        methods.push_str(&of_record(surface, record)?);
    }
    for one in surface.ci.enum_definitions() {
        methods.push_str(&if surface.is_error(one) || one.contains_variant_fields() {
            of_variants(surface, one)?
        } else {
            of_words(surface, one)
        });
    }
    let class = format!(
        "/**\n * Writes and reads what is passed to the library and back.\n *\n * @internal\n */\n\
         final class Codec\n{{\n{}}}\n",
        indented(methods.trim_end(), 1)
    );
    Ok(File::new("Native/Codec.php", "Native", &class))
}

fn of_record(surface: &Surface, record: &Record) -> anyhow::Result<String> {
    let name = record.name();
    let class = format!("\\PosConnect\\{name}");
    let mut methods = String::new();
    if surface.is_given(name) {
        let written = written(surface, record.fields(), field_name)?;
        methods.push_str(&writer(name, &class, &format!("return {written};\n")));
    }
    let arguments = read_arguments(surface, record.fields())?;
    methods.push_str(&reader(name, &class, &format!("return new {class}(\n{arguments});\n")));
    Ok(methods)
}

fn of_words(surface: &Surface, one: &Enum) -> String {
    let name = one.name();
    let class = format!("\\PosConnect\\{name}");
    let places = || (1..).zip(one.variants());
    let mut methods = String::new();
    if surface.is_given(name) {
        let arms =
            places().map(|(place, word)| format!("    {class}::{} => {place},\n", word.name()));
        let arms = arms.collect::<String>();
        let body = format!("return Wire::i32(match ($value) {{\n{arms}}});\n");
        methods.push_str(&writer(name, &class, &body));
    }
    let arms = places().map(|(place, word)| format!("    {place} => {class}::{},\n", word.name()));
    let arms = arms.collect::<String>();
    let body = format!("return match ($place = $in->i32()) {{\n{arms}    {UNKNOWN}}};\n");
    methods.push_str(&reader(name, &class, &body));
    methods
}

fn of_variants(surface: &Surface, one: &Enum) -> anyhow::Result<String> {
    let name = one.name();
    let class = format!("\\PosConnect\\{name}");
    let names = if surface.is_error(one) { property_name } else { field_name };
    let (mut writes, mut reads) = (String::new(), String::new());
    for (place, variant) in (1..).zip(one.variants()) {
        let variant_class = format!("{class}\\{}", class_name(variant.name()));
        if surface.is_given(name) {
            let written = written(surface, variant.fields(), names)?;
            let arm = format!("{variant_class}::class => Wire::i32({place}) . {written},\n");
            writes.push_str(&indented(&arm, 1));
        }
        let arguments = read_arguments_as(surface, variant.fields(), names)?;
        let arm = format!("{place} => new {variant_class}(\n{arguments}),\n");
        reads.push_str(&indented(&arm, 1));
    }
    let mut methods = String::new();
    if surface.is_given(name) {
        let refusal = format!("    default => throw Wire::stranger($value, {class}::class),\n");
        let body = format!("return match ($value::class) {{\n{writes}{refusal}}};\n");
        methods.push_str(&writer(name, &class, &body));
    }
    let body = format!("return match ($place = $in->i32()) {{\n{reads}    {UNKNOWN}}};\n");
    methods.push_str(&reader(name, &class, &body));
    Ok(methods)
}

const UNKNOWN: &str = "default => throw $in->unknown($place),\n";

fn writer(name: &str, class: &str, body: &str) -> String {
    let body = indented(body, 1);
    format!(
        "public static function write{name}(#[\\SensitiveParameter] {class} $value): string\n{{\n{body}}}\n\n"
    )
}

fn reader(name: &str, class: &str, body: &str) -> String {
    let body = indented(body, 1);
    format!("public static function read{name}(Reader $in): {class}\n{{\n{body}}}\n\n")
}

fn property_name(_: usize, field: &Field) -> String {
    super::errors::property(field.name())
}

/// All fields of `$value`, one behind the other.
fn written(
    surface: &Surface,
    fields: &[Field],
    name: fn(usize, &Field) -> String,
) -> anyhow::Result<String> {
    let mut parts = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let variable = format!("$value->{}", name(at, field));
        parts.push(surface.write(&field.as_type(), &variable, NATIVE)?);
    }
    Ok(if parts.is_empty() { "''".into() } else { parts.join("\n    . ") })
}

fn read_arguments(surface: &Surface, fields: &[Field]) -> anyhow::Result<String> {
    read_arguments_as(surface, fields, field_name)
}

/// Named, because they are read in the order of the metadata, whatever a constructor's is.
fn read_arguments_as(
    surface: &Surface,
    fields: &[Field],
    name: fn(usize, &Field) -> String,
) -> anyhow::Result<String> {
    let mut arguments = String::new();
    for (at, field) in fields.iter().enumerate() {
        let read = surface.read(&field.as_type(), NATIVE)?;
        arguments.push_str(&format!("    {}: {read},\n", name(at, field)));
    }
    Ok(arguments)
}

impl Surface {
    /// The octets of a value, as they stand inside of others.
    pub(super) fn write(&self, of: &Type, variable: &str, space: Space) -> anyhow::Result<String> {
        let native = space.native;
        Ok(match of {
            Type::Optional { inner_type } => {
                let inner = self.write(inner_type, variable, space)?;
                format!("({variable} === null ? \"\\0\" : \"\\1\" . {inner})")
            }
            Type::Sequence { inner_type } => {
                let each = self.write(inner_type, "$one", space)?;
                let of = self.native(inner_type, space)?;
                format!("{native}Wire::list({variable}, static fn ({of} $one): string => {each})")
            }
            Type::Map { value_type, .. } => {
                let each = self.write(value_type, "$one", space)?;
                let of = self.native(value_type, space)?;
                format!("{native}Wire::map({variable}, static fn ({of} $one): string => {each})")
            }
            Type::Record { name, .. } | Type::Enum { name, .. } => {
                format!("{native}Codec::write{name}({variable})")
            }
            Type::Box { inner_type } => self.write(inner_type, variable, space)?,
            plain => format!("{native}Wire::{}({variable})", word(plain)?),
        })
    }

    /// The value that `$in` holds next.
    pub(super) fn read(&self, of: &Type, space: Space) -> anyhow::Result<String> {
        let native = space.native;
        Ok(match of {
            Type::Optional { inner_type } => {
                format!("$in->flag() ? {} : null", self.read(inner_type, space)?)
            }
            Type::Sequence { inner_type } => {
                format!("$in->list({})", self.read_closure(inner_type, space)?)
            }
            Type::Map { value_type, .. } => {
                format!("$in->map({})", self.read_closure(value_type, space)?)
            }
            Type::Record { name, .. } | Type::Enum { name, .. } => {
                format!("{native}Codec::read{name}($in)")
            }
            Type::Box { inner_type } => self.read(inner_type, space)?,
            plain => format!("$in->{}()", word(plain)?),
        })
    }

    /// What reads one value of an answer.
    pub(super) fn read_closure(&self, of: &Type, space: Space) -> anyhow::Result<String> {
        let native = space.native;
        Ok(match of {
            Type::Record { name, .. } | Type::Enum { name, .. } => {
                format!("{native}Codec::read{name}(...)")
            }
            other => {
                let (what, read) = (self.native(other, space)?, self.read(other, space)?);
                format!("static fn ({native}Reader $in): {what} => {read}")
            }
        })
    }

    /// An argument of a call: a word, octets of its own, or an object's handle.
    pub(super) fn lower(&self, of: &Type, variable: &str, space: Space) -> anyhow::Result<String> {
        let native = space.native;
        Ok(match of {
            Type::String => format!("{native}Wire::bare({variable})"),
            Type::Boolean => format!("(int) {variable}"),
            Type::Object { name, .. } if self.host(name).is_some() => {
                format!("{native}Hosts::lend({}{name}::class, {variable})", space.class)
            }
            Type::Object { .. } => format!("{variable}->handle"),
            Type::Box { inner_type } => self.lower(inner_type, variable, space)?,
            other if is_word(other) => variable.to_owned(),
            other => self.write(other, variable, space)?,
        })
    }

    /// The value of a call's `$answer`.
    pub(super) fn lift(&self, of: &Type, space: Space) -> anyhow::Result<String> {
        let native = space.native;
        Ok(match of {
            Type::String | Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::Int64 => {
                "$answer".into()
            }
            Type::UInt64 => format!("{native}Reader::unsigned($answer)"),
            Type::Boolean => "$answer !== 0".into(),
            Type::Object { name, .. } if self.host(name).is_some() => {
                bail!("PHP has no form for a {name} that comes from the library")
            }
            Type::Object { name, .. } => {
                let class = format!("{}{}", space.class, self.class(name));
                format!("{class}::ofHandle(new {native}Handle($answer, {class}::class))")
            }
            Type::Box { inner_type } => self.lift(inner_type, space)?,
            other if is_word(other) => bail!("PHP has no form for an answer of {other:?}"),
            other => {
                format!("{native}Reader::whole($answer, {})", self.read_closure(other, space)?)
            }
        })
    }
}

/// The size of an answer in words, by the name it has in PHP.
pub(super) fn size(of: Option<&Type>) -> &'static str {
    match of {
        None => "NOTHING",
        Some(Type::Box { inner_type }) => size(Some(inner_type)),
        Some(Type::Object { .. }) => "WORD",
        Some(other) if is_word(other) => "WORD",
        Some(_) => "OCTETS",
    }
}

fn is_word(of: &Type) -> bool {
    matches!(
        of,
        Type::Boolean
            | Type::UInt8
            | Type::UInt16
            | Type::UInt32
            | Type::UInt64
            | Type::Int8
            | Type::Int16
            | Type::Int32
            | Type::Int64
    )
}

/// What writes and reads a plain value is called by.
fn word(of: &Type) -> anyhow::Result<&'static str> {
    Ok(match of {
        Type::Boolean => "flag",
        Type::Bytes => "octets",
        Type::Int16 => "i16",
        Type::Int32 => "i32",
        Type::Int64 => "i64",
        Type::Int8 => "i8",
        Type::String => "text",
        Type::UInt16 => "u16",
        Type::UInt32 => "u32",
        Type::UInt64 => "u64",
        Type::UInt8 => "u8",
        other => bail!("PHP has no form for {other:?}"),
    })
}
