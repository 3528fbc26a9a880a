//! What must not stand is undone: by the shop's word, by the time it gave, or by a person; and an
//! institution that is silent gets nothing new.

use std::time::Duration;

use pos_connect::wire::{KeyStatus, OperationView, PaymentView, WireOperationState as State};
use pos_connect::{Connection, ErrorCode};
use pos_protocol::payment::{OperationKind, PaymentState};
use pos_tests::bed::LedgerOperation;
use pos_tests::pay::Pay;
use pos_tests::raw::{Draft, fresh_key, now};
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};

/// Every test here silences or bends whole institutions, so each has a bed of its own.
async fn bed() -> Bed {
    let options = BedOptions { processing_limit_ms: 3_000, ..BedOptions::default() };
    Bed::start(&options).await.unwrap()
}

async fn line(bed: &Bed) -> Connection {
    bed.connection(bed.shop()).await.unwrap()
}

async fn fault(bed: &Bed, fault: &str, on: &[&str]) {
    let planned = json!({ "institution": "sakura-card", "fault": fault, "on": on });
    bed.institutions.add_fault(planned).await.unwrap();
}

/// Sends a call bare, and waits a few seconds for it.
async fn send(bed: &Bed, draft: Draft) -> (u16, Value) {
    let draft = Draft { life: Duration::from_secs(4), created: now(), ..draft };
    let caller = bed.caller(bed.shop());
    let answer = caller.call(&bed.server.place().unwrap(), &draft).await.unwrap();
    assert!(answer.verified.is_ok(), "{answer:?}");
    (answer.status, answer.json())
}

/// Begins a payment whose answer is lost, and answers its operation.
async fn unknown(bed: &Bed, pay: &Pay) -> OperationView {
    let draft = pay.draft(bed, bed.shop()).unwrap();
    let (status, told) = send(bed, draft).await;
    let told: OperationView = serde_json::from_value(told).unwrap();
    assert_eq!(status, 202, "{told:?}");
    told
}

/// What became of the operation under this key, once that is final.
async fn outcome(bed: &Bed, view: &OperationView) -> OperationView {
    let line = line(bed).await;
    wait::until("the outcome is found", || async {
        match line.operation(&view.idempotency_key).await.unwrap() {
            KeyStatus::Operation(found) if found.state.is_final() => Some(found),
            KeyStatus::Operation(_) => None,
            other => panic!("{other:?}"),
        }
    })
    .await
}

async fn payment(bed: &Bed, view: &OperationView) -> PaymentView {
    line(bed).await.payment(view.payment_id).await.unwrap()
}

async fn booked(bed: &Bed, view: &OperationView) -> Option<LedgerOperation> {
    bed.institutions.operation(&view.institution, view.operation_id).await.unwrap()
}

async fn void(bed: &Bed, view: &OperationView) -> (u16, Value) {
    let path = format!("/v1/payments/{}/voids", view.payment_id);
    send(bed, Draft::post(&path, &json!({})).keyed(fresh_key())).await
}

/// The payment counts for nothing, at the institution as here, and its order can be paid.
async fn is_undone(bed: &Bed, pay: &Pay, sale: &OperationView) {
    let found = outcome(bed, sale).await;
    assert_eq!(found.state, State::Reversed, "{found:?}");
    let payment = payment(bed, sale).await;
    assert_eq!(payment.state, PaymentState::Voided, "{payment:?}");
    let sums = [payment.authorised, payment.captured, payment.released, payment.refunded];
    assert_eq!(sums, [0; 4]);
    let reverse =
        payment.operations.iter().find(|one| one.operation == OperationKind::Reverse).unwrap();
    assert_eq!((&reverse.state, reverse.amount), (&State::Done, sale.amount));
    // The server's own operation is found by its id.
    let key = reverse.operation_id.to_string().parse().unwrap();
    let by_key = line(bed).await.operation(&key).await.unwrap();
    assert!(matches!(by_key, KeyStatus::Operation(found) if found == *reverse));
    let ledger = bed.institutions.ledger("sakura-card").await.unwrap();
    assert!(ledger.balanced, "{ledger:?}");
    let captured: u64 = ledger.totals.iter().map(|one| one.captured).sum();
    assert_eq!(captured, 0, "{ledger:?}");
    bed.institutions.clear_faults().await.unwrap();
    let again = Pay::sale("sakura-card", "approve", 1_300).order(pay.order_id.clone());
    let paid = send(bed, again.draft(bed, bed.shop()).unwrap()).await;
    assert_eq!((paid.0, &paid.1["state"]), (200, &json!("done")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_is_learnt_of_after_the_shop_gave_up_is_reversed() {
    let bed = bed().await;
    let pay =
        Pay { give_up_after_s: Some(1), ..Pay::sale("sakura-card", "fault:no_answer", 1_300) };
    let sale = unknown(&bed, &pay).await;
    is_undone(&bed, &pay, &sale).await;
    let booked = booked(&bed, &sale).await.unwrap();
    assert_eq!((booked.state.as_str(), booked.moved), ("reversed", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_before_the_shop_gives_up_stands() {
    let bed = bed().await;
    let pay =
        Pay { give_up_after_s: Some(600), ..Pay::sale("sakura-card", "fault:no_answer", 1_300) };
    let sale = unknown(&bed, &pay).await;
    assert_eq!(outcome(&bed, &sale).await.state, State::Done);
    let out_of_range = Pay { give_up_after_s: Some(604_801), ..pay };
    let refused = send(&bed, out_of_range.draft(&bed, bed.shop()).unwrap()).await;
    assert_eq!((refused.0, &refused.1["field"]), (400, &json!("give_up_after_s")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_of_what_is_unknown_undoes_whatever_happened() {
    let bed = bed().await;
    // The payment was made, and nobody hears of it.
    fault(&bed, "no_answer", &["inquiries"]).await;
    let pay = Pay::sale("sakura-card", "fault:no_answer", 1_300);
    let sale = unknown(&bed, &pay).await;
    let known = wait::until("the outcome is unknown", || async {
        let found = payment(&bed, &sale).await;
        (found.state == PaymentState::Unknown).then_some(found)
    });
    assert_eq!(known.await.operations.len(), 1);
    let (status, told) = void(&bed, &sale).await;
    assert_eq!((status, &told["operation"]), (202, &json!("void")), "{told}");
    let voided = outcome(&bed, &serde_json::from_value(told).unwrap()).await;
    assert_eq!((voided.state, voided.done_amount), (State::Done, Some(sale.amount)));
    is_undone(&bed, &pay, &sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_of_what_never_arrived_ends_when_it_can_arrive_no_more() {
    let bed = bed().await;
    fault(&bed, "no_answer", &["inquiries"]).await;
    let pay = Pay::sale("sakura-card", "fault:lost", 1_300);
    let sale = unknown(&bed, &pay).await;
    wait::until("the outcome is unknown", || async {
        let found = payment(&bed, &sale).await;
        (found.state == PaymentState::Unknown).then_some(())
    })
    .await;
    let (status, told) = void(&bed, &sale).await;
    assert_eq!(status, 202, "{told}");
    is_undone(&bed, &pay, &sale).await;
    assert_eq!(booked(&bed, &sale).await, None);
    let undone = outcome(&bed, &sale).await;
    let took = undone.ended_at_ms.unwrap().since(undone.created_at_ms);
    assert!(took >= Duration::from_secs(3), "final after {took:?}, while it could still arrive");
}

/// Half of the answers to reversals are lost: the same reversal is sent until one comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_reversal_is_repeated_until_it_is_answered() {
    let bed = bed().await;
    for lost in ["no_answer", "processed_then_cut", "lost"] {
        let planned =
            json!({ "institution": "sakura-card", "fault": lost, "on": ["reversals"], "times": 1 });
        bed.institutions.add_fault(planned).await.unwrap();
    }
    let pay =
        Pay { give_up_after_s: Some(1), ..Pay::sale("sakura-card", "fault:no_answer", 1_300) };
    let sale = unknown(&bed, &pay).await;
    let found = outcome(&bed, &sale).await;
    assert_eq!(found.state, State::Reversed);
    assert_eq!(bed.institutions.faults().await.unwrap()["sakura-card"], json!([]), "each was met");
    let reverses = payment(&bed, &sale).await.operations;
    assert_eq!(reverses.iter().filter(|one| one.operation == OperationKind::Reverse).count(), 1);
    is_undone(&bed, &pay, &sale).await;
}

/// A refund has the same effect however often it is sent, so one that got lost is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_got_lost_is_sent_again_and_pays_back_once() {
    let bed = bed().await;
    let pay = Pay::sale("sakura-card", "approve", 1_300);
    let (status, paid) = send(&bed, pay.draft(&bed, bed.shop()).unwrap()).await;
    assert_eq!(status, 200, "{paid}");
    let paid: OperationView = serde_json::from_value(paid).unwrap();
    let path = format!("/v1/payments/{}/refunds", paid.payment_id);
    let body = json!({ "amount": 500, "currency": "JPY" });
    for lost in ["cut", "processed_then_cut"] {
        let planned = json!({
            "institution": "sakura-card", "fault": lost, "times": 1, "operations": ["refund"],
        });
        bed.institutions.add_fault(planned).await.unwrap();
        let (status, told) = send(&bed, Draft::post(&path, &body).keyed(fresh_key())).await;
        assert_eq!(status, 202, "{lost}: {told}");
        let refunded = outcome(&bed, &serde_json::from_value(told).unwrap()).await;
        assert_eq!(refunded.state, State::Done, "{lost}");
        assert_eq!(booked(&bed, &refunded).await.unwrap().effects, 1, "{lost}");
    }
    assert_eq!(payment(&bed, &paid).await.refunded, 1_000);
}

/// An institution that will not reverse: a person decides, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_decides_what_no_machine_can() {
    let bed = bed().await;
    bed.institutions.set_quirk("sakura-card", Some("refuses_reversals")).await.unwrap();
    let pay =
        Pay { give_up_after_s: Some(1), ..Pay::sale("sakura-card", "fault:no_answer", 1_300) };
    let sale = unknown(&bed, &pay).await;
    wait::until("a person is needed", || async {
        let found = payment(&bed, &sale).await;
        (found.state == PaymentState::NeedsHuman).then_some(())
    })
    .await;
    let listed = bed.server.operate(&["task", "list"]).await.unwrap();
    let task = listed["tasks"][0]["task_id"].as_str().unwrap().to_owned();
    let shown = bed.server.operate(&["task", "show", &task]).await.unwrap();
    assert_eq!(shown["needs_decision"], true, "{shown}");
    assert_eq!((&shown["operation"], &shown["state"]), (&json!("reverse"), &json!("needs_human")));
    assert_eq!(shown["order_id"], sale.order_id.as_str());
    let resolve = async |rest: &[&str]| {
        let words = [&["task", "resolve", &task, "--note", "asked by telephone"], rest].concat();
        bed.server.operate(&words).await
    };
    let undecided = resolve(&[]).await.unwrap_err().to_string();
    assert!(undecided.contains("--as"), "{undecided}");
    let misfit = resolve(&["--as", "not-sent"]).await.unwrap_err().to_string();
    assert!(misfit.contains("does not fit"), "{misfit}");
    assert_eq!(payment(&bed, &sale).await.state, PaymentState::NeedsHuman);
    let resolved = resolve(&["--as", "done", "--amount", "1300"]).await.unwrap();
    assert_eq!(resolved["note"], "asked by telephone", "{resolved}");
    let found = outcome(&bed, &sale).await;
    assert_eq!(found.done_amount.map(|amount| amount.minor()), Some(1_300));
    assert_eq!(payment(&bed, &sale).await.captured, 1_300);
    let listed = bed.server.operate(&["task", "list"]).await.unwrap();
    assert_eq!(listed["tasks"], json!([]), "a decision closes all tasks of its operation");
    let again = resolve(&[]).await.unwrap_err().to_string();
    assert!(again.contains("closed already"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_is_sent_to_an_institution_that_is_silent_and_the_others_go_on() {
    let bed = bed().await;
    fault(&bed, "cut", &["operations", "inquiries"]).await;
    let attempt = async |institution| {
        let pay = Pay::sale(institution, "approve", 1_300);
        send(&bed, pay.draft(&bed, bed.shop()).unwrap()).await
    };
    let (mut sent, mut refused) = (0, None);
    // Inquiries count too, so that not all ten need be payments.
    while refused.is_none() {
        let (status, told) = attempt("sakura-card").await;
        match status {
            202 => sent += 1,
            503 => refused = Some(told),
            other => panic!("{other} {told}"),
        }
        assert!(sent <= 10, "ten exchanges in a row without an answer, and it is still asked");
    }
    let refused = refused.unwrap();
    assert_eq!(refused["code"], ErrorCode::InstitutionUnavailable.wire(), "{refused}");
    let quote =
        json!({ "order_id": "order-1", "method": "card:visa", "amount": 1300, "currency": "JPY" });
    let rejected = wait::until("the quote tells", || async {
        let (_, told) = send(&bed, Draft::post("/v1/quotes", &quote)).await;
        let considered = told["considered"].as_array().unwrap().clone();
        considered.into_iter().find(|one| one["rejection"].is_object())
    })
    .await;
    assert_eq!(rejected["rejection"]["code"], "institution_unavailable", "{rejected}");
    let (status, other) = attempt("aozora-bank").await;
    assert_eq!((status, &other["state"]), (200, &json!("done")));
    bed.institutions.clear_faults().await.unwrap();
    wait::until("it is asked again", || async {
        let (status, told) = attempt("sakura-card").await;
        (status == 200 && told["state"] == "done").then_some(())
    })
    .await;
}
