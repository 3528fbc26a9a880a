//! The surface as JSON, to the letter: what C and others like it speak.

use pos_connect_api::json::read;
use pos_connect_api::{
    AccountKind, Config, Connection, HistoryQuery, Instrument, KeyStatus, OperationState, Order,
    Store,
};
use serde_json::{Value, json, to_value};

#[test]
fn a_request_has_the_names_of_the_surface() {
    let order = json!({
        "contract_id": "c", "order_id": "o", "amount": 1200, "currency": "JPY", "envelope": "{}",
    });
    let wanted = Order {
        contract_id: "c".into(),
        order_id: "o".into(),
        amount: 1_200,
        currency: "JPY".into(),
        envelope: "{}".into(),
        // A flag that is left out is off.
        allow_partial: false,
        give_up_after_s: None,
    };
    assert_eq!(read::<Order>("order", &order.to_string()).unwrap(), wanted);
    let query: HistoryQuery = read("query", r#"{"limit":3}"#).unwrap();
    assert_eq!(query, HistoryQuery { limit: Some(3), ..HistoryQuery::default() });
}

#[test]
fn a_variant_says_its_type() {
    let account = json!({
        "type": "account", "bank": "0001", "branch": "123", "kind": "savings", "number": "1234567",
    });
    let read: Instrument = read("instrument", &account.to_string()).unwrap();
    assert!(matches!(read, Instrument::Account { kind: AccountKind::Savings, secret: None, .. }));
    let nothing = KeyStatus::Nothing { server_time_ms: 7 };
    let written = json!({"type": "nothing", "server_time_ms": 7});
    assert_eq!(to_value(&nothing).unwrap(), written);
    assert_eq!(to_value(OperationState::NotSent).unwrap(), json!("not_sent"));
}

#[test]
fn an_error_says_its_kind() {
    let Err(error) = Connection::new(Config::new("ftp://pos.example"), Store::in_memory()) else {
        panic!("no server speaks FTP")
    };
    let written = to_value(&error).unwrap();
    assert_eq!(written["kind"], "fix_the_request");
    assert_eq!(written["code"], error.code());
    assert_eq!(written["retry"], "never");
    assert_eq!(written["retry_after_ms"], Value::Null);
    let names: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = [
        "kind",
        "code",
        "text",
        "text_en",
        "text_ja",
        "retry",
        "retry_after_ms",
        "field",
        "request_id",
        "idempotency_key",
        "cause",
    ];
    wanted.sort_unstable();
    assert_eq!(names, wanted);
}
