//! Whatever comes over the edge from C is answered.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]

mod support;

use proptest::prelude::*;

/// What is nearly right, to be bent: the function's number, then its texts; and how each call that they
/// stand for is answered as they are.
const NEARLY: [(&str, &[&str]); 9] = [
    (
        "0{\"server_url\":\"https://pos.example\",\"language\":\"japanese\",\"seal_roots\":{\"sakura-card\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}}\u{0}{\"type\":\"in_memory\"}",
        &["{\"ok\":null}"],
    ),
    (
        "1login is not called\u{0}pay\u{0}{\"order\":{\"contract_id\":\"con_014d2pf2dbzzzzzzzzzzzzzzzz\",\"order_id\":\"o\",\"amount\":1,\"currency\":\"JPY\",\"envelope\":\"ENVELOPE\"},\"idempotency_key\":\"order-1-sale-0001\"}",
        &["not_registered"],
    ),
    (
        "8{\"order\":{\"contract_id\":\"con_014d2pf2dbzzzzzzzzzzzzzzzz\",\"order_id\":\"o\",\"amount\":1,\"currency\":\"JPY\",\"envelope\":\"ENVELOPE\"},\"idempotency_key\":\"order-1-sale-0001\"}\u{0}methods\u{0}{\"pos_id\":null}",
        &["not_registered", "not_registered"],
    ),
    ("1{}\u{0}history\u{0}{\"query\":{\"after\":null,\"limit\":2}}", &["not_registered"]),
    ("1{}\u{0}close\u{0}{}", &["{\"ok\":null}"]),
    (
        "2{\"instrument\":{\"type\":\"card\",\"number\":\"4111111111111111\",\"expiry_year\":2039,\"expiry_month\":12},\"binding\":{\"institution\":\"sakura-card\",\"contract_number\":\"4912345678\",\"operation\":\"sale\",\"order_id\":\"o\",\"amount\":1,\"currency\":\"JPY\"},\"seal_keys\":\"{}\",\"seal_root\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        &["\"field\":\"seal_keys.payload\""],
    ),
    (
        "3{\"answer_key\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"call_signature\":\"AAAA\",\"status\":200,\"headers\":{\"signature\":[\"x\"]},\"body\":\"\"}",
        &["\"field\":\"call_signature\""],
    ),
    ("4methods\u{0}{}", &["\"code\":\"closed\"", "\"code\":\"closed\""]),
    (
        "5{\"server_url\":\"https://pos.example\"}\u{0}{\"module_key\":\"\"}\u{0}methods\u{0}{}",
        &["{\"ok\":null}", "\"code\":\"key_store\""],
    ),
];

/// The function's number in place of its digit, and an envelope, as an argument's text, in place of its word.
fn octets_of(text: &str) -> Vec<u8> {
    let (key, rand, sealed) = ("A".repeat(43), "A".repeat(22), "A".repeat(704));
    let envelope = format!(
        r#"{{"v":1,"suite":1,"key_id":"{key}","enc":"{key}","ct":"{sealed}","rand":"{rand}","not_after_ms":1}}"#
    );
    let mut octets = text.replace("ENVELOPE", &envelope.replace('"', "\\\"")).into_bytes();
    octets[0] &= 0x0f;
    octets
}

/// One of them with some octets replaced, put in or taken out.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..3_u8, any::<u8>());
    (prop::sample::select(&NEARLY[..]), prop::collection::vec(change, 0..6)).prop_map(
        |((text, _), changes)| {
            let mut octets = octets_of(text);
            for (place, how, octet) in changes {
                let at = place.index(octets.len());
                match how {
                    0 => octets[at] = octet,
                    1 => octets.insert(at, octet),
                    _ if octets.len() > 1 => drop(octets.remove(at)),
                    _ => {}
                }
            }
            octets
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_nearly_right_is_answered(octets in bent()) {
        support::drive(&octets);
    }

    #[test]
    fn any_octets_are_answered(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        support::drive(&octets);
    }
}

#[test]
fn every_null_pointer_is_answered() {
    support::nothing_at_all();
}

#[test]
fn what_is_to_be_bent_is_good_enough_to_reach_each_function() {
    let mut otherwise = Vec::new();
    for (text, wanted) in NEARLY {
        let answers = support::drive(&octets_of(text));
        let is_so = |(answer, part): (&String, &&str)| answer.contains(part);
        if cfg!(miri) {
            continue; // It is not all called there.
        }
        if answers.len() != wanted.len() || !answers.iter().zip(wanted).all(is_so) {
            otherwise.push(format!("{text}\n  wanted {wanted:?}\n  got {answers:?}"));
        }
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
}
