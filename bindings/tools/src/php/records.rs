//! Records, and the variants of enums with fields: classes whose values stay as they were made.

use heck::ToLowerCamelCase as _;
use uniffi_bindgen::interface::{AsType as _, Field, Record};

use super::File;
use super::checks::Place;
use super::surface::Surface;
use super::text::{default, indented};
use super::types::{ROOT, Space};
use crate::secrets;

pub(super) fn files(surface: &Surface) -> anyhow::Result<Vec<File>> {
    surface.ci.record_definitions().iter().map(|record| file(surface, record)).collect()
}

fn file(surface: &Surface, record: &Record) -> anyhow::Result<File> {
    let name = record.name();
    let fields = Fields::new(surface, name, record.fields(), ROOT);
    let comment = surface.comment(record.docstring(), &[]);
    let class = format!(
        "{comment}final readonly class {name}{}\n{{\n{}}}\n",
        fields.interfaces(),
        indented(&fields.members()?, 1)
    );
    Ok(File::new(format!("{name}.php"), "", &class))
}

/// The fields of one class.
pub(super) struct Fields<'a> {
    surface: &'a Surface,
    /// The record or enum that they are of.
    of: &'a str,
    fields: &'a [Field],
    space: Space,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        surface: &'a Surface,
        of: &'a str,
        fields: &'a [Field],
        space: Space,
    ) -> Self {
        Self { surface, of, fields, space }
    }

    /// What a class with these fields says that it is.
    pub(super) fn interfaces(&self) -> &'static str {
        if self.secrets().is_empty() { "" } else { " implements \\JsonSerializable" }
    }

    /// The constructor, and what keeps secrets out of dumps.
    pub(super) fn members(&self) -> anyhow::Result<String> {
        if self.fields.is_empty() {
            return Ok(String::new());
        }
        // PHP takes no argument that must be given behind one that need not be.
        let (mut needed, mut optional) = (String::new(), String::new());
        for (at, field) in self.fields.iter().enumerate() {
            let parameter = self.parameter(at, field)?;
            let list = if field.default_value().is_some() { &mut optional } else { &mut needed };
            list.push_str(&parameter);
        }
        let body = indented(&self.checks(), 1);
        let parameters = indented(&(needed + &optional), 1);
        let constructor = format!("public function __construct(\n{parameters}) {{\n{body}}}\n");
        Ok(constructor + &self.hidden())
    }

    /// The refusals of wrong values; nothing where only the library makes them.
    pub(super) fn checks(&self) -> String {
        if !self.surface.is_given(self.of) {
            return String::new();
        }
        let checks = self.fields.iter().enumerate().filter_map(|(at, field)| {
            Place::argument(&field_name(at, field), |place| {
                self.surface.check(&field.as_type(), place, self.space)
            })
        });
        checks.map(|check| check + "\n").collect()
    }

    fn parameter(&self, at: usize, field: &Field) -> anyhow::Result<String> {
        let of = field.as_type();
        let told = format!("@var {}", self.surface.told(&of, self.space)?);
        let comment = self.surface.comment(field.docstring(), &[told]);
        let hidden = if self.is_secret(field) { "#[\\SensitiveParameter]\n" } else { "" };
        let native = if self.surface.is_given(self.of) {
            self.surface.taken(&of, self.space)?
        } else {
            self.surface.native(&of, self.space)?
        };
        let unless = match field.default_value() {
            Some(value) => format!(" = {}", default(value, &of)?),
            None => String::new(),
        };
        let name = field_name(at, field);
        Ok(format!("{comment}{hidden}public {native} ${name}{unless},\n"))
    }

    fn is_secret(&self, field: &Field) -> bool {
        secrets::is_masked(self.of, field.name())
    }

    fn secrets(&self) -> Vec<String> {
        let fields = self.fields.iter().enumerate().filter(|(_, field)| self.is_secret(field));
        fields.map(|(at, field)| format!("'{}'", field_name(at, field))).collect()
    }

    fn hidden(&self) -> String {
        let secrets = self.secrets();
        if secrets.is_empty() {
            return String::new();
        }
        let (native, names) = (self.space.native, secrets.join(", "));
        format!(
            "\n/** @return array<string, mixed> what `var_dump` and `print_r` show: no secrets */\n\
             public function __debugInfo(): array\n{{\n    \
                 return {native}Secrets::masked(get_object_vars($this), [{names}]);\n\
             }}\n\n\
             /** @return array<string, mixed> what a log shows: no secrets */\n\
             public function jsonSerialize(): array\n{{\n    \
                 return $this->__debugInfo();\n\
             }}\n\n\
             /** @return array<string, mixed> all of it, where no secret is in it */\n\
             public function __serialize(): array\n{{\n    \
                 return {native}Secrets::none(self::class, get_object_vars($this), [{names}]);\n\
             }}\n"
        )
    }
}

/// What PHP calls a field; those of a tuple have no name of their own.
pub(super) fn field_name(at: usize, field: &Field) -> String {
    match field.name() {
        "" => format!("value{at}"),
        name => name.to_lower_camel_case(),
    }
}
