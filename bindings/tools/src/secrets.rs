//! Which fields and arguments no language may print.
//!
//! A record is printed by whoever looks for a fault, an argument by whatever shows where it happened, and
//! a log keeps both for years. The metadata does not tell secrets from other texts, so they are listed
//! here, for all languages; and because a list is forgotten when the surface grows, a name that sounds
//! like a secret stops every generator until somebody has put it into one list or the other.

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
    "NoticeSettings.webhook_keys",
    "OpenCall.idempotency_key",
    "Operation.idempotency_key",
    "Quote.seal_keys",
    "Registration.key_id",
    "Rejection.code",
    "SealBinding.contract_number",
    "Session.key_id",
    "SetNotices.new_webhook_key",
    "UnreadableCall.idempotency_key",
];

/// Arguments that are secret wherever they are taken, and single ones of one verb.
const MASKED_ARGUMENTS: &[&str] = &["code", "password", "replace.new", "replace.old"];

/// Arguments that sound like a secret and are none.
const SHOWN_ARGUMENTS: &[&str] =
    &["answer_key", "idempotency_key", "key_id", "seal_keys", "seal_root"];

/// The words by which a name sounds like a secret.
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
    Named::field(of, field).is_in(MASKED)
}

/// Whether a verb's argument must not be seen where a trace shows arguments.
pub(crate) fn is_masked_argument(verb: &str, argument: &str) -> bool {
    Named::argument(verb, argument).is_in(MASKED_ARGUMENTS)
}

/// Every field and argument whose name tells is in one list, and the lists hold nothing else but what
/// is there.
pub(crate) fn check(surface: &ComponentInterface) -> anyhow::Result<()> {
    sorted(fields(surface), MASKED, SHOWN)?;
    sorted(arguments(surface), MASKED_ARGUMENTS, SHOWN_ARGUMENTS)
}

fn sorted<'a>(
    all: impl Iterator<Item = Named<'a>>,
    masked: &[&str],
    shown: &[&str],
) -> anyhow::Result<()> {
    let mut stale: BTreeSet<&str> = masked.iter().chain(shown).copied().collect();
    for one in all {
        stale.remove(one.wide);
        stale.remove(one.single.as_str());
        let (is_masked, is_shown) = (one.is_in(masked), one.is_in(shown));
        ensure!(!(is_shown && is_masked), "{} is both masked and shown", one.single);
        ensure!(
            !is_telling(one.name) || is_shown || is_masked,
            "{} sounds like a secret: put it into a list of bindings/tools/src/secrets.rs",
            one.single
        );
    }
    ensure!(stale.is_empty(), "bindings/tools/src/secrets.rs lists what is not there: {stale:?}");
    Ok(())
}

fn is_telling(name: &str) -> bool {
    name.split('_').any(|word| TELLING.contains(&word))
}

/// A field or an argument, and what stands for it in a list.
struct Named<'a> {
    name: &'a str,
    /// It and others.
    wide: &'a str,
    /// It alone.
    single: String,
}

impl<'a> Named<'a> {
    fn field(of: &'a str, name: &'a str) -> Self {
        Self { name, wide: of, single: format!("{of}.{name}") }
    }

    fn argument(verb: &str, name: &'a str) -> Self {
        Self { name, wide: name, single: format!("{verb}.{name}") }
    }

    fn is_in(&self, list: &[&str]) -> bool {
        list.contains(&self.wide) || list.contains(&self.single.as_str())
    }
}

/// Every field of a record, and of a variant under the name of its enum.
fn fields(surface: &ComponentInterface) -> impl Iterator<Item = Named<'_>> {
    let records = surface.record_definitions().iter().flat_map(|record| {
        record.fields().iter().map(|field| Named::field(record.name(), field.name()))
    });
    let variants = surface.enum_definitions().iter().flat_map(|words| {
        let fields = words.variants().iter().flat_map(|variant| variant.fields());
        fields.map(|field| Named::field(words.name(), field.name()))
    });
    records.chain(variants)
}

/// Every argument of a function, of a constructor, and of a method, a host's own included.
fn arguments(surface: &ComponentInterface) -> impl Iterator<Item = Named<'_>> {
    let functions = surface.function_definitions().iter();
    let functions = functions.map(|one| (one.name(), one.arguments()));
    let objects = surface.object_definitions().iter().flat_map(|object| {
        let made = object.constructors().into_iter().map(|one| (one.name(), one.arguments()));
        made.chain(object.methods().into_iter().map(|one| (one.name(), one.arguments())))
    });
    functions.chain(objects).flat_map(|(verb, arguments)| {
        arguments.into_iter().map(move |one| Named::argument(verb, one.name()))
    })
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

    #[test]
    fn a_password_is_masked_in_every_verb_and_a_storages_text_in_its_own() {
        assert!(is_masked_argument("login", "password") && is_masked_argument("register", "code"));
        assert!(is_masked_argument("replace", "old") && is_masked_argument("replace", "new"));
        assert!(!is_masked_argument("rename", "new") && !is_masked_argument("login", "user_id"));
    }

    /// As if the surface had gained a field, or lost one.
    #[test]
    fn a_field_in_no_list_stops_the_generator() {
        let gained = of("dictionary Shop { string wifi_password; };");
        let why = check(&gained).expect_err("it is in no list").to_string();
        assert!(why.starts_with("Shop.wifi_password sounds like a secret"), "{why}");
        let lost = of("dictionary Shop { string name; };");
        let why = check(&lost).expect_err("none of the lists is there").to_string();
        assert!(why.contains("lists what is not there") && why.contains("Config.proxy"), "{why}");
    }

    #[test]
    fn an_argument_in_no_list_stops_the_generator() {
        for surface in [
            "interface Line { void open(string wifi_pin); };",
            "interface Line { [Name=open] constructor(string wifi_pin); };",
            "[Trait, WithForeign] interface Vault { void open(string wifi_pin); };",
        ] {
            let why = sorted(arguments(&of(surface)), &[], &[]).expect_err(surface).to_string();
            assert!(why.starts_with("open.wifi_pin sounds like a secret"), "{why}");
            let listed = sorted(arguments(&of(surface)), &["open.wifi_pin"], &[]);
            listed.expect("it is masked");
        }
        let lost = sorted(arguments(&of("interface Line { void open(); };")), &["password"], &[]);
        let why = lost.expect_err("no verb takes it").to_string();
        assert!(why.contains("lists what is not there: {\"password\"}"), "{why}");
    }
}
