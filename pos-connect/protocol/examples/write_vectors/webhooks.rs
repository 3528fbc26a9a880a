//! `webhooks.json`: webhooks as they are sent, and what must be refused.

use pos_protocol::Timestamp;
use pos_protocol::key::SigningKey;
use pos_protocol::text::base64url;
use pos_protocol::webhook::{WebhookKey, signature_value, signed_octets};
use serde_json::{Value, json};

const ID: &str = "ntc_06fpc9v3r0e4k7m2n8q1s5t9wx";
const AT: u64 = 1_795_000_000;
const BODY: &str = r#"{"type":"sale.done","timestamp":"2026-11-18T11:06:40.000Z","data":{"shop_id":"shp_06fpc9v3r0e4k7m2n8q1s5t9wx","sequence":2,"operation":{"operation_id":"op_06fpc9v3r0e4k7m2n8q1s5t9wx","payment_id":"pay_06fpc9v3r0e4k7m2n8q1s5t9wx","order_id":"A-1","idempotency_key":"0123456789abcdef","operation":"sale","state":"done","amount":1200,"currency":"JPY","done_amount":1200,"contract_id":"con_06fpc9v3r0e4k7m2n8q1s5t9wx","institution":"example-card","created_at_ms":1795000000000}}}"#;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[0xb0 | n; 32])
}

/// A webhook that is signed by these keys.
fn signed(id: &str, at: u64, body: &str, keys: &[u8]) -> Value {
    let octets = signed_octets(id, at, body.as_bytes());
    let signatures: Vec<_> = keys.iter().map(|n| key(*n).sign(&octets)).collect();
    json!({
        "webhook-id": id,
        "webhook-timestamp": at.to_string(),
        "webhook-signature": signature_value(&signatures),
        "body": body,
    })
}

pub(crate) fn all() -> Value {
    let seeds = [0, 1, 2].map(|n| base64url(&*key(n).seed()));
    let keys = [1, 0].map(|n| WebhookKey(key(n).public()).to_string());
    let good = |name: &str, at: u64, keys: &[u8]| json!({ "name": name, "webhook": signed(ID, at, BODY, keys), "error": null });
    let bad = |name: &str, error: &str, changed: &dyn Fn(&mut Value)| {
        let mut webhook = signed(ID, AT, BODY, &[0]);
        changed(&mut webhook);
        json!({ "name": name, "webhook": webhook, "error": error })
    };
    let set = |member: &'static str, value: &str| {
        let value = value.to_owned();
        move |webhook: &mut Value| webhook[member] = json!(value)
    };
    let late = signed(ID, AT.saturating_sub(301), BODY, &[0]);
    let early = signed(ID, AT.saturating_add(301), BODY, &[0]);
    let plain = signed(ID, AT, "{}", &[0]);
    let older_version = |webhook: &mut Value| {
        let value = webhook["webhook-signature"].as_str().unwrap_or_default();
        webhook["webhook-signature"] = json!(value.replace("v1a,", "v1,"));
    };
    let stranger = signed(ID, AT, BODY, &[2]);
    json!({
        "about": "Webhooks to a shop whose keys are `keys`, the newest first, at `now_s` by the \
            receiver's clock: docs/PROTOCOL.md. Those without an error are believed.",
        "seeds": seeds,
        "keys": keys,
        "now_s": Timestamp::from_secs(AT).as_secs(),
        "cases": [
            good("by the newest key", AT, &[1]),
            good("by the older key, while it still signs", AT, &[0]),
            good("by both", AT, &[1, 0]),
            good("by a stranger's key and one that is known", AT, &[2, 0]),
            good("five minutes old", AT.saturating_sub(300), &[1]),
            bad("by a stranger's key", "unsigned", &|webhook| *webhook = stranger.clone()),
            bad("older than five minutes", "time", &|webhook| *webhook = late.clone()),
            bad("more than five minutes ahead", "time", &|webhook| *webhook = early.clone()),
            bad("another id", "unsigned", &set("webhook-id", "ntc_06fpc9v3r0e4k7m2n8q1s5t9wy")),
            bad("another time", "unsigned", &set("webhook-timestamp", "1795000001")),
            bad("another body", "unsigned", &set("body", &BODY.replace("1200", "9200"))),
            bad("a body with a blank more", "unsigned", &set("body", &format!("{BODY} "))),
            bad("no signature", "unsigned", &set("webhook-signature", "")),
            bad("a signature of the symmetric version", "unsigned", &older_version),
            bad("an id with a dot, which ends the id", "form", &set("webhook-id", "ntc.1")),
            bad("a time with a sign", "form", &set("webhook-timestamp", "+1795000000")),
            bad("a time with a leading zero", "form", &set("webhook-timestamp", "01795000000")),
            bad("no notice", "body", &|webhook| *webhook = plain.clone()),
        ],
    })
}
