//! Refusals, and the one way in which a body is read.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::code::{ErrorCode, WireCode, WireRetry};
use crate::id::RequestId;

use super::strict::Strict;

/// The body of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// What was wrong, from a closed list.
    pub code: WireCode,
    /// The same as a sentence that says what to do.
    pub message: String,
    /// The sentence in Japanese.
    pub message_ja: String,
    /// Names this call in the operator's log.
    pub request_id: RequestId,
    /// The offending field (a JSON path such as `envelope.key_id`), header or path part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the caller may do next.
    pub retry: WireRetry,
    /// With `after`: how long to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    /// [`ErrorCode::InvalidJson`] for text that is not JSON, [`ErrorCode::InvalidField`] otherwise.
    pub code: ErrorCode,
    /// The JSON path of the offending field, where there is one.
    pub field: Option<String>,
    /// A sentence for the caller.
    pub message: String,
}

/// Reads a request body strictly: JSON in UTF-8, no unknown or doubled fields, an object only from an
/// object, nothing `null`, nothing behind the end.
///
/// # Errors
/// [`ReadError`] names the field and says what it must be.
pub fn read_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, ReadError> {
    // The quick way first: only a refused body pays for finding out where it went wrong.
    let mut reader = serde_json::Deserializer::from_slice(body);
    if let Ok(value) = T::deserialize(Strict(&mut reader))
        && reader.end().is_ok()
    {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(Strict(&mut reader)) else {
        return Err(not_json("there is something behind the end of the JSON value"));
    };
    let path = error.path().to_string();
    let cause = error.into_inner();
    // The reader also calls it bad syntax when an enum meets a number, or a number is too large to
    // hold; what is wrong then is the field.
    if !cause.is_data() && !is_json(body) {
        return Err(not_json(&cause.to_string()));
    }
    let message = without_position(&cause.to_string());
    let field = named_field(&message, &path);
    Err(ReadError { code: ErrorCode::InvalidField, field, message })
}

/// As text first: what is ignored is not looked at for UTF-8.
fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn not_json(message: &str) -> ReadError {
    let message = without_position(message);
    ReadError { code: ErrorCode::InvalidJson, field: None, message }
}

/// serde_json appends ` at line 1 column 9`, which tells the caller of an API nothing.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// For a missing, unknown or doubled field serde names the field in its sentence and the path stops
/// at the object around it.
fn named_field(message: &str, path: &str) -> Option<String> {
    let quoted = ["missing field", "unknown field", "duplicate field"]
        .iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split('`').nth(1));
    let inside = |name: &str| !path.ends_with(name);
    match (path, quoted) {
        (".", Some(name)) => Some(name.to_owned()),
        (path, Some(name)) if inside(name) => Some(format!("{path}.{name}")),
        (".", None) => None,
        (path, _) => Some(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::CaptureRequest;

    fn error(body: &str) -> ReadError {
        read_body::<CaptureRequest>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn each_kind_of_bad_body_is_named() {
        for not_json in ["", "{", "nul", "{\"amount\":1,}", "\u{feff}{}", "{'amount':1}"] {
            assert_eq!(error(not_json).code, ErrorCode::InvalidJson, "{not_json:.30}");
        }
        for (body, field) in [
            (r#"{"currency":"JPY"}"#, Some("amount")),
            (r#"{"amount":1.5,"currency":"JPY"}"#, Some("amount")),
            (r#"{"amount":0,"currency":"JPY"}"#, Some("amount")),
            (r#"{"amount":1,"currency":"YEN"}"#, Some("currency")),
            (r#"{"amount":1,"amount":2,"currency":"JPY"}"#, Some("amount")),
            (r#"{"amount":1,"currency":"JPY","tip":1}"#, Some("tip")),
            (r#"{"amount":1e400,"currency":"JPY"}"#, Some("amount")),
            (r#"{"amount":1,"currency":392}"#, Some("currency")),
            (r#"[]"#, None),
        ] {
            let error = error(body);
            assert_eq!(error.field.as_deref(), field, "{body}: {}", error.message);
            assert!(!error.message.contains("line"), "{}", error.message);
        }
        let enumerated = read_body::<crate::wire::PayRequest>(br#"{"operation":1}"#).unwrap_err();
        assert_eq!(enumerated.code, ErrorCode::InvalidField);
        assert_eq!(enumerated.field.as_deref(), Some("operation"));
        let deep = format!(r#"{{"amount":{}"#, "[".repeat(10_000));
        assert_eq!(error(&deep).field.as_deref(), Some("amount"));
        let deep = format!(r#"{{"tip":{}"#, "[".repeat(10_000));
        assert_eq!(error(&deep).field.as_deref(), Some("tip"));
        assert_eq!(error(r#"[1,"JPY"]"#).code, ErrorCode::InvalidField);
        let trailing = error(r#"{"amount":1,"currency":"JPY"} {}"#);
        assert_eq!(trailing.code, ErrorCode::InvalidJson);
    }
}
