//! What a browser finds in a shop's page, and what the script there makes of it.

use anyhow::Context as _;
use pos_connect::protocol::key::PublicKey;
use pos_connect::protocol::text::fixed_from_base64url;
use pos_connect::{Binding, Money, SealedOperation};
use pos_tests::Bed;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A page of a shop.
pub(crate) struct Page(pub(crate) String);

impl Page {
    /// What stands between two texts.
    pub(crate) fn between(&self, begin: &str, end: &str) -> anyhow::Result<&str> {
        between(&self.0, begin, end).with_context(|| format!("no `{begin}` in {}", self.0))
    }

    /// The state of the order, and the sentence for the shopper.
    pub(crate) fn told(&self) -> anyhow::Result<(&str, &str)> {
        let state = self.between("data-state=\"", "\"")?;
        Ok((state, self.between(&format!("data-state=\"{state}\">"), "<")?))
    }

    /// Whether the shopper can pay here.
    pub(crate) fn takes_a_card(&self) -> bool {
        self.0.contains("id=\"to-seal\"")
    }

    /// The names of the fields that a browser sends.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let tags = self.0.split("<input").skip(1).filter_map(|rest| rest.split_once('>'));
        tags.filter_map(|(tag, _)| between(tag, "name=\"", "\"")).collect()
    }

    /// The contract and the envelope, as the page's script puts them into the form.
    pub(crate) fn seal(&self, bed: &Bed, instrument: &str) -> anyhow::Result<[String; 2]> {
        let given: Value = serde_json::from_str(self.between("id=\"to-seal\">", "</script>")?)?;
        let bound = given.get("binding").context("a binding")?;
        let binding = Binding {
            institution: member(bound, "institution")?,
            contract_number: member(bound, "contract_number")?,
            operation: SealedOperation::Sale,
            order_id: member(bound, "order_id")?,
            money: Money { amount: member(bound, "amount")?, currency: member(bound, "currency")? },
        };
        let keys = serde_json::from_str(&member::<String>(&given, "seal_keys")?)?;
        let instrument = bed.instrument(binding.institution.as_str(), instrument)?;
        let root = fixed_from_base64url(&member::<String>(&given, "seal_root")?);
        let root = PublicKey::from_octets(&root.context("32 octets")?)?;
        let envelope = pos_connect::seal(&instrument, &binding, &keys, &root)?;
        let contract = self.between("name=\"contract_id\" value=\"", "\"")?;
        Ok([contract.to_owned(), serde_json::to_string(&envelope)?])
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end)?.0)
}

fn member<T: DeserializeOwned>(of: &Value, name: &str) -> anyhow::Result<T> {
    let found = of.get(name).with_context(|| format!("no {name} in {of}"))?;
    serde_json::from_value(found.clone()).with_context(|| format!("{name} in {of}"))
}
