//! Enums: backed ones of words, and classes for those whose variants have fields.

use heck::ToSnakeCase as _;
use uniffi_bindgen::interface::Enum;

use super::File;
use super::records::Fields;
use super::surface::Surface;
use super::text::{class_name, indented, quoted};
use super::types::BELOW;

pub(super) fn files(surface: &Surface) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for one in surface.ci.enum_definitions().iter().filter(|one| !surface.is_error(one)) {
        if one.contains_variant_fields() {
            files.extend(with_fields(surface, one)?);
        } else {
            files.push(words(surface, one));
        }
    }
    Ok(files)
}

fn words(surface: &Surface, one: &Enum) -> File {
    let cases = one.variants().iter().map(|variant| {
        let comment = surface.comment(variant.docstring(), &[]);
        let (name, word) = (variant.name(), quoted(&variant.name().to_snake_case()));
        format!("{comment}case {name} = {word};\n\n")
    });
    let (name, cases) = (one.name(), cases.collect::<String>());
    let comment = surface.comment(one.docstring(), &[]);
    let body = indented(cases.trim_end(), 1);
    File::new(format!("{name}.php"), "", &format!("{comment}enum {name}: string\n{{\n{body}}}\n"))
}

/// A class that nobody makes, and in its namespace one for each variant.
fn with_fields(surface: &Surface, one: &Enum) -> anyhow::Result<Vec<File>> {
    let name = one.name();
    let comment = surface.comment(one.docstring(), &[]);
    let base = format!("{comment}abstract readonly class {name}\n{{\n}}\n");
    let mut files = vec![File::new(format!("{name}.php"), "", &base)];
    for variant in one.variants() {
        let fields = Fields::new(surface, name, variant.fields(), BELOW);
        let comment = surface.comment(variant.docstring(), &[]);
        let class = class_name(variant.name());
        let body = format!(
            "{comment}final readonly class {class} extends \\PosConnect\\{name}{}\n{{\n{}}}\n",
            fields.interfaces(),
            indented(&fields.members()?, 1)
        );
        files.push(File::new(format!("{name}/{class}.php"), name, &body));
    }
    Ok(files)
}
