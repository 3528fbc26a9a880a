//! Many callers at once: one key charges once, and no order of captures and refunds moves more than there
//! is. `POS_RACES` says how many call with one key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pos_connect::wire::OperationView;
use pos_protocol::payment::OperationKind;
use pos_tests::bed::ServerOptions;
use pos_tests::pay::Pay;
use pos_tests::raw::{Draft, fresh_key, now};
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// Callers with one key, unless told otherwise.
const CALLERS: usize = 200;

async fn bed(in_flight: u32) -> Bed {
    let server = ServerOptions { in_flight, ..ServerOptions::default() };
    Bed::start(&BedOptions { server, ..BedOptions::default() }).await.unwrap()
}

/// Sends all of these at the same moment, each on a connection of its own.
async fn at_once(bed: &Bed, drafts: Vec<Draft>) -> Vec<(u16, Vec<u8>)> {
    let gate = Arc::new(Barrier::new(drafts.len()));
    let place = bed.server.place().unwrap();
    let mut calls = JoinSet::new();
    for draft in drafts {
        let (gate, place, caller) = (Arc::clone(&gate), place.clone(), bed.caller(bed.shop()));
        calls.spawn(async move {
            gate.wait().await;
            let draft = Draft { created: now(), life: Duration::from_secs(30), ..draft };
            let answer = caller.call(&place, &draft).await.unwrap();
            assert!(answer.verified.is_ok(), "{answer:?}");
            (answer.status, answer.body.to_vec())
        });
    }
    calls.join_all().await
}

async fn one(bed: &Bed, draft: Draft) -> Value {
    let answers = at_once(bed, vec![draft]).await;
    serde_json::from_slice(&answers[0].1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_charges_once_however_many_call_with_it() {
    let callers = std::env::var("POS_RACES").map_or(CALLERS, |text| text.parse().unwrap());
    let bed = bed(callers.try_into().unwrap()).await;
    // Slow enough for all of them to arrive while it runs.
    let slow = json!({
        "institution": "sakura-card", "fault": "delayed_answer", "delay_ms": 2_000, "times": 1,
    });
    bed.institutions.add_fault(slow).await.unwrap();
    let pay = Pay::sale("sakura-card", "approve", 1_400);
    let draft = pay.draft(&bed, bed.shop()).unwrap();
    let answers = at_once(&bed, vec![draft.clone(); callers]).await;
    let mut seen: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
    for (status, body) in answers {
        seen.entry(status).or_default().push(body);
    }
    let outcome = seen.remove(&200).unwrap();
    assert!(outcome.iter().all(|body| *body == outcome[0]), "the one outcome, to the octet");
    let open = seen.remove(&202).unwrap_or_default();
    assert_eq!(seen.keys().collect::<Vec<_>>(), Vec::<&u16>::new(), "nothing else");
    let told: OperationView = serde_json::from_slice(&outcome[0]).unwrap();
    assert_eq!(told.done_amount.map(|amount| amount.minor()), Some(1_400));
    let effects = pay.effects(&bed).await;
    assert_eq!(effects, [(1_400, 1)], "one charge");
    let charges: u64 = effects.iter().map(|(_, times)| times).sum();
    println!(
        "races: callers={callers} charges={charges} answered={} open={} other={}",
        outcome.len(),
        open.len(),
        callers - outcome.len() - open.len()
    );
}

/// Forty captures of 300 of an authorised 1,000, then forty refunds of 200 of what was captured: each time
/// as many as fit are done, and the institution agrees.
#[tokio::test(flavor = "multi_thread")]
async fn captures_and_refunds_that_race_move_no_more_than_there_is() {
    let bed = bed(128).await;
    let held =
        one(&bed, Pay::authorise("sakura-card", "approve", 1_000).draft(&bed, bed.shop()).unwrap());
    let held: OperationView = serde_json::from_value(held.await).unwrap();
    let race = async |what: &str, minor: u64| {
        let path = format!("/v1/payments/{}/{what}", held.payment_id);
        let body = json!({ "amount": minor, "currency": "JPY" });
        let drafts = (0..40).map(|_| Draft::post(&path, &body).keyed(fresh_key()));
        let mut done = 0;
        for (status, body) in at_once(&bed, drafts.collect()).await {
            let told: Value = serde_json::from_slice(&body).unwrap();
            match status {
                200 if told["state"] == "done" => done += 1,
                // More than is left, another one in the way, or too many looks at a payment that moves.
                409 | 422 | 503 => assert!(told["code"].is_string(), "{told}"),
                other => panic!("{other} {told}"),
            }
        }
        done
    };
    let read = async || {
        let payment = bed.connection(bed.shop()).await.unwrap().payment(held.payment_id).await;
        payment.unwrap()
    };
    let captures = race("captures", 300).await;
    let payment = read().await;
    assert!((1..=3).contains(&captures), "{captures}");
    assert_eq!(payment.captured, 300 * captures);
    let refunds = race("refunds", 200).await;
    let payment = wait::until("nothing is open", || async {
        let found = read().await;
        found.operations.iter().all(|one| one.state.is_final()).then_some(found)
    })
    .await;
    assert!(refunds >= 1 && payment.refunded <= payment.captured, "{payment:?}");
    assert_eq!(payment.refunded, 200 * refunds);
    let ledger = bed.institutions.operations("sakura-card").await.unwrap();
    let moved = |kind: OperationKind| -> u64 {
        let of_kind = ledger.iter().filter(|one| one.kind == kind.wire() && one.state == "done");
        of_kind.map(|one| one.moved).sum()
    };
    assert_eq!(moved(OperationKind::Capture), payment.captured);
    assert_eq!(moved(OperationKind::Refund), payment.refunded);
}
