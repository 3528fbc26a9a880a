//! The institution as a process: each house alone, and killed in the middle of its work.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use pos_institution::house::House;
use pos_institution::ledger::Ledger;
use pos_protocol::money::Amount;
use pos_protocol::payment::{OperationKind, Outcome};
use pos_server::connectors::{Fault, Institution, OperationOrder};
use serde_json::Value;
use support::Bed;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

fn done(minor: u64) -> Outcome {
    Outcome::Done(Amount::new(minor).unwrap())
}

#[tokio::test]
async fn each_house_runs_alone() {
    for (verb, house) in [("card", House::Card), ("bank", House::Bank), ("prepaid", House::Prepaid)]
    {
        let bed = Bed::start_apart(verb).await;
        let served: Vec<_> =
            bed.running.announcement().institutions.iter().map(|one| one.id.clone()).collect();
        assert_eq!(served, [house.id()]);
        let at = bed.institution(house);
        let order = bed.order(&at, OperationKind::Sale, "approve", 700).await;
        assert_eq!(bed.send(&at, &order).await.outcome, done(700), "{verb}");
        assert_eq!(bed.judged(&order).await, Some(("done".into(), 700, 1)));
        let ledgers = bed.control("GET", "/control/ledger", &Value::Null).await;
        assert_eq!(ledgers.as_object().unwrap().len(), 1, "{verb}");
    }
}

/// The system's clock is set back while the institution is down.
#[tokio::test]
async fn the_clock_goes_on_from_the_latest_time_that_was_told() {
    let bed = Bed::start_apart("card").await;
    bed.running.kill();
    let (told, id) = (bed.clock.now().plus(Duration::from_secs(3_600)), bed.fresh_id());
    let ledger = Ledger::open(&bed.data().join("sakura-card/ledger.sqlite3"), &[]).unwrap();
    ledger.run(move |books| books.inquire(id, told)).await.unwrap();
    drop(ledger);
    let bed = bed.start_apart_again("card").await;
    let now = bed.announced(House::Card).info.time;
    assert!(now >= told, "{now:?} {told:?}");
}

/// Sends sales one after the other until the line breaks; tells each, and what was answered.
async fn pay(
    bed: Arc<Bed>,
    at: Arc<Institution>,
    told: mpsc::UnboundedSender<(OperationOrder, Outcome)>,
) {
    for yen in 1.. {
        let order = bed.order(&at, OperationKind::Sale, "approve", yen).await;
        let answer = bed.send(&at, &order).await.outcome;
        told.send((order, answer)).unwrap();
        if answer != done(yen) {
            return;
        }
    }
}

/// SIGKILL under load, three times: what had been answered stands, and what had not is what the
/// ledger says, once.
#[tokio::test]
async fn what_was_answered_stands_after_a_kill() {
    let mut bed = Bed::start_apart("all").await;
    for round in 0..3 {
        let shared = Arc::new(bed);
        // Keys are fetched before the kill, so that a task ends at an answer that did not come.
        let at = Arc::new(shared.institution(House::Card));
        shared.driver.seal_keys(&at, Duration::from_secs(10)).await.unwrap();
        let (told, mut hear) = mpsc::unbounded_channel();
        let mut payers = JoinSet::new();
        for _ in 0..8 {
            payers.spawn(pay(Arc::clone(&shared), Arc::clone(&at), told.clone()));
        }
        drop(told);
        let mut all = Vec::new();
        while let Some(one) = hear.recv().await {
            all.push(one);
            if all.len() == 100 {
                shared.running.kill();
            }
        }
        payers.join_all().await;
        bed = Arc::into_inner(shared).unwrap().start_apart_again("all").await;
        let at = bed.institution(House::Card);
        let mut lost = 0;
        for (order, answer) in all {
            let found = bed.driver.inquire(&at, &order).await;
            let booked = bed.judged(&order).await;
            let amount = order.money.amount;
            if answer == Outcome::Done(amount) {
                assert_eq!(found.outcome, answer, "round {round}: {order:?}");
            } else {
                lost += 1;
            }
            match found.outcome {
                Outcome::Done(moved) if moved == amount => {
                    assert_eq!(booked, Some(("done".into(), amount.minor(), 1)));
                }
                _ => {
                    assert!(matches!(found.fault, Some(Fault::NotFoundYet)), "{found:?}");
                    assert_eq!(booked, None);
                }
            }
        }
        assert!(lost > 0, "round {round}: nothing was under way");
        bed.ledger_is_sound().await;
    }
}
