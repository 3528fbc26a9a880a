//! The surface as JSON, to the letter: what C and others like it speak.

use pos_connect_api::{
    AccountKind, Config, Connection, Error, HistoryQuery, Instrument, KeyStatus, Language,
    OperationState, Order, Store,
};
use serde_json::{Value, from_value, json, to_value};

#[test]
fn a_request_has_the_names_of_the_surface() {
    let order = json!({
        "contract_id": "c", "order_id": "o", "amount": 1200, "currency": "JPY", "envelope": "{}",
    });
    let read: Order = from_value(order.clone()).unwrap();
    assert!(!read.allow_partial, "a flag that is left out is off");
    let mut written = order;
    written["allow_partial"] = json!(false);
    assert_eq!(to_value(&read).unwrap(), written);
}

#[test]
fn what_is_left_out_is_none() {
    let query: HistoryQuery = from_value(json!({"limit": 3})).unwrap();
    assert_eq!(query, HistoryQuery { limit: Some(3), ..HistoryQuery::default() });
    let url = "https://pos.example";
    let config: Config =
        from_value(json!({"server_url": url, "language": "japanese", "proxy": null})).unwrap();
    assert!(matches!(config, Config { language: Some(Language::Japanese), proxy: None, .. }));
    assert!(config.seal_roots.is_empty());
}

#[test]
fn what_is_not_known_is_refused() {
    let refused = |tried: Result<Value, serde_json::Error>| tried.unwrap_err().to_string();
    let query = |value| from_value::<HistoryQuery>(value).map(|_| Value::Null);
    assert!(refused(query(json!({"limits": 3}))).contains("unknown field `limits`"));
    assert!(refused(query(json!({"limit": 256}))).contains("expected u8"));
    let paid = |value| from_value::<Instrument>(value).map(|_| Value::Null);
    let prepaid = json!({"type": "prepaid", "number": "6000", "name": "x"});
    assert!(refused(paid(prepaid)).contains("unknown field `name`"));
    assert!(refused(paid(json!({"type": "cash"}))).contains("unknown variant `cash`"));
}

#[test]
fn a_variant_says_its_type() {
    let account = json!({
        "type": "account", "bank": "0001", "branch": "123", "kind": "savings", "number": "1234567",
    });
    let read: Instrument = from_value(account).unwrap();
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
    assert!(matches!(from_value(written).unwrap(), Error::FixTheRequest { .. }));
}
