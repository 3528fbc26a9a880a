//! Arguments from JSON and answers to it, for languages that have nothing but texts.

use pos_connect::ModuleCode;
use serde::Serialize;

use crate::error::Error;
use crate::given::{Fields, FromJson, Json, Wrong};

/// Reads a value.
///
/// # Errors
/// `FixTheRequest` (`invalid_field`): `field` is the field that is wrong, and `whole` where the text
/// is no such JSON at all. What stood there is never repeated: it may be a secret.
pub fn read<T: FromJson>(whole: &str, text: &str) -> Result<T, Error> {
    let read = Json::read(text).and_then(T::from_json);
    read.map_err(|wrong| refusal(whole, wrong.path(), &wrong))
}

/// Reads the arguments of a call by their names; what is not taken is refused.
///
/// # Errors
/// As [`read`], but for the field of a record that is an argument: it is named without the argument,
/// as in every language.
pub fn arguments<T>(
    text: &str,
    taken: impl FnOnce(&mut Fields) -> Result<T, Wrong>,
) -> Result<T, Error> {
    let read = Json::read(text).and_then(|json| json.fields(taken));
    read.map_err(|wrong| {
        let path = wrong.path();
        let field = path.split_once('.').map_or(path, |(_, field)| field);
        refusal("arguments", field, &wrong)
    })
}

/// Writes an answer.
///
/// # Errors
/// None: all that the surface answers is JSON.
pub fn told(answer: &impl Serialize) -> Result<String, Error> {
    Ok(crate::records::json(answer))
}

/// An argument that cannot be what it is for: `rule` completes the sentence that `field` begins.
pub fn wrong_argument(field: &str, rule: &str) -> Error {
    Error::argument(field, &rule)
}

/// A connection that is not there (any more).
pub fn closed() -> Error {
    Error::module(ModuleCode::Closed, None)
}

/// A call that ended by a panic may have moved money before it did.
pub fn panicked() -> Error {
    Error::module(ModuleCode::OutcomeUnknown, None)
}

pub(crate) fn no_such_verb() -> Error {
    wrong_argument("verb", "must be the name of a verb")
}

fn refusal(whole: &str, field: &str, wrong: &Wrong) -> Error {
    wrong_argument(if field.is_empty() { whole } else { field }, wrong.rule())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Instrument, Order};

    fn read_all(text: &str) -> Result<(), Error> {
        arguments(text, |given| {
            given.take::<Option<Order>>("order")?;
            given.take::<Option<Instrument>>("instrument")?;
            given.take::<Option<String>>("password")?;
            given.take::<Option<String>>("idempotency_key").map(drop)
        })
    }

    #[test]
    fn a_wrong_argument_is_named_and_never_repeated() {
        let order = |fields: &str| format!(r#"{{"order":{{"contract_id":"c",{fields}}}}}"#);
        let mut otherwise = Vec::new();
        let rest = r#""order_id":"o","currency":"JPY","envelope":"{}""#;
        for (text, field, rule) in [
            ("", "arguments", "is no JSON: EOF while parsing a value"),
            ("NaN", "arguments", "is no JSON: expected value"),
            ("[]", "arguments", "must be an object"),
            ("7", "arguments", "must be an object"),
            ("{} {}", "arguments", "is no JSON: trailing characters"),
            (r#"{"tip":"4111"}"#, "tip", "is unknown"),
            (r#"{"password":4111}"#, "password", "must be a string"),
            (r#"{"password":"\ud800"}"#, "password", "is no JSON: unexpected end of hex escape"),
            (r#"{"password":"a","password":"b"}"#, "password", "is there twice"),
            (r#"{"order":["4111"]}"#, "order", "must be an object"),
            (&order(rest), "amount", "is missing"),
            (&order(&format!(r#"{rest},"amount":"4111""#)), "amount", "must be u64"),
            (&order(&format!(r#"{rest},"amount":-4111"#)), "amount", "must be u64"),
            (&order(&format!(r#"{rest},"amount":4111.5"#)), "amount", "must be u64"),
            (&order(&format!(r#"{rest},"amount":NaN"#)), "amount", "is no JSON: expected value"),
            (&order(&format!(r#"{rest},"amount":1,"tip":4111"#)), "tip", "is unknown"),
            (r#"{"instrument":{"type":"prepaid"}}"#, "number", "is missing"),
            (r#"{"instrument":{"type":"4111"}}"#, "type", "must be one of"),
        ] {
            let error = read_all(text).err().unwrap();
            assert_eq!(error.code(), "invalid_field");
            assert!(!error.to_string().contains("4111"), "{error}");
            let starts = error.to_string().starts_with(&format!("{field}: {rule}"));
            if error.field() != Some(field) || !starts {
                otherwise.push(format!("{text}: {error}"));
            }
        }
        assert_eq!(otherwise, [""; 0]);
        let deep = format!("{{\"order\":{}", "[".repeat(100_000));
        assert_eq!(read_all(&deep).err().unwrap().field(), Some("order"));
        assert!(read_all(r#"{"idempotency_key":null}"#).is_ok());
    }

    #[test]
    fn a_field_that_is_no_argument_s_has_its_whole_name() {
        let config = r#"{"server_url":"u","seal_roots":{"bank":7}}"#;
        let field = |text| read::<Config>("config", text).err().unwrap().field().map(str::to_owned);
        assert_eq!(field(config).as_deref(), Some("seal_roots.bank"));
        assert_eq!(field("7").as_deref(), Some("config"));
    }
}
