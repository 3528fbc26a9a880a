//! Short texts that people and programs hand over: enrolment codes, ids, keys, amounts.

use std::fmt::Display;
use std::str::FromStr;

use pos_protocol::enrolment::EnrolmentCode;
use pos_protocol::id::{
    ContractId, ContractNumber, IdempotencyKey, InstitutionId, Method, OperationId, OrderId,
    PaymentId, PosId, RequestId, ShopId, TaskId, UserId,
};
use pos_protocol::key::{KeyId, PublicKey, Signature};
use pos_protocol::money::{Currency, Money};
use pos_protocol::succession::Fingerprint;

pub(super) fn codes(octets: &[u8]) {
    let text = &*String::from_utf8_lossy(octets);
    if let Ok(code) = EnrolmentCode::parse(text) {
        a_code(&code);
    }
    one_spelling::<ShopId>(text);
    one_spelling::<PosId>(text);
    one_spelling::<ContractId>(text);
    one_spelling::<PaymentId>(text);
    one_spelling::<OperationId>(text);
    one_spelling::<RequestId>(text);
    one_spelling::<UserId>(text);
    one_spelling::<TaskId>(text);
    one_spelling::<InstitutionId>(text);
    one_spelling::<OrderId>(text);
    one_spelling::<ContractNumber>(text);
    one_spelling::<IdempotencyKey>(text);
    one_spelling::<Method>(text);
    one_spelling::<KeyId>(text);
    for currency in [Currency::JPY, Currency::USD] {
        if let Ok(money) = Money::from_decimal(text, currency) {
            let decimal = currency.decimal(money.amount.minor());
            assert_eq!(Money::from_decimal(&decimal, currency), Ok(money), "{text} {decimal}");
        }
    }
    as_json::<PublicKey>(octets);
    as_json::<Signature>(octets);
    as_json::<Fingerprint>(octets);
}

/// However it was typed, it is printed in one way, and every other letter in it is noticed.
fn a_code(code: &EnrolmentCode) {
    let printed = code.printed();
    let again = EnrolmentCode::parse(printed.expose()).expect("what is printed can be read");
    assert_eq!(again.printed().expose(), printed.expose());
    assert_eq!(*again.enrolment_seed(), *code.enrolment_seed());
    let shown = format!("{code:?}");
    assert!(!shown.contains(&printed.expose()[..9]), "{shown}");
    for at in (0..printed.expose().len()).step_by(7) {
        let mut wrong = printed.expose().to_owned().into_bytes();
        if wrong[at] != b'-' {
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(EnrolmentCode::parse(&wrong).is_err(), "{at}");
        }
    }
}

/// An id is compared as text by callers: what is read is written as it was.
fn one_spelling<T: FromStr + Display>(text: &str) {
    if let Ok(id) = text.parse::<T>() {
        assert_eq!(id.to_string(), text);
        assert!(text.bytes().all(|octet| octet.is_ascii_graphic()), "{text:?}");
    }
}

fn as_json<T: serde::de::DeserializeOwned + serde::Serialize>(octets: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(octets) {
        let written = serde_json::to_vec(&read).expect("it has a JSON form");
        let again: T = serde_json::from_slice(&written).expect("what is written can be read");
        assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
    }
}
