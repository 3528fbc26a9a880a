//! Whatever comes over the edge from C is answered.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]

mod support;

use proptest::prelude::*;

/// What is nearly right, to be bent: the function's number, then its texts.
const NEARLY: [&str; 8] = [
    "0{\"server_url\":\"https://pos.example\",\"language\":\"japanese\",\"seal_roots\":{\"a\":\"b\"}}\u{0}{\"type\":\"in_memory\"}",
    "1{\"payment_id\":\"pay_014d2pf2dbzzzzzzzzzzzzzzzz\",\"amount\":1,\"currency\":\"JPY\"}\u{0}methods\u{0}{\"pos_id\":null}",
    "1{}\u{0}pay\u{0}{\"order\":{\"contract_id\":\"con_014d2pf2dbzzzzzzzzzzzzzzzz\",\"order_id\":\"o\",\"amount\":1,\"currency\":\"JPY\",\"envelope\":\"{}\"},\"idempotency_key\":\"order-1-sale-0001\"}",
    "1{}\u{0}history\u{0}{\"query\":{\"after\":null,\"limit\":2}}",
    "1{}\u{0}close\u{0}{}",
    "2{\"instrument\":{\"type\":\"card\",\"number\":\"4111111111111111\",\"expiry_year\":2039,\"expiry_month\":12},\"binding\":{\"institution\":\"sakura-card\",\"contract_number\":\"4912345678\",\"operation\":\"sale\",\"order_id\":\"o\",\"amount\":1,\"currency\":\"JPY\"},\"seal_keys\":\"{}\",\"seal_root\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
    "3{\"answer_key\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"call_signature\":\"AAAA\",\"status\":200,\"headers\":{\"signature\":[\"x\"]},\"body\":\"\"}",
    "4\u{0}\u{1}methods\u{0}{}",
];

/// The function's number in place of its digit.
fn numbered(text: &str) -> Vec<u8> {
    let mut octets = text.as_bytes().to_vec();
    octets[0] &= 0x0f;
    octets
}

/// One of them with some octets replaced, put in or taken out.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..3_u8, any::<u8>());
    (prop::sample::select(&NEARLY[..]), prop::collection::vec(change, 0..6)).prop_map(
        |(text, changes)| {
            let mut octets = numbered(text);
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
    for text in NEARLY {
        support::drive(&numbered(text));
    }
}
