//! From the module's types to the protocol's JSON: what they are on the wire, under the names that
//! the surface gives them.

use std::error::Error as _;

use pos_connect::wire::{KeyStatus, NotFoundEvidence, Notice, NoticeSettings, Problem};
use pos_connect::{InFlight, Retry};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// An answer of the wire. A set of seal keys is a text in every language.
pub(super) fn told(answer: &impl Serialize) -> Value {
    renamed(serde_json::to_value(answer).expect("answers are JSON"))
}

fn renamed(value: Value) -> Value {
    match value {
        Value::Array(values) => Value::Array(values.into_iter().map(renamed).collect()),
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| match (name.as_str(), value) {
                ("message", value) => ("text_en".into(), value),
                ("message_ja", value) => ("text_ja".into(), value),
                ("seal_root", key) => (name, key["x"].clone()),
                ("seal_keys", Value::Array(sets)) => {
                    (name, sets.iter().map(|set| json!(set.to_string())).collect())
                }
                ("seal_keys", set @ Value::Object(_)) => (name, json!(set.to_string())),
                (_, value) => (name, renamed(value)),
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// What the server has under a key.
pub(super) fn key_status(status: KeyStatus) -> Value {
    let (variant, fields) = match status {
        KeyStatus::Operation(operation) => ("found", json!({ "operation": told(&operation) })),
        KeyStatus::Refusal(problem) => {
            let Problem { code, message, message_ja, request_id, field, .. } = problem;
            let rejection = json!({ "code": code, "text_en": message, "text_ja": message_ja });
            let fields = json!({
                "rejection": rejection, "request_id": request_id, "field": field,
            });
            ("refused", fields)
        }
        KeyStatus::Nothing(NotFoundEvidence { server_time_ms, .. }) => {
            ("nothing", json!({ "server_time_ms": server_time_ms }))
        }
    };
    json!({ "variant": format!("KeyStatus.{variant}"), "fields": fields })
}

/// Where the shop is told.
pub(super) fn notice_settings(settings: NoticeSettings) -> Value {
    let NoticeSettings { mail, webhook } = settings;
    let (url, keys, disabled_at_ms) = match webhook {
        None => (None, Vec::new(), None),
        Some(webhook) => (Some(webhook.url), webhook.keys, webhook.disabled_at_ms),
    };
    json!({
        "mail_address": mail.as_ref().map(|mail| &mail.address),
        "mail_language": mail.as_ref().map(|mail| &mail.language),
        "webhook_url": url,
        "webhook_keys": keys,
        "webhook_disabled_at_ms": disabled_at_ms,
    })
}

/// What the shop was told.
pub(super) fn notice(notice: &Notice) -> Value {
    json!({
        "kind": notice.kind,
        "timestamp": notice.timestamp,
        "shop_id": notice.data.shop_id,
        "sequence": notice.data.sequence,
        "operation": told(&notice.data.operation),
    })
}

/// What the journal holds.
pub(super) fn in_flight(found: &InFlight) -> Value {
    let open = found.open.iter().map(|entry| {
        let mut call = told(entry);
        call["idempotency_key"] = call["key"].take();
        call
    });
    let unreadable = found.unreadable.iter().map(failure);
    json!({ "open": open.collect::<Vec<_>>(), "unreadable": unreadable.collect::<Vec<_>>() })
}

/// The module's error.
pub(super) fn failure(error: &pos_connect::Error) -> Value {
    let retry = match error.retry() {
        Retry::Never => "never",
        Retry::SameKey => "same_key",
        Retry::After => "after",
        Retry::NewQuote => "new_quote",
    };
    let mut causes = Vec::new();
    let mut below = error.source();
    while let Some(cause) = below {
        causes.push(cause.to_string());
        below = cause.source();
    }
    json!({
        "kind": error.kind().as_str(),
        "code": error.code().as_str(),
        "text": error.to_string(),
        "text_en": error.message(),
        "text_ja": error.message_ja(),
        "retry": retry,
        "retry_after_ms": error.retry_after().map(|span| span.as_millis().to_string()),
        "field": error.field(),
        "request_id": error.request_id().map(|id| id.to_string()),
        "idempotency_key": error.idempotency_key().map(|key| key.to_string()),
        "cause": (!causes.is_empty()).then(|| causes.join(": ")),
    })
}
