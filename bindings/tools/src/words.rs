//! What the surface's documentation speaks of, by the names that Python gives it.

use std::collections::HashSet;

use heck::ToShoutySnakeCase as _;
use uniffi_bindgen::ComponentInterface;
use uniffi_bindgen::interface::{Enum, Variant};

/// A text in which the values of enums are named as in Rust, such as `SameKey`. A name that a class has too, also
/// one of an error, stays as it is.
pub fn in_python(surface: &ComponentInterface, text: &str) -> String {
    let enums = surface.enum_definitions();
    let (errors, values): (Vec<_>, Vec<_>) =
        enums.iter().partition(|one| surface.is_name_used_as_error(one.name()));
    let variants = |of: Vec<&'_ Enum>| -> HashSet<String> {
        let variants = of.into_iter().flat_map(Enum::variants).map(Variant::name);
        variants.map(Into::into).collect()
    };
    let mut classes = variants(errors);
    classes.extend(enums.iter().map(|one| one.name().to_owned()));
    classes.extend(surface.record_definitions().iter().map(|one| one.name().to_owned()));
    classes.extend(surface.object_definitions().iter().map(|one| one.name().to_owned()));
    variants(values).difference(&classes).fold(text.to_owned(), |text, name| {
        text.replace(&format!("`{name}`"), &format!("`{}`", name.to_shouty_snake_case()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_an_enum_is_named_as_in_python_and_a_class_as_it_is() {
        let definition = "
            namespace shop { [Throws=Fault] void f(); };
            enum Retry { \"SameKey\", \"Never\", \"Wait\", \"Session\" };
            dictionary Session { string id; };
            [Error] interface Fault { Wait(string text); };";
        let surface = ComponentInterface::from_webidl(definition, "shop").expect("it is right");
        assert_eq!(
            in_python(&surface, "`SameKey`, `Never`; SameKey, `Wait`, `Session`, `Retry`"),
            "`SAME_KEY`, `NEVER`; SameKey, `Wait`, `Session`, `Retry`"
        );
    }
}
