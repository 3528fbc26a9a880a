//! `tests/vectors/institution.json` judged twice: by the schemas that strangers get, and by the
//! types that the server and the example institution use. Both must agree on every body.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]

use std::collections::BTreeSet;

use jsonschema::{Registry, Validator};
use pos_protocol::institution::{
    Body, CheckAnswer, CheckRequest, InstitutionCode, InstitutionError, InstitutionInfo,
    InvalidBody, OperationAnswer, OperationRequest, ReversalAnswer, ReversalRequest, parse,
    to_json,
};
use pos_protocol::money::Currency;
use pos_protocol::reason::DeclineReason;
use pos_protocol::seal::{SealKeySet, SignedSealKeySet};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const BODIES: [&str; 10] = [
    "operation-request",
    "operation-answer",
    "reversal-request",
    "reversal-answer",
    "check-request",
    "check-answer",
    "institution-answer",
    "seal-keys-answer",
    "seal-key-set",
    "error-answer",
];

fn file(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(format!("{ROOT}/{path}")).unwrap()).unwrap()
}

fn schema(name: &str) -> Value {
    file(&format!("docs/institution/{name}.schema.json"))
}

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member].as_str().unwrap()
}

/// The schemas by the name of their body.
fn judge() -> impl Fn(&str, &Value) -> bool {
    let definitions = schema("definitions");
    let registry = Registry::new()
        .add("urn:pos-institution:1:definitions", definitions)
        .unwrap()
        .prepare()
        .unwrap();
    let validators: Vec<(&str, Validator)> = BODIES
        .iter()
        .map(|name| {
            let schema = schema(name);
            assert_eq!(schema["$id"], format!("urn:pos-institution:1:{name}"));
            let options = jsonschema::draft202012::options();
            (*name, options.with_registry(&registry).build(&schema).unwrap())
        })
        .collect();
    move |body, json| {
        let (_, validator) = validators.iter().find(|(name, _)| *name == body).unwrap();
        validator.is_valid(json)
    }
}

/// Reads a body and writes it again.
fn again(body: &str, json: &Value) -> Result<Value, InvalidBody> {
    fn through<T: Body>(octets: &[u8]) -> Result<Vec<u8>, InvalidBody> {
        parse::<T>(octets).map(|body| to_json(&body))
    }
    let octets = serde_json::to_vec(json).unwrap();
    let written = match body {
        "operation-request" => through::<OperationRequest>(&octets),
        "operation-answer" => through::<OperationAnswer>(&octets),
        "reversal-request" => through::<ReversalRequest>(&octets),
        "reversal-answer" => through::<ReversalAnswer>(&octets),
        "check-request" => through::<CheckRequest>(&octets),
        "check-answer" => through::<CheckAnswer>(&octets),
        "institution-answer" => through::<InstitutionInfo>(&octets),
        "seal-keys-answer" => through::<SignedSealKeySet>(&octets),
        "seal-key-set" => through::<SealKeySet>(&octets),
        "error-answer" => through::<InstitutionError>(&octets),
        other => panic!("a vector of an unknown body {other}"),
    }?;
    Ok(serde_json::from_slice(&written).unwrap())
}

#[test]
fn good_bodies_are_taken_by_both_and_written_as_they_were() {
    let (file, valid) = (file("tests/vectors/institution.json"), judge());
    let mut seen = BTreeSet::new();
    for case in file["good"].as_array().unwrap() {
        let (body, name) = (text(case, "body"), text(case, "name"));
        assert!(valid(body, &case["json"]), "{body}: {name}: refused by the schema");
        let mut expected = case["json"].clone();
        for member in case["ignored"].as_array().into_iter().flatten() {
            expected.as_object_mut().unwrap().remove(member.as_str().unwrap()).unwrap();
        }
        assert_eq!(again(body, &case["json"]), Ok(expected), "{body}: {name}");
        seen.insert(body);
    }
    assert_eq!(seen, BTreeSet::from(BODIES));
}

#[test]
fn bad_bodies_are_refused_by_both() {
    let (file, valid) = (file("tests/vectors/institution.json"), judge());
    let mut seen = BTreeSet::new();
    for case in file["bad"].as_array().unwrap() {
        let (body, name) = (text(case, "body"), text(case, "name"));
        let beyond = case["schema_cannot_say"] == true;
        assert_eq!(valid(body, &case["json"]), beyond, "{body}: {name}: by the schema");
        match again(body, &case["json"]) {
            Err(InvalidBody::Field { field, .. }) => {
                assert_eq!(field, text(case, "field"), "{body}: {name}");
            }
            other => panic!("{body}: {name}: {other:?}"),
        }
        seen.insert(body);
    }
    assert_eq!(seen, BTreeSet::from(BODIES));
}

/// An institution may be newer than the server: a word that the server does not know is against the
/// schema, and yet a decline stays a decline.
#[test]
fn words_that_are_not_known_are_read_as_the_next_best() {
    let (file, valid) = (file("tests/vectors/institution.json"), judge());
    let mut seen = BTreeSet::new();
    for case in file["forgiven"].as_array().unwrap() {
        let (body, name) = (text(case, "body"), text(case, "name"));
        assert!(!valid(body, &case["json"]), "{body}: {name}: taken by the schema");
        assert_eq!(again(body, &case["json"]), Ok(case["read_as"].clone()), "{body}: {name}");
        seen.insert(body);
    }
    let answers = ["operation-answer", "reversal-answer", "check-answer", "institution-answer"];
    assert_eq!(seen, BTreeSet::from(answers));
}

/// Every member of every good body, taken away or given another type, is judged alike by both.
#[test]
fn both_agree_on_every_mutilated_body() {
    let (file, valid) = (file("tests/vectors/institution.json"), judge());
    let mut judged = 0;
    for case in file["good"].as_array().unwrap() {
        let body = text(case, "body");
        for member in case["json"].as_object().unwrap().keys() {
            let others = [Value::Null, true.into(), (-1).into(), "".into(), Value::Array(vec![])];
            let mut mutilated = vec![case["json"].clone()];
            mutilated[0].as_object_mut().unwrap().remove(member);
            mutilated.extend(others.map(|other| {
                let mut whole = case["json"].clone();
                whole[member] = other;
                whole
            }));
            for json in mutilated {
                // `null` for an optional member reads as its absence, which no schema can show.
                if json.get(member) == Some(&Value::Null) {
                    continue;
                }
                let (schema, parser) = (valid(body, &json), again(body, &json));
                assert_eq!(schema, parser.is_ok(), "{body}: {member}: {json}: {parser:?}");
                judged += 1;
            }
        }
    }
    assert!(judged > 1_000, "{judged}");
}

#[test]
fn the_lists_in_the_schemas_are_those_of_the_code() {
    let definitions = schema("definitions");
    let listed = |name: &str| -> BTreeSet<String> {
        let list = definitions["$defs"][name]["enum"].as_array().unwrap();
        list.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let currencies = Currency::EVERY.iter().map(|one| one.code().to_owned()).collect();
    assert_eq!(listed("currency"), currencies);
    let reasons = DeclineReason::ALL.iter().map(|one| one.wire().to_owned()).collect();
    assert_eq!(listed("reason"), reasons);
    let error = schema("error-answer");
    let codes = text(&error["properties"]["code"], "description");
    for code in InstitutionCode::ALL {
        assert!(codes.contains(code.wire()), "{}", code.wire());
    }
}

/// The tables of the document are the tables of the code.
#[test]
fn the_document_lists_every_code_and_reason() {
    let document = std::fs::read_to_string(format!("{ROOT}/docs/INSTITUTION.md")).unwrap();
    for code in InstitutionCode::ALL {
        let proof = if code.proves_not_processed() { "yes" } else { "no" };
        let row = format!("| `{}` | {} | {proof} |", code.wire(), code.status());
        assert!(document.contains(&row), "{row}");
    }
    for reason in DeclineReason::ALL {
        let row = format!("| `{}` | {} | {} |", reason.wire(), reason.english(), reason.japanese());
        assert!(document.contains(&row), "{row}");
    }
}

/// The examples that are shown whole are vectors.
#[test]
fn the_documents_examples_are_vectors() {
    let document = std::fs::read_to_string(format!("{ROOT}/docs/INSTITUTION.md")).unwrap();
    let vectors = file("tests/vectors/institution.json");
    let vectors = vectors["good"].as_array().unwrap();
    let mut whole = 0;
    for block in document.split("```json\n").skip(1) {
        let block = block.split("```").next().unwrap();
        if block.contains('…') {
            continue; // An envelope or a payload was cut short for the eye.
        }
        let shown: Value = serde_json::from_str(block).unwrap();
        assert!(vectors.iter().any(|case| case["json"] == shown), "{block}");
        whole += 1;
    }
    assert!(whole >= 8, "{whole}");
}
