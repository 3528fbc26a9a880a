//! A backup of a running server, and what a restore of an older copy may forget.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pos_connect::Connection;
use pos_connect::journal::{Attempt, Begun, Digest, Entry, Journal as _, MemoryJournal, Owner};
use pos_connect::wire::{KeyStatus, WireOperationState as State};
use pos_protocol::Timestamp;
use pos_protocol::id::IdempotencyKey;
use pos_protocol::money::{Currency, Money};
use pos_tests::pay::Pay;
use pos_tests::raw::{Draft, fresh_key, now};
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};

const CARD: &str = "sakura-card";
const HALF_A_DAY_MS: u64 = 12 * 60 * 60 * 1000;

async fn operate(bed: &Bed, words: &[&str]) -> Value {
    bed.server.operate(words).await.unwrap()
}

async fn refused(bed: &Bed, words: &[&str]) -> String {
    bed.server.operate(words).await.unwrap_err().to_string()
}

/// The keys as the operator copies them, apart from the backups.
fn copy_keys(bed: &Bed) {
    let keys = bed.folder().join("keys");
    fs::create_dir(&keys).unwrap();
    for file in ["answer-key.pem", "institution-call-key.pem", "pepper.key", "webhook-seed.key"] {
        fs::copy(bed.folder().join("data").join(file), keys.join(file)).unwrap();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn call(bed: &Bed, draft: Draft) -> (u16, Value) {
    let caller = bed.caller(bed.shop());
    let answer = caller.call(&bed.server.place().unwrap(), &draft).await.unwrap();
    assert!(answer.verified.is_ok(), "{answer:?}");
    (answer.status, answer.json())
}

/// A line of a module that was killed before it heard the answers to these calls, made at these times.
async fn after_a_crash(bed: &Bed, calls: &[(&IdempotencyKey, Timestamp)]) -> Connection {
    let journal = MemoryJournal::default();
    for (key, made) in calls {
        let expires_ms = made.plus(std::time::Duration::from_secs(10));
        let entry = Entry {
            key: (*key).clone(),
            owner: Owner {
                authority: bed.server.address().authority.clone(),
                shop_id: bed.shop().enrolment.shop_id,
            },
            operation: "sale".into(),
            order_id: None,
            payment_id: None,
            amount: None,
            currency: None,
            digest: Digest([7; 32]),
            attempts: vec![Attempt { created_ms: *made, expires_ms }],
        };
        assert!(matches!(journal.begin(entry).await, Ok(Begun::New)));
    }
    let setup = bed.setup_with(bed.shop(), bed.config().unwrap(), journal);
    Connection::open(setup).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_a_restore_forgot_is_told_to_a_person_and_never_made_again() {
    let options = BedOptions { processing_limit_ms: 3_000, ..BedOptions::default() };
    let bed = Bed::start(&options).await.unwrap();
    let began = now().as_ms() - HALF_A_DAY_MS;
    copy_keys(&bed);
    let module = bed.connection(bed.shop()).await.unwrap();
    let order = |pay: &Pay| pay.module_order(&bed, bed.shop()).unwrap();
    let kept = module.pay(&order(&Pay::sale(CARD, "approve", 1_200)), None).await.unwrap();
    // One that is open when the backup is made, and ends after it.
    let silent = json!({ "institution": CARD, "fault": "no_answer", "on": ["inquiries"] });
    bed.institutions.add_fault(silent).await.unwrap();
    let open = Pay::sale(CARD, "fault:no_answer", 1_300);
    let draft = open.draft(&bed, bed.shop()).unwrap();
    let draft = Draft { life: std::time::Duration::from_secs(4), created: now(), ..draft };
    let (status, told) = call(&bed, draft).await;
    assert_eq!(status, 202, "{told}");
    let open_key = told["idempotency_key"].as_str().unwrap().parse().unwrap();

    let made = operate(&bed, &["backup", "monday"]).await;
    assert_eq!(made["folder"], "monday", "{made}");
    let folder = bed.folder().join("monday");
    let expected = ["audit-checkpoints.jsonl", "manifest.json", "pos.sqlite3"];
    assert_eq!(names(&folder), expected, "the keys are not in it");
    for name in expected {
        let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let again = refused(&bed, &["backup", "monday"]).await;
    assert!(again.contains("nothing is overwritten"), "{again}");
    let left = names(&bed.folder().join("data"));
    assert!(!left.iter().any(|name| name.starts_with("snapshot")), "{left:?}");

    // What comes after the backup: a new payment, and a refund of the old one.
    bed.institutions.clear_faults().await.unwrap();
    let lost_pay = Pay::sale(CARD, "approve", 700);
    let key = fresh_key();
    let paid_at = now();
    module.pay(&order(&lost_pay), Some(key.clone())).await.unwrap();
    let yen = |minor| Money::new(minor, Currency::JPY).unwrap();
    module.refund(kept.payment_id, yen(200), None).await.unwrap();
    bed.server.kill().await.unwrap();
    fs::rename(bed.folder().join("data"), bed.folder().join("dead")).unwrap();

    // A restore that cannot be right leaves the folder empty.
    let restore = ["restore", "monday", "--keys", "keys"];
    let database = folder.join("pos.sqlite3");
    let good = fs::read(&database).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&database, &bad).unwrap();
    let damaged = refused(&bed, &restore).await;
    assert!(damaged.contains("is not as it was when the backup was made"), "{damaged}");
    fs::write(&database, &good).unwrap();
    assert_eq!(names(&bed.folder().join("data")), ["lock"]);
    let stray = bed.folder().join("data/stray");
    fs::write(&stray, b"").unwrap();
    let full = refused(&bed, &restore).await;
    assert!(full.contains("is not empty"), "{full}");
    fs::remove_file(&stray).unwrap();
    let pepper = bed.folder().join("keys/pepper.key");
    let right = fs::read(&pepper).unwrap();
    fs::write(&pepper, [7; 32]).unwrap();
    let foreign = refused(&bed, &restore).await;
    assert!(foreign.contains("the pepper is not the one"), "{foreign}");
    fs::write(&pepper, &right).unwrap();

    let restored = operate(&bed, &restore).await;
    let at = |value: &Value| value.as_u64().unwrap();
    assert_eq!(restored["restores"], 1, "{restored}");
    assert_eq!(restored["gap"]["from_ms"], made["made_at_ms"], "{restored}");
    assert!(at(&restored["gap"]["to_ms"]) > at(&restored["gap"]["from_ms"]), "{restored}");
    let held: Vec<_> = bed.institutions.ids().iter().map(ToString::to_string).collect();
    let told: Vec<String> = serde_json::from_value(restored["held"].clone()).unwrap();
    assert!(held.iter().all(|id| told.contains(id)), "{restored}");
    let twice = refused(&bed, &restore).await;
    assert!(twice.contains("is not empty"), "{twice}");

    bed.server.restart().await.unwrap();
    // What was open in the backup is asked about, and ends as the institution says.
    let (early, long_ago) = (fresh_key(), Timestamp::from_ms(began));
    let module = after_a_crash(&bed, &[(&key, paid_at), (&early, long_ago)]).await;
    wait::until("the open payment ends", || async {
        match module.operation(&open_key).await.unwrap() {
            KeyStatus::Operation(found) => (found.state == State::Done).then_some(()),
            other => panic!("{other:?}"),
        }
    })
    .await;
    // The lost one: "not found", with the time that was lost, so never "not made".
    match module.operation(&key).await.unwrap() {
        KeyStatus::Nothing(evidence) => {
            let gap = evidence.gaps.first().unwrap();
            assert_eq!(gap.from_ms.as_ms(), at(&restored["gap"]["from_ms"]));
        }
        other => panic!("{other:?}"),
    }
    let error = module.resume(&key).await.unwrap_err();
    assert_eq!(error.code().as_str(), "needs_human", "{error:?}");
    let error = module.resume(&early).await.unwrap_err();
    assert_eq!(error.code().as_str(), "not_made", "the restore forgot nothing of then: {error:?}");
    // Nothing new is sent anywhere: not the same order again, not the refund again.
    let (status, told) = call(&bed, lost_pay.draft(&bed, bed.shop()).unwrap()).await;
    assert_eq!((status, &told["code"]), (503, &json!("institution_unavailable")), "{told}");
    let refund = format!("/v1/payments/{}/refunds", kept.payment_id);
    let body = json!({ "amount": 200, "currency": "JPY" });
    let (status, told) = call(&bed, Draft::post(&refund, &body).keyed(fresh_key())).await;
    assert_eq!((status, &told["code"]), (503, &json!("institution_unavailable")), "{told}");
    assert_eq!(lost_pay.effects(&bed).await, [(700, 1)], "charged once");

    // The institution says what it did in that time: a payment and a refund that nobody here knows.
    let until = began + 2 * HALF_A_DAY_MS;
    let file = bed.institutions.settlement(CARD, "2026-11-26", began, until).await.unwrap();
    fs::write(bed.folder().join("day.csv"), file).unwrap();
    let ran = bed.server.run(&["reconcile", "--institution", CARD, "day.csv"]).await.unwrap();
    let printed: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let sums = [("both", 2, 2_500), ("theirs_only", 2, 900)].map(|(class, count, amount)| {
        json!({ "class": class, "count": count, "amount": amount, "currency": "JPY" })
    });
    assert_eq!(printed["sums"], json!(sums), "{printed}");

    // A person closes the task, and payments go on at this institution and at no other.
    let listed = operate(&bed, &["task", "list"]).await;
    let tasks = listed["tasks"].as_array().unwrap();
    let lost_in = |task: &&Value| task["text"].as_str().unwrap().starts_with("the database was");
    assert_eq!(tasks.iter().filter(lost_in).count(), 3, "{listed}");
    let holding = tasks.iter().filter(lost_in).find(|task| task["institution_id"] == CARD);
    let id = holding.unwrap()["task_id"].as_str().unwrap();
    operate(&bed, &["task", "resolve", id, "--note", "compared with its file"]).await;
    let paid = call(&bed, Pay::sale(CARD, "approve", 400).draft(&bed, bed.shop()).unwrap()).await;
    assert_eq!((paid.0, &paid.1["state"]), (200, &json!("done")), "{paid:?}");
    let other = Pay::sale("aozora-bank", "approve", 400);
    let (status, told) = call(&bed, other.draft(&bed, bed.shop()).unwrap()).await;
    assert_eq!((status, &told["code"]), (503, &json!("institution_unavailable")), "{told}");

    // The audit is whole: the restore began a chain of its own, and names what was lost.
    let audit = operate(&bed, &["audit", "verify"]).await;
    assert_eq!((&audit["findings"], &audit["unsigned"]), (&json!([]), &json!(0)), "{audit}");
    assert_eq!(audit["gaps"], json!([restored["gap"]]), "{audit}");
    assert!(audit["checkpoints"].as_u64() >= Some(2), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_no_server_and_a_restore_of_it() {
    let bed = Bed::start(&BedOptions { shops: 0, ..BedOptions::default() }).await.unwrap();
    copy_keys(&bed);
    bed.server.kill().await.unwrap();
    operate(&bed, &["backup", "offline"]).await;
    fs::remove_dir_all(bed.folder().join("data")).unwrap();
    operate(&bed, &["restore", "offline", "--keys", "keys"]).await;
    let listed = operate(&bed, &["institution", "list"]).await;
    assert_eq!(listed["institutions"].as_array().unwrap().len(), 3, "{listed}");
    bed.server.restart().await.unwrap();
}
