//! The disk under the real server: full, read-only, and failing at each single write and sync of a
//! payment. What was acknowledged stands, nobody is charged twice, and it comes back.

use std::cell::Cell;

use pos_connect::wire::{KeyStatus, WireOperationState as State};
use pos_connect::{Connection, IdempotencyKey};
use pos_tests::bed::ServerOptions;
use pos_tests::disk::Fault;
use pos_tests::line::Request;
use pos_tests::pay::Pay;
use pos_tests::raw::fresh_key;
use pos_tests::{Bed, BedOptions, wait};

/// Writes and syncs that a payment has at most; the tests end sooner, at the first one that it has not.
const MOST: u64 = 400;

/// Each so many writes unless told otherwise: `POS_DISK_STEP=1` fails every single one.
const STEP: usize = 4;

async fn start() -> Bed {
    let server = ServerOptions { can_lose_its_disk: true, ..ServerOptions::default() };
    let options = BedOptions { processing_limit_ms: 3_000, server, ..BedOptions::default() };
    Bed::start(&options).await.unwrap()
}

async fn is_ready(bed: &Bed) -> bool {
    let place = bed.server.place().unwrap();
    place.send(&Request::get("/readyz")).await.is_ok_and(|answer| answer.status == 200)
}

/// What a supervisor does: starts it again where it has ended by itself. On a disk that takes nothing the
/// start may fail; then it is tried again the next time. Answers whether it was started.
async fn supervise(bed: &Bed) -> bool {
    bed.server.has_ended().await && bed.server.restart().await.is_ok()
}

/// Payments and what their shop was told, so that it can be asked for again.
struct Till {
    line: Connection,
    paid: Vec<(Pay, IdempotencyKey, Option<State>)>,
    /// How often the server was started again while it paid.
    starts: Cell<u64>,
}

impl Till {
    async fn open(bed: &Bed) -> Self {
        let line = bed.connection(bed.shop()).await.unwrap();
        Self { line, paid: Vec::new(), starts: Cell::new(0) }
    }

    /// Pays, however that goes.
    async fn pay(&mut self, bed: &Bed) -> Option<State> {
        let pay = Pay::sale("sakura-card", "approve", 1_200);
        let order = pay.module_order(bed, bed.shop()).unwrap();
        let key = fresh_key();
        let supervised = wait::within(wait::LIMIT, async || {
            if supervise(bed).await {
                self.starts.set(self.starts.get() + 1);
            }
            None::<()>
        });
        let told = tokio::select! {
            told = self.line.pay(&order, Some(key.clone())) => told.ok().map(|view| view.state),
            _ = supervised => None,
        };
        self.paid.push((pay, key, told.clone()));
        told
    }

    /// Everything comes to an end, and the ends are what was told and what the books say.
    async fn judge(&self, bed: &Bed, what: &str) {
        for (pay, key, told) in &self.paid {
            let found = wait::within(wait::LIMIT, async || {
                supervise(bed).await;
                match self.line.operation(key).await.ok()? {
                    KeyStatus::Operation(found) => found.state.is_final().then_some(found.state),
                    // Its call has ended, so nothing arrives any more.
                    KeyStatus::Nothing(_) => Some(State::NotSent),
                    other => panic!("{what}: {other:?}"),
                }
            });
            let found = found.await.unwrap_or_else(|| panic!("{what}: {key} has no end"));
            if let Some(told) = told.as_ref().filter(|told| told.is_final()) {
                assert_eq!(*told, found, "{what}: what was told does not stand");
            }
            let moved: Vec<_> =
                pay.effects(bed).await.into_iter().filter(|one| one.0 > 0).collect();
            match found {
                State::Done => assert_eq!(moved, [(1_200, 1)], "{what}"),
                State::NotSent => assert_eq!(moved, [], "{what}"),
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}

/// The disk takes nothing for a while: no payment is lost, the server says that it is not ready, and
/// is again when it has room.
async fn for_a_while(fault: Fault) {
    let what = format!("{fault:?}");
    let bed = start().await;
    let mut till = Till::open(&bed).await;
    assert_eq!(till.pay(&bed).await, Some(State::Done));
    bed.server.disk().unwrap().fail(fault).unwrap();
    assert_ne!(till.pay(&bed).await, Some(State::Done), "{what}: nothing was written down");
    // A living server says so; one that has ended by itself needs not.
    wait::until("it is not ready", async || {
        if bed.server.has_ended().await {
            return Some(());
        }
        let place = bed.server.place().unwrap();
        let answer = place.send(&Request::get("/readyz")).await.ok()?;
        (answer.status == 503).then_some(())
    })
    .await;
    wait::until("it cannot be started, or is not ready", async || {
        let started = !bed.server.has_ended().await || supervise(&bed).await;
        (!started || !is_ready(&bed).await).then_some(())
    })
    .await;
    assert!(bed.server.disk().unwrap().heal().unwrap() > 0, "{what}: it met no write");
    wait::until("it is ready again", async || {
        supervise(&bed).await;
        is_ready(&bed).await.then_some(())
    })
    .await;
    assert_eq!(till.pay(&bed).await, Some(State::Done), "{what}");
    till.judge(&bed, &what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() {
    for_a_while(Fault::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_only_reads_loses_nothing() {
    for_a_while(Fault::ReadOnly).await;
}

/// Fails the first write, one after it, and so on, until a payment went through without meeting it.
/// Answers how many it met.
async fn one_after_the_other(fault: impl Fn(u64) -> Fault, step: usize) -> (u64, u64) {
    let bed = start().await;
    let mut till = Till::open(&bed).await;
    assert_eq!(till.pay(&bed).await, Some(State::Done));
    let (mut met, mut missed) = (0, false);
    for n in (1..=MOST).step_by(step) {
        bed.server.disk().unwrap().fail(fault(n)).unwrap();
        let told = till.pay(&bed).await;
        if bed.server.disk().unwrap().heal().unwrap() == 0 {
            assert_eq!(told, Some(State::Done));
            missed = true;
            break;
        }
        met += 1;
        wait::until("it is ready again", async || {
            if supervise(&bed).await {
                till.starts.set(till.starts.get() + 1);
            }
            is_ready(&bed).await.then_some(())
        })
        .await;
    }
    assert!(missed, "a payment has fewer than {MOST}");
    till.judge(&bed, &format!("{:?}", fault(0))).await;
    let ledger = bed.institutions.ledger("sakura-card").await.unwrap();
    assert!(ledger.balanced && ledger.moved_twice == 0, "{ledger:?}");
    (met, till.starts.get())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_of_a_payment_may_fail() {
    let told = std::env::var("POS_DISK_STEP").ok();
    let step = told.map_or(STEP, |step| step.parse().unwrap());
    let (writes, starts) = one_after_the_other(Fault::NthWrite, step).await;
    println!("disk: step={step} writes={writes} restarts={starts} ledger=equal");
    assert!(writes >= 5 && starts >= 5, "{writes} {starts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sync_of_a_payment_may_fail() {
    let (syncs, starts) = one_after_the_other(Fault::NthSync, 1).await;
    println!("disk: syncs={syncs} restarts={starts} ledger=equal");
    assert!(syncs >= 2 && starts >= 2, "{syncs} {starts}");
}
