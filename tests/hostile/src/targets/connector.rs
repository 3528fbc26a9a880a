//! What the connector of the institution protocol makes of a reply. An end is believed only where the
//! institution signed it, and only if it is the end of what was asked (`payments.md` 2.4, 3.3).

use std::sync::LazyLock;

use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use pos_protocol::Timestamp;
use pos_protocol::institution::Names;
use pos_protocol::key::SigningKey;
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::{OperationKind, Outcome};
use pos_protocol::seal::{Binding, Card, Envelope, Expiry, Instrument, SealKey, SealSecretKey};
use pos_protocol::seal::{SealedOperation, seal};
use pos_protocol::sign::{POS_INSTITUTION, answer};
use pos_server::connectors::institution_protocol::InstitutionProtocol;
use pos_server::connectors::registry::CallKey;
use pos_server::connectors::{
    Answer, Capabilities, CheckOrder, CheckOutcome, Connector, CurrencyTerms, Fault,
    InstitutionRecord, OperationOrder, Reply, Request, ReversalOrder, WayOut,
};
use serde::Deserialize;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

/// Refusals of a call that was proved and refused for its content (`docs/INSTITUTION.md` 5): nothing
/// else in place of an outcome proves that nothing was processed.
const PROOFS: [(&str, u16); 7] = [
    ("invalid_json", 400),
    ("invalid_field", 400),
    ("idempotency_key_invalid", 400),
    ("envelope_invalid", 400),
    ("envelope_expired", 409),
    ("envelope_used", 409),
    ("operation_unsupported", 409),
];

/// What is the same in every run: making it takes longer than all the rest.
struct Fixed {
    line: InstitutionProtocol,
    order: OperationOrder,
    operation: Request,
    inquiry: Request,
    check_order: CheckOrder,
    check: Request,
    reversal_order: ReversalOrder,
    reversal: Request,
    test: Request,
    seal_keys: Request,
    institution: SigningKey,
    stranger: SigningKey,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let (line, order) = (line(), order());
    let check_order = CheckOrder {
        institution: order.institution.clone(),
        contract_number: order.contract_number.clone(),
        order_id: order.order_id.clone(),
        money: order.money,
        envelope: envelope(),
    };
    let reversal_order = ReversalOrder {
        institution: order.institution.clone(),
        operation_id: "op_06fpc9v3r0e4k7m2n8q1s5t9wy".parse().expect("an id"),
        original: order.operation_id,
        contract_number: order.contract_number.clone(),
        order_id: order.order_id.clone(),
        money: order.money,
        original_not_after: order.not_after,
        not_after: Timestamp::from_secs(1_795_000_030),
        repeat: false,
    };
    let written = "each can be written";
    Fixed {
        operation: line.prepare(&order, NOW).expect(written),
        inquiry: line.prepare_inquiry(&order, NOW).expect(written),
        check: line.prepare_check(&check_order, NOW).expect(written),
        reversal: line.prepare_reversal(&reversal_order, NOW).expect(written),
        test: line.prepare_connection_test(NOW).expect(written),
        seal_keys: line.prepare_seal_keys(NOW).expect(written),
        institution: institution_key(),
        stranger: SigningKey::from_seed(&[0x99; 32]),
        line,
        order,
        check_order,
        reversal_order,
    }
});

/// The first line is the status, the rest the body.
pub(super) fn connector(octets: &[u8]) {
    let end = octets.iter().position(|octet| *octet == b'\n').unwrap_or(octets.len());
    let status = std::str::from_utf8(&octets[..end]).ok().and_then(|text| text.parse().ok());
    let status = status.filter(|status| (100..=599).contains(status)).unwrap_or(200);
    let body = octets.get(end + 1..).unwrap_or_default();
    an_operation(status, body);
    a_check(status, body);
    a_reversal(status, body);
    let Fixed { line, test, seal_keys, .. } = &*FIXED;
    if let Ok(found) = line.accept_connection_test(test, &signed(test, status, body)) {
        assert_eq!((status, told(body).institution.as_str()), (200, "sakura-card"));
        assert!(!found.names.en.is_empty());
    }
    let reply = signed(seal_keys, status, body);
    if let Ok(keys) = line.accept_seal_keys(seal_keys, &reply, NOW, 2) {
        assert!(status == 200 && keys.set.version >= 2 && keys.set.not_after_ms > NOW);
    }
}

fn an_operation(status: u16, body: &[u8]) {
    let Fixed { line, operation, inquiry, .. } = &*FIXED;
    let (reply, found) = (signed(operation, status, body), signed(inquiry, status, body));
    for sent_before in [false, true] {
        let order = OperationOrder { sent_before, ..FIXED.order.clone() };
        is_proved(&order, &line.accept(&order, operation, &reply), status, body, false);
        is_proved(&order, &line.accept_inquiry(&order, inquiry, &found), status, body, true);
    }
    let order = &FIXED.order;
    nothing_is_believed(&line.accept(order, operation, &unproved(operation, &reply)));
    // The answer to another call, by the institution itself.
    nothing_is_believed(&line.accept_inquiry(order, inquiry, &reply));
}

/// Reads the same octets by other means, and compares.
fn is_proved(order: &OperationOrder, answer: &Answer, status: u16, body: &[u8], asked: bool) {
    let told = told(body);
    let id = order.operation_id.to_string();
    match &answer.outcome {
        Outcome::Done(amount) => {
            assert_eq!(status, 200);
            assert_eq!((&*told.state, &*told.operation_id), ("done", &*id));
            assert_eq!((&*told.order_id, &*told.currency), (order.order_id.as_str(), "JPY"));
            assert_eq!(told.amount, Some(amount.minor()));
            assert!(*amount <= order.money.amount);
        }
        Outcome::Declined(_) => {
            assert_eq!(status, 200);
            assert_eq!((&*told.state, &*told.operation_id), ("declined", &*id));
            assert_eq!(told.amount, Some(order.money.amount.minor()));
        }
        Outcome::NotSent if status == 200 => {
            assert_eq!(told.operation_id, id);
            let late = told.time_ms.is_some_and(|time| time > order.not_after.as_ms());
            let never = told.state == "not_processed";
            assert!(never || (asked && told.state == "not_found" && late), "{told:?}");
        }
        Outcome::NotSent => {
            assert!(!asked && !order.sent_before, "{status} {told:?}");
            assert!(PROOFS.iter().any(|(code, with)| told.code == *code && *with == status));
        }
        Outcome::Unknown => assert!(answer.fault.is_some()),
        // What is no end, or ends with a person, is heard from the institution all the same.
        _ => assert_eq!(status, 200),
    }
}

/// A reversal has ended where the institution says so, and "no such original" once that can no longer
/// arrive (`payments.md` 3.4).
fn a_reversal(status: u16, body: &[u8]) {
    let Fixed { line, reversal_order: order, reversal, .. } = &*FIXED;
    let reply = signed(reversal, status, body);
    let answer = line.accept_reversal(order, reversal, &reply);
    if matches!(answer.outcome, Outcome::Done(_)) {
        let told = told(body);
        let late = told.time_ms.is_some_and(|time| time > order.original_not_after.as_ms());
        assert!(told.state == "reversed" || (told.state == "original_not_found" && late));
        assert_eq!((status, told.operation_id), (200, order.operation_id.to_string()));
    }
    nothing_is_believed(&line.accept_reversal(order, reversal, &unproved(reversal, &reply)));
}

fn a_check(status: u16, body: &[u8]) {
    let Fixed { line, check, check_order, .. } = &*FIXED;
    let (told, reply) = (told(body), signed(check, status, body));
    if let Ok(found) = line.accept_check(check_order, check, &reply) {
        assert_eq!((status, &*told.order_id, told.amount), (200, "order-1", Some(1_200)));
        assert_eq!(found == CheckOutcome::Sufficient, told.state == "sufficient");
    }
    let fault = line.accept_check(check_order, check, &unproved(check, &reply));
    assert!(matches!(fault, Err(Fault::Signature { .. })), "{fault:?}");
}

fn nothing_is_believed(answer: &Answer) {
    assert!(matches!(answer.outcome, Outcome::Unknown), "{answer:?}");
    assert!(matches!(answer.fault, Some(Fault::Signature { .. })), "{answer:?}");
    assert!(answer.institution_time.is_none() && answer.reference.is_none());
}

/// The members of a reply that matter, by a reader of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    state: String,
    code: String,
    operation_id: String,
    order_id: String,
    currency: String,
    institution: String,
    amount: Option<u64>,
    time_ms: Option<u64>,
}

fn told(body: &[u8]) -> Told {
    serde_json::from_slice(body).unwrap_or_default()
}

/// The reply as the institution would sign it.
fn signed(request: &Request, status: u16, body: &[u8]) -> Reply {
    signed_by(&FIXED.institution, request, status, body)
}

fn signed_by(key: &SigningKey, request: &Request, status: u16, body: &[u8]) -> Reply {
    let id = key.public().id();
    let unsigned =
        answer::Unsigned::new(&POS_INSTITUTION, status, body, &request.signature, NOW, id);
    let signature = key.sign(unsigned.base());
    let made = unsigned.into_headers(&signature);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("signature-input", made.signature_input),
        ("signature", made.signature),
        ("content-digest", made.content_digest),
        ("content-type", "application/json".to_owned()),
    ] {
        headers.insert(name, HeaderValue::from_str(&value).expect("visible ASCII"));
    }
    Reply { status, headers, body: Bytes::copy_from_slice(body) }
}

/// The same words unsigned, signed by somebody else, under another status, or with another octet.
fn unproved(request: &Request, good: &Reply) -> Reply {
    let Reply { status, headers, body } = good.clone();
    match body.len() % 4 {
        0 => Reply { headers: HeaderMap::new(), status, body },
        1 => signed_by(&FIXED.stranger, request, status, &body),
        2 => Reply { status: if status == 200 { 409 } else { 200 }, headers, body },
        _ => Reply { body: [&body[..], b" "].concat().into(), status, headers },
    }
}

fn institution_key() -> SigningKey {
    SigningKey::from_seed(&[0x44; 32])
}

fn line() -> InstitutionProtocol {
    let call = SigningKey::from_seed(&[0x33; 32]);
    let id = call.public().id();
    let root = SigningKey::from_seed(&[0x11; 32]);
    let record = InstitutionRecord {
        id: order().institution,
        names: Names { en: "Sakura".into(), ja: "さくら".into() },
        url: "http://127.0.0.1:1".into(),
        ca_pem: None,
        verify_key: institution_key().public(),
        seal_root: root.public(),
        seal_key_version: 0,
        enabled: true,
        capabilities: capabilities(),
    };
    InstitutionProtocol::new(
        &record,
        "127.0.0.1:1",
        CallKey::new(id, move |octets| call.sign(octets)),
    )
}

fn capabilities() -> Capabilities {
    let amount = |minor| Amount::new(minor).expect("an amount");
    let yen = CurrencyTerms {
        currency: Currency::JPY,
        exponent: 0,
        least: amount(1),
        most: amount(999_999_999_999),
    };
    Capabilities {
        operations: vec![OperationKind::Sale],
        way_out: WayOut::Inquiry,
        currencies: vec![yen],
        can_check: true,
        can_reverse: true,
        ..Capabilities::none()
    }
}

/// The sale of `tests/vectors/institution.json`.
fn order() -> OperationOrder {
    OperationOrder {
        institution: "sakura-card".parse().expect("an id"),
        operation_id: "op_06fpc9v3r0e4k7m2n8q1s5t9wx".parse().expect("an id"),
        kind: OperationKind::Sale,
        original: None,
        contract_number: "4980012345".parse().expect("a number"),
        order_id: "order-1".parse().expect("an id"),
        money: Money::new(1_200, Currency::JPY).expect("an amount"),
        not_after: Timestamp::from_secs(1_795_000_010),
        allow_partial: false,
        sent_before: false,
        envelope: Some(envelope()),
    }
}

fn envelope() -> Envelope {
    let binding = Binding {
        institution: "sakura-card".parse().expect("an id"),
        contract_number: "4980012345".parse().expect("a number"),
        operation: SealedOperation::Sale,
        order_id: "order-1".parse().expect("an id"),
        money: Money::new(1_200, Currency::JPY).expect("an amount"),
    };
    let card = Card::new("4111111111111111", Expiry { year: 2030, month: 12 }).expect("a card");
    let key = SealKey::new(SealSecretKey::from_octets(&[0x66; 32]).public(), NOW);
    seal(&Instrument::Card(card), &binding, NOW, &key, &[1; 48]).expect("a good key")
}
