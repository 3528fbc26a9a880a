//! What no input may do to the signing profile: panic, or make a changed message verify.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use pos_protocol::Timestamp;
use pos_protocol::key::{Signature, SigningKey};
use pos_protocol::sign::{self, Field, answer, call};
use proptest::prelude::*;

const MODULE: [u8; 32] = [0x11; 32];
const ANSWER: [u8; 32] = [0x22; 32];
const CREATED: Timestamp = Timestamp::from_secs(1_795_000_000);
const EXPIRES: Timestamp = Timestamp::from_secs(1_795_000_030);

/// A call with every covered part as octets, so that each can be bent.
#[derive(Clone, Debug)]
struct Message {
    method: Vec<u8>,
    authority: Vec<u8>,
    path: Vec<u8>,
    query: Vec<u8>,
    body: Vec<u8>,
    idempotency_key: Vec<u8>,
    signature_input: Vec<u8>,
    signature: Vec<u8>,
    content_digest: Vec<u8>,
    content_type: Vec<u8>,
}

impl Message {
    fn signed(path: &str, query: &str, body: &str, idempotency_key: &str) -> Self {
        let key = SigningKey::from_seed(&MODULE);
        let parts = call::CallParts {
            method: "POST",
            authority: "pos.example",
            path,
            query,
            body: body.as_bytes(),
            idempotency_key: Some(idempotency_key),
        };
        let id = key.public().id();
        let unsigned =
            call::Unsigned::new(&sign::POS_CONNECT, &parts, CREATED, EXPIRES, id).unwrap();
        let signature = key.sign(unsigned.base());
        let headers = unsigned.into_headers(&signature);
        Self {
            method: b"POST".into(),
            authority: b"pos.example".into(),
            path: path.into(),
            query: query.into(),
            body: body.into(),
            idempotency_key: idempotency_key.into(),
            signature_input: headers.signature_input.into(),
            signature: headers.signature.into(),
            content_digest: headers.content_digest.unwrap().into(),
            content_type: b"application/json".into(),
        }
    }

    fn parts(&mut self) -> [&mut Vec<u8>; 10] {
        [
            &mut self.method,
            &mut self.authority,
            &mut self.path,
            &mut self.query,
            &mut self.body,
            &mut self.idempotency_key,
            &mut self.signature_input,
            &mut self.signature,
            &mut self.content_digest,
            &mut self.content_type,
        ]
    }

    fn is_accepted(&self) -> bool {
        let received = call::Received {
            signature_input: Field::Once(&self.signature_input),
            signature: Field::Once(&self.signature),
            content_digest: Field::Once(&self.content_digest),
            content_type: Field::Once(&self.content_type),
            idempotency_key: Field::Once(&self.idempotency_key),
        };
        let text = |octets| std::str::from_utf8(octets).ok();
        let parts = || {
            Some(call::CallParts {
                method: text(&self.method)?,
                authority: text(&self.authority)?,
                path: text(&self.path)?,
                query: text(&self.query)?,
                body: &self.body,
                idempotency_key: Some(text(&self.idempotency_key)?),
            })
        };
        let key = SigningKey::from_seed(&MODULE).public();
        call::parse(&sign::POS_CONNECT, &received)
            .ok()
            .zip(parts())
            .is_some_and(|(claimed, parts)| claimed.verify(&parts, &key).is_ok())
    }
}

/// Not by chance: every bit of every octet of one message, one after the other.
#[test]
fn no_flipped_bit_of_a_call_verifies() {
    let message = Message::signed("/v1/payments/p1/refunds", "a=1", r#"{"amount":1200}"#, "k-0001");
    assert!(message.is_accepted());
    let mut flips = 0;
    for part in 0..10 {
        for at in 0..message.clone().parts()[part].len() {
            for bit in 0..8 {
                let mut bent = message.clone();
                bent.parts()[part][at] ^= 1 << bit;
                assert!(!bent.is_accepted(), "part {part}, octet {at}, bit {bit}");
                flips += 1;
            }
        }
    }
    assert!(flips > 3_000, "{flips} bits of the message were flipped");
}

#[test]
fn no_flipped_bit_of_an_answer_verifies() {
    let (key, call) = (SigningKey::from_seed(&ANSWER), Signature::from_octets([5; 64]));
    let (profile, id) = (&sign::POS_CONNECT, key.public().id());
    let body = br#"{"state":"paid"}"#;
    let unsigned = answer::Unsigned::new(profile, 200, body, &call, CREATED, id);
    let signature = key.sign(unsigned.base());
    let headers = unsigned.into_headers(&signature);
    let fields: [Vec<u8>; 6] = [
        headers.signature_input.into(),
        headers.signature.into(),
        headers.content_digest.into(),
        b"application/json".into(),
        body.to_vec(),
        call.octets().to_vec(),
    ];
    let verify = |fields: &[Vec<u8>; 6], status| {
        let received = answer::Received {
            signature_input: Field::Once(&fields[0]),
            signature: Field::Once(&fields[1]),
            content_digest: Field::Once(&fields[2]),
            content_type: Field::Once(&fields[3]),
        };
        let call = Signature::from_octets(fields[5][..].try_into().unwrap());
        answer::verify(profile, &received, status, &fields[4], &call, &key.public())
    };
    assert_eq!(verify(&fields, 200), Ok(CREATED));
    for status in (100..=999).filter(|status| *status != 200) {
        assert!(verify(&fields, status).is_err(), "status {status}");
    }
    for part in 0..fields.len() {
        for at in 0..fields[part].len() {
            for bit in 0..8 {
                let mut bent = fields.clone();
                bent[part][at] ^= 1 << bit;
                assert!(verify(&bent, 200).is_err(), "part {part}, octet {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn what_cannot_stand_in_a_call_is_not_signed() {
    let good = call::CallParts {
        method: "GET",
        authority: "pos.example",
        path: "/v1/payments",
        query: "",
        body: b"",
        idempotency_key: None,
    };
    let sign = |parts: &call::CallParts<'_>, created, expires| {
        let id = SigningKey::from_seed(&MODULE).public().id();
        call::Unsigned::new(&sign::POS_CONNECT, parts, created, expires, id)
            .map(|_| ())
            .map_err(|invalid| invalid.part)
    };
    assert_eq!(sign(&good, CREATED, EXPIRES), Ok(()));
    let at = |s| Timestamp::from_secs(s);
    assert_eq!(sign(&good, at(100), at(100)), Err("expires"));
    assert_eq!(sign(&good, at(100), at(99)), Err("expires"));
    assert_eq!(sign(&good, at(100), at(160)), Ok(()));
    assert_eq!(sign(&good, at(100), at(161)), Err("expires"));
    for (parts, part) in [
        (call::CallParts { method: "", ..good }, "@method"),
        (call::CallParts { method: "GET\n", ..good }, "@method"),
        (call::CallParts { authority: "", ..good }, "@authority"),
        (call::CallParts { authority: "Pos.example", ..good }, "@authority"),
        (call::CallParts { authority: "a@pos.example", ..good }, "@authority"),
        (call::CallParts { path: "", ..good }, "@path"),
        (call::CallParts { path: "v1", ..good }, "@path"),
        (call::CallParts { path: "/v1?a", ..good }, "@path"),
        (call::CallParts { path: "/v1/店", ..good }, "@path"),
        (call::CallParts { query: "a b", ..good }, "@query"),
        (call::CallParts { query: "a#b", ..good }, "@query"),
        (call::CallParts { idempotency_key: Some("a\r\nb"), ..good }, "idempotency-key"),
    ] {
        assert_eq!(sign(&parts, CREATED, EXPIRES), Err(part), "{parts:?}");
    }
}

#[test]
fn authorities_have_one_spelling() {
    for (text, port, expected) in [
        ("pos.example", 443, "pos.example"),
        ("POS.Example:443", 443, "pos.example"),
        ("pos.example:", 443, "pos.example"),
        ("pos.example:8443", 443, "pos.example:8443"),
        ("pos.example:443", 80, "pos.example:443"),
        ("127.0.0.1:80", 80, "127.0.0.1"),
        ("[::1]:443", 443, "[::1]"),
        ("[::1]", 443, "[::1]"),
    ] {
        assert_eq!(call::authority(text, port).as_deref(), Ok(expected), "{text}");
    }
    for wrong in ["", ":443", "user@pos.example", "pos.example/v1", "pos example", "店.example"] {
        assert_eq!(call::authority(wrong, 443).unwrap_err().part, "@authority", "{wrong}");
    }
}

proptest! {
    /// Whatever is signed verifies, and nothing else is needed.
    #[test]
    fn every_call_that_can_be_signed_verifies(
        path in "/[!-\"$->@-~]{0,60}",
        query in "[!-\"$-~]{0,60}",
        body in "\\PC{1,200}",
        key in "[A-Za-z0-9_-]{16,64}",
    ) {
        prop_assert!(Message::signed(&path, &query, &body, &key).is_accepted());
    }

    /// Any other value in the place of a covered part is refused.
    #[test]
    fn no_other_part_verifies(part in 0_usize..10, other: Vec<u8>) {
        let mut message = Message::signed("/v1/payments", "", "{}", "0123456789abcdef");
        if *message.parts()[part] != other {
            *message.parts()[part] = other;
            prop_assert!(!message.is_accepted());
        }
    }

    #[test]
    fn reading_arbitrary_fields_never_panics(
        fields in prop::array::uniform5(prop::option::of(any::<Vec<u8>>())),
    ) {
        let [input, signature, digest, kind, key] =
            fields.each_ref().map(|each| each.as_deref().map_or(Field::Absent, Field::Once));
        let call = call::Received {
            signature_input: input,
            signature,
            content_digest: digest,
            content_type: kind,
            idempotency_key: key,
        };
        prop_assert!(call::parse(&sign::POS_CONNECT, &call).is_err());
        let answer = answer::Received {
            signature_input: input,
            signature,
            content_digest: digest,
            content_type: kind,
        };
        prop_assert!(answer::parse(&sign::POS_CONNECT, &answer).is_err());
    }

    /// Texts that come close: pieces of a good field in any order and number.
    #[test]
    fn reading_shuffled_fields_never_panics(
        input in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24),
        signature in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..6),
    ) {
        let (input, signature) = (input.concat(), signature.concat());
        let received = call::Received {
            signature_input: Field::Once(input.as_bytes()),
            signature: Field::Once(signature.as_bytes()),
            ..call::Received::default()
        };
        let _ = call::parse(&sign::POS_CONNECT, &received);
    }
}

const PIECES: [&str; 16] = [
    "pos=",
    "(\"@method\" \"@authority\" \"@path\" \"@query\")",
    "(",
    ")",
    ";created=",
    ";expires=",
    ";keyid=\"0ARnWR4tGEYCCK0UTiYVZTJwBVSbOZuPlbJbYR0pSAE\"",
    ";tag=\"pos-connect/1\"",
    "1795000000",
    "999999999999999",
    "\"",
    ";",
    "=",
    ":",
    ",",
    " ",
];
