//! Calls whose signature is missing, wrong, stale or another's, and answers to them. Whatever can be
//! bent between signing and the server is bent here; nothing of it has an effect.

use std::time::Duration;

use pos_protocol::key::SigningKey;
use pos_tests::Bed;
use pos_tests::bed::ShopKit;
use pos_tests::pay::{Footprint, Pay};
use pos_tests::raw::{Answer, Caller, Draft, Signed, fresh_key, fresh_signing_key, now};
use serde_json::json;

use crate::BED;

struct Target {
    bed: &'static Bed,
    shop: ShopKit,
    caller: Caller,
    before: Footprint,
}

impl Target {
    async fn new(bed: &'static Bed) -> Self {
        let shop = bed.open_shop("Target").await.unwrap();
        let before = bed.footprint(&shop).await.unwrap();
        let caller = bed.caller(&shop);
        Self { bed, shop, caller, before }
    }

    fn sale(&self) -> Draft {
        Pay::sale("sakura-card", "approve", 900).draft(self.bed, &self.shop).unwrap()
    }

    fn signed(&self) -> Signed {
        self.caller.sign(&self.sale())
    }

    async fn send(&self, signed: &Signed) -> Answer {
        let place = self.bed.server.place().unwrap();
        self.caller.send(&place, signed).await.unwrap()
    }

    async fn untouched(self) {
        assert_eq!(self.bed.footprint(&self.shop).await.unwrap(), self.before);
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    let problem = answer.problem().unwrap();
    assert_eq!((answer.status, problem.code.as_str()), (status, code), "{text}");
    assert!(problem.message.ends_with('.') && !problem.message_ja.is_ascii(), "{text}");
    assert!(problem.request_id.to_string().starts_with("req_"));
}

#[test]
fn a_call_without_signature_has_no_signed_answer_and_no_effect() {
    BED.run(async |bed| {
        let target = Target::new(bed).await;
        for without in [&["signature"][..], &["signature-input"], &["signature", "signature-input"]]
        {
            let mut signed = target.signed();
            without.iter().for_each(|name| signed.request.remove_header(name));
            let answer = target.send(&signed).await;
            refused(&answer, 401, "signature_missing");
            // Where there is a signature, the refusal is bound to it.
            assert_eq!(answer.verified.is_ok(), !without.contains(&"signature"), "{without:?}");
        }
        target.untouched().await;
    });
}

#[test]
fn no_covered_part_can_be_changed_added_or_left_out() {
    BED.run(async |bed| {
        let target = Target::new(bed).await;
        type Bend = fn(&mut Signed);
        let bends: &[(&str, &str, Bend)] = &[
            ("a flipped bit of the signature", "signature_invalid", |signed| {
                let text = signed.request.header("signature").unwrap().to_owned();
                let other = if text.as_bytes()[10] == b'A' { 'B' } else { 'A' };
                let bent = format!("{}{other}{}", &text[..10], &text[11..]);
                signed.request.set_header("signature", bent);
            }),
            ("another body", "digest_mismatch", |signed| signed.request.body.push(b' ')),
            ("another digest", "signature_invalid", |signed| {
                let digest = pos_protocol::sign::content_digest(b"{}");
                signed.request.set_header("content-digest", digest);
                signed.request.body = b"{}".to_vec();
            }),
            ("no digest", "signature_invalid", |signed| {
                signed.request.remove_header("content-digest");
            }),
            ("no body", "signature_invalid", |signed| signed.request.body.clear()),
            ("another key", "signature_invalid", |signed| {
                signed.request.set_header("idempotency-key", fresh_key().to_string());
            }),
            ("no key", "signature_invalid", |signed| {
                signed.request.remove_header("idempotency-key");
            }),
            ("another type", "signature_invalid", |signed| {
                signed.request.set_header("content-type", "text/plain");
            }),
            ("a type with parameters", "signature_invalid", |signed| {
                signed.request.set_header("content-type", "application/json; charset=utf-8");
            }),
            ("another path", "signature_invalid", |signed| {
                signed.request.target = "/v1/checks".into();
            }),
            // Where the key stands in the body, a body without one cannot be verified.
            ("the path of a sign-in", "signature_invalid", |signed| {
                signed.request.target = "/v1/sessions".into();
            }),
            ("a query", "signature_invalid", |signed| signed.request.target.push_str("?a=b")),
            ("another method", "signature_invalid", |signed| signed.request.method = "PUT".into()),
            ("a second signature", "signature_invalid", |signed| {
                let again = signed.request.header("signature").unwrap().to_owned();
                signed.request.headers.push(("signature".into(), again));
            }),
            ("a second key", "signature_invalid", |signed| {
                signed.request.headers.push(("idempotency-key".into(), fresh_key().to_string()));
            }),
            ("another label", "signature_invalid", |signed| {
                let text =
                    signed.request.header("signature-input").unwrap().replacen("pos", "sig", 1);
                signed.request.set_header("signature-input", text);
            }),
            ("another tag", "signature_invalid", |signed| {
                let text = signed.request.header("signature-input").unwrap();
                let text = text.replace("pos-connect/1", "pos-institution/1");
                signed.request.set_header("signature-input", text);
            }),
            ("an algorithm", "signature_invalid", |signed| {
                let text = format!(
                    "{};alg=\"ed25519\"",
                    signed.request.header("signature-input").unwrap()
                );
                signed.request.set_header("signature-input", text);
            }),
            ("a part less", "signature_invalid", |signed| {
                let text =
                    signed.request.header("signature-input").unwrap().replace("\"@path\" ", "");
                signed.request.set_header("signature-input", text);
            }),
            ("parts in another order", "signature_invalid", |signed| {
                let text = signed.request.header("signature-input").unwrap();
                let text = text.replace("\"@method\" \"@authority\"", "\"@authority\" \"@method\"");
                signed.request.set_header("signature-input", text);
            }),
            ("later times", "signature_invalid", |signed| {
                let text = signed.request.header("signature-input").unwrap().to_owned();
                let at = text.find("expires=").unwrap() + "expires=".len();
                let number: u64 = text[at..at + 10].parse().unwrap();
                let text = text.replace(&text[at..at + 10], &(number + 1).to_string());
                signed.request.set_header("signature-input", text);
            }),
        ];
        for (what, code, bend) in bends {
            let mut signed = target.signed();
            bend(&mut signed);
            let answer = target.send(&signed).await;
            assert_eq!(answer.status, 401, "{what}: {}", String::from_utf8_lossy(&answer.body));
            refused(&answer, 401, code);
        }
        target.untouched().await;
    });
}

#[test]
fn a_call_for_another_server_is_refused() {
    BED.run(async |bed| {
        let target = Target::new(bed).await;
        let mut caller = bed.caller(&target.shop);
        for authority in ["pos.example", "localhost", "127.0.0.1:1"] {
            caller.authority = authority.into();
            let mut signed = caller.sign(&target.sale());
            // Neither Host nor what proxies add is believed.
            signed.request.set_header("host", authority);
            signed.request.set_header("x-forwarded-host", authority);
            let answer = target.send(&signed).await;
            refused(&answer, 401, "signature_invalid");
            assert!(answer.verified.is_ok());
        }
        target.untouched().await;
    });
}

#[test]
fn stale_and_future_calls_are_refused() {
    BED.run(async |bed| {
        let target = Target::new(bed).await;
        let seconds = Duration::from_secs;
        for (created, life) in [
            (now().minus(seconds(61)), seconds(60)),
            (now().minus(seconds(120)), seconds(60)),
            (now().minus(seconds(10)), seconds(5)),
            (now().plus(seconds(30)), seconds(30)),
        ] {
            let signed = target.caller.sign(&Draft { created, life, ..target.sale() });
            let answer = target.send(&signed).await;
            refused(&answer, 401, "signature_stale");
            assert!(answer.verified.is_ok());
        }
        // Too little time to begin is no fault of the signature, and uses nothing up.
        let short = Draft { life: seconds(1), ..target.sale() };
        let answer = target.send(&target.caller.sign(&short)).await;
        refused(&answer, 400, "deadline_too_short");
        target.untouched().await;
    });
}

#[test]
fn unknown_and_foreign_keys_are_refused() {
    BED.run(async |bed| {
        let target = Target::new(bed).await;
        let nobody = bed.caller_with(fresh_signing_key());
        let signed = nobody.sign(&target.sale());
        let answer = target.send(&signed).await;
        refused(&answer, 401, "key_unknown");
        assert!(answer.verified.is_ok());

        // Another shop's key under the target's key id.
        let other = bed.caller(bed.shop());
        let mut signed = other.sign(&target.sale());
        let input = signed.request.header("signature-input").unwrap().to_owned();
        let theirs = bed.shop().key.public().id().to_string();
        let ours = target.shop.key.public().id().to_string();
        signed.request.set_header("signature-input", input.replace(&theirs, &ours));
        refused(&target.send(&signed).await, 401, "signature_invalid");
        target.untouched().await;
    });
}

#[test]
fn a_refusal_cannot_be_taken_for_the_answer_to_another_call() {
    BED.run(async |bed| {
        let target = Target::new(bed).await;
        let (first, second) = (target.signed(), target.signed());
        let wrong = Draft::post("/v1/payments", &json!({})).keyed(fresh_key());
        let refusal = target.send(&target.caller.sign(&wrong)).await;
        refused(&refusal, 400, "invalid_field");
        assert_ne!(first.signature, second.signature);
        // The answer of one call does not verify for the other.
        let place = bed.server.place().unwrap();
        let swapped =
            Signed { request: wrong_request(&target, &wrong), signature: first.signature };
        let answer = target.caller.send(&place, &swapped).await.unwrap();
        assert!(answer.verified.is_err(), "{answer:?}");
        target.untouched().await;
    });
}

fn wrong_request(target: &Target, draft: &Draft) -> pos_tests::line::Request {
    target.caller.sign(draft).request
}

#[test]
fn a_session_key_pays_like_a_module_key_until_it_ends() {
    BED.run(async |bed| {
        let target = Target::new(bed).await;
        let key = fresh_signing_key();
        let body = json!({
            "user_id": target.shop.enrolment.user_id,
            "password": pos_tests::bed::PASSWORD,
            "key": key.public(),
        });
        let session = bed.caller_with(SigningKey::from_seed(&key.seed()));
        let place = bed.server.place().unwrap();
        let signed_in = session.call(&place, &Draft::post("/v1/sessions", &body)).await.unwrap();
        assert_eq!((signed_in.status, signed_in.verified.is_ok()), (200, true));
        let history = session.call(&place, &Draft::get("/v1/payments")).await.unwrap();
        assert_eq!(history.status, 200);
        let end = Draft::post("/v1/sessions/end", &json!({})).keyed(fresh_key());
        assert_eq!(session.call(&place, &end).await.unwrap().status, 200);
        refused(
            &session.call(&place, &Draft::get("/v1/payments")).await.unwrap(),
            401,
            "session_ended",
        );
        refused(&session.call(&place, &target.sale()).await.unwrap(), 401, "session_ended");
        // A repeated sign-out is answered as done.
        assert_eq!(session.call(&place, &end).await.unwrap().status, 200);
        target.untouched().await;
    });
}
