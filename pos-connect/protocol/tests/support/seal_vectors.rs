//! Builds `tests/vectors/seal.json`: sealing repeated from fixed entropy, and what must fail.

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::key::SigningKey;
use pos_protocol::money::{Currency, Money};
use pos_protocol::seal::{
    Binding, Envelope, Instrument, SealKey, SealKeySet, SealSecretKey, SealedOperation, info, seal,
};
use pos_protocol::text::base64url;
use serde_json::{Value, json};

const NOW_MS: u64 = 1_795_000_000_000;
const ROOT_SEED: [u8; 32] = [0x11; 32];
const SECRET: [u8; 32] = [0x22; 32];
const OTHER_SECRET: [u8; 32] = [0x33; 32];

/// The whole file.
pub(crate) fn build() -> Value {
    json!({
        "about": "Sealed instruments (docs/PROTOCOL.md). Octets in base64url without padding. \
                  `entropy` is rand (16 octets) and then ikmE (32 octets); `plaintext` is shown \
                  without the spaces that pad it to 512 octets.",
        "root": { "seed": base64url(&ROOT_SEED), "public": root().public() },
        "seal_key": { "secret": base64url(secret().octets()), "public": secret().public(),
                      "key_id": secret().public().id() },
        "other_seal_key": { "secret": base64url(other_secret().octets()),
                            "public": other_secret().public(),
                            "key_id": other_secret().public().id() },
        "sealed": sealed(),
        "must_not_open": must_not_open(),
        "malformed_envelopes": malformed_envelopes(),
        "refused_instruments": refused_instruments(),
        "key_set": { "now_ms": NOW_MS, "last_seen_version": 3, "payload": key_set(),
                     "signed": key_set().sign(&root()) },
        "key_set_takes": key_set_takes(),
        "refused_key_sets": refused_key_sets(),
    })
}

fn root() -> SigningKey {
    SigningKey::from_seed(&ROOT_SEED)
}

fn secret() -> SealSecretKey {
    SealSecretKey::from_octets(&SECRET)
}

fn other_secret() -> SealSecretKey {
    SealSecretKey::from_octets(&OTHER_SECRET)
}

fn after(ms: u64) -> Timestamp {
    Timestamp::from_ms(NOW_MS).plus(Duration::from_millis(ms))
}

fn binding(operation: SealedOperation, order: &str, minor: u64, currency: Currency) -> Binding {
    Binding {
        institution: "sakura-card".parse().expect("an institution id"),
        contract_number: "4980012345".parse().expect("a contract number"),
        operation,
        order_id: order.parse().expect("an order id"),
        money: Money::new(minor, currency).expect("an amount"),
    }
}

fn entropy(first: u8) -> [u8; 48] {
    std::array::from_fn(|at| first.wrapping_add(u8::try_from(at).expect("below 48")))
}

fn binding_json(binding: &Binding) -> Value {
    json!({
        "institution": binding.institution,
        "contract_number": binding.contract_number,
        "operation": binding.operation,
        "order_id": binding.order_id,
        "amount": binding.money.amount,
        "currency": binding.money.currency,
    })
}

fn cases() -> Vec<(&'static str, &'static str, Binding, u8)> {
    use SealedOperation::{Authorise, Check, Sale};
    vec![
        (
            "card for a sale",
            r#"{"type":"card","number":"4111111111111111","expiry_year":2030,"expiry_month":12,"security_code":"123","holder":"TARO YAMADA"}"#,
            binding(Sale, "order-1", 1_200, Currency::JPY),
            0x40,
        ),
        (
            "card with the least members, authorised at the largest amount",
            r#"{"type":"card","number":"5555555555554444","expiry_year":2099,"expiry_month":1}"#,
            binding(Authorise, "a", 999_999_999_999, Currency::BHD),
            0x50,
        ),
        (
            "account with a name in katakana",
            r#"{"type":"account","number":"0012345","bank":"0001","branch":"101","kind":"ordinary","holder_kana":"ヤマダ タロウ","secret":"open sesame"}"#,
            binding(Sale, "order-2026:000123_x.y", 50_000, Currency::JPY),
            0x60,
        ),
        (
            "prepaid for a check",
            r#"{"type":"prepaid","number":"PPC000123456","pin":"4649"}"#,
            binding(Check, "order-3", 1, Currency::USD),
            0xf0,
        ),
    ]
}

fn seal_case(instrument: &str, binding: &Binding, first: u8) -> Envelope {
    let instrument = Instrument::from_json(instrument.as_bytes()).expect("a good instrument");
    let key = SealKey::new(secret().public(), after(86_400_000));
    seal(&instrument, binding, after(600_000), &key, &entropy(first)).expect("a usable key")
}

fn sealed() -> Vec<Value> {
    let one = |(name, plaintext, binding, first): (&str, &str, Binding, u8)| {
        let envelope = seal_case(plaintext, &binding, first);
        json!({
            "name": name,
            "plaintext": plaintext,
            "binding": binding_json(&binding),
            "not_after_ms": envelope.not_after(),
            "entropy": base64url(&entropy(first)),
            "info": base64url(&info(&binding.institution, envelope.key_id())),
            "aad": base64url(&binding.aad(envelope.not_after(), envelope.rand())),
            "envelope": envelope,
            "sha256": base64url(&envelope.sha256()),
        })
    };
    cases().into_iter().map(one).collect()
}

/// The first case with one thing changed at a time.
fn must_not_open() -> Vec<Value> {
    let (_, plaintext, binding, first) = cases().swap_remove(0);
    let envelope = json!(seal_case(plaintext, &binding, first));
    let binding = binding_json(&binding);
    let secret = json!(base64url(&SECRET));
    let changed = |whole: &Value, member: &str, value: Value| {
        let mut whole = whole.clone();
        whole[member] = value;
        whole
    };
    let bindings = [
        ("institution", json!("sakura-cars")),
        ("contract_number", json!("4980012346")),
        ("operation", json!("authorise")),
        ("order_id", json!("order-2")),
        ("amount", json!(1_201)),
        ("currency", json!("USD")),
    ];
    let parts = [
        ("enc", flipped(&envelope, "enc", 31, 0x80)),
        ("ct", flipped(&envelope, "ct", 0, 0x01)),
        ("ct", flipped(&envelope, "ct", 527, 0x80)),
        ("rand", flipped(&envelope, "rand", 15, 0x01)),
        ("not_after_ms", json!(NOW_MS + 600_001)),
    ];
    let other_binding = bindings.map(|(member, value)| {
        json!({ "name": format!("another {member} asked for"), "error": "not_for_this",
                "envelope": envelope, "secret": secret,
                "binding": changed(&binding, member, value) })
    });
    let other_part = parts.map(|(member, value)| {
        json!({ "name": format!("{member} of the envelope altered"), "error": "not_for_this",
                "envelope": changed(&envelope, member, value), "secret": secret,
                "binding": binding })
    });
    let renamed = changed(&envelope, "key_id", json!(other_secret().public().id()));
    let other_key = [
        json!({ "name": "another key", "error": "other_key", "envelope": envelope,
                "secret": base64url(&OTHER_SECRET), "binding": binding }),
        json!({ "name": "another key under its own name", "error": "not_for_this",
                "envelope": renamed, "secret": base64url(&OTHER_SECRET), "binding": binding }),
    ];
    [&other_binding[..], &other_part[..], &other_key[..]].concat()
}

fn flipped(envelope: &Value, member: &str, at: usize, mask: u8) -> Value {
    let text = envelope[member].as_str().expect("a text");
    let mut octets = pos_protocol::text::from_base64url(text).expect("base64url");
    octets[at] ^= mask;
    json!(base64url(&octets))
}

/// Envelopes that are refused before anything is opened.
fn malformed_envelopes() -> Vec<Value> {
    let (_, plaintext, binding, first) = cases().swap_remove(0);
    let good = json!(seal_case(plaintext, &binding, first));
    let mut bad: Vec<Value> = [
        ("another version", "v", json!(2)),
        ("another suite", "suite", json!(2)),
        ("a version as text", "v", json!("1")),
        ("a short key id", "key_id", json!("AAAA")),
        ("enc of 31 octets", "enc", json!(base64url(&[2; 31]))),
        ("enc with padding", "enc", json!(format!("{}=", base64url(&[2; 32])))),
        ("enc in the other alphabet", "enc", json!("+".repeat(43))),
        ("ct truncated", "ct", json!(base64url(&[2; 527]))),
        ("ct extended", "ct", json!(base64url(&[2; 529]))),
        ("rand of 17 octets", "rand", json!(base64url(&[2; 17]))),
        ("a fraction of a millisecond", "not_after_ms", json!(1.5)),
        ("a negative end", "not_after_ms", json!(-1)),
        ("an unknown member", "more", json!(true)),
    ]
    .into_iter()
    .map(|(name, member, value)| {
        let mut envelope = good.clone();
        envelope[member] = value;
        json!({ "name": name, "envelope": envelope })
    })
    .collect();
    for member in ["v", "suite", "key_id", "enc", "ct", "rand", "not_after_ms"] {
        let mut envelope = good.clone();
        envelope.as_object_mut().expect("an object").remove(member);
        bad.push(json!({ "name": format!("without {member}"), "envelope": envelope }));
    }
    bad
}

/// Instruments that are refused, each with the member at fault.
fn refused_instruments() -> Vec<Value> {
    [
        (r#"{"type":"card","number":"4111111111111112","expiry_year":2030,"expiry_month":12}"#, "number"),
        (r#"{"type":"card","number":"4111 1111 1111 1111","expiry_year":2030,"expiry_month":12}"#, "number"),
        (r#"{"type":"card","number":"4111111111111111","expiry_year":30,"expiry_month":12}"#, "expiry_year"),
        (r#"{"type":"card","number":"4111111111111111","expiry_year":2030,"expiry_month":13}"#, "expiry_month"),
        (r#"{"type":"card","number":"4111111111111111","expiry_year":2030}"#, "expiry_month"),
        (r#"{"type":"card","number":"4111111111111111","expiry_year":2030,"expiry_month":12,"security_code":"12"}"#, "security_code"),
        (r#"{"type":"card","number":"4111111111111111","expiry_year":2030,"expiry_month":12,"pin":"1234"}"#, "pin"),
        (r#"{"type":"card","number":"4111111111111111","expiry_year":2030,"expiry_month":12,"cvv":"123"}"#, "instrument"),
        (r#"{"type":"account","number":"12345","bank":"0001","branch":"101","kind":"ordinary"}"#, "number"),
        (r#"{"type":"account","number":"0012345","bank":"1","branch":"101","kind":"ordinary"}"#, "bank"),
        (r#"{"type":"account","number":"0012345","bank":"0001","branch":"1","kind":"ordinary"}"#, "branch"),
        (r#"{"type":"account","number":"0012345","bank":"0001","branch":"101"}"#, "kind"),
        (r#"{"type":"account","number":"0012345","bank":"0001","branch":"101","kind":"ordinary","holder_kana":"山田"}"#, "holder_kana"),
        (r#"{"type":"prepaid","number":"ppc000123456"}"#, "number"),
        (r#"{"type":"prepaid","number":"PPC000123456","pin":"46"}"#, "pin"),
        (r#"{"number":"PPC000123456"}"#, "instrument"),
        (r#"["card"]"#, "instrument"),
    ]
    .into_iter()
    .map(|(json, field)| json!({ "json": json, "field": field }))
    .collect()
}

fn key_set() -> SealKeySet {
    SealKeySet {
        institution: "sakura-card".parse().expect("an institution id"),
        version: 3,
        not_after_ms: after(30 * 86_400_000),
        keys: vec![
            SealKey::new(secret().public(), after(86_400_000)),
            SealKey::new(other_secret().public(), after(60 * 86_400_000)),
        ],
    }
}

/// Envelopes of the key set above, told by what counts.
fn key_set_takes() -> Vec<Value> {
    let [first, second] = &key_set().keys[..] else { panic!("two keys") };
    let stranger = SealSecretKey::from_octets(&[0x44; 32]).public().id();
    let just_after = |end: Timestamp| end.plus(Duration::from_millis(1));
    [
        (first.key_id, first.not_after_ms, true),
        (first.key_id, just_after(first.not_after_ms), false),
        (second.key_id, just_after(first.not_after_ms), true),
        (second.key_id, just_after(second.not_after_ms), false),
        (stranger, first.not_after_ms, false),
    ]
    .map(|(key_id, not_after, is_taken)| {
        json!({ "key_id": key_id, "not_after_ms": not_after, "is_taken": is_taken })
    })
    .into()
}

fn refused_key_sets() -> Vec<Value> {
    let good = key_set();
    let signed = |set: &SealKeySet| json!(set.sign(&root()));
    let mut altered = signed(&good);
    altered["payload"] = json!(base64url(
        &serde_json::to_vec(&SealKeySet { version: 4, ..good.clone() }).expect("JSON")
    ));
    let stranger = SigningKey::from_seed(&[0x44; 32]);
    let misnamed = {
        let mut set = good.clone();
        set.keys[0].key_id = set.keys[1].key_id;
        set.keys.truncate(1);
        set
    };
    let case = |name: &str, error: &str, signed: Value| {
        json!({ "name": name, "error": error, "signed": signed, "institution": "sakura-card",
                "now_ms": NOW_MS, "last_seen_version": 3 })
    };
    let with = |mut case: Value, member: &str, value: Value| {
        case[member] = value;
        case
    };
    vec![
        case("payload altered", "bad_signature", altered),
        case("signed by another key", "bad_signature", json!(good.sign(&stranger))),
        with(case("another institution", "foreign", signed(&good)), "institution", json!("other")),
        with(case("older than one seen", "older", signed(&good)), "last_seen_version", json!(4)),
        with(
            case("its end has come", "expired", signed(&good)),
            "now_ms",
            json!(good.not_after_ms),
        ),
        case("no keys", "keys", signed(&SealKeySet { keys: vec![], ..good.clone() })),
        case("a key under another's id", "keys", signed(&misnamed)),
    ]
}
