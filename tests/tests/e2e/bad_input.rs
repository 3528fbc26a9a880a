//! What a shop, or someone in its name, can send that it should not. Each is refused by a stable
//! code with its status, a sentence in two languages, a request id and the offending field, under
//! the server's signature; and neither the institutions' books nor the server's state moves.

use pos_protocol::seal::SealedOperation;
use pos_tests::Bed;
use pos_tests::bed::ShopKit;
use pos_tests::line::Request;
use pos_tests::pay::{Footprint, Pay};
use pos_tests::raw::{Answer, Caller, Draft, fresh_key, fresh_order, refused};
use serde_json::{Value, json};

use crate::BED;

/// A shop of the test's own that holds 1,000 yen of an authorisation, captured by 400.
struct Victim {
    bed: &'static Bed,
    shop: ShopKit,
    caller: Caller,
    payment: String,
    before: Footprint,
}

impl Victim {
    async fn new(bed: &'static Bed) -> Self {
        let shop = bed.open_shop("Victim").await.unwrap();
        let line = bed.connection(&shop).await.unwrap();
        let order = Pay::authorise("sakura-card", "approve", 1_000).module_order(bed, &shop);
        let held = line.authorise(&order.unwrap(), None).await.unwrap();
        let part = pos_protocol::Money::new(400, pos_protocol::Currency::JPY).unwrap();
        line.capture(held.payment_id, part, None).await.unwrap();
        let payment = held.payment_id.to_string();
        let before = bed.footprint(&shop).await.unwrap();
        assert_eq!(before.money().effects.len(), 2);
        let caller = bed.caller(&shop);
        Self { bed, shop, caller, payment, before }
    }

    async fn call(&self, draft: &Draft) -> Answer {
        self.caller.call(&self.bed.server.place().unwrap(), draft).await.unwrap()
    }

    fn sale(&self) -> Draft {
        Pay::sale("sakura-card", "approve", 1_200).draft(self.bed, &self.shop).unwrap()
    }

    fn movement(&self, kind: &str, body: &Value) -> Draft {
        Draft::post(format!("/v1/payments/{}/{kind}", self.payment), body).keyed(fresh_key())
    }

    /// The sale's body with one piece of its text replaced.
    fn bent(&self, from: &str, to: &str) -> Draft {
        let draft = self.sale();
        let text = String::from_utf8(draft.body.clone()).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        draft.octets(text.replacen(from, to, 1))
    }

    async fn untouched(self) {
        let after = self.bed.footprint(&self.shop).await.unwrap();
        assert_eq!(after, self.before);
    }

    /// For what an institution may have heard of and declined.
    async fn no_money_moved(self) {
        let after = self.bed.footprint(&self.shop).await.unwrap();
        assert_eq!(after.money(), self.before.money());
    }
}

#[test]
fn amounts_that_are_none() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        for wrong in [
            "0",
            "-1",
            "-1200",
            "1.5",
            "1200.0",
            "1.2e3",
            "1000000000000",
            "18446744073709551616",
            "1e400",
            "\"1200\"",
            "\"12.50\"",
            "null",
            "true",
            "[1200]",
            "{}",
        ] {
            let answer = victim.call(&victim.bent(":1200", &format!(":{wrong}"))).await;
            refused(&answer, 400, "invalid_field", Some("amount"));
            for kind in ["captures", "refunds"] {
                let body = format!(r#"{{"amount":{wrong},"currency":"JPY"}}"#);
                let draft = victim.movement(kind, &Value::Null).octets(body);
                refused(&victim.call(&draft).await, 400, "invalid_field", Some("amount"));
            }
        }
        let quote =
            json!({"order_id": "o-1", "method": "card:visa", "amount": 0, "currency": "JPY"});
        refused(
            &victim.call(&Draft::post("/v1/quotes", &quote)).await,
            400,
            "invalid_field",
            Some("amount"),
        );
        victim.untouched().await;
    });
}

#[test]
fn amounts_that_the_payment_or_the_contract_does_not_have() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let money = |amount: u64| json!({ "amount": amount, "currency": "JPY" });
        for (kind, amount) in [("captures", 601), ("captures", 999_999_999_999), ("refunds", 401)] {
            let answer = victim.call(&victim.movement(kind, &money(amount))).await;
            refused(&answer, 409, "amount_exceeded", Some("amount"));
        }
        let over = Pay::sale("momiji-prepaid", "approve", 300_001);
        let answer = victim.call(&over.draft(bed, &victim.shop).unwrap()).await;
        refused(&answer, 409, "amount_out_of_limits", Some("amount"));
        victim.untouched().await;
    });
}

#[test]
fn currencies_that_are_none_or_another() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        for wrong in ["YEN", "jpy", "JP", "", "JPYY", "J\\u0000Y", "円"] {
            let draft = victim.bent("\"JPY\"", &format!("\"{wrong}\""));
            refused(&victim.call(&draft).await, 400, "invalid_field", Some("currency"));
        }
        let numeric = victim.bent("\"JPY\"", "392");
        refused(&victim.call(&numeric).await, 400, "invalid_field", Some("currency"));
        let dollars = victim.bent("\"JPY\"", "\"USD\"");
        refused(&victim.call(&dollars).await, 409, "currency_not_accepted", Some("currency"));
        let other = json!({ "amount": 100, "currency": "EUR" });
        for kind in ["captures", "refunds"] {
            let answer = victim.call(&victim.movement(kind, &other)).await;
            refused(&answer, 400, "currency_mismatch", Some("currency"));
        }
        victim.untouched().await;
    });
}

#[test]
fn ids_that_are_none() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let long = "a".repeat(15_000);
        let wrong = [
            "",
            "a\\u0000b",
            "a\\nb",
            "a\\u001b[2Jb",
            "../order",
            "a/b",
            "a\\\\b",
            "..",
            "-a",
            "日本",
            "a b",
            "%2e%2e",
            &long,
        ];
        let order = |body: &[u8]| -> String {
            serde_json::from_slice::<Value>(body).unwrap()["order_id"].as_str().unwrap().into()
        };
        for text in wrong {
            let sale = victim.sale();
            let body = String::from_utf8(sale.body.clone()).unwrap();
            let bent = body.replacen(&order(&sale.body), text, 1);
            let answer = victim.call(&sale.octets(bent)).await;
            refused(&answer, 400, "invalid_field", Some("order_id"));
            let contract = victim.shop.contract("sakura-card").unwrap().contract_id.to_string();
            let answer = victim.call(&victim.bent(&contract, text)).await;
            refused(&answer, 400, "invalid_field", Some("contract_id"));
        }
        victim.untouched().await;
    });
}

#[test]
fn a_megabyte_in_place_of_an_id() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let megabyte = "a".repeat(1 << 20);
        let sale = victim.sale();
        let body: Value = serde_json::from_slice(&sale.body).unwrap();
        let order = body["order_id"].as_str().unwrap().to_owned();
        let bent = String::from_utf8(sale.body.clone()).unwrap().replacen(&order, &megabyte, 1);
        let answer = victim.call(&sale.octets(bent)).await;
        refused(&answer, 413, "body_too_large", None);
        // A request line that long is cut off before anything in it is believed: nobody signed it.
        let place = bed.server.place().unwrap();
        let answer = place.send(&Request::get(format!("/v1/payments/{megabyte}"))).await;
        // The line may be cut under a client that still writes.
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 431);
        }
        victim.untouched().await;
    });
}

#[test]
fn path_pieces_and_control_characters_in_a_path() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let random = "pay_014d2pf2dbzzzzzzzzzzzzzzzz";
        for (path, field) in [
            ("/v1/payments/..%2f..%2fetc%2fpasswd", Some("payment_id")),
            ("/v1/payments/%00", Some("payment_id")),
            ("/v1/payments/pay_%0d%0aX:y", Some("payment_id")),
            ("/v1/payments/%ff%fe", None),
            ("/v1/orders/..%2f", Some("order_id")),
            ("/v1/operations/short", Some("idempotency_key")),
            ("/v1/payments/../payments", None),
            ("/v1/payments/", None),
            ("/v1//payments", None),
            ("/v2/payments", None),
            ("/etc/passwd", None),
        ] {
            refused(&victim.call(&Draft::get(path)).await, 404, "not_found", field);
        }
        let money = json!({ "amount": 1, "currency": "JPY" });
        for (path, field) in [
            (format!("/v1/payments/{random}%2fx/captures"), Some("payment_id")),
            (format!("/v1/payments/{}/captures/..", victim.payment), None),
        ] {
            let draft = Draft::post(path, &money).keyed(fresh_key());
            refused(&victim.call(&draft).await, 404, "not_found", field);
        }
        victim.untouched().await;
    });
}

#[test]
fn bodies_that_are_not_the_json_of_the_route() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let doubled = r#"{"amount":1,"amount":2,"currency":"JPY"}"#;
        let unknown = r#"{"amount":1,"currency":"JPY","tip":1}"#;
        let proto = r#"{"amount":1,"currency":"JPY","__proto__":{}}"#;
        for (body, code, field) in [
            (doubled.to_owned(), "invalid_field", Some("amount")),
            (unknown.to_owned(), "invalid_field", Some("tip")),
            (proto.to_owned(), "invalid_field", Some("__proto__")),
            (r#"{"amount":1}"#.to_owned(), "invalid_field", Some("currency")),
            ("[1,\"JPY\"]".to_owned(), "invalid_field", None),
            (r#"{"amount":1,"currency":"JPY"} {}"#.to_owned(), "invalid_json", None),
            (r#"{"amount":1,"currency":"JPY"}x"#.to_owned(), "invalid_json", None),
            (r#"{"amount":1,"currency":"JPY""#.to_owned(), "invalid_json", None),
            (r#"{"amount":NaN,"currency":"JPY"}"#.to_owned(), "invalid_json", None),
            (r#"{'amount':1,'currency':'JPY'}"#.to_owned(), "invalid_json", None),
            ("\u{feff}{}".to_owned(), "invalid_json", None),
            ("null".to_owned(), "invalid_field", None),
            ("\"text\"".to_owned(), "invalid_field", None),
            (" ".to_owned(), "invalid_json", None),
        ] {
            let draft = victim.movement("captures", &Value::Null).octets(body.clone());
            let answer = victim.call(&draft).await;
            assert_eq!(answer.status, 400, "{body}");
            refused(&answer, 400, code, field);
        }
        let latin = victim.movement("captures", &Value::Null);
        let latin = latin.octets(b"{\"amount\":1,\"currency\":\"J\xe9Y\"}".to_vec());
        let answer = victim.call(&latin).await;
        assert_eq!((answer.status, answer.verified.is_ok()), (400, true));
        for (kind, body) in [("voids", json!({ "amount": 600 })), ("voids", json!([]))] {
            assert_eq!(victim.call(&victim.movement(kind, &body)).await.status, 400);
        }
        victim.untouched().await;
    });
}

#[test]
fn what_a_route_does_not_take_is_refused_though_it_is_signed() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let quote =
            json!({"order_id": "o-1", "method": "card:visa", "amount": 1200, "currency": "JPY"});
        let login = json!({
            "user_id": victim.shop.enrolment.user_id,
            "password": pos_tests::bed::PASSWORD,
            "key": victim.shop.key.public(),
        });
        for draft in [
            Draft::get("/v1/payments"),
            Draft::post("/v1/quotes", &quote),
            Draft::post("/v1/sessions", &login),
        ] {
            let answer = victim.call(&draft.keyed(fresh_key())).await;
            refused(&answer, 400, "invalid_field", Some("idempotency-key"));
        }
        let answer = victim.call(&Draft::get("/v1/methods").octets("{}")).await;
        refused(&answer, 400, "invalid_field", Some("content-digest"));
        victim.untouched().await;
    });
}

#[test]
fn fields_of_the_wrong_kind() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let sale = victim.sale();
        let good: Value = serde_json::from_slice(&sale.body).unwrap();
        for (pointer, value, field) in [
            ("/operation", json!("capture"), "operation"),
            ("/operation", json!("steal"), "operation"),
            ("/operation", json!(1), "operation"),
            ("/contract_id", json!("con_1"), "contract_id"),
            ("/contract_id", json!(victim.payment), "contract_id"),
            ("/envelope", json!("none"), "envelope"),
            ("/envelope", Value::Null, "envelope"),
            ("/envelope/v", json!(2), "envelope"),
            ("/envelope/enc", json!("AAAA"), "envelope.enc"),
            ("/envelope/ct", json!(""), "envelope.ct"),
            ("/envelope/key_id", json!("x"), "envelope.key_id"),
            ("/envelope/not_after_ms", json!(-1), "envelope.not_after_ms"),
        ] {
            let mut body = good.clone();
            let Some(place) = body.pointer_mut(pointer) else { panic!("{pointer} in {good}") };
            *place = value.clone();
            let draft = Draft::post("/v1/payments", &body).keyed(fresh_key());
            let answer = victim.call(&draft).await;
            assert_eq!(answer.status, 400, "{pointer} {value}");
            let named = answer.problem().unwrap().field.unwrap_or_default();
            assert!(named.starts_with(field), "{pointer} {value}: {named}");
            assert!(answer.verified.is_ok());
        }
        victim.untouched().await;
    });
}

#[test]
fn mutations_without_a_usable_key() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let money = json!({ "amount": 100, "currency": "JPY" });
        let field = Some("idempotency-key");
        let bare = Draft { key: None, ..victim.movement("captures", &money) };
        refused(&victim.call(&bare).await, 400, "idempotency_key_missing", field);
        let long = "k".repeat(65);
        for wrong in
            ["short", "fifteen-letters", &long, "has.a.dot.in.the.middle", "a/b/c/d/e/f/g/h/i/j"]
        {
            let draft = victim.movement("captures", &money).keyed(wrong);
            refused(&victim.call(&draft).await, 400, "idempotency_key_invalid", field);
        }
        victim.untouched().await;
    });
}

#[test]
fn the_same_key_with_another_body() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let money = |amount: u64| json!({ "amount": amount, "currency": "JPY" });
        let first = victim.movement("refunds", &money(100));
        let key = first.key.clone().unwrap();
        let refunded = victim.call(&first).await;
        assert_eq!((refunded.status, refunded.json()["state"].as_str()), (200, Some("done")));
        let stands = victim.bed.footprint(&victim.shop).await.unwrap();

        let field = Some("idempotency-key");
        for other in [
            victim.movement("refunds", &money(101)),
            victim.movement("captures", &money(100)),
            victim.movement("voids", &json!({})),
            victim.sale(),
        ] {
            let answer = victim.call(&other.keyed(&key)).await;
            refused(&answer, 422, "idempotency_key_reused", field);
        }
        // Space and order of the members are no other body.
        let spaced = victim.movement("refunds", &Value::Null).keyed(&key);
        let same = spaced.octets(r#"{ "currency": "JPY",  "amount": 100 }"#);
        let again = victim.call(&same).await;
        assert_eq!((again.status, &again.body), (200, &refunded.body));
        assert_eq!(bed.footprint(&victim.shop).await.unwrap(), stands);
    });
}

#[test]
fn a_replayed_call_gets_the_stored_answer_and_has_no_second_effect() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let place = bed.server.place().unwrap();
        let signed = victim.caller.sign(&victim.sale());
        let first = victim.caller.send(&place, &signed).await.unwrap();
        assert_eq!((first.status, first.json()["state"].as_str()), (200, Some("done")));
        let stands = bed.footprint(&victim.shop).await.unwrap();
        for _ in 0..5 {
            let again = victim.caller.send(&place, &signed).await.unwrap();
            assert_eq!((again.status, &again.body), (200, &first.body));
            assert!(again.verified.is_ok());
        }
        assert_eq!(bed.footprint(&victim.shop).await.unwrap(), stands);
        let (before, after) = (victim.before.money(), stands.money());
        assert_eq!(after.effects.len(), before.effects.len() + 1, "one effect in the books");
    });
}

#[test]
fn another_shops_ids_are_answered_like_random_ones() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let stranger = bed.caller(bed.shop());
        let ask = async |draft: &Draft| {
            let place = bed.server.place().unwrap();
            let answer = stranger.call(&place, draft).await.unwrap();
            assert!(answer.verified.is_ok());
            let mut body = answer.json();
            if answer.status != 200 {
                assert!(body["request_id"].take().as_str().unwrap().starts_with("req_"));
            }
            (answer.status, body)
        };
        let order = victim.before.history[0]["order_id"].as_str().unwrap();
        let key = victim.before.history[0]["operations"][0]["idempotency_key"].as_str().unwrap();
        let payment = victim.payment.as_str();
        let pos = victim.shop.poses[0].pos_id.to_string();
        let key_id = victim.shop.key.public().id().to_string();
        let money = json!({ "amount": 100, "currency": "JPY" });
        let mut pairs = Vec::new();
        let random = "pay_014d2pf2dbzzzzzzzzzzzzzzzz";
        for id in [payment, random] {
            let movement = |kind: &str, body: &Value| {
                Draft::post(format!("/v1/payments/{id}/{kind}"), body).keyed(fresh_key())
            };
            pairs.push(vec![
                Draft::get(format!("/v1/payments/{id}")),
                movement("captures", &money),
                movement("refunds", &money),
                movement("voids", &json!({})),
            ]);
        }
        let [theirs, nobodys] = &pairs[..] else { unreachable!() };
        for (theirs, nobodys) in theirs.iter().zip(nobodys) {
            let (told, expected) = (ask(theirs).await, ask(nobodys).await);
            assert_eq!(told, expected);
            assert_eq!((told.0, told.1["code"].as_str()), (404, Some("not_found")));
        }
        for (theirs, nobodys) in [
            (format!("/v1/orders/{order}"), "/v1/orders/no-such-order".to_owned()),
            (
                format!("/v1/payments?pos={pos}"),
                "/v1/payments?pos=pos_014d2pf2dbzzzzzzzzzzzzzzzz".into(),
            ),
            (
                format!("/v1/methods?pos={pos}"),
                "/v1/methods?pos=pos_014d2pf2dbzzzzzzzzzzzzzzzz".into(),
            ),
        ] {
            let (told, expected) =
                (ask(&Draft::get(theirs)).await, ask(&Draft::get(nobodys)).await);
            assert_eq!(told, expected);
        }
        let quote = |name: &str, id: &str| {
            let mut body = json!({
                "order_id": "o-1", "method": "card:visa", "amount": 100, "currency": "JPY",
            });
            body[name] = json!(id);
            Draft::post("/v1/quotes", &body)
        };
        let contract = victim.before.history[0]["contract_id"].as_str().unwrap();
        for (theirs, nobodys) in [
            (quote("pos_id", &pos), quote("pos_id", "pos_014d2pf2dbzzzzzzzzzzzzzzzz")),
            (
                quote("contract_id", contract),
                quote("contract_id", "con_014d2pf2dbzzzzzzzzzzzzzzzz"),
            ),
        ] {
            let (told, expected) = (ask(&theirs).await, ask(&nobodys).await);
            assert_eq!(told, expected);
            assert_eq!((told.0, told.1["code"].as_str()), (404, Some("not_found")));
        }
        // A page begins after a moment, whosever payment names it.
        let mut neighbour = payment.to_owned();
        let random_part = neighbour.len() - 3;
        let other = if &neighbour[random_part..=random_part] == "0" { "1" } else { "0" };
        neighbour.replace_range(random_part..=random_part, other);
        let page = |after: &str| Draft::get(format!("/v1/payments?after={after}&limit=1"));
        assert_eq!(ask(&page(payment)).await, ask(&page(&neighbour)).await);
        // What is under another shop's key is nothing, as under a fresh one.
        let told = ask_key(bed, &stranger, key).await;
        assert_eq!(told["found"], "nothing");
        let revoke =
            |id: &str| Draft::post(format!("/v1/keys/{id}/revoke"), &json!({})).keyed(fresh_key());
        let told = ask(&revoke(&key_id)).await;
        assert_eq!(told, ask(&revoke("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")).await);

        // Paying by another shop's contract, with an envelope that its institution would open.
        let asked = Pay::sale("sakura-card", "approve", 500);
        let mut body = serde_json::to_value(asked.request(bed, &victim.shop).unwrap()).unwrap();
        let pay = |body: &Value| Draft::post("/v1/payments", body).keyed(fresh_key());
        let told = ask(&pay(&body)).await;
        body["contract_id"] = json!("con_014d2pf2dbzzzzzzzzzzzzzzzz");
        assert_eq!(told, ask(&pay(&body)).await);
        assert_eq!((told.0, told.1["code"].as_str()), (404, Some("not_found")));

        // Asking whether an instrument would do, at another shop's contract.
        let mut body = json!({
            "contract_id": contract, "order_id": body["order_id"], "amount": body["amount"],
            "currency": body["currency"], "envelope": body["envelope"],
        });
        let check = |body: &Value| Draft::post("/v1/checks", body).keyed(fresh_key());
        let told = ask(&check(&body)).await;
        body["contract_id"] = json!("con_014d2pf2dbzzzzzzzzzzzzzzzz");
        assert_eq!(told, ask(&check(&body)).await);
        assert_eq!((told.0, told.1["code"].as_str()), (404, Some("not_found")));
        victim.untouched().await;
    });
}

async fn ask_key(bed: &Bed, caller: &Caller, key: &str) -> Value {
    let draft = Draft::get(format!("/v1/operations/{key}"));
    let answer = caller.call(&bed.server.place().unwrap(), &draft).await.unwrap();
    assert_eq!((answer.status, answer.verified.is_ok()), (200, true));
    answer.json()
}

#[test]
fn an_envelope_pays_once() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let asked = Pay::sale("sakura-card", "insufficient_funds", 300);
        let request = asked.request(bed, &victim.shop).unwrap();
        let mut body = serde_json::to_value(&request).unwrap();
        let declined = victim.call(&Draft::post("/v1/payments", &body).keyed(fresh_key())).await;
        assert_eq!(declined.json()["state"], "declined");
        // The same order is free again; the envelope is spent.
        let again = victim.call(&Draft::post("/v1/payments", &body).keyed(fresh_key())).await;
        refused(&again, 409, "envelope_used", Some("envelope"));
        body["order_id"] = json!(fresh_order("other"));
        let elsewhere = victim.call(&Draft::post("/v1/payments", &body).keyed(fresh_key())).await;
        refused(&elsewhere, 409, "envelope_used", Some("envelope"));
        victim.no_money_moved().await;
    });
}

#[test]
fn an_envelope_pays_only_what_it_was_sealed_for() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let shop = &victim.shop;
        let card = shop.contract("sakura-card").unwrap();
        let prepaid = shop.contract("momiji-prepaid").unwrap();
        let asked = || Pay::sale("sakura-card", "approve", 800);
        let mut attempts = Vec::new();
        for (name, change) in [
            ("another order", "order"),
            ("another amount", "amount"),
            ("another operation", "operation"),
            ("another contract", "contract"),
            ("altered", "ct"),
            ("altered", "rand"),
            ("altered", "not_after_ms"),
            ("altered", "enc"),
        ] {
            let sealed = asked();
            let mut body = serde_json::to_value(sealed.request(bed, shop).unwrap()).unwrap();
            match change {
                "order" => body["order_id"] = json!(fresh_order("other")),
                "amount" => body["amount"] = json!(801),
                "operation" => body["operation"] = json!("authorise"),
                "contract" => {
                    // The phone POS has another number at the same institution.
                    let phone = shop.poses[1].contracts[0].contract_id;
                    body["contract_id"] = json!(phone);
                }
                "not_after_ms" => {
                    let later = body["envelope"][change].as_u64().unwrap() - 1;
                    body["envelope"][change] = json!(later);
                }
                field => {
                    let text = body["envelope"][field].as_str().unwrap().to_owned();
                    let other = if text.starts_with('A') { "B" } else { "A" };
                    body["envelope"][field] = json!(format!("{other}{}", &text[1..]));
                }
            }
            attempts.push((name, change, body));
        }
        for (name, change, body) in attempts {
            let answer = victim.call(&Draft::post("/v1/payments", &body).keyed(fresh_key())).await;
            assert!(answer.verified.is_ok() && answer.status < 500, "{name} {change}: {answer:?}");
            assert_eq!(answer.status, 200, "{name} {change}: {}", answer.json());
            // The institution alone can open it, and would not process it: final, and said in words.
            let told = answer.json();
            assert_eq!(
                (told["state"].as_str(), told["retry"].as_str()),
                (Some("not_sent"), Some("new_quote"))
            );
            let refusal = &told["refusal"];
            assert_eq!(refusal["code"], "envelope_invalid", "{name} {change}: {told}");
            assert_eq!(
                refusal["message"],
                "The sealed instrument is not valid for this contract. Seal it again."
            );
            assert_eq!(refusal["message_ja"], "封緘データが正しくありません。");
        }
        // Sealed to another institution's key: refused before anybody is asked.
        let sealed = Pay::sale("momiji-prepaid", "approve", 800);
        let mut body = serde_json::to_value(sealed.request(bed, shop).unwrap()).unwrap();
        assert_eq!(body["contract_id"], json!(prepaid.contract_id));
        body["contract_id"] = json!(card.contract_id);
        let answer = victim.call(&Draft::post("/v1/payments", &body).keyed(fresh_key())).await;
        refused(&answer, 400, "envelope_invalid", Some("envelope.key_id"));
        victim.no_money_moved().await;
    });
}

#[test]
fn an_envelope_has_its_time() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        let contract = victim.shop.contract("sakura-card").unwrap();
        let now = pos_tests::raw::now();
        let past = now.minus(std::time::Duration::from_secs(30));
        let far = now.plus(std::time::Duration::from_secs(20 * 60));
        for (not_after, status, code) in
            [(past, 409, "envelope_expired"), (far, 409, "envelope_expired")]
        {
            let asked = Pay::sale("sakura-card", "approve", 400);
            let mut request = asked.request(bed, &victim.shop).unwrap();
            let binding = contract.binding(
                SealedOperation::Sale,
                &asked.order_id,
                asked.minor,
                asked.currency,
            );
            let instrument = bed.instrument("sakura-card", "approve").unwrap();
            let key = &bed.seal_keys_of("sakura-card").unwrap().keys[0];
            let entropy = pos_tests::raw::random();
            request.envelope =
                pos_protocol::seal::seal(&instrument, &binding, not_after, key, &entropy).unwrap();
            let body = serde_json::to_value(&request).unwrap();
            let answer = victim.call(&Draft::post("/v1/payments", &body).keyed(fresh_key())).await;
            refused(&answer, status, code, Some("envelope.not_after_ms"));
        }
        victim.untouched().await;
    });
}

#[test]
fn queries_methods_and_types_that_a_route_does_not_take() {
    BED.run(async |bed| {
        let victim = Victim::new(bed).await;
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=-1", "limit"),
            ("limit=ten", "limit"),
            ("limit=1&limit=2", "limit"),
            ("after=pay_1", "after"),
            ("pos=..", "pos"),
            ("color=red", "color"),
        ] {
            let answer = victim.call(&Draft::get(format!("/v1/payments?{query}"))).await;
            refused(&answer, 400, "invalid_field", Some(field));
        }
        let delete = Draft { method: "DELETE".into(), ..Draft::get("/v1/payments") };
        refused(&victim.call(&delete).await, 405, "method_not_allowed", None);
        // Whatever comes with such a call, it is refused for what it is.
        let body = serde_json::json!({});
        let put = Draft { method: "PUT".into(), ..Draft::post("/v1/payments", &body) };
        refused(&victim.call(&put.keyed(fresh_key())).await, 405, "method_not_allowed", None);
        let post = Draft::post("/v1/keys", &body).keyed(fresh_key());
        refused(&victim.call(&post).await, 405, "method_not_allowed", None);
        let nowhere = Draft::post("/v1/no-such-route", &body).keyed(fresh_key());
        refused(&victim.call(&nowhere).await, 404, "not_found", None);

        let place = bed.server.place().unwrap();
        let mut packed = victim.caller.sign(&victim.sale());
        packed.request.set_header("content-encoding", "gzip");
        let answer = victim.caller.send(&place, &packed).await.unwrap();
        refused(&answer, 415, "unsupported_media_type", Some("content-encoding"));
        victim.untouched().await;
    });
}
