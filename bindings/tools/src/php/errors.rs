//! Errors: an exception that holds what all variants say, and a class below it for each.

use anyhow::bail;
use heck::ToLowerCamelCase as _;
use uniffi_bindgen::interface::{AsType as _, Enum, Field};

use super::File;
use super::records::Fields;
use super::surface::Surface;
use super::text::{class_name, indented};
use super::types::ROOT;

/// Fields that hold the sentence for people, the best first.
const SENTENCES: &[&str] = &["text", "message", "reason"];

/// What every exception of PHP has already, with no type or another one.
const TAKEN: &[&str] = &["code", "file", "line", "message", "previous", "string", "trace"];

pub(super) fn files(surface: &Surface) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for error in surface.errors() {
        files.extend(classes(surface, error)?);
    }
    Ok(files)
}

fn classes(surface: &Surface, error: &Enum) -> anyhow::Result<Vec<File>> {
    let name = error.name();
    let fields = common(error)?;
    let Some(sentence) =
        SENTENCES.iter().find(|name| fields.iter().any(|one| one.name() == **name))
    else {
        bail!("{name} has no field with the sentence that an exception tells: {SENTENCES:?}");
    };
    let mut parameters = String::new();
    for field in fields {
        let of = field.as_type();
        let told = format!("@var {}", surface.told(&of, ROOT)?);
        parameters.push_str(&surface.comment(field.docstring(), &[told]));
        let (native, name) = (surface.native(&of, ROOT)?, property(field.name()));
        parameters.push_str(&format!("public readonly {native} ${name},\n"));
    }
    parameters.push_str("?\\Throwable $previous = null,\n");
    let checks = Fields::new(surface, name, fields, ROOT).checks();
    let message = property(sentence);
    let constructor = format!(
        "/** @internal of errors that the library tells */\n\
         public function __construct(\n{}) {{\n{}    \
             parent::__construct(${message}, 0, $previous);\n}}\n",
        indented(&parameters, 1),
        indented(&checks, 1)
    );
    // A host makes its own errors.
    let constructor = if surface.is_given(name) {
        constructor.replacen("/** @internal of errors that the library tells */\n", "", 1)
    } else {
        constructor
    };
    let comment = about(surface, error.docstring(), fields);
    let body = format!(
        "{comment}abstract class {name} extends \\Exception\n{{\n{}}}\n",
        indented(&constructor, 1)
    );
    let mut files = vec![File::new(format!("{name}.php"), "", &body)];
    for variant in error.variants() {
        let class = class_name(variant.name());
        let comment = about(surface, variant.docstring(), fields);
        let body = format!("{comment}final class {class} extends \\PosConnect\\{name}\n{{\n}}\n");
        files.push(File::new(format!("{name}/{class}.php"), name, &body));
    }
    Ok(files)
}

/// The fields that every variant has: so far all of them, and with the same types.
fn common(error: &Enum) -> anyhow::Result<&[Field]> {
    let shape = |fields: &[Field]| {
        fields.iter().map(|one| (one.name().to_owned(), one.as_type())).collect::<Vec<_>>()
    };
    let mut variants = error.variants().iter();
    let first = variants.next().map(|variant| variant.fields()).unwrap_or_default();
    if variants.any(|variant| shape(variant.fields()) != shape(first)) {
        bail!("{}: its variants have not all the same fields", error.name());
    }
    Ok(first)
}

/// The words, with the names of the fields as an exception has them.
fn about(surface: &Surface, words: Option<&str>, fields: &[Field]) -> String {
    let renamed = fields.iter().map(Field::name).filter(|name| TAKEN.contains(name));
    let words = words.map(|words| {
        renamed.fold(words.to_owned(), |words, name| {
            words.replace(&format!("`{name}`"), &format!("`{}`", property(name)))
        })
    });
    surface.comment(words.as_deref(), &[])
}

/// What PHP calls a field of an exception.
pub(super) fn property(name: &str) -> String {
    if TAKEN.contains(&name) {
        format!("error_{name}").to_lower_camel_case()
    } else {
        name.to_lower_camel_case()
    }
}
