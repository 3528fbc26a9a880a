//! From what a file says to what goes to the runner: names are filled in, and the two short forms
//! written out.

use serde_json::{Map, Value, json};

use crate::flow::{Call, Ordered, Sealed};

/// What a `$name` can stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Map<String, Value>);

impl Names {
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// The value with every `"$name.member"` replaced by what it stands for, and every
    /// `{"but": X, "with": {…}, "without": […]}` by the record `X` with other fields.
    pub(crate) fn fill(&self, value: &Value) -> Result<Value, String> {
        match value {
            Value::String(text) => match text.strip_prefix('$') {
                Some(path) => self.find(path),
                None => Ok(value.clone()),
            },
            Value::Array(values) => values.iter().map(|value| self.fill(value)).collect(),
            Value::Object(members) if members.contains_key("but") => self.changed(members),
            Value::Object(members) => {
                let filled = members
                    .iter()
                    .map(|(name, value)| self.fill(value).map(|value| (name.clone(), value)));
                Ok(Value::Object(filled.collect::<Result<_, _>>()?))
            }
            other => Ok(other.clone()),
        }
    }

    fn find(&self, path: &str) -> Result<Value, String> {
        let mut parts = path.split('.');
        let mut found = self.0.get(parts.next().unwrap_or_default());
        for part in parts {
            found = match (found, part.parse::<usize>()) {
                (Some(Value::Array(values)), Ok(place)) => values.get(place),
                (found, _) => found.and_then(|value| value.get(part)),
            };
        }
        found.cloned().ok_or_else(|| format!("${path} stands for nothing"))
    }

    fn changed(&self, said: &Map<String, Value>) -> Result<Value, String> {
        let wrong = || format!("not a record with other fields: {}", Value::Object(said.clone()));
        let mut record = self.fill(said.get("but").ok_or_else(wrong)?)?;
        let fields = record.get_mut("fields").and_then(Value::as_object_mut).ok_or_else(wrong)?;
        if let Some(with) = said.get("with") {
            fields.extend(self.fill(with)?.as_object().cloned().ok_or_else(wrong)?);
        }
        if let Some(without) = said.get("without") {
            for name in self.fill(without)?.as_array().ok_or_else(wrong)? {
                fields.remove(name.as_str().ok_or_else(wrong)?).ok_or_else(wrong)?;
            }
        }
        Ok(record)
    }

    /// The three calls by which a fresh shop begins.
    pub(crate) fn registration(
        &self,
        line: &str,
        config: &Map<String, Value>,
    ) -> Result<[Call; 3], String> {
        let mut fields = self.find("server")?;
        if let Some(fields) = fields.as_object_mut() {
            fields.extend(config.clone());
        }
        let named = |call: &str, arguments: &[(&str, Value)]| Call {
            on: None,
            call: call.into(),
            arguments: Ordered(
                arguments.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
            ),
            keep: None,
            expect: None,
            capture: None,
            until_s: None,
            within_s: None,
        };
        let store = named("Store.in_folder", &[("folder", json!("$folder"))]);
        let connection = [
            ("config", json!({ "record": "Config", "fields": fields })),
            ("store", json!({ "kept": "store" })),
        ];
        let person = [
            ("user_id", json!("$shop.user_id")),
            ("password", json!("$shop.password")),
            ("code", json!("$shop.code")),
        ];
        let expected =
            json!({ "value": { "shop_id": "$shop.shop_id", "recovery_codes": { "$length": 10 } } });
        Ok([
            Call { keep: Some("store".into()), ..store },
            Call { keep: Some(line.into()), ..named("Connection", &connection) },
            Call {
                on: Some(line.into()),
                expect: Some(expected),
                capture: Some("registration".into()),
                ..named("register", &person)
            },
        ])
    }

    /// The call that seals an instrument of the bed, and the order that comes of it but for the
    /// envelope.
    pub(crate) fn sealing(&self, sealed: &Sealed) -> Result<(Call, Value), String> {
        let Sealed { name: _, instrument, at, operation, order_id, amount, currency, by_page: _ } =
            sealed;
        let contract = self.find(&format!("shop.contracts.{at}"))?;
        let places = self.find("bed.institutions")?;
        let place = places.as_array().into_iter().flatten().find(|place| place["id"] == **at);
        let place = place.ok_or_else(|| format!("the bed has no institution {at}"))?;
        let instrument = place["instruments"].get(instrument).map(|one| &one["instrument"]);
        let instrument = instrument.ok_or_else(|| format!("{at} has no such instrument"))?;
        let binding = json!({
            "institution": at,
            "contract_number": contract["contract_number"],
            "operation": { "enum": "SealedOperation", "value": operation },
            "order_id": order_id,
            "amount": amount,
            "currency": currency,
        });
        let arguments = [
            ("instrument", variant(instrument)?),
            ("binding", json!({ "record": "SealBinding", "fields": binding })),
            ("seal_keys", json!(place["seal_keys"].to_string())),
            ("seal_root", place["seal_root"].clone()),
        ];
        let call = Call {
            on: None,
            call: "seal".into(),
            arguments: Ordered(arguments.map(|(name, value)| (name.into(), value)).into()),
            keep: None,
            expect: Some(json!({ "value": { "$contains": "\"not_after_ms\"" } })),
            capture: None,
            until_s: None,
            within_s: None,
        };
        let record = if operation == "check" { "CheckRequest" } else { "Order" };
        let order = json!({
            "record": record,
            "fields": {
                "contract_id": contract["contract_id"],
                "order_id": order_id,
                "amount": amount,
                "currency": currency,
            },
        });
        Ok((call, order))
    }
}

/// An instrument of the bed, which is the JSON that is sealed, as a variant of the surface.
fn variant(instrument: &Value) -> Result<Value, String> {
    let mut fields = instrument.as_object().cloned().ok_or("an instrument is an object")?;
    let kind = fields.remove("type").and_then(|kind| kind.as_str().map(str::to_owned));
    let kind = kind.ok_or("an instrument has a type")?;
    // Every field of the variant, so that languages without defaults need none.
    let all: &[&str] = match kind.as_str() {
        "card" => &["security_code", "holder"],
        "account" => &["holder_kana", "secret"],
        _ => &["pin"],
    };
    for name in all {
        fields.entry(*name).or_insert(Value::Null);
    }
    if let Some(word) = fields.get_mut("kind") {
        *word = json!({ "enum": "AccountKind", "value": word });
    }
    Ok(json!({ "variant": format!("Instrument.{kind}"), "fields": fields }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.set("paid", json!({ "payment_id": "pay_1", "parts": [{ "a": 1 }] }));
        names
            .set("order", json!({ "record": "Order", "fields": { "amount": 1, "order_id": "o" } }));
        names
    }

    #[test]
    fn names_are_filled_in_wherever_they_stand() {
        let filled = names().fill(&json!({ "id": "$paid.payment_id", "all": ["$paid.parts.0.a"] }));
        assert_eq!(filled, Ok(json!({ "id": "pay_1", "all": [1] })));
        let nothing = names().fill(&json!(["$paid.nothing"]));
        assert_eq!(nothing, Err("$paid.nothing stands for nothing".into()));
    }

    #[test]
    fn a_record_is_changed_field_by_field() {
        let but = json!({ "but": "$order", "with": { "amount": "$paid.parts" }, "without": ["order_id"] });
        let wanted = json!({ "record": "Order", "fields": { "amount": [{ "a": 1 }] } });
        assert_eq!(names().fill(&but), Ok(wanted));
        assert!(names().fill(&json!({ "but": "$order", "without": ["never"] })).is_err());
    }

    #[test]
    fn an_instrument_is_a_variant_with_every_field() {
        let account = json!({ "type": "account", "kind": "ordinary", "secret": "1234" });
        let wanted = json!({
            "variant": "Instrument.account",
            "fields": {
                "kind": { "enum": "AccountKind", "value": "ordinary" },
                "secret": "1234",
                "holder_kana": null,
            },
        });
        assert_eq!(variant(&account), Ok(wanted));
    }
}
