//! Enrolment codes and answer key succession, judged from the golden vectors alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use pos_protocol::enrolment::{CodeError, EnrolmentCode, key_roll_proof, registration_proof};
use pos_protocol::key::{PublicKey, Signature};
use pos_protocol::succession::{
    Fingerprint, MAX_STATEMENTS, Statement, SuccessionError, statement_octets, walk,
};
use pos_protocol::text::{base64url, fixed_from_base64url};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[test]
fn codes_are_printed_and_derived_as_the_vectors_say() {
    let vectors = read("enrolment.json");
    for vector in list(&vectors["codes"]) {
        let secret = fixed_from_base64url(vector["secret"].as_str().unwrap()).unwrap();
        let answer_key: PublicKey = parsed(&vector["answer_key"]);
        let code = EnrolmentCode::new(secret, &answer_key);
        assert_eq!(code.printed().expose(), vector["printed"]);
        assert_eq!(code.answer_key(), parsed(&vector["fingerprint"]));
        assert_eq!(base64url(&*code.enrolment_key().seed()), vector["enrolment_key_seed"]);
        assert_eq!(code.enrolment_key().public(), parsed(&vector["enrolment_key"]));
        assert!(code.answer_key().matches(&answer_key));
        assert!(!code.answer_key().matches(&code.enrolment_key().public()));

        let read = EnrolmentCode::parse(vector["printed"].as_str().unwrap()).unwrap();
        assert_eq!(read.enrolment_key().public(), code.enrolment_key().public());
        assert_eq!(read.answer_key(), code.answer_key());
    }
}

#[test]
fn the_first_code_is_this_text() {
    let vectors = read("enrolment.json");
    assert_eq!(
        vectors["codes"][0]["printed"],
        "000g-40r4-0m30-e209-185g-r38e-1xzq-skdm-v7c7-w2c4-5b23-5j3v-ctq1-rw5t"
    );
}

#[test]
fn codes_are_read_as_people_type_them() {
    let vectors = read("enrolment.json");
    let key: PublicKey = parsed(&vectors["codes"][0]["enrolment_key"]);
    for text in list(&vectors["typed"]) {
        let code = EnrolmentCode::parse(text.as_str().unwrap()).unwrap();
        assert_eq!(code.enrolment_key().public(), key, "{text}");
    }
    for vector in list(&vectors["refused"]) {
        let error = EnrolmentCode::parse(vector["text"].as_str().unwrap()).unwrap_err();
        let name = match error {
            CodeError::Character { .. } => "character",
            CodeError::Check => "check",
            CodeError::Length { .. } => "length",
        };
        assert_eq!(vector["error"], name, "{vector}");
    }
}

#[test]
fn a_code_does_not_print_itself() {
    let vectors = read("enrolment.json");
    let printed = vectors["codes"][0]["printed"].as_str().unwrap();
    let text = format!("{:?}", EnrolmentCode::parse(printed).unwrap());
    assert!(text.contains("[redacted]") && !text.contains("40r4"), "{text}");
}

#[test]
fn a_wrong_character_is_named_by_its_place() {
    let printed = read("enrolment.json")["codes"][0]["printed"].as_str().unwrap().to_owned();
    let wrong = printed.replacen("40r4", "40u4", 1);
    let error = EnrolmentCode::parse(&wrong).unwrap_err();
    assert_eq!(error, CodeError::Character { at: 7, found: 'u' });
    assert_eq!(error.to_string(), "character 7 of the code, `u`, is none that a code contains");
}

#[test]
fn proofs_are_made_as_the_vectors_say() {
    let vectors = read("enrolment.json");
    let registration = &vectors["registration"];
    let octets =
        registration_proof(&parsed(&registration["user_id"]), &parsed(&registration["module_key"]));
    assert_eq!(base64url(&octets), registration["octets"]);
    let signature: Signature = parsed(&registration["signature"]);
    let enrolment_key: PublicKey = parsed(&registration["enrolment_key"]);
    assert_eq!(enrolment_key.verify(&octets, &signature), Ok(()));

    let roll = &vectors["key_roll"];
    let (old, new): (PublicKey, PublicKey) = (parsed(&roll["old"]), parsed(&roll["new"]));
    let octets = key_roll_proof(&old, &new);
    assert_eq!(base64url(&octets), roll["octets"]);
    let signature: Signature = parsed(&roll["signature"]);
    assert_eq!(new.verify(&octets, &signature), Ok(()));
    assert!(new.verify(&key_roll_proof(&new, &old), &signature).is_err());
}

#[test]
fn statements_are_made_as_the_vectors_say() {
    let vectors = read("succession.json");
    let statements = list(&vectors["statements"]);
    assert_eq!(statements.len(), 3);
    for vector in statements {
        let statement: Statement = parsed(&vector["statement"]);
        let octets =
            statement_octets(&statement.predecessor, &statement.successor, statement.created_ms);
        assert_eq!(base64url(&octets), vector["octets"]);
        assert_eq!(statement.verify(), Ok(()));
        assert_eq!(serde_json::to_value(&statement).unwrap(), vector["statement"]);
    }
}

#[test]
fn walks_end_as_the_vectors_say() {
    let vectors = read("succession.json");
    let walks = list(&vectors["walks"]);
    assert_eq!(walks.iter().filter(|each| each["error"].is_null()).count(), 5);
    for vector in walks {
        let pin: Fingerprint = parsed(&vector["pin"]);
        let offered: PublicKey = parsed(&vector["offered"]);
        let statements: Vec<Statement> = parsed(&vector["statements"]);
        match walk(&pin, &offered, &statements) {
            Ok(key) => {
                assert!(vector["error"].is_null(), "{vector}");
                assert_eq!(key, offered);
            }
            Err(error) => assert_eq!(vector["error"], named(&error), "{}", vector["name"]),
        }
    }
}

#[test]
fn a_walk_is_bounded() {
    let vectors = read("succession.json");
    let statement: Statement = parsed(&vectors["statements"][0]["statement"]);
    let pin = Fingerprint::of(&statement.predecessor);
    let offered = statement.successor;
    let endless = vec![statement; MAX_STATEMENTS + 1];
    assert_eq!(walk(&pin, &offered, &endless), Err(SuccessionError::TooMany));
}

proptest! {
    /// The check letters catch any one wrong character, any two swapped neighbours and any wrong
    /// group for certain: every error within 24 neighbouring bits.
    #[test]
    fn typing_errors_are_caught(
        secret: [u8; 16],
        group in 0_usize..14,
        typed in "[0-9a-hjkmnp-tv-z]{4}",
        (left, right_of_it) in (0_usize..55).prop_map(|left| (left, left.saturating_add(1))),
    ) {
        let answer_key = parsed(&read("enrolment.json")["codes"][0]["answer_key"]);
        let printed = EnrolmentCode::new(secret, &answer_key).printed().expose().to_owned();
        let right = EnrolmentCode::parse(&printed).unwrap();
        prop_assert!(right.printed().expose() == printed);

        let mut groups: Vec<&str> = printed.split('-').collect();
        if groups[group] != typed {
            groups[group] = &typed;
            prop_assert_eq!(EnrolmentCode::parse(&groups.concat()).unwrap_err(), CodeError::Check);
        }
        let mut letters: Vec<u8> = printed.bytes().filter(|each| *each != b'-').collect();
        if letters[left] != letters[right_of_it] {
            letters.swap(left, right_of_it);
            let swapped = String::from_utf8(letters).unwrap();
            prop_assert_eq!(EnrolmentCode::parse(&swapped).unwrap_err(), CodeError::Check);
        }
    }

    #[test]
    fn reading_a_code_never_panics(text in "\\PC{0,80}") {
        let _ = EnrolmentCode::parse(&text);
    }
}

fn named(error: &SuccessionError) -> &'static str {
    match error {
        SuccessionError::BadSignature { .. } => "bad_signature",
        SuccessionError::Fork { .. } => "fork",
        SuccessionError::Gap { .. } => "gap",
        SuccessionError::Loop { .. } => "loop",
        SuccessionError::NotNewest => "not_newest",
        SuccessionError::PinUnknown => "pin_unknown",
        SuccessionError::TooMany => "too_many",
    }
}

fn parsed<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn read(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
    serde_json::from_str(&fs::read_to_string(format!("{folder}/{name}")).unwrap()).unwrap()
}
