//! Which fields no language may print.
//!
//! A record is printed by whoever looks for a fault, and a log keeps it for years. The metadata does not
//! tell secrets from other texts, so they are listed here, for all languages; and because a list is
//! forgotten when the surface grows, a field whose name sounds like a secret stops every generator until
//! somebody has put it into one list or the other.

use std::collections::BTreeSet;

use anyhow::ensure;
use uniffi_bindgen::ComponentInterface;

/// Types that are secret as a whole, and single fields of others.
const MASKED: &[&str] =
    &["Config.proxy", "Instrument", "Registration.panic_code", "Registration.recovery_codes"];

/// Fields that sound like a secret and are none: names of keys, public keys, codes of errors.
const SHOWN: &[&str] = &[
    "Config.answer_key",
    "Contract.contract_number",
    "Contract.seal_root",
    "Config.seal_roots",
    "Error.code",
    "Error.idempotency_key",
    "KeyInfo.key_id",
    "Methods.seal_keys",
    "OpenCall.idempotency_key",
    "Operation.idempotency_key",
    "Quote.seal_keys",
    "Registration.key_id",
    "Rejection.code",
    "SealBinding.contract_number",
    "Session.key_id",
    "UnreadableCall.idempotency_key",
];

/// The words by which the name of a field sounds like a secret.
const TELLING: &[&str] = &[
    "account",
    "card",
    "code",
    "codes",
    "credential",
    "cvc",
    "key",
    "keys",
    "number",
    "pan",
    "password",
    "pin",
    "private",
    "proxy",
    "root",
    "roots",
    "secret",
    "security",
    "seed",
    "token",
];

/// Whether the field may be printed as `***` only.
pub(crate) fn is_masked(of: &str, field: &str) -> bool {
    MASKED.contains(&of) || MASKED.contains(&format!("{of}.{field}").as_str())
}

/// Every field whose name tells is in one list, and the lists hold nothing else but what is there.
pub(crate) fn check(surface: &ComponentInterface) -> anyhow::Result<()> {
    let mut stale: BTreeSet<&str> = MASKED.iter().chain(SHOWN).copied().collect();
    for (of, field) in fields(surface) {
        let name = format!("{of}.{field}");
        stale.remove(of);
        stale.remove(name.as_str());
        let is_shown = SHOWN.contains(&name.as_str());
        ensure!(!(is_shown && is_masked(of, field)), "{name} is both masked and shown");
        ensure!(
            !is_telling(field) || is_shown || is_masked(of, field),
            "{name} sounds like a secret: put it into a list of bindings/tools/src/secrets.rs"
        );
    }
    ensure!(stale.is_empty(), "bindings/tools/src/secrets.rs lists what is not there: {stale:?}");
    Ok(())
}

fn is_telling(field: &str) -> bool {
    field.split('_').any(|word| TELLING.contains(&word))
}

/// Every field of a record, and of a variant under the name of its enum.
fn fields(surface: &ComponentInterface) -> impl Iterator<Item = (&str, &str)> {
    let records = surface
        .record_definitions()
        .iter()
        .flat_map(|record| record.fields().iter().map(move |field| (record.name(), field.name())));
    let variants = surface.enum_definitions().iter().flat_map(|words| {
        let fields = words.variants().iter().flat_map(|variant| variant.fields());
        fields.map(move |field| (words.name(), field.name()))
    });
    records.chain(variants)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small surface.
    fn of(definitions: &str) -> ComponentInterface {
        let written = format!("namespace shop {{}};\n{definitions}");
        ComponentInterface::from_webidl(&written, "shop").expect("the test's UDL is right")
    }

    #[test]
    fn names_that_tell_are_found() {
        for name in ["password", "security_code", "recovery_codes", "pin", "idempotency_key"] {
            assert!(is_telling(name), "{name}");
        }
        for name in ["order_id", "text_en", "decoded", "keyboard"] {
            assert!(!is_telling(name), "{name}");
        }
    }

    #[test]
    fn every_field_of_an_instrument_is_masked() {
        assert!(is_masked("Instrument", "number") && is_masked("Instrument", "expiry_year"));
        assert!(is_masked("Registration", "panic_code") && !is_masked("Registration", "shop_id"));
    }

    /// As if the surface had gained a field, or lost one.
    #[test]
    fn what_is_in_no_list_stops_the_generator() {
        let gained = of("dictionary Shop { string wifi_password; };");
        let why = check(&gained).expect_err("it is in no list").to_string();
        assert!(why.starts_with("Shop.wifi_password sounds like a secret"), "{why}");
        let lost = of("dictionary Shop { string name; };");
        let why = check(&lost).expect_err("none of the lists is there").to_string();
        assert!(why.contains("lists what is not there") && why.contains("Config.proxy"), "{why}");
    }
}
