//! JSON bodies: requests are read strictly, answers tolerantly, and what was read can be written and
//! read again.

use std::collections::HashSet;
use std::fmt;

use pos_protocol::ErrorCode;
use pos_protocol::wire::{self, read_body};
use serde::Serialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

pub(super) fn bodies(octets: &[u8]) {
    request::<wire::RegisterRequest>(octets);
    request::<wire::LoginRequest>(octets);
    request::<wire::SignOutRequest>(octets);
    request::<wire::RollKeyRequest>(octets);
    request::<wire::RevokeKeyRequest>(octets);
    request::<wire::SetNoticesRequest>(octets);
    request::<wire::QuoteRequest>(octets);
    request::<wire::CheckRequest>(octets);
    request::<wire::PayRequest>(octets);
    request::<wire::CaptureRequest>(octets);
    request::<wire::VoidRequest>(octets);
    request::<wire::RefundRequest>(octets);
    answer::<wire::RegistrationAnswer>(octets);
    answer::<wire::SessionAnswer>(octets);
    answer::<wire::KeyAnswer>(octets);
    answer::<wire::KeyList>(octets);
    answer::<wire::AnswerKeys>(octets);
    answer::<wire::NoticeSettings>(octets);
    answer::<wire::Notice>(octets);
    answer::<wire::MethodsAnswer>(octets);
    answer::<wire::QuoteAnswer>(octets);
    answer::<wire::CheckAnswer>(octets);
    answer::<wire::OperationView>(octets);
    answer::<wire::PaymentView>(octets);
    answer::<wire::HistoryPage>(octets);
    answer::<wire::KeyStatus>(octets);
    answer::<wire::Problem>(octets);
}

/// As the server reads it.
fn request<T: Serialize + DeserializeOwned>(octets: &[u8]) {
    match read_body::<T>(octets) {
        Ok(read) => {
            assert!(is_strict(octets), "taken, and not strict: {}", shown(octets));
            let told: Value = serde_json::from_slice(octets).expect("what was read is JSON");
            let written = serde_json::to_value(&read).expect("a request has a JSON form");
            is_told(&told, &written);
            let written = serde_json::to_vec(&read).expect("a request has a JSON form");
            let again = read_body::<T>(&written).expect("what is written can be read");
            assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
        }
        Err(refused) => {
            assert!(matches!(refused.code, ErrorCode::InvalidJson | ErrorCode::InvalidField));
            assert!(!refused.message.is_empty());
            let is_json = serde_json::from_slice::<Value>(octets).is_ok();
            assert!(refused.code == ErrorCode::InvalidField || !is_json, "{}", shown(octets));
        }
    }
}

/// As the module reads it.
fn answer<T: Serialize + DeserializeOwned>(octets: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(octets) else { return };
    let written = serde_json::to_vec(&read).expect("an answer has a JSON form");
    let again: T = serde_json::from_slice(&written).expect("what is written can be read");
    assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
}

/// Everything that was sent stands in what was read: nothing is dropped, nothing is turned into
/// something else. What was read may have more, where a member has a default.
fn is_told(told: &Value, read: &Value) {
    match (told, read) {
        (Value::Object(told), Value::Object(read)) => {
            for (name, value) in told {
                is_told(value, read.get(name).unwrap_or_else(|| panic!("{name} was dropped")));
            }
        }
        _ => assert_eq!(told, read),
    }
}

/// One object without doubled members and without `null`, told by a reader of its own.
fn is_strict(octets: &[u8]) -> bool {
    struct Strict;

    impl<'de> DeserializeSeed<'de> for Strict {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Strict {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("strict JSON")
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
            Ok(())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            while list.next_element_seed(Self)?.is_some() {}
            Ok(())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            let mut seen = HashSet::new();
            while let Some(name) = members.next_key::<String>()? {
                if !seen.insert(name) {
                    return Err(A::Error::custom("doubled"));
                }
                members.next_value_seed(Self)?;
            }
            Ok(())
        }
    }

    let mut reader = serde_json::Deserializer::from_slice(octets);
    let is_object = octets.trim_ascii_start().first() == Some(&b'{');
    is_object && Strict.deserialize(&mut reader).is_ok() && reader.end().is_ok()
}

fn shown(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
