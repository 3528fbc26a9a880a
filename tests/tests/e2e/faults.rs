//! Institutions that fall silent, answer late, twice, garbled or wrongly. A payment is never called
//! failed because an answer failed: it is unknown until the institution was asked, and the books say
//! what is true.

use std::time::Duration;

use pos_connect::wire::{KeyStatus, OperationView, WireOperationState as State};
use pos_connect::{Connection, Money};
use pos_protocol::money::Currency;
use pos_tests::bed::{LedgerOperation, ServerOptions, TestInstrument};
use pos_tests::pay::Pay;
use pos_tests::raw::{Answer, Draft};
use pos_tests::shared::Shared;
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Shorter than the 5 s by which the test numbers delay, so that what arrives late is too late.
const PROCESSING_LIMIT: Duration = Duration::from_secs(3);

static BED: Shared =
    Shared::new(|| BedOptions { processing_limit_ms: 3_000, ..BedOptions::default() });

/// For what would meet the inquiries of other tests.
static APART: Shared =
    Shared::new(|| BedOptions { processing_limit_ms: 3_000, ..BedOptions::default() });

/// Sends a payment bare and waits only `life` for it.
async fn send(bed: &Bed, pay: &Pay, life: Duration) -> (Draft, Answer) {
    // Times are signed as whole seconds: a second ahead, or a part of `life` would be lost.
    let created = pos_tests::raw::now().plus(Duration::from_secs(1));
    let draft = Draft { life, created, ..pay.draft(bed, bed.shop()).unwrap() };
    let caller = bed.caller(bed.shop());
    let answer = caller.call(&bed.server.place().unwrap(), &draft).await.unwrap();
    assert!(answer.verified.is_ok(), "{answer:?}");
    (draft, answer)
}

async fn line(bed: &Bed) -> Connection {
    bed.connection(bed.shop()).await.unwrap()
}

/// What became of a call, once that is final.
async fn outcome(bed: &Bed, draft: &Draft) -> OperationView {
    let key = draft.key.as_ref().unwrap().parse().unwrap();
    let line = line(bed).await;
    let found = wait::until("the outcome is found", || async {
        match line.operation(&key).await.unwrap() {
            KeyStatus::Operation(found) if found.state.is_final() => Some(found),
            KeyStatus::Operation(_) => None,
            other => panic!("{other:?}"),
        }
    });
    found.await
}

async fn booked(bed: &Bed, view: &OperationView) -> Option<LedgerOperation> {
    bed.institutions.operation(&view.institution, view.operation_id).await.unwrap()
}

/// Whichever way the answer is lost: the shop is told to wait, an inquiry finds what the
/// institution did, and it did it once.
async fn processed_and_found(bed: &Bed, fault: &str, institution: &'static str) {
    let pay = Pay::sale(institution, &format!("fault:{fault}"), 1_300);
    let (draft, first) = send(bed, &pay, Duration::from_secs(4)).await;
    let told: OperationView = serde_json::from_slice(&first.body).unwrap();
    if ["no_answer", "delayed_answer"].contains(&fault) {
        assert_eq!(first.status, 202, "{fault}: the fault did nothing: {told:?}");
    }
    match first.status {
        202 => {
            let open = [State::Processing, State::Unknown, State::Pending];
            assert!(open.contains(&told.state), "{fault}: {told:?}");
            assert!(told.status_path.is_some() && told.ask_after_ms.is_some());
            assert!(told.decline.is_none() && told.ended_at_ms.is_none());
        }
        200 => assert_eq!(told.state, State::Done, "{fault}"),
        other => panic!("{fault}: {other} {told:?}"),
    }
    let found = outcome(bed, &draft).await;
    assert_eq!(found.state, State::Done, "{fault} at {institution}");
    let booked = booked(bed, &found).await.unwrap();
    assert_eq!((booked.state.as_str(), booked.moved, booked.effects), ("done", 1_300, 1));
    // The outcome is the answer from now on, byte for byte.
    let again = repeat(bed, &draft).await;
    let and_again = repeat(bed, &draft).await;
    assert_eq!((again.status, &again.body), (200, &and_again.body));
}

async fn repeat(bed: &Bed, draft: &Draft) -> Answer {
    let draft = Draft { created: pos_tests::raw::now(), ..draft.clone() };
    let caller = bed.caller(bed.shop());
    caller.call(&bed.server.place().unwrap(), &draft).await.unwrap()
}

/// The institution has nothing of it. That is believed only once nothing can arrive any more.
async fn never_arrived(bed: &Bed, fault: &str) -> OperationView {
    let pay = Pay::sale("sakura-card", &format!("fault:{fault}"), 1_700);
    let (draft, first) = send(bed, &pay, Duration::from_secs(3)).await;
    let told: OperationView = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(first.status, 202, "{fault}: {told:?}");
    let found = outcome(bed, &draft).await;
    assert_eq!(found.state, State::NotSent, "{fault}");
    let took = found.ended_at_ms.unwrap().since(found.created_at_ms);
    assert!(took >= PROCESSING_LIMIT, "{fault}: final after {took:?}");
    if let Some(booked) = booked(bed, &found).await {
        assert_eq!((booked.state.as_str(), booked.moved, booked.effects), ("not_processed", 0, 0));
    }
    // The order is free again.
    let retry = Pay::sale("sakura-card", "approve", 1_700).order(pay.order_id.clone());
    let (_, paid) = send(bed, &retry, Duration::from_secs(20)).await;
    assert_eq!(paid.json()["state"], "done", "{fault}");
    found
}

/// Whoever waits for a silent institution takes no place from others, who may want another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_institution_does_not_fill_the_server() {
    let server = ServerOptions { in_flight: 1, ..ServerOptions::default() };
    let bed = Bed::start(&BedOptions { server, ..BedOptions::default() }).await.unwrap();
    let pay = Pay::sale("sakura-card", "fault:no_answer", 1_100);
    let life = Duration::from_secs(30);
    let draft = Draft { life, ..pay.draft(&bed, bed.shop()).unwrap() };
    let (caller, place) = (bed.caller(bed.shop()), bed.server.place().unwrap());
    let by_key = Draft::get(format!("/v1/operations/{}", draft.key.as_ref().unwrap()));
    let asking = wait::until("another call is answered", || async {
        let asked = Draft { created: pos_tests::raw::now(), ..by_key.clone() };
        let answer = caller.call(&place, &asked).await.unwrap();
        // The payment may hold the one place while it is begun.
        let told = answer.json();
        (answer.status == 200 && told["found"] == "operation").then_some(told)
    });
    tokio::select! {
        status = asking => assert_eq!(status["state"], "processing", "{status}"),
        paid = caller.call(&place, &draft) => panic!("no other call came through: {paid:?}"),
    }
}

/// Silence, delay, an answer given twice, a line cut after processing, octets that are no HTTP, a
/// signed body that is no JSON, an answer without signature, a signed 500, a proxy's 502 page.
#[test]
fn whatever_becomes_of_the_answer_an_inquiry_finds_what_was_done() {
    BED.run(async |bed| {
        let mut all = JoinSet::new();
        for fault in [
            "no_answer",
            "delayed_answer",
            "answer_twice",
            "processed_then_cut",
            "garbage",
            "garbled_body",
            "unsigned",
            "error500",
            "bad_gateway",
        ] {
            for institution in ["sakura-card", "aozora-bank", "momiji-prepaid"] {
                all.spawn(processed_and_found(bed, fault, institution));
            }
        }
        all.join_all().await;
    });
}

#[test]
fn a_call_that_is_lost_is_not_sent_only_when_it_cannot_arrive_any_more() {
    BED.run(async |bed| {
        let (lost, cut) = tokio::join!(never_arrived(bed, "lost"), never_arrived(bed, "cut"));
        assert_ne!(lost.operation_id, cut.operation_id);
    });
}

#[test]
fn a_call_that_arrives_too_late_is_refused_and_remembered_as_refused() {
    BED.run(async |bed| {
        let found = never_arrived(bed, "slow_arrival").await;
        // It did arrive, two seconds after it was over.
        let booked = wait::until("the late call has arrived", || booked(bed, &found)).await;
        assert_eq!((booked.state.as_str(), booked.moved), ("not_processed", 0));
        assert_eq!(booked.order_id, found.order_id.as_str());
    });
}

/// The institution did what was asked and answers for something else: unknown at once, a task for
/// the operator, and then what the books say.
async fn wrong_echo(bed: &Bed, fault: &str) {
    let pay = Pay::sale("sakura-card", &format!("fault:{fault}"), 2_100);
    let (draft, first) = send(bed, &pay, Duration::from_secs(4)).await;
    let told: OperationView = serde_json::from_slice(&first.body).unwrap();
    assert_eq!((first.status, &told.state), (202, &State::Unknown), "{fault}");
    let task = wait::until("the task is listed", || async {
        let listed = bed.server.operate(&["task", "list"]).await.unwrap();
        let mut tasks = listed["tasks"].as_array().unwrap().clone().into_iter();
        tasks.find(|task| task["operation_id"] == told.operation_id.to_string())
    });
    let task = task.await;
    assert_eq!(task["shop_id"], json!(bed.shop().enrolment.shop_id), "{fault}");
    assert!(task["text"].as_str().unwrap().len() > 20, "{task}");
    let shown = bed.server.operate(&["task", "show", task["task_id"].as_str().unwrap()]).await;
    assert_eq!(shown.unwrap()["text"], task["text"]);
    // The money is where the books say, whatever the answer said.
    let found = outcome(bed, &draft).await;
    let amount = found.done_amount.map(|amount| amount.minor());
    assert_eq!((found.state.clone(), amount), (State::Done, Some(2_100)), "{fault}");
    let booked = booked(bed, &found).await.unwrap();
    assert_eq!((booked.moved, booked.effects), (2_100, 1), "{fault}");
}

#[test]
fn an_answer_for_something_else_is_unknown_and_a_task_for_the_operator() {
    BED.run(async |bed| {
        let faults =
            ["wrong_amount", "less_amount", "other_order", "other_currency", "other_operation"];
        let mut all = JoinSet::new();
        for fault in faults {
            all.spawn(wrong_echo(bed, fault));
        }
        all.join_all().await;
    });
}

#[test]
fn an_inquiry_that_is_not_answered_is_made_again() {
    APART.run(async |bed| {
        let silence = json!({
            "institution": "aozora-bank", "fault": "no_answer", "on": ["inquiries"], "times": 1,
        });
        bed.institutions.add_fault(silence).await.unwrap();
        processed_and_found(bed, "processed_then_cut", "aozora-bank").await;
        // It did meet an inquiry.
        assert_eq!(bed.institutions.faults().await.unwrap()["aozora-bank"], json!([]));
    });
}

/// The operator's check of an institution as a process: what it found, and how it ends.
#[test]
fn the_check_of_an_institution_ends_with_what_it_found() {
    APART.run(async |bed| {
        let prepaid = &bed.institutions.all()[2];
        assert_eq!(prepaid.id.as_str(), "momiji-prepaid");
        let (ca, list) = (bed.folder().join("ca.pem"), bed.folder().join("instruments.json"));
        std::fs::write(&ca, &prepaid.ca_pem).unwrap();
        let check = async |instruments: &[TestInstrument]| {
            std::fs::write(&list, serde_json::to_vec(instruments).unwrap()).unwrap();
            let number = bed.shop().contract("momiji-prepaid").unwrap().number.to_string();
            let words = [
                "institution",
                "check",
                &prepaid.url,
                "--ca",
                ca.to_str().unwrap(),
                "--verify-key",
                &prepaid.verify_key,
                "--seal-root",
                &prepaid.seal_root,
                "--contract",
                &number,
                "--instruments",
                list.to_str().unwrap(),
            ];
            let ran = bed.server.run(&words).await.unwrap();
            let answer: Value = serde_json::from_slice(&ran.stdout).unwrap();
            (
                ran.status.code(),
                answer["conclusion"].clone(),
                String::from_utf8(ran.stderr).unwrap(),
            )
        };
        let (code, conclusion, _) = check(&bed.instruments).await;
        assert_eq!((code, conclusion), (Some(0), json!("kept")));
        let (code, conclusion, said) = check(&[]).await;
        assert_eq!((code, conclusion), (Some(3), json!("incomplete")));
        assert!(said.contains("the check is incomplete"), "{said}");
        bed.institutions.set_quirk("momiji-prepaid", Some("refunds_too_much")).await.unwrap();
        let (code, conclusion, said) = check(&bed.instruments).await;
        assert_eq!((code, conclusion), (Some(1), json!("broken")));
        assert!(said.contains("the check failed"), "{said}");
        bed.institutions.set_quirk("momiji-prepaid", None).await.unwrap();
    });
}

#[test]
fn the_module_waits_out_a_silence_by_itself() {
    BED.run(async |bed| {
        let order = Pay::sale("sakura-card", "fault:no_answer", 3_300);
        let order = order.module_order(bed, bed.shop()).unwrap();
        let line = line(bed).await;
        let paid = line.pay(&order, None).await.unwrap();
        assert_eq!(paid.state, State::Done);
        assert_eq!(booked(bed, &paid).await.unwrap().effects, 1);
        assert_eq!(line.in_flight().await.unwrap().open.len(), 0);
    });
}

#[test]
fn captures_refunds_and_voids_are_found_by_inquiry_and_never_made_twice() {
    BED.run(async |bed| {
        let line = line(bed).await;
        let order = Pay::authorise("sakura-card", "approve", 9_000);
        let order = order.module_order(bed, bed.shop()).unwrap();
        let held = line.authorise(&order, None).await.unwrap();
        let yen = |minor| Money::new(minor, Currency::JPY).unwrap();
        for kind in ["capture", "refund", "void"] {
            bed.institutions
                .add_fault(json!({
                    "institution": "sakura-card", "fault": "no_answer", "times": 1,
                    "operations": [kind],
                }))
                .await
                .unwrap();
            let made = match kind {
                "capture" => line.capture(held.payment_id, yen(5_000), None).await,
                "refund" => line.refund(held.payment_id, yen(2_000), None).await,
                _ => line.void(held.payment_id, None).await,
            };
            let made = made.unwrap();
            assert_eq!(made.state, State::Done, "{kind}");
            assert_eq!(booked(bed, &made).await.unwrap().state, "done", "{kind}");
        }
        let all = bed.institutions.operations("sakura-card").await.unwrap();
        let of_order = all.iter().filter(|one| one.order_id == held.order_id.as_str());
        let moved: Vec<_> = of_order.map(|one| (one.kind.as_str(), one.moved)).collect();
        let expected =
            [("authorise", 9_000), ("capture", 5_000), ("refund", 2_000), ("void", 4_000)];
        assert_eq!(moved, expected);
    });
}

#[test]
fn while_an_operation_is_open_what_excludes_it_is_busy() {
    BED.run(async |bed| {
        let shop = bed.open_shop("Busy").await.unwrap();
        let caller = bed.caller(&shop);
        let place = bed.server.place().unwrap();
        let order = Pay::authorise("sakura-card", "fault:delayed_answer", 600);
        let created = pos_tests::raw::now().plus(Duration::from_secs(1));
        let life = Duration::from_secs(3);
        let begin = Draft { life, created, ..order.draft(bed, &shop).unwrap() };
        let open = caller.call(&place, &begin).await.unwrap();
        assert_eq!(open.status, 202, "{:?}", open.json());
        let (payment, operation) = (&open.json()["payment_id"], &open.json()["operation_id"]);
        let payment = payment.as_str().unwrap();
        let body = json!({ "amount": 600, "currency": "JPY" });
        let capture = Draft::post(format!("/v1/payments/{payment}/captures"), &body)
            .keyed(pos_tests::raw::fresh_key());
        let refused = caller.call(&place, &capture).await.unwrap();
        let problem = refused.problem().unwrap();
        assert_eq!(refused.status, 409, "{:?}", refused.json());
        assert_eq!(problem.code.as_str(), "busy");
        assert_eq!(problem.field.as_deref(), operation.as_str());
        // The refusal is kept under its key, whatever has changed since.
        let key = begin.key.clone().unwrap();
        let line = bed.connection(&shop).await.unwrap();
        let done = wait::until("the authorisation is done", || async {
            match line.operation(&key.parse().unwrap()).await.unwrap() {
                KeyStatus::Operation(found) => found.state.is_final().then_some(found),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(done.await.state, State::Done);
        let again = Draft { created: pos_tests::raw::now(), ..capture.clone() };
        let again = caller.call(&place, &again).await.unwrap();
        assert_eq!((again.status, again.json()["code"].as_str()), (409, Some("busy")));
        // A new key is a new try.
        let fresh = capture.keyed(pos_tests::raw::fresh_key());
        let fresh = Draft { created: pos_tests::raw::now(), ..fresh };
        let captured = caller.call(&place, &fresh).await.unwrap();
        assert_eq!(captured.json()["state"], "done", "{:?}", captured.json());
    });
}
