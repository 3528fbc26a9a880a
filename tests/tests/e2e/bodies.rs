//! Every route that takes a body, given one that is not the JSON of the route: doubled and unknown
//! fields, trailing data, 10,000 levels, the wrong kind of value. Each is refused under the server's
//! signature as the shop's own mistake, and leaves no trace.

use pos_protocol::key::SigningKey;
use pos_tests::Bed;
use pos_tests::bed::shop::registration_draft;
use pos_tests::bed::{PASSWORD, ShopKit};
use pos_tests::pay::{Footprint, Pay};
use pos_tests::raw::{Answer, Draft, fresh_key, fresh_signing_key, refused};
use serde_json::{Value, json};

use crate::BED;

/// A call that is good but for what a test does to its body.
struct Good {
    draft: Draft,
    signer: SigningKey,
}

/// Routes and good bodies, for a shop of the test's own that holds an authorisation.
struct Routes {
    bed: &'static Bed,
    shop: ShopKit,
    payment: String,
    before: Footprint,
}

impl Routes {
    async fn new(bed: &'static Bed) -> Self {
        let shop = bed.open_shop("Target").await.unwrap();
        let line = bed.connection(&shop).await.unwrap();
        let order = Pay::authorise("sakura-card", "approve", 1_000).module_order(bed, &shop);
        let held = line.authorise(&order.unwrap(), None).await.unwrap();
        let before = bed.footprint(&shop).await.unwrap();
        Self { bed, shop, payment: held.payment_id.to_string(), before }
    }

    fn signed_by_the_shop(&self, path: &str, body: &Value) -> Good {
        let draft = Draft::post(path, body);
        let is_read = path == "/v1/quotes";
        let draft = if is_read { draft } else { draft.keyed(fresh_key()) };
        Good { draft, signer: SigningKey::from_seed(&self.shop.key.seed()) }
    }

    async fn all(&self) -> Vec<Good> {
        let (enrolment, _) = self.bed.admit("Admitted").await.unwrap();
        let (module, session) = (fresh_signing_key(), fresh_signing_key());
        let register = registration_draft(&enrolment, PASSWORD, &module);
        let sign_in = json!({
            "user_id": self.shop.enrolment.user_id,
            "password": "a password that is not this shop's",
            "key": session.public(),
        });
        let sign_in = Draft::post("/v1/sessions", &sign_in);
        let pay = Pay::sale("sakura-card", "approve", 1_200).request(self.bed, &self.shop).unwrap();
        let pay = serde_json::to_value(pay).unwrap();
        let check = json!({
            "contract_id": pay["contract_id"], "order_id": pay["order_id"], "amount": 1_200,
            "currency": "JPY", "envelope": pay["envelope"],
        });
        let quote = json!({
            "order_id": "order-quote", "method": "card:visa", "amount": 1_200, "currency": "JPY",
        });
        let roll = json!({ "key": fresh_signing_key().public(), "proof": "A".repeat(86) });
        let money = json!({ "amount": 100, "currency": "JPY" });
        let of_payment = |kind: &str| format!("/v1/payments/{}/{kind}", self.payment);
        let revoke = format!("/v1/keys/{}/revoke", fresh_signing_key().public().id());
        let mut all = vec![
            Good { draft: register, signer: module },
            Good { draft: sign_in, signer: session },
        ];
        for (path, body) in [
            ("/v1/payments", &pay),
            (&of_payment("captures"), &money),
            (&of_payment("refunds"), &money),
            (&of_payment("voids"), &json!({})),
            ("/v1/quotes", &quote),
            ("/v1/checks", &check),
            ("/v1/keys/roll", &roll),
            (&revoke, &json!({})),
            ("/v1/sessions/end", &json!({})),
        ] {
            all.push(self.signed_by_the_shop(path, body));
        }
        all
    }

    /// `register` and `sign_in`, which are signed by the key in their body.
    fn is_unproven(&self, good: &Good) -> bool {
        ["/v1/registrations", "/v1/sessions"].contains(&good.draft.path.as_str())
    }

    async fn send(&self, good: &Good, body: impl Into<Vec<u8>>) -> Answer {
        let caller = self.bed.caller_with(SigningKey::from_seed(&good.signer.seed()));
        let draft = good.draft.clone().octets(body);
        caller.call(&self.bed.server.place().unwrap(), &draft).await.unwrap()
    }
}

/// The body with `field` put in front of its first.
fn with_field(body: &str, field: &str) -> String {
    let separator = if body == "{}" { "" } else { "," };
    body.replacen('{', &format!("{{{field}{separator}"), 1)
}

/// A field that every body has, with its value.
fn first_field(body: &str) -> Option<(String, Value)> {
    let body: Value = serde_json::from_str(body).unwrap();
    body.as_object().unwrap().iter().next().map(|(name, value)| (name.clone(), value.clone()))
}

#[test]
fn no_route_takes_a_body_that_is_not_its_json() {
    BED.run(async |bed| {
        let routes = Routes::new(bed).await;
        for good in routes.all().await {
            let body = String::from_utf8(good.draft.body.clone()).unwrap();
            let path = good.draft.path.clone();
            let mut bent = vec![
                (with_field(&body, r#""tip":1"#), "invalid_field", Some("tip".to_owned())),
                (with_field(&body, r#""__proto__":{}"#), "invalid_field", Some("__proto__".into())),
                (format!("{body} {{}}"), "invalid_json", None),
                (format!("{body}x"), "invalid_json", None),
                (body[..body.len() - 1].to_owned(), "invalid_json", None),
                (format!("\u{feff}{body}"), "invalid_json", None),
                (" ".to_owned(), "invalid_json", None),
                ("[]".to_owned(), "invalid_field", None),
                ("null".to_owned(), "invalid_field", None),
                ("\"text\"".to_owned(), "invalid_field", None),
            ];
            if let Some((name, value)) = first_field(&body) {
                let doubled = with_field(&body, &format!("\"{name}\":{value}"));
                bent.push((doubled, "invalid_field", Some(name)));
            }
            for (body, code, field) in bent {
                let answer = routes.send(&good, body.clone()).await;
                if routes.is_unproven(&good) && answer.status == 401 {
                    // Where the key cannot be read from the body, nobody has signed the call.
                    refused(&answer, 401, "signature_invalid", Some("key"));
                    assert!(field.as_deref() != Some("tip"), "{path}: {body}");
                    continue;
                }
                assert_eq!(answer.status, 400, "{path}: {body}");
                refused(&answer, 400, code, field.as_deref());
            }
        }
        assert_eq!(bed.footprint(&routes.shop).await.unwrap(), routes.before);
    });
}

/// 10,000 levels fit into a body only as bare brackets, and closing them again does not fit.
#[test]
fn ten_thousand_levels_are_refused_at_every_route() {
    BED.run(async |bed| {
        let routes = Routes::new(bed).await;
        for good in routes.all().await {
            let body = String::from_utf8(good.draft.body.clone()).unwrap();
            let path = good.draft.path.clone();
            let unknown = with_field(&body, &format!("\"tip\":{}", "[".repeat(10_000)));
            for body in ["[".repeat(10_000), unknown] {
                let answer = routes.send(&good, body).await;
                if routes.is_unproven(&good) {
                    refused(&answer, 401, "signature_invalid", Some("key"));
                    continue;
                }
                assert_eq!(answer.status, 400, "{path}");
                let code = answer.problem().unwrap().code.as_str().to_owned();
                assert!(
                    ["invalid_json", "invalid_field"].contains(&code.as_str()),
                    "{path}: {code}"
                );
                assert!(answer.verified.is_ok(), "{path}");
            }
            let levels = [("[", "]"), ("{\"a\":", "}")];
            for (open, close) in levels {
                let whole = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
                let answer =
                    routes.send(&good, with_field(&body, &format!("\"tip\":{whole}"))).await;
                assert_eq!(answer.status, 413, "{path}");
                refused(&answer, 413, "body_too_large", None);
            }
        }
        assert_eq!(bed.footprint(&routes.shop).await.unwrap(), routes.before);
    });
}

/// `register` and `sign_in` take the key to verify by from the body: whoever signs must hold it.
#[test]
fn the_key_in_the_body_must_sign_the_call() {
    BED.run(async |bed| {
        let routes = Routes::new(bed).await;
        let place = bed.server.place().unwrap();
        for good in routes.all().await.into_iter().take(2) {
            let path = good.draft.path.clone();
            let other = bed.caller_with(fresh_signing_key());
            let answer = other.call(&place, &good.draft).await.unwrap();
            refused(&answer, 401, "signature_invalid", None);

            let holder = bed.caller_with(SigningKey::from_seed(&good.signer.seed()));
            let mut unsigned = holder.sign(&good.draft);
            unsigned.request.remove_header("signature");
            let answer = holder.send(&place, &unsigned).await.unwrap();
            let problem = answer.problem().unwrap();
            assert_eq!(
                (answer.status, problem.code.as_str()),
                (401, "signature_missing"),
                "{path}"
            );

            let minutes = std::time::Duration::from_secs(600);
            let old = good.draft.created.as_ms() - 600_000;
            let old = pos_protocol::Timestamp::from_ms(old);
            let stale = Draft { created: old, ..good.draft.clone() };
            refused(&holder.call(&place, &stale).await.unwrap(), 401, "signature_stale", None);
            let early = Draft { created: good.draft.created.plus(minutes), ..good.draft.clone() };
            refused(&holder.call(&place, &early).await.unwrap(), 401, "signature_stale", None);

            let mut bent = holder.sign(&good.draft);
            bent.request.body.push(b' ');
            let answer = holder.send(&place, &bent).await.unwrap();
            refused(&answer, 401, "digest_mismatch", Some("content-digest"));
        }
        // Nothing of it spent the code or counted as a wrong password.
        assert_eq!(bed.footprint(&routes.shop).await.unwrap(), routes.before);
    });
}
