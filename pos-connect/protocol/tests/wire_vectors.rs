//! `tests/vectors/wire.json`: every body of the calls between a shop and the server is read as a
//! stranger's client must read it, and every bad one refused with its code and field.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]

use std::collections::BTreeSet;

use pos_protocol::wire::{self, ReadError, read_body};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn file() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/wire.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

/// A request as the server reads it, written again.
fn reread<T: DeserializeOwned + Serialize>(body: &[u8]) -> Result<String, ReadError> {
    Ok(serde_json::to_string(&read_body::<T>(body)?).unwrap())
}

type ReadRequest = fn(&[u8]) -> Result<String, ReadError>;

/// Every type of request body that there is.
const REQUESTS: [(&str, ReadRequest); 12] = [
    ("CaptureRequest", reread::<wire::CaptureRequest>),
    ("CheckRequest", reread::<wire::CheckRequest>),
    ("LoginRequest", reread::<wire::LoginRequest>),
    ("PayRequest", reread::<wire::PayRequest>),
    ("QuoteRequest", reread::<wire::QuoteRequest>),
    ("RefundRequest", reread::<wire::RefundRequest>),
    ("RegisterRequest", reread::<wire::RegisterRequest>),
    ("RevokeKeyRequest", reread::<wire::RevokeKeyRequest>),
    ("RollKeyRequest", reread::<wire::RollKeyRequest>),
    ("SetNoticesRequest", reread::<wire::SetNoticesRequest>),
    ("SignOutRequest", reread::<wire::SignOutRequest>),
    ("VoidRequest", reread::<wire::VoidRequest>),
];

/// An answer as a client reads it, written again.
fn answered<T: DeserializeOwned + Serialize>(body: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(body.clone()).unwrap()).unwrap()
}

type ReadAnswer = fn(&Value) -> Value;

/// Every type of answer body that there is.
const ANSWERS: [(&str, ReadAnswer); 14] = [
    ("AnswerKeys", answered::<wire::AnswerKeys>),
    ("CheckAnswer", answered::<wire::CheckAnswer>),
    ("HistoryPage", answered::<wire::HistoryPage>),
    ("KeyAnswer", answered::<wire::KeyAnswer>),
    ("KeyList", answered::<wire::KeyList>),
    ("KeyStatus", answered::<wire::KeyStatus>),
    ("MethodsAnswer", answered::<wire::MethodsAnswer>),
    ("NoticeSettings", answered::<wire::NoticeSettings>),
    ("OperationView", answered::<wire::OperationView>),
    ("PaymentView", answered::<wire::PaymentView>),
    ("Problem", answered::<wire::Problem>),
    ("QuoteAnswer", answered::<wire::QuoteAnswer>),
    ("RegistrationAnswer", answered::<wire::RegistrationAnswer>),
    ("SessionAnswer", answered::<wire::SessionAnswer>),
];

fn reader_of<F: Copy>(readers: &[(&str, F)], kind: &str) -> F {
    readers.iter().find(|(name, _)| *name == kind).unwrap_or_else(|| panic!("no type {kind}")).1
}

fn types_of(cases: &[Value]) -> BTreeSet<&str> {
    cases.iter().map(|case| text(&case["type"])).collect()
}

#[test]
fn every_request_is_read_and_written_alike() {
    let file = file();
    let cases = list(&file["requests"]);
    for case in cases {
        let (name, body) = (text(&case["name"]), text(&case["body"]));
        let again = reader_of(&REQUESTS, text(&case["type"]))(body.as_bytes());
        let again = again.unwrap_or_else(|error| panic!("{name}: {error}"));
        let compact: Value = serde_json::from_str(body).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), compact, "{name}");
        // All but the one about white space and order are written as this build writes them.
        assert!(again == body || name == "white space and any order", "{name}: {again}");
    }
    assert_eq!(types_of(cases), REQUESTS.iter().map(|(name, _)| *name).collect());
}

#[test]
fn every_answer_is_read() {
    let file = file();
    let cases = list(&file["answers"]);
    for case in cases {
        let (name, body) = (text(&case["name"]), &case["body"]);
        let again = reader_of(&ANSWERS, text(&case["type"]))(body);
        if case["tolerated"] == true {
            // What is not known is passed over; all else is kept, unknown words included.
            let mut kept = body.clone();
            kept.as_object_mut().unwrap().remove("tide").unwrap();
            assert_eq!(again, kept, "{name}");
        } else {
            assert_eq!(again, *body, "{name}");
        }
        assert!([200, 202, 400, 409].contains(&case["status"].as_u64().unwrap()), "{name}");
    }
    assert_eq!(types_of(cases), ANSWERS.iter().map(|(name, _)| *name).collect());
}

#[test]
fn every_bad_body_is_refused_with_its_code_and_field() {
    let file = file();
    for case in list(&file["refused"]) {
        let name = text(&case["name"]);
        let error = match reader_of(&REQUESTS, text(&case["type"]))(&octets(case)) {
            Ok(taken) => panic!("{name}: taken as {taken:.80}"),
            Err(error) => error,
        };
        assert_eq!(error.code.wire(), text(&case["code"]), "{name}: {error}");
        assert_eq!(error.field.as_deref(), case["field"].as_str(), "{name}: {error}");
        assert!(error.message.len() < 300, "{name}: the sentence repeats what was sent");
    }
}

fn octets(case: &Value) -> Vec<u8> {
    if let Some(body) = case["body"].as_str() {
        return body.as_bytes().to_vec();
    }
    if let Some(hex) = case["body_hex"].as_str() {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        return pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    }
    let repeat = &case["repeat"];
    let times = usize::try_from(repeat["times"].as_u64().unwrap()).unwrap();
    let unit = text(&repeat["unit"]).repeat(times);
    [text(&repeat["head"]), &unit, text(&repeat["tail"])].concat().into_bytes()
}
