//! Processes that end: killed, asked to end, away. Each test has a bed of its own.

use std::time::Duration;

use pos_connect::wire::{KeyStatus, OperationView, WireOperationState as State};
use pos_protocol::id::IdempotencyKey;
use pos_tests::bed::LedgerOperation;
use pos_tests::pay::Pay;
use pos_tests::raw::{self, Answer, Draft};
use pos_tests::shared::LogsOnPanic;
use pos_tests::{Bed, BedOptions, wait};
use serde_json::json;

async fn start(processing_limit_ms: u32) -> Bed {
    let options = BedOptions { processing_limit_ms, ..BedOptions::default() };
    Bed::start(&options).await.unwrap()
}

async fn send(bed: &Bed, draft: &Draft) -> Answer {
    let draft = Draft { created: raw::now(), ..draft.clone() };
    bed.caller(bed.shop()).call(&bed.server.place().unwrap(), &draft).await.unwrap()
}

/// What became of a key, once that is final.
async fn outcome(bed: &Bed, key: &IdempotencyKey) -> OperationView {
    let line = bed.connection(bed.shop()).await.unwrap();
    let found = wait::until("the outcome is found", || async {
        match line.operation(key).await.unwrap() {
            KeyStatus::Operation(found) => found.state.is_final().then_some(found),
            other => panic!("{other:?}"),
        }
    });
    found.await
}

async fn booked(bed: &Bed, pay: &Pay) -> Option<LedgerOperation> {
    let all = bed.institutions.operations(pay.institution).await.unwrap();
    all.into_iter().find(|one| one.order_id == pay.order_id.as_str())
}

fn without_request_id(answer: &Answer) -> serde_json::Value {
    let mut body = answer.json();
    body["request_id"].take();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_gives_every_answer_again_byte_for_byte() {
    let bed = start(5_000).await;
    let _logs = LogsOnPanic(&bed);
    let shop = bed.shop();
    let paid = Pay::sale("sakura-card", "approve", 1_500);
    let mut drafts = vec![
        paid.draft(&bed, shop).unwrap(),
        Pay::sale("momiji-prepaid", "insufficient_funds", 300).draft(&bed, shop).unwrap(),
        Pay::sale("aozora-bank", "approve", 10_000).draft(&bed, shop).unwrap(),
        // A refusal that time could undo is kept too: the order is taken.
        Pay::sale("aozora-bank", "approve", 1_500)
            .order(paid.order_id.clone())
            .draft(&bed, shop)
            .unwrap(),
    ];
    let mut answers = Vec::new();
    for draft in &drafts {
        answers.push(send(&bed, draft).await);
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 409]);
    let payment = answers[0].json()["payment_id"].as_str().unwrap().to_owned();
    let refund = Draft::post(
        format!("/v1/payments/{payment}/refunds"),
        &json!({ "amount": 500, "currency": "JPY" }),
    );
    drafts.push(refund.keyed(raw::fresh_key()));
    answers.push(send(&bed, drafts.last().unwrap()).await);
    assert_eq!(answers[4].status, 200);
    let before = bed.footprint(shop).await.unwrap();

    for _ in 0..2 {
        bed.server.kill().await.unwrap();
        bed.server.restart().await.unwrap();
        for (draft, first) in drafts.iter().zip(&answers) {
            let again = send(&bed, draft).await;
            assert!(again.verified.is_ok());
            assert_eq!(again.status, first.status);
            if first.status == 200 {
                assert_eq!(again.body, first.body);
            } else {
                assert_eq!(without_request_id(&again), without_request_id(first));
            }
        }
        assert_eq!(bed.footprint(shop).await.unwrap(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_server_was_killed_is_found_by_inquiry() {
    let bed = start(4_000).await;
    let _logs = LogsOnPanic(&bed);
    let shop = bed.shop();
    let silent = Pay::sale("sakura-card", "fault:no_answer", 2_200);
    let lost = Pay::sale("sakura-card", "fault:lost", 2_300);
    let (taken, gone) = (silent.draft(&bed, shop).unwrap(), lost.draft(&bed, shop).unwrap());
    let place = bed.server.place().unwrap();
    let caller = bed.caller(shop);
    let sending = async { tokio::join!(caller.call(&place, &taken), caller.call(&place, &gone)) };
    let killing = async {
        // Both are under way: the one is in the books, the other in the server's.
        wait::until("the institution has it", || booked(&bed, &silent)).await;
        let line = bed.connection(shop).await.unwrap();
        wait::until("the server has the other", || async {
            line.payment_of_order(&lost.order_id).await.ok()
        })
        .await;
        bed.server.kill().await.unwrap();
    };
    let ((first, second), ()) = tokio::join!(sending, killing);
    assert!(first.is_err() && second.is_err(), "the line broke: {first:?} {second:?}");

    bed.server.restart().await.unwrap();
    let key = |draft: &Draft| draft.key.as_ref().unwrap().parse().unwrap();
    let found = outcome(&bed, &key(&taken)).await;
    assert_eq!(found.state, State::Done);
    let booked_once = booked(&bed, &silent).await.unwrap();
    assert_eq!((booked_once.moved, booked_once.effects), (2_200, 1));
    let not_sent = outcome(&bed, &key(&gone)).await;
    assert_eq!(not_sent.state, State::NotSent);
    let took = not_sent.ended_at_ms.unwrap().since(not_sent.created_at_ms);
    assert!(took >= Duration::from_secs(4), "final after {took:?}");
    assert!(booked(&bed, &lost).await.is_none_or(|one| one.moved == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_asked_to_end_finishes_what_is_under_way() {
    let bed = start(10_000).await;
    let _logs = LogsOnPanic(&bed);
    let slow = Pay::sale("sakura-card", "fault:delayed_answer", 1_800);
    let draft = slow.draft(&bed, bed.shop()).unwrap();
    let caller = bed.caller(bed.shop());
    let place = bed.server.place().unwrap();
    let ending = async {
        wait::until("the institution has it", || booked(&bed, &slow)).await;
        bed.server.end(Duration::from_secs(35)).await.unwrap().unwrap()
    };
    let (answer, status) = tokio::join!(caller.call(&place, &draft), ending);
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.verified.is_ok()), (200, true), "{answer:?}");
    assert_eq!(answer.json()["state"], "done");
    assert!(status.success(), "{status}");
    assert!(place.connect().await.is_err(), "it still listens");

    bed.server.restart().await.unwrap();
    let again = send(&bed, &draft).await;
    assert_eq!((again.status, &again.body), (200, &answer.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_institution_that_is_away_was_certainly_not_sent_to() {
    let bed = start(5_000).await;
    let _logs = LogsOnPanic(&bed);
    let before = bed.institutions.ledgers().await.unwrap();
    bed.institutions.kill().await.unwrap();
    let pay = Pay::sale("sakura-card", "approve", 900);
    let draft = pay.draft(&bed, bed.shop()).unwrap();
    let answer = send(&bed, &draft).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    assert_eq!(answer.json()["state"], "not_sent");

    bed.institutions.restart().await.unwrap();
    assert_eq!(bed.institutions.ledgers().await.unwrap(), before, "the books survive a restart");
    // Final: the same key stays as it is; a new try takes a new one.
    let again = send(&bed, &draft).await;
    assert_eq!((again.status, &again.body), (200, &answer.body));
    let retry = pay.clone().draft(&bed, bed.shop()).unwrap();
    let paid = send(&bed, &retry).await;
    assert_eq!(paid.json()["state"], "done", "{:?}", paid.json());
    assert_eq!(booked(&bed, &pay).await.unwrap().effects, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_institution_that_dies_in_the_middle_is_asked_when_it_is_back() {
    let bed = start(5_000).await;
    let _logs = LogsOnPanic(&bed);
    let pay = Pay::sale("aozora-bank", "fault:no_answer", 7_000);
    let draft = pay.draft(&bed, bed.shop()).unwrap();
    let place = bed.server.place().unwrap();
    let caller = bed.caller(bed.shop());
    let dying = async {
        wait::until("the institution has it", || booked(&bed, &pay)).await;
        bed.institutions.kill().await.unwrap();
    };
    let (told, ()) = tokio::join!(caller.call(&place, &draft), dying);
    let told = told.unwrap();
    assert_eq!(told.status, 202, "{:?}", told.json());
    bed.institutions.restart().await.unwrap();
    let found = outcome(&bed, &draft.key.as_ref().unwrap().parse().unwrap()).await;
    assert_eq!(found.state, State::Done);
    assert_eq!(booked(&bed, &pay).await.unwrap().effects, 1);
}
