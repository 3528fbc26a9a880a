//! The parts of `signatures.json`, and the calls as a signer makes them.

use pos_protocol::Timestamp;
use pos_protocol::institution::{Body, OperationRequest, parse, to_json};
use pos_protocol::key::SigningKey;
use pos_protocol::sign::{self, Profile, call};
use pos_protocol::text::base64url;
use pos_protocol::wire::route;

use super::{CallVector, Key, Signatures, accepted, answers, bodies, refused};

/// When the examples happen: 2026-11-18T11:06:40Z.
pub(crate) const NOW_S: u64 = 1_795_000_000;
pub(crate) const EXPIRES_S: u64 = 1_795_000_030;
pub(crate) const AUTHORITY: &str = "pos.example";
pub(crate) const CARD_AUTHORITY: &str = "card.example";
/// The sale of `docs/INSTITUTION.md` 4.2.
pub(crate) const OPERATION: &str = "op_06fpc9v3r0e4k7m2n8q1s5t9wx";
pub(crate) const PAYMENT: &str = "/v1/payments/pay_06fpc9v3r0e4k7m2n8q1s5t9wx";
pub(crate) const BODY: &str = r#"{"amount":1200,"currency":"JPY"}"#;
pub(crate) const IDEMPOTENCY_KEY: &str = "order-000123-refund-1";

pub(crate) const MODULE: [u8; 32] = [0x11; 32];
pub(crate) const ANSWER: [u8; 32] = [0x22; 32];
pub(crate) const OPERATOR: [u8; 32] = [0x33; 32];
pub(crate) const INSTITUTION: [u8; 32] = [0x44; 32];
pub(crate) const STRANGER: [u8; 32] = [0x55; 32];

pub(crate) fn all() -> Signatures {
    let calls = calls();
    Signatures {
        about: ABOUT.to_owned(),
        keys: [
            ("module", MODULE),
            ("answer", ANSWER),
            ("operator", OPERATOR),
            ("institution", INSTITUTION),
            ("stranger", STRANGER),
        ]
        .map(|(name, seed)| key(name, &seed))
        .into(),
        answers: answers::made(&calls),
        received_answers: answers::received(),
        received_calls: [accepted::all(), refused::all()].concat(),
        calls,
    }
}

/// The id of a key by its seed.
pub(crate) fn key_id(seed: &[u8; 32]) -> String {
    SigningKey::from_seed(seed).public().id().to_string()
}

const ABOUT: &str = "Signed calls and answers: docs/PROTOCOL.md. `calls` and `answers` are made: \
    from the inputs follow base and header fields, to the octet, since Ed25519 is deterministic. \
    `received_calls` and `received_answers` are judged: `work_ms` or `created_s` is the result of \
    an accepted one, `error` says why one is refused. `authority` and `key` are the receiver's \
    own knowledge. Where `is_rfc9421` is true the signature is good by RFC 9421 and only the \
    profile refuses.";

fn key(name: &str, seed: &[u8; 32]) -> Key {
    let public = SigningKey::from_seed(seed).public();
    Key {
        name: name.to_owned(),
        seed: base64url(seed),
        x: base64url(public.octets()),
        id: public.id().to_string(),
    }
}

/// A body of `institution.json`, as the server or an institution writes it.
pub(crate) fn institution_body<T: Body>(kind: &str, name: &str) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/institution.json");
    let text = std::fs::read(file).expect("the bodies are beside the signatures");
    let vectors: serde_json::Value = serde_json::from_slice(&text).expect("the vectors are JSON");
    let good = vectors["good"].as_array().expect("the good bodies are a list");
    let found = good.iter().find(|case| case["body"] == kind && case["name"] == name);
    let json = found.expect("the body is a vector")["json"].to_string();
    let body: T = parse(json.as_bytes()).expect("a good body is taken");
    String::from_utf8(to_json(&body)).expect("JSON is UTF-8")
}

/// The calls with every shape that the profile has.
fn calls() -> Vec<CallVector> {
    let sale = institution_body::<OperationRequest>("operation-request", "sale");
    let refund = Shape {
        name: "refund",
        profile: &sign::POS_CONNECT,
        key: ("module", MODULE),
        method: "POST",
        authority: AUTHORITY,
        path: "/v1/payments/pay_06fpc9v3r0e4k7m2n8q1s5t9wx/refunds",
        query: "",
        body: BODY,
        idempotency_key: Some(IDEMPOTENCY_KEY),
        created_s: NOW_S,
        expires_s: EXPIRES_S,
    };
    let payment = Shape {
        name: "payment by id: no body, no key",
        method: "GET",
        path: PAYMENT,
        body: "",
        idempotency_key: None,
        ..refund
    };
    let inquiry = Shape {
        name: "an inquiry to an institution",
        profile: &sign::POS_INSTITUTION,
        key: ("operator", OPERATOR),
        authority: CARD_AUTHORITY,
        path: "/v1/operations/op_06fpc9v3r0e4k7m2n8q1s5t9wx",
        expires_s: NOW_S + 60,
        ..payment
    };
    let shapes = [
        Shape {
            name: "history: with a query",
            path: "/v1/payments",
            query: "limit=20&after=pay_06fpc9v3r0e4k7m2n8q1s5t9wx&pos=%E5%BA%97",
            ..payment
        },
        Shape {
            name: "quote: a read with a body and without key",
            path: "/v1/quotes",
            body: r#"{"order_id":"order-000123","method":"card:visa","amount":1200,"currency":"JPY"}"#,
            idempotency_key: None,
            ..refund
        },
        Shape {
            name: "a mutation without body",
            method: "DELETE",
            path: "/v1/things/1",
            body: "",
            idempotency_key: Some("0123456789abcdef"),
            ..refund
        },
        Shape { name: "authority with a port", authority: "pos.example:8443", ..payment },
        Shape { name: "authority that is an address", authority: "[::1]:8443", ..payment },
        Shape {
            name: "body beyond ASCII",
            body: r#"{"reason":"返金、税込 1,200円 ☕"}"#,
            expires_s: NOW_S + 60,
            ..refund
        },
        Shape { name: "a path of one slash", path: "/", expires_s: NOW_S + 1, ..payment },
        Shape {
            name: "a sale to an institution",
            method: "POST",
            path: "/v1/operations",
            body: &sale,
            idempotency_key: Some(OPERATION),
            ..inquiry
        },
        Shape {
            name: "register",
            path: route::REGISTRATIONS,
            body: bodies::request("register"),
            idempotency_key: None,
            ..refund
        },
        Shape {
            name: "pay",
            path: route::PAYMENTS,
            body: bodies::request("pay"),
            idempotency_key: Some("order-1-sale-000001"),
            ..refund
        },
        inquiry,
    ];
    [refund, payment].iter().chain(&shapes).map(Shape::vector).collect()
}

#[derive(Clone, Copy)]
struct Shape<'a> {
    name: &'static str,
    profile: &'static Profile,
    key: (&'static str, [u8; 32]),
    method: &'static str,
    authority: &'static str,
    path: &'static str,
    query: &'static str,
    body: &'a str,
    idempotency_key: Option<&'static str>,
    created_s: u64,
    expires_s: u64,
}

impl Shape<'_> {
    fn vector(&self) -> CallVector {
        let key = SigningKey::from_seed(&self.key.1);
        let parts = call::CallParts {
            method: self.method,
            authority: self.authority,
            path: self.path,
            query: self.query,
            body: self.body.as_bytes(),
            idempotency_key: self.idempotency_key,
        };
        let created = Timestamp::from_secs(self.created_s);
        let expires = Timestamp::from_secs(self.expires_s);
        let unsigned =
            call::Unsigned::new(self.profile, &parts, created, expires, key.public().id())
                .expect("the shape is one of the profile's");
        let base = String::from_utf8(unsigned.base().to_vec()).expect("a base is ASCII");
        let headers = unsigned.into_headers(&key.sign(base.as_bytes()));
        CallVector {
            name: self.name.to_owned(),
            profile: self.profile.tag.to_owned(),
            key: self.key.0.to_owned(),
            method: self.method.to_owned(),
            authority: self.authority.to_owned(),
            path: self.path.to_owned(),
            query: self.query.to_owned(),
            body: self.body.to_owned(),
            idempotency_key: self.idempotency_key.map(str::to_owned),
            created_s: self.created_s,
            expires_s: self.expires_s,
            base,
            signature_input: headers.signature_input,
            signature: headers.signature,
            content_digest: headers.content_digest,
        }
    }
}
