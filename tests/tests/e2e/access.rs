//! Who may call: registration and its repeats, signing in and its lock, keys that are rolled and
//! revoked.

use pos_connect::wire::{RegistrationAnswer, WireOperationState as State};
use pos_connect::{Connection, ErrorKind};
use pos_protocol::key::SigningKey;
use pos_protocol::secret::SecretText;
use pos_tests::Bed;
use pos_tests::bed::shop::{register, registration_draft};
use pos_tests::bed::{Enrolment, PASSWORD, ShopKit};
use pos_tests::line::Request;
use pos_tests::pay::Pay;
use pos_tests::raw::{Answer, Draft, fresh_key, fresh_signing_key, refused};
use serde_json::{Value, json};

use crate::BED;

fn copy(key: &SigningKey) -> SigningKey {
    SigningKey::from_seed(&key.seed())
}

async fn admitted(bed: &Bed) -> Enrolment {
    bed.admit("Admitted").await.unwrap().0
}

async fn call(bed: &Bed, key: &SigningKey, draft: &Draft) -> Answer {
    bed.caller_with(copy(key)).call(&bed.server.place().unwrap(), draft).await.unwrap()
}

async fn sign_in(bed: &Bed, shop: &ShopKit, password: &str, key: &SigningKey) -> Answer {
    let body = json!({
        "user_id": shop.enrolment.user_id, "password": password, "key": key.public(),
    });
    call(bed, key, &Draft::post("/v1/sessions", &body)).await
}

/// Whether the key may read; 200 or the code of the refusal.
async fn may_read(bed: &Bed, key: &SigningKey) -> String {
    let answer = call(bed, key, &Draft::get("/v1/payments")).await;
    answer.json()["code"].as_str().unwrap_or("ok").to_owned()
}

#[test]
fn a_registration_may_be_repeated_until_its_key_is_used() {
    BED.run(async |bed| {
        let enrolment = admitted(bed).await;
        let key = fresh_signing_key();
        let answers = [
            register(&bed.server, &enrolment, PASSWORD, &key).await.unwrap(),
            register(&bed.server, &enrolment, PASSWORD, &key).await.unwrap(),
        ];
        let [first, second] = answers.map(|answer| {
            assert_eq!((answer.status, answer.verified.is_ok()), (200, true), "{answer:?}");
            serde_json::from_slice::<RegistrationAnswer>(&answer.body).unwrap()
        });
        assert_eq!((first.shop_id, first.key_id), (second.shop_id, second.key_id));
        assert_eq!((first.recovery_codes.len(), second.recovery_codes.len()), (10, 10));
        // Shown once: the repeat has fresh ones.
        let of = |answer: &RegistrationAnswer| -> Vec<String> {
            answer.recovery_codes.iter().map(|code| code.expose().to_owned()).collect()
        };
        assert!(of(&first).iter().all(|code| !of(&second).contains(code)));
        assert_ne!(first.panic_code.expose(), second.panic_code.expose());

        assert_eq!(may_read(bed, &key).await, "ok");
        let late = register(&bed.server, &enrolment, PASSWORD, &key).await.unwrap();
        refused(&late, 401, "credential_refused", None);
        assert_eq!(may_read(bed, &key).await, "ok");
    });
}

#[test]
fn an_enrolment_code_takes_one_key_and_no_guess() {
    BED.run(async |bed| {
        let enrolment = admitted(bed).await;
        let (key, thief) = (fresh_signing_key(), fresh_signing_key());
        // A proof for another key, another user id, another code: whichever it was is not said.
        let mut swapped = registration_draft(&enrolment, PASSWORD, &key);
        let mut body: Value = serde_json::from_slice(&swapped.body).unwrap();
        body["key"] = serde_json::to_value(thief.public()).unwrap();
        swapped.body = body.to_string().into_bytes();
        refused(&call(bed, &thief, &swapped).await, 401, "credential_refused", None);

        let other = admitted(bed).await;
        let mixed = Enrolment { user_id: other.user_id, ..enrolment.clone() };
        let answer = register(&bed.server, &mixed, PASSWORD, &key).await.unwrap();
        refused(&answer, 401, "credential_refused", None);
        let nobody = "usr_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap();
        let unknown = Enrolment { user_id: nobody, ..enrolment.clone() };
        let answer = register(&bed.server, &unknown, PASSWORD, &key).await.unwrap();
        refused(&answer, 401, "credential_refused", None);

        // A weak password is told, and spends nothing.
        for weak in ["short", "password1234567", &"x".repeat(129)] {
            let answer = register(&bed.server, &enrolment, weak, &key).await.unwrap();
            refused(&answer, 400, "invalid_field", Some("password"));
        }
        let answer = register(&bed.server, &enrolment, PASSWORD, &key).await.unwrap();
        assert_eq!(answer.status, 200);
        let second = register(&bed.server, &enrolment, PASSWORD, &thief).await.unwrap();
        refused(&second, 401, "credential_refused", None);
        assert_eq!(may_read(bed, &thief).await, "key_unknown");
    });
}

#[test]
fn a_new_code_of_the_operator_ends_the_old_one() {
    BED.run(async |bed| {
        let enrolment = admitted(bed).await;
        let words = ["shop", "code", &enrolment.shop_id.to_string()];
        let answer = bed.server.operate(&words).await.unwrap();
        let fresh: Enrolment = serde_json::from_value(answer).unwrap();
        assert_eq!(fresh.user_id, enrolment.user_id);
        let key = fresh_signing_key();
        let old = register(&bed.server, &enrolment, PASSWORD, &key).await.unwrap();
        refused(&old, 401, "credential_refused", None);
        let new = register(&bed.server, &fresh, PASSWORD, &key).await.unwrap();
        assert_eq!(new.status, 200);
    });
}

#[test]
fn wrong_passwords_lock_the_sign_in_and_not_the_shop() {
    BED.run(async |bed| {
        let shop = bed.open_shop("Locked").await.unwrap();
        let key = fresh_signing_key();
        for _ in 0..9 {
            let answer = sign_in(bed, &shop, "wrong horse battery", &key).await;
            refused(&answer, 401, "credential_refused", None);
        }
        let tenth = sign_in(bed, &shop, "wrong horse battery", &key).await;
        assert!([401, 429].contains(&tenth.status), "{tenth:?}");
        let right = sign_in(bed, &shop, PASSWORD, &key).await;
        refused(&right, 429, "login_locked", None);
        let after_ms = right.json()["retry_after_ms"].as_u64().unwrap();
        assert!((60_000..=1_800_000).contains(&after_ms), "{after_ms}");

        // A locked password stops nobody from selling, and no other shop from signing in.
        let order = Pay::sale("sakura-card", "approve", 100).module_order(bed, &shop).unwrap();
        let paid = bed.connection(&shop).await.unwrap().pay(&order, None).await.unwrap();
        assert_eq!(paid.state, State::Done);
        let other = sign_in(bed, bed.shop(), PASSWORD, &fresh_signing_key()).await;
        assert_eq!(other.status, 200);
    });
}

#[test]
fn an_unknown_user_is_answered_like_a_wrong_password() {
    BED.run(async |bed| {
        let key = fresh_signing_key();
        let told = async |user: &str, password: &str| {
            let body = json!({ "user_id": user, "password": password, "key": key.public() });
            let mut answer = call(bed, &key, &Draft::post("/v1/sessions", &body)).await.json();
            answer["request_id"].take();
            answer
        };
        let nobody = told("usr_014d2pf2dbzzzzzzzzzzzzzzzz", PASSWORD).await;
        let somebody = told(&bed.shop().enrolment.user_id.to_string(), "wrong horse battery").await;
        assert_eq!(nobody, somebody);
        assert_eq!(nobody["code"], "credential_refused");
    });
}

#[test]
fn a_person_signs_in_by_the_module_and_out_again() {
    BED.run(async |bed| {
        let shop = bed.open_shop("Person").await.unwrap();
        let setup = || bed.setup(&shop, bed.config().unwrap());
        let password = || SecretText::new(PASSWORD.to_owned());
        let user = shop.enrolment.user_id;
        let (session, answer) = Connection::login(setup(), user, password()).await.unwrap();
        assert_eq!((answer.shop_id, answer.idle_ms), (shop.enrolment.shop_id, 15 * 60 * 1000));
        session.methods(None).await.unwrap();
        session.sign_out().await.unwrap();
        let closed = session.methods(None).await.unwrap_err();
        assert_eq!(closed.code().as_str(), "closed");

        let wrong = SecretText::new("wrong horse battery".to_owned());
        let refused = Connection::login(setup(), user, wrong).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::SignInAgain);
        assert_eq!(refused.code().as_str(), "credential_refused");
    });
}

#[test]
fn a_replayed_sign_in_does_not_revive_an_ended_session() {
    BED.run(async |bed| {
        let shop = bed.open_shop("Replayed").await.unwrap();
        let key = fresh_signing_key();
        let body = json!({
            "user_id": shop.enrolment.user_id, "password": PASSWORD, "key": key.public(),
        });
        let caller = bed.caller_with(copy(&key));
        let place = bed.server.place().unwrap();
        let signed = caller.sign(&Draft::post("/v1/sessions", &body));
        let first = caller.send(&place, &signed).await.unwrap();
        assert_eq!(first.status, 200);
        let repeat = caller.send(&place, &signed).await.unwrap();
        assert_eq!((repeat.status, &repeat.body), (200, &first.body));
        let end = Draft::post("/v1/sessions/end", &json!({})).keyed(fresh_key());
        assert_eq!(call(bed, &key, &end).await.status, 200);
        let again = caller.send(&place, &signed).await.unwrap();
        refused(&again, 401, "credential_refused", None);
        assert_eq!(may_read(bed, &key).await, "session_ended");
    });
}

#[test]
fn a_rolled_key_has_a_successor_and_goes_on_for_a_day() {
    BED.run(async |bed| {
        let shop = bed.open_shop("Rolling").await.unwrap();
        let line = bed.connection(&shop).await.unwrap();
        let old = line.key_id();
        let rolled = line.roll_key().await.unwrap();
        assert_eq!(line.key_id(), rolled.key_id);
        assert_ne!(rolled.key_id, old);
        line.methods(None).await.unwrap();
        assert_eq!(may_read(bed, &shop.key).await, "ok");
        let keys = line.list_keys().await.unwrap();
        let of = |id| keys.iter().find(|key| key.key_id == id).unwrap();
        assert_eq!(of(rolled.key_id).ends_at_ms, None);
        let ends = of(old).ends_at_ms.unwrap();
        let day = std::time::Duration::from_secs(24 * 3600);
        assert!(ends > pos_tests::raw::now() && ends <= pos_tests::raw::now().plus(day));

        // Revoked is at once: itself, by its own call.
        line.revoke_key(&rolled.key_id).await.unwrap();
        let refused = line.methods(None).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::SignInAgain);
        assert_eq!(refused.code().as_str(), "key_revoked");
        assert_eq!(may_read(bed, &shop.key).await, "ok");
    });
}

#[test]
fn another_key_is_revoked_by_a_person_or_the_operator_and_by_nobody_else() {
    BED.run(async |bed| {
        let shop = bed.open_shop("Revoking").await.unwrap();
        let line = bed.connection(&shop).await.unwrap();
        line.roll_key().await.unwrap();
        let old = shop.key.public().id();
        let refused = line.revoke_key(&old).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "not_permitted");
        assert_eq!(may_read(bed, &shop.key).await, "ok");

        // Who has just given the password may.
        let person = fresh_signing_key();
        assert_eq!(sign_in(bed, &shop, PASSWORD, &person).await.status, 200);
        let revoke = Draft::post(format!("/v1/keys/{old}/revoke"), &json!({})).keyed(fresh_key());
        let revoked = call(bed, &person, &revoke).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
        assert!(revoked.json()["ended_at_ms"].is_u64());
        assert_eq!(may_read(bed, &shop.key).await, "key_revoked");

        let words =
            ["key", "revoke", &shop.enrolment.shop_id.to_string(), &line.key_id().to_string()];
        bed.server.operate(&words).await.unwrap();
        let refused = line.methods(None).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "key_revoked");
        let listed = bed.server.operate(&["key", "list", words[2]]).await.unwrap();
        let [left] = &listed["keys"].as_array().unwrap()[..] else { panic!("{listed}") };
        assert_eq!(
            (left["kind"].as_str(), left["state"].as_str()),
            (Some("session"), Some("active"))
        );
    });
}

#[test]
fn a_roll_needs_the_proof_of_the_new_key_and_a_key_of_its_own() {
    BED.run(async |bed| {
        let shop = bed.open_shop("Proof").await.unwrap();
        let new = fresh_signing_key();
        let roll = |proof: &SigningKey| {
            let octets = pos_protocol::enrolment::key_roll_proof(&shop.key.public(), &new.public());
            let body = json!({ "key": new.public(), "proof": proof.sign(&octets) });
            Draft::post("/v1/keys/roll", &body).keyed(fresh_key())
        };
        let forged = call(bed, &shop.key, &roll(&shop.key)).await;
        refused(&forged, 400, "invalid_field", Some("proof"));
        assert_eq!(may_read(bed, &new).await, "key_unknown");
        let good = roll(&new);
        let rolled = call(bed, &shop.key, &good).await;
        assert_eq!(rolled.status, 200, "{rolled:?}");
        let again = call(bed, &shop.key, &good).await;
        assert_eq!((again.status, &again.body), (200, &rolled.body));
        assert_eq!(may_read(bed, &new).await, "ok");
    });
}

/// Whoever generates a client from the repository's document and whoever asks a server get the same.
#[test]
fn the_served_openapi_document_is_the_committed_one() {
    BED.run(async |bed| {
        let place = bed.server.place().unwrap();
        let answer = place.send(&Request::get("/v1/openapi.json")).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/json");
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        assert!(answer.body == std::fs::read(committed).unwrap(), "make docs/openapi.json anew");
    });
}
