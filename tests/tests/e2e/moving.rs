//! The move from the embedded engine to PostgreSQL, by the operator's real command: what was answered
//! stands, what was open comes to its end, and nothing is left for two servers to live on.

use std::fs;
use std::time::Duration;

use pos_connect::wire::{KeyStatus, SetNoticesRequest, SetWebhook, WireOperationState as State};
use pos_protocol::money::{Currency, Money};
use pos_tests::pay::Pay;
use pos_tests::postgres::{Cluster, Durability};
use pos_tests::raw::{self, Draft, fresh_key};
use pos_tests::receiver::Receiver;
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};

const MOVE: [&str; 3] = ["move-database", "--to-config", "new.toml"];
const CHECK: [&str; 4] = ["move-database", "--to-config", "new.toml", "--check"];

/// A bare call, and its verified answer. A refusal names the request, which is another one each time.
async fn call(bed: &Bed, draft: &Draft) -> (u16, String) {
    let place = bed.server.place().unwrap();
    let draft = Draft { created: raw::now(), ..draft.clone() };
    let answer = bed.caller(bed.shop()).call(&place, &draft).await.unwrap();
    assert!(answer.verified.is_ok(), "{answer:?}");
    let body = String::from_utf8(answer.body).unwrap();
    let (before, id) = body.split_once("req_").unwrap_or((&body, ""));
    (answer.status, format!("{before}{}", id.trim_start_matches(char::is_alphanumeric)))
}

async fn refused(bed: &Bed, words: &[&str]) -> String {
    let refused = bed.server.operate(words).await.unwrap_err().to_string();
    assert!(refused.contains("\"error\""), "{refused}");
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_finds_everything_as_it_was_after_the_move_to_postgresql() {
    let cluster = Cluster::start(Durability::Synced).unwrap();
    let url = cluster.database().unwrap();
    let (_, database) = url.rsplit_once('/').unwrap();
    let receiver = Receiver::start().await.unwrap();
    let mut options = BedOptions { processing_limit_ms: 3_000, ..BedOptions::default() };
    options.server.lease_seconds = 13;
    options.server.more = receiver.settings();
    let bed = Bed::start(&options).await.unwrap();
    let (shop, data) = (bed.shop(), bed.folder().join("data"));
    let line = bed.connection(shop).await.unwrap();
    let hook = SetWebhook { url: receiver.url(), new_key: false };
    line.set_notices(&SetNoticesRequest { mail: None, webhook: Some(hook) }).await.unwrap();
    receiver.stop().await;

    // A sale with a refund, an authorisation with a capture, a decline, a refusal that is kept.
    let mut answered = Vec::new();
    let mut make = async |draft: Draft| {
        let (status, body) = call(&bed, &draft).await;
        let view: Value = serde_json::from_str(&body).unwrap();
        answered.push((draft, status, body));
        (status, view)
    };
    let draft = |pay: &Pay| pay.draft(&bed, shop).unwrap();
    let change = |view: &Value, kind: &str, minor: u64| {
        let path = format!("/v1/payments/{}/{kind}", view["payment_id"].as_str().unwrap());
        Draft::post(path, &json!({ "amount": minor, "currency": "JPY" })).keyed(fresh_key())
    };
    let sale = Pay::sale("sakura-card", "approve", 1_200);
    let (_, paid) = make(draft(&sale)).await;
    make(change(&paid, "refunds", 200)).await;
    let (_, held) = make(draft(&Pay::authorise("sakura-card", "approve", 1_300))).await;
    make(change(&held, "captures", 300)).await;
    make(draft(&Pay::sale("momiji-prepaid", "insufficient_funds", 1_400))).await;
    let (status, _) = make(draft(&sale.clone())).await;
    assert_eq!(status, 409, "the order is taken");
    // And one of which nobody knows what became of it, because the bank does not say.
    let unknown = Pay::sale("aozora-bank", "fault:no_answer", 1_500);
    let (order, key) = (unknown.module_order(&bed, shop).unwrap(), fresh_key());
    let asking = tokio::spawn({
        let (line, key) = (line.clone(), key.clone());
        async move { line.pay(&order, Some(key)).await }
    });
    wait::until("the bank has it", async || {
        (unknown.effects(&bed).await == [(1_500, 1)]).then_some(())
    })
    .await;
    bed.institutions.kill().await.unwrap();
    wait::until("it is unknown", async || match line.operation(&key).await.unwrap() {
        KeyStatus::Operation(found) => (found.state == State::Unknown).then_some(()),
        _ => None,
    })
    .await;
    asking.abort();
    let history = Draft::get("/v1/payments?limit=100");
    let before = call(&bed, &history).await;

    let settings = fs::read_to_string(bed.folder().join("pos.toml")).unwrap();
    let new = format!("database = \"{url}\"\n{settings}");
    fs::write(bed.folder().join("new.toml"), &new).unwrap();
    assert!(refused(&bed, &MOVE).await.contains("is in use by the server"));
    bed.server.end(Duration::from_secs(60)).await.unwrap();
    // Never into a database that holds something, nor beside another data folder.
    cluster.sql(database, "CREATE TABLE somebody (x bigint)").unwrap();
    assert!(refused(&bed, &MOVE).await.contains("holds something already"));
    cluster.sql(database, "DROP TABLE somebody").unwrap();
    let elsewhere = new.replace("\"data\"", "\"other\"");
    fs::write(bed.folder().join("other.toml"), elsewhere).unwrap();
    let words = ["move-database", "--to-config", "other.toml"];
    assert!(refused(&bed, &words).await.contains("the same data folder"));
    let note = data.join("pos.sqlite3.moved");
    assert!(!note.exists());
    // Moved to another place before; or to this one, as a crash between the note and the last word leaves it.
    fs::write(&note, "postgres://pos@elsewhere/pos\n").unwrap();
    assert!(refused(&bed, &MOVE).await.contains("was moved to postgres://pos@elsewhere/pos"));
    fs::write(&note, &url).unwrap();

    let moved = bed.server.operate(&MOVE).await.unwrap();
    let rows = |table: &str| {
        let all = moved["tables"].as_array().unwrap();
        all.iter().find(|one| one["table"] == table).unwrap()["rows"].as_u64().unwrap()
    };
    assert_eq!(rows("payment"), 4, "{moved}");
    assert_eq!(rows("operation"), 7, "six, and the refusal: {moved}");
    assert_eq!(rows("open_operation"), 1, "{moved}");
    assert!(rows("notice") >= 5, "{moved}");
    let again = bed.server.operate(&CHECK).await.unwrap();
    assert_eq!(again["tables"], moved["tables"]);
    // A lost last word: the next try finds the new one occupied, and comparing them settles it.
    fs::write(&note, &url).unwrap();
    assert!(refused(&bed, &MOVE).await.contains("--check compares them"));
    assert_eq!(bed.server.operate(&CHECK).await.unwrap()["tables"], moved["tables"]);
    // From then on it is never moved again, were the new one empty.
    assert!(refused(&bed, &MOVE).await.contains("was moved to postgres://pos@"));

    // The old one is no place to live on any more.
    let stuck = bed.server.restart().await.unwrap_err().to_string();
    assert!(stuck.contains("was moved to postgres://pos@"), "{stuck}");
    let stuck = refused(&bed, &["shop", "list"]).await;
    assert!(stuck.contains("start with settings that name that one"), "{stuck}");

    // One unit of money more in one row, and an answer that says another thing.
    for (bend, back, table) in [
        ("captured = captured + 1", "captured = captured - 1", "payment"),
        ("moved = moved + 1", "moved = moved - 1", "operation"),
    ] {
        let update = |what| format!("UPDATE {table} SET {what} WHERE amount = 1200");
        cluster.sql(database, &update(bend)).unwrap();
        let found = refused(&bed, &CHECK).await;
        assert!(found.contains(&format!("the table {table} is not the same")), "{found}");
        cluster.sql(database, &update(back)).unwrap();
    }
    assert_eq!(bed.server.operate(&CHECK).await.unwrap()["tables"], moved["tables"]);

    // As if the minutes had passed after which a silent receiver is tried again.
    cluster.sql(database, "UPDATE notice SET due_at = created_at").unwrap();
    fs::rename(bed.folder().join("new.toml"), bed.folder().join("pos.toml")).unwrap();
    receiver.listen().await.unwrap();
    bed.server.restart().await.unwrap();
    assert_eq!(call(&bed, &history).await, before);
    for (draft, status, body) in &answered {
        assert_eq!(call(&bed, draft).await, (*status, body.clone()), "{draft:?}");
    }
    bed.institutions.restart().await.unwrap();
    let found = wait::until("the bank says what became of it", async || {
        let found = line.resume(&key).await.ok()?;
        found.state.is_final().then_some(found)
    })
    .await;
    assert_eq!(found.state, State::Done);
    assert_eq!(unknown.effects(&bed).await, [(1_500, 1)]);
    // What is done next comes behind what was done before.
    let id = serde_json::from_value(paid["payment_id"].clone()).unwrap();
    let refund = Money::new(300, Currency::JPY).unwrap();
    assert_eq!(line.refund(id, refund, None).await.unwrap().state, State::Done);
    let payment = line.payment(id).await.unwrap();
    let amounts: Vec<_> = payment.operations.iter().map(|one| one.amount.minor()).collect();
    assert_eq!((amounts, payment.refunded), (vec![1_200, 200, 300], 500));
    // The shop is told what waited, once each, and what came after.
    let told = usize::try_from(rows("notice")).unwrap() + 2;
    let arrived = receiver.until(told).await;
    let mut ids: Vec<_> = arrived.iter().map(|one| one.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), arrived.len());
    let audit = bed.server.operate(&["audit", "verify"]).await.unwrap();
    assert_eq!((&audit["findings"], &audit["unsigned"]), (&json!([]), &json!(0)), "{audit}");
    assert_eq!(bed.faults_in_log().unwrap(), [""; 0]);
}
