//! Signed calls, bent: each mutant differs from every call that was signed in a covered component, in a
//! parameter or in the signature, and none may be taken.

mod bends;

use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::key::{KeyId, PublicKey, SigningKey};
use pos_protocol::sign::{POS_CONNECT, call, header};
use pos_protocol::text::base64url;
use pos_protocol::wire::{self, route};
use serde::Deserialize;

use crate::draw::Draw;
use crate::message::{Message, Unsigned};

/// For whom the calls of [`Calls::made`] are signed.
pub const AUTHORITY: &str = "pos.example";

/// When.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_000_010);

/// Calls that were signed, of which mutants are made.
#[derive(Clone, Debug)]
pub struct Calls(Vec<Message>);

/// What a run of mutants came to.
#[derive(Debug)]
pub struct Tally {
    /// How many were judged.
    pub mutants: u64,
    /// Those that were taken, as texts.
    pub accepted: Vec<String>,
}

impl Calls {
    /// These calls, signed by whoever made them.
    ///
    /// # Panics
    /// For none.
    pub fn new(signed: Vec<Message>) -> Self {
        assert!(!signed.is_empty(), "no calls to bend");
        Self(signed)
    }

    /// Calls to every kind of route, by two keys.
    pub fn made(keys: &[SigningKey; 2]) -> Self {
        let [first, second] = keys;
        let path = "/v1/payments/pay_06fpc9v3r0e4k7m2n8q1s5t9wx";
        let money = r#"{"amount":1200,"currency":"JPY"}"#;
        let sign_in = format!(
            r#"{{"user_id":"usr_06fpc9v3r0e4k7m2n8q1s5t9wx","password":"correct horse battery","key":{}}}"#,
            serde_json::to_string(&second.public()).expect("a key has a JSON form"),
        );
        let quote = r#"{"order_id":"o-1","method":"card:visa","amount":1,"currency":"USD"}"#;
        Self(vec![
            signed(first, "GET", "/v1/keys", "", None),
            signed(second, "GET", "/v1/keys", "", None),
            signed(
                first,
                "GET",
                "/v1/payments?limit=2&pos=pos_06fpc9v3r0e4k7m2n8q1s5t9wx",
                "",
                None,
            ),
            signed(first, "GET", path, "", None),
            signed(first, "POST", route::QUOTES, quote, None),
            signed(
                first,
                "POST",
                &format!("{path}/captures"),
                money,
                Some("order-000123-capture-1"),
            ),
            signed(first, "POST", &format!("{path}/refunds"), money, Some("order-000123-refund-1")),
            signed(first, "POST", &format!("{path}/refunds"), money, Some("order-000123-refund-2")),
            signed(
                second,
                "POST",
                &format!("{path}/refunds"),
                money,
                Some("order-000123-refund-1"),
            ),
            signed(first, "POST", &format!("{path}/voids"), "{}", Some("order-000123-void-01")),
            signed(second, "POST", route::SESSIONS, &sign_in, None),
        ])
    }

    /// The calls themselves.
    pub fn all(&self) -> &[Message] {
        &self.0
    }

    /// A mutant: one to three bends of one of the calls, until it is none of them.
    pub fn mutant(&self, draw: &mut Draw) -> Message {
        loop {
            let mut mutant = draw.one_of(&self.0).clone();
            for _ in 0..=draw.below(3) {
                bends::bend(draw, &mut mutant, &self.0);
            }
            if !self.was_signed(&mutant) {
                return mutant;
            }
        }
    }

    /// Whether all that a signature covers, its parameters and the signature are, octet for octet, those
    /// of one of the calls. Judged without any of the code that verifies.
    pub fn was_signed(&self, message: &Message) -> bool {
        let wanted = covered(message);
        self.0.iter().any(|call| covered(call) == wanted)
    }

    /// Judges `count` mutants as the server does.
    pub fn judge(&self, seed: u64, count: u64, keys: &[SigningKey]) -> Tally {
        let known: Vec<_> = keys.iter().map(|key| (key.public().id(), key.public())).collect();
        let mut draw = Draw::new(seed);
        let mut accepted = Vec::new();
        for _ in 0..count {
            let mutant = self.mutant(&mut draw);
            if is_taken(&mutant, &known) {
                accepted.push(format!("{mutant:?}"));
            }
        }
        Tally { mutants: count, accepted }
    }
}

/// Everything between the head and the handler that `pos_server::http::v1::signed` does with a call.
pub fn is_taken(message: &Message, known: &[(KeyId, PublicKey)]) -> bool {
    let Ok(claimed) = call::parse(&POS_CONNECT, &message.call()) else { return false };
    if claimed.check_fresh(NOW).is_err() {
        return false;
    }
    let Some(parts) = message.parts(AUTHORITY) else { return false };
    let public = if matches!(parts.path, route::REGISTRATIONS | route::SESSIONS) {
        key_in_body(parts.body)
    } else {
        known.iter().find(|(id, _)| *id == claimed.key_id()).map(|(_, key)| *key)
    };
    public.is_some_and(|public| claimed.verify(&parts, &public).is_ok())
}

fn key_in_body(body: &[u8]) -> Option<PublicKey> {
    #[derive(Deserialize)]
    struct OnlyKey {
        key: PublicKey,
    }
    wire::read_body::<OnlyKey>(body).ok().map(|body| body.key)
}

/// Start and body, and the values of every field that the profile reads.
type Covered<'a> = (Vec<u8>, &'a [u8], Vec<Vec<&'a [u8]>>);

fn covered(message: &Message) -> Covered<'_> {
    let mut start = message.start.clone();
    // The profile does not tell `/x` from `/x?`.
    if start.last() == Some(&b'?') && start.iter().filter(|octet| **octet == b'?').count() == 1 {
        start.pop();
    }
    // A type says something of a body alone.
    let untyped =
        message.body.is_empty() && message.values(header::CONTENT_DIGEST).next().is_none();
    let fields = [
        header::SIGNATURE_INPUT,
        header::SIGNATURE,
        header::CONTENT_DIGEST,
        header::IDEMPOTENCY_KEY,
        if untyped { "no field" } else { header::CONTENT_TYPE },
    ];
    // Blanks round a value belong to the line, not to the value (RFC 9112 section 5).
    let values = fields.map(|name| message.values(name).map(<[u8]>::trim_ascii).collect());
    (start, &message.body, values.into())
}

fn signed(
    key: &SigningKey,
    method: &str,
    target: &str,
    body: &str,
    idempotency: Option<&str>,
) -> Message {
    let call = Unsigned {
        method: method.to_owned(),
        target: target.to_owned(),
        body: body.into(),
        key: idempotency.map(str::to_owned),
    };
    let created = Timestamp::from_secs(NOW.as_secs() - 5);
    call.signed(key, AUTHORITY, created, Duration::from_secs(30)).expect("a good call")
}

/// Random text that could be an id.
pub(crate) fn word(draw: &mut Draw) -> String {
    base64url(&draw.octets(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [SigningKey; 2] {
        [SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32])]
    }

    /// A judge that finds nothing must be one that could: here the signature covers nothing.
    #[test]
    fn a_mutant_that_is_taken_is_found() {
        let (calls, keys) = (Calls::made(&keys()), keys());
        let mut draw = Draw::new(7);
        let mutant = calls.mutant(&mut draw);
        assert!(!calls.was_signed(&mutant));
        let resigned = signed(&keys[0], "GET", "/v1/keys?a=b", "", None);
        let known = [(keys[0].public().id(), keys[0].public())];
        assert!(is_taken(&resigned, &known) && !calls.was_signed(&resigned));
    }

    #[test]
    fn blanks_and_an_empty_query_make_no_other_call() {
        let calls = Calls::made(&keys());
        let mut same = calls.all()[0].clone();
        same.start.push(b'?');
        same.headers.reverse();
        same.headers[0].1.push(b' ');
        same.set(header::CONTENT_TYPE, "text/plain");
        assert!(calls.was_signed(&same));
        same.start.push(b'a');
        assert!(!calls.was_signed(&same));
    }
}
