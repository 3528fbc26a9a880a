//! Arguments from JSON and answers to it, for languages that have nothing but texts.

use pos_connect::ModuleCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Reads a value, most often one whose fields are the arguments of a call by their names.
///
/// # Errors
/// `FixTheRequest` (`invalid_field`): `field` is the argument, or the field within its record, and
/// `whole` where the text is no such JSON at all. What stood there is never repeated: it may be a
/// secret.
pub fn read<T: DeserializeOwned>(whole: &str, text: &str) -> Result<T, Error> {
    // A list would be read as the fields in their order, which nobody has promised.
    if text.trim_start().starts_with('[') {
        return Err(wrong_argument(whole, AN_OBJECT));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        refusal(whole, &path, &error.into_inner())
    })?;
    reader.end().map_err(|cause| refusal(whole, ".", &cause))?;
    Ok(read)
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

const AN_OBJECT: &str = "must be an object";

pub(crate) fn no_such_verb() -> Error {
    wrong_argument("verb", "must be the name of a verb")
}

fn refusal(whole: &str, path: &str, cause: &serde_json::Error) -> Error {
    let sentence = cause.to_string();
    let (rule, name) = rule_in(&sentence);
    let mut parts: Vec<_> = path.split('.').filter(|part| !part.is_empty()).collect();
    // serde names the field in its sentence, and the path may stop at the object around it.
    parts.extend(name.filter(|name| parts.last() != Some(name)));
    // As in every language: the field of a record, without the argument that it came in.
    let field = if parts.len() > 1 { parts[1..].join(".") } else { parts.concat() };
    let field = if field.is_empty() { whole.to_owned() } else { field };
    Error::argument(field, &rule)
}

/// What must be, from serde's sentence but for what was there; and the field that it names.
fn rule_in(sentence: &str) -> (String, Option<&str>) {
    let sentence = sentence.split(" at line ").next().unwrap_or(sentence);
    let quoted = || sentence.split('`').nth(1);
    for (start, rule) in [
        ("missing field", "is missing"),
        ("unknown field", "is unknown"),
        ("duplicate field", "is there twice"),
    ] {
        if sentence.starts_with(start) {
            return (rule.to_owned(), quoted());
        }
    }
    match sentence.rsplit_once(", expected ") {
        // Records and tagged variants, by their names in Rust.
        Some((_, expected)) if expected.starts_with("struct ") || expected.contains("variant") => {
            (AN_OBJECT.to_owned(), None)
        }
        Some((_, expected)) => (format!("must be {expected}"), None),
        None => (format!("is no JSON: {sentence}"), None),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{Instrument, Order};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "they are read")]
    struct Arguments {
        order: Option<Order>,
        instrument: Option<Instrument>,
        password: Option<String>,
        idempotency_key: Option<String>,
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
            (&order(rest), "amount", "is missing"),
            (&order(&format!(r#"{rest},"amount":"4111""#)), "amount", "must be u64"),
            (&order(&format!(r#"{rest},"amount":-4111"#)), "amount", "must be u64"),
            (&order(&format!(r#"{rest},"amount":4111.5"#)), "amount", "must be u64"),
            (&order(&format!(r#"{rest},"amount":NaN"#)), "amount", "is no JSON: expected value"),
            (&order(&format!(r#"{rest},"amount":1,"tip":4111"#)), "tip", "is unknown"),
            (r#"{"instrument":{"type":"prepaid"}}"#, "number", "is missing"),
            (r#"{"instrument":{"type":"4111"}}"#, "type", "must be one of"),
        ] {
            let error = read::<Arguments>("arguments", text).err().unwrap();
            assert_eq!(error.code(), "invalid_field");
            assert!(!error.to_string().contains("4111"), "{error}");
            let starts = error.to_string().starts_with(&format!("{field}: {rule}"));
            if error.field() != Some(field) || !starts {
                otherwise.push(format!("{text}: {error}"));
            }
        }
        assert_eq!(otherwise, [""; 0]);
        let deep = format!("{{\"order\":{}", "[".repeat(100_000));
        assert_eq!(read::<Arguments>("arguments", &deep).err().unwrap().field(), Some("order[0]"));
        assert!(read::<Arguments>("arguments", r#"{"idempotency_key":null}"#).is_ok());
    }
}
