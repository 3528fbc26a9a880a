//! Signed calls and answers: the parser, and what it lets pass to the verifier.

use pos_protocol::Timestamp;
use pos_protocol::key::{Signature, SigningKey};
use pos_protocol::sign::call::{self, CallParts, Claimed, Unsigned};
use pos_protocol::sign::{POS_CONNECT, answer};
use pos_protocol::text::base64;

use crate::message::Message;

const AUTHORITY: &str = "pos.example";

/// The key of `tests/vectors/signatures.json` that is called `module`: so the corpus begins with
/// calls that verify.
fn key() -> SigningKey {
    SigningKey::from_seed(&[0x11; 32])
}

/// The key there that is called `answer`.
fn answer_key() -> SigningKey {
    SigningKey::from_seed(&[0x22; 32])
}

pub(super) fn signature(octets: &[u8]) {
    let message = Message::read(octets);
    match std::str::from_utf8(&message.start).ok().and_then(|text| text.parse().ok()) {
        Some(status) => an_answer(&message, status),
        None => a_call(&message),
    }
}

fn a_call(message: &Message) {
    let Ok(claimed) = call::parse(&POS_CONNECT, &message.call()) else { return };
    let named = message.call().well_formed_signature(&POS_CONNECT);
    assert_eq!(named.as_ref(), Some(claimed.signature()));
    let life = claimed.expires().since(claimed.created());
    assert!((1..=60).contains(&life.as_secs()), "{life:?}");
    let Some(parts) = message.parts(AUTHORITY) else { return };
    if claimed.verify(&parts, &key().public()).is_ok() {
        is_what_we_would_sign(&claimed, &parts);
    }
    let Ok(base) = claimed.signed_octets(&parts) else { return };
    the_base_holds_every_part(&base, &parts);
    if claimed.key_id() == key().public().id() {
        signed_anew_it_verifies_and_bent_it_does_not(message, &base);
    }
}

/// Ed25519 signs the same octets the same way, and nobody else has the key.
fn is_what_we_would_sign(claimed: &Claimed, parts: &CallParts<'_>) {
    let base = claimed.signed_octets(parts).expect("a verified call has a base");
    assert_eq!(key().sign(base.as_bytes()), *claimed.signature());
    let (created, expires) = (claimed.created(), claimed.expires());
    let ours = Unsigned::new(&POS_CONNECT, parts, created, expires, key().public().id());
    let ours = ours.expect("what verifies can be signed");
    // The parameters may stand in another order than ours: the lines before them may not.
    let lines =
        |text: &str| text.lines().filter(|line| !line.contains("@signature-params")).count();
    let text = std::str::from_utf8(ours.base()).expect("a base is a text");
    assert_eq!(lines(text), lines(&base));
    assert!(text.lines().zip(base.lines()).take(lines(text)).all(|(ours, theirs)| ours == theirs));
    assert!(claimed.check_fresh(created).is_ok());
    assert!(claimed.check_fresh(expires).is_err());
}

fn the_base_holds_every_part(base: &str, parts: &CallParts<'_>) {
    let mut lines = base.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    assert_eq!(next(), format!("\"@method\": {}", parts.method));
    assert_eq!(next(), format!("\"@authority\": {}", parts.authority));
    assert_eq!(next(), format!("\"@path\": {}", parts.path));
    assert_eq!(next(), format!("\"@query\": ?{}", parts.query));
    if !parts.body.is_empty() {
        let digest = pos_protocol::sign::content_digest(parts.body);
        assert_eq!(next(), format!("\"content-digest\": {digest}"));
        assert_eq!(next(), "\"content-type\": application/json");
    }
    if let Some(key) = parts.idempotency_key {
        assert_eq!(next(), format!("\"idempotency-key\": {key}"));
    }
    assert!(next().starts_with("\"@signature-params\": ("));
    assert_eq!(lines.next(), None);
}

fn signed_anew_it_verifies_and_bent_it_does_not(message: &Message, base: &str) {
    let signature = key().sign(base.as_bytes());
    let mut signed = message.clone();
    signed.set("signature", format!("pos=:{}:", base64(signature.octets())));
    assert!(signed.is_proved(AUTHORITY, &key().public()), "signed anew: {base}");
    assert!(!signed.is_proved("pos.exampl", &key().public()), "for another server: {base}");
    assert!(!signed.is_proved(AUTHORITY, &answer_key().public()), "by another key: {base}");
    // One bit of each part, chosen by the signature, which depends on every octet.
    let [choice, bit, ..] = *signature.octets();
    type Part = fn(&mut Message) -> &mut Vec<u8>;
    let parts: [Part; 3] = [
        |m| &mut m.body,
        |m| &mut m.start,
        |m| &mut m.headers.iter_mut().find(|(n, _)| n == b"signature").expect("it is there").1,
    ];
    for bend in parts {
        let mut bent = signed.clone();
        let octets = bend(&mut bent);
        if octets.is_empty() {
            octets.push(b' ');
        } else {
            let at = usize::from(choice) % octets.len();
            octets[at] ^= 1 << (bit % 8);
        }
        let same =
            bent.parts(AUTHORITY).zip(signed.parts(AUTHORITY)).is_some_and(|(bent, signed)| {
                (bent.method, bent.path, bent.query, bent.body)
                    == (signed.method, signed.path, signed.query, signed.body)
            }) && bent.headers == signed.headers;
        assert!(same || !bent.is_proved(AUTHORITY, &key().public()), "{bent:?}");
    }
}

fn an_answer(message: &Message, status: u16) {
    let received = message.answer();
    let Ok(claimed) = answer::parse(&POS_CONNECT, &received) else { return };
    let call = Signature::from_octets([7; 64]);
    let verify = |call: &Signature, status: u16, body: &[u8]| {
        answer::verify(&POS_CONNECT, &received, status, body, call, &answer_key().public())
    };
    let verified = verify(&call, status, &message.body);
    let Ok(created) = verified else { return };
    let id = answer_key().public().id();
    assert_eq!(claimed.key_id(), id);
    let ours = answer::Unsigned::new(&POS_CONNECT, status, &message.body, &call, created, id);
    let signature = answer_key().sign(ours.base());
    let made = ours.into_headers(&signature);
    assert_eq!(created, Timestamp::from_secs(created.as_secs()));
    assert_eq!(message.values("content-digest").next(), Some(made.content_digest.as_bytes()));
    assert!(verify(&Signature::from_octets([8; 64]), status, &message.body).is_err());
    assert!(verify(&call, status ^ 1, &message.body).is_err());
    assert!(verify(&call, status, &[&message.body[..], b" "].concat()).is_err());
}
