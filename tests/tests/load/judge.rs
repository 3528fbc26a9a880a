//! The judge: the institutions' books against what the servers say.

use std::collections::BTreeMap;

use pos_connect::HistoryQuery;
use pos_connect::wire::{OperationView, PaymentView, WireOperationState as State};
use pos_protocol::id::PaymentId;
use pos_tests::bed::{LedgerOperation, ShopKit};
use pos_tests::line::{Place, Request};
use pos_tests::wait;

use crate::clients::{Load, text};

/// The server's state against the books, operation by operation and in sum.
pub(crate) async fn compare(load: &Load) -> (usize, u64) {
    let mut books: BTreeMap<String, LedgerOperation> = BTreeMap::new();
    for institution in load.bed.institutions.ids() {
        let ledger = load.bed.institutions.ledger(institution.as_str()).await.unwrap();
        assert!(ledger.balanced && ledger.moved_twice == 0, "{ledger:?}");
        let all = load.bed.institutions.operations(institution.as_str()).await.unwrap();
        books.extend(all.into_iter().map(|one| (one.operation_id.to_string(), one)));
    }
    let (mut count, mut total) = (0, 0);
    for shop in &load.bed.shops {
        for payment in payments_of(load, shop).await.into_values() {
            count += 1;
            total += payment.captured - payment.refunded;
            let mut sums = [0; 4];
            for one in &payment.operations {
                let booked = books.remove(&one.operation_id.to_string());
                agree(one, booked.as_ref());
                let moved = booked.map_or(0, |booked| booked.moved);
                let kind = one.operation.as_str();
                let grows = match kind {
                    "sale" => &[0, 1][..],
                    "authorise" => &[0],
                    "capture" => &[1],
                    "void" => &[2],
                    "refund" => &[3],
                    other => panic!("{other}"),
                };
                grows.iter().for_each(|at| sums[*at] += moved);
            }
            let told = [payment.authorised, payment.captured, payment.released, payment.refunded];
            assert_eq!(told, sums, "{payment:?}");
        }
    }
    let strangers: Vec<_> = books.values().filter(|one| one.moved > 0).collect();
    assert!(strangers.is_empty(), "moved, and the server does not know: {strangers:?}");
    (count, total)
}

#[track_caller]
fn agree(told: &OperationView, booked: Option<&LedgerOperation>) {
    let state = booked.map_or("absent", |booked| booked.state.as_str());
    let moved = booked.map_or(0, |booked| booked.moved);
    let agreed = match told.state {
        State::Done => state == "done" && told.done_amount.is_some_and(|it| it.minor() == moved),
        State::Declined => state == "declined" && moved == 0,
        State::NotSent => ["absent", "not_processed"].contains(&state),
        State::Reversed => ["absent", "not_processed", "reversed"].contains(&state),
        _ => false,
    };
    assert!(agreed, "the books say {booked:?} of {told:?}");
}

/// Each server has counted its answers, and its log tells of every life: nothing was a fault of its own.
pub(crate) async fn no_internal_error(load: &Load) {
    for server in load.servers() {
        let place = Place::new(&server.address().metrics_url, "").unwrap();
        let metrics = text(&place.send(&Request::get("/metrics")).await.unwrap().body);
        assert!(metrics.contains(r#"status="200""#), "{metrics}");
        assert!(!metrics.contains(r#"status="500""#), "{metrics}");
        assert_eq!(server.faults_in_log().unwrap(), [""; 0]);
    }
}

/// Waits until no operation is open, with nobody at work any more.
pub(crate) async fn settled(load: &Load) {
    let is_open =
        |payment: &PaymentView| payment.operations.iter().any(|one| !one.state.is_final());
    for shop in &load.bed.shops {
        let line = load.bed.connection(shop).await.unwrap();
        // What is final stays so, and so a payment that was looked through is not read again.
        for open in payments_of(load, shop).await.into_values().filter(is_open) {
            wait::until("no operation is open", async || {
                let payment = line.payment(open.payment_id).await.unwrap();
                (!is_open(&payment)).then_some(())
            })
            .await;
        }
    }
}

/// Every payment of a shop, as the shop reads it.
async fn payments_of(load: &Load, shop: &ShopKit) -> BTreeMap<PaymentId, PaymentView> {
    let line = load.bed.connection(shop).await.unwrap();
    let mut pages = line.pages(HistoryQuery { limit: Some(100), ..HistoryQuery::default() });
    let mut all = BTreeMap::new();
    while let Some(page) = pages.next().await.unwrap() {
        all.extend(page.payments.into_iter().map(|payment| (payment.payment_id, payment)));
    }
    all
}
