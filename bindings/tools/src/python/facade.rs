//! `__init__.py`: the names of the package, and for each the manners of Python that a generator for all
//! languages does not know. What those manners are is written in `_manners.py`, by hand.

use uniffi_bindgen::ComponentInterface;
use uniffi_bindgen::interface::{Enum, Field, Variant};

use super::spelling::{ABOUT, Closing, MADE, all, closes, docs, is_error, names, word};
use crate::secrets::is_masked;

/// The whole file.
pub(super) fn of(surface: &ComponentInterface) -> String {
    let imported: String = names(surface).iter().map(|name| format!("    {name},\n")).collect();
    let mut lines: Vec<String> = Vec::new();
    for record in surface.record_definitions() {
        lines.push(shown(record.name(), record.name(), record.fields()));
    }
    for words in surface.enum_definitions() {
        if is_error(surface, words) {
            lines.extend(words.variants().iter().map(|variant| raised(words, variant)));
        } else if !words.is_flat() {
            lines.extend(words.variants().iter().map(|variant| {
                let class = format!("{}.{}", words.name(), word(variant.name()));
                shown(&class, words.name(), variant.fields())
            }));
        }
    }
    for object in surface.object_definitions() {
        let name = object.name();
        if object.has_callback_interface() {
            let methods = object.methods();
            let methods = tuple(methods.iter().map(|one| one.name()));
            lines.push(format!("{name} = _manners.abstract({name}, {methods})"));
        }
        match closes(object) {
            None => {}
            Some(Closing::Blocking) => lines.push(format!("_manners.closes({name})")),
            Some(Closing::Async) => lines.push(format!("_manners.closes_async({name})")),
        }
    }
    lines.extend(["checks", "forks", "stops"].map(|manner| format!("_manners.{manner}(_made)")));
    lines.push("_manners.at_home(__name__, [globals()[name] for name in __all__])".into());
    format!(
        "{MADE}{}\nfrom . import _manners\nfrom ._native import pos_connect as _made\n\
         from ._native.pos_connect import (\n{imported})\n\n{}\n{}\n",
        docs(Some(ABOUT), 0),
        all(surface),
        lines.join("\n")
    )
}

/// How it prints itself: by its fields, but for those that are secret.
fn shown(class: &str, of: &str, fields: &[Field]) -> String {
    let masked: Vec<_> =
        fields.iter().map(Field::name).filter(|field| is_masked(of, field)).collect();
    if masked.is_empty() {
        return format!("_manners.shows({class})");
    }
    format!("_manners.shows({class}, masked={})", tuple(masked))
}

/// How an error prints itself, by its sentence, and how it gets through a pipe.
fn raised(of: &Enum, variant: &Variant) -> String {
    let fields: Vec<_> = variant.fields().iter().map(Field::name).collect();
    let text = if fields.contains(&"text") { "text" } else { fields.first().unwrap_or(&"args") };
    format!("_manners.raises({}.{}, \"{text}\", {})", of.name(), variant.name(), tuple(fields))
}

fn tuple<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let written: String = names.into_iter().map(|name| format!("\"{name}\", ")).collect();
    format!("({})", written.trim_end())
}
