//! Two servers on one PostgreSQL: what one has begun the other knows, what one leaves behind the other
//! takes over, and neither moves more than there is.

use std::sync::Arc;
use std::time::Duration;

use pos_connect::wire::{KeyStatus, WireOperationState as State};
use pos_connect::{Connection, Money};
use pos_protocol::money::Currency;
use pos_tests::bed::{Server, ServerOptions};
use pos_tests::folder::Folder;
use pos_tests::line::Request;
use pos_tests::pay::Pay;
use pos_tests::postgres::{Cluster, Durability};
use pos_tests::raw::fresh_key;
use pos_tests::{Bed, BedOptions, wait};

/// A bed on PostgreSQL, and a second server on the same database.
struct Two {
    cluster: Cluster,
    bed: Bed,
    second: Server,
}

impl Two {
    async fn start() -> Self {
        let cluster = Cluster::start(Durability::Synced).unwrap();
        let mut options = BedOptions { processing_limit_ms: 3_000, ..BedOptions::default() };
        options.server.lease_seconds = 13;
        options.server.database = Some(cluster.database().unwrap());
        let bed = Bed::start(&options).await.unwrap();
        let folder = Arc::new(Folder::new().unwrap());
        // One operator, one set of keys.
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode;
        std::fs::set_permissions(&data, private(0o700)).unwrap();
        for name in ["answer-key.pem", "institution-call-key.pem", "pepper.key", "webhook-seed.key"]
        {
            let copied = std::fs::copy(bed.folder().join("data").join(name), data.join(name));
            assert!(copied.unwrap() > 0, "{name}");
        }
        let authority = Some(bed.server.address().authority.clone());
        let options = ServerOptions { authority, ..options.server };
        let second = Server::start(folder, &options).await.unwrap();
        Self { cluster, bed, second }
    }

    /// The shop's line to the second server.
    async fn line_to_the_second(&self) -> Connection {
        let address = self.second.address();
        let config = pos_connect::Config::new(&address.tls_url).unwrap();
        let config = config.with_authority(&address.authority).unwrap();
        let config = config.with_ca_pem(self.second.ca_pem());
        Connection::open(self.bed.setup(self.bed.shop(), config)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_has_done_the_other_answers_to_the_letter() {
    let two = Two::start().await;
    let bed = &two.bed;
    let pay = Pay::sale("sakura-card", "approve", 1_200);
    let order = pay.module_order(bed, bed.shop()).unwrap();
    let key = fresh_key();
    let first = bed.connection(bed.shop()).await.unwrap();
    let second = two.line_to_the_second().await;
    let paid = first.pay(&order, Some(key.clone())).await.unwrap();
    assert_eq!(paid.state, State::Done);
    assert_eq!(second.pay(&order, Some(key.clone())).await.unwrap(), paid);
    assert_eq!(second.payment(paid.payment_id).await.unwrap().captured, 1_200);
    assert_eq!(pay.effects(bed).await, [(1_200, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_leaves_open_the_other_finds_out() {
    let two = Two::start().await;
    let bed = &two.bed;
    let pay = Pay::sale("sakura-card", "fault:no_answer", 1_300);
    let order = pay.module_order(bed, bed.shop()).unwrap();
    let key = fresh_key();
    let first = bed.connection(bed.shop()).await.unwrap();
    let paying = tokio::spawn({
        let key = key.clone();
        async move { first.pay(&order, Some(key)).await }
    });
    let second = two.line_to_the_second().await;
    let begun =
        wait::until("the second server sees what the first has begun", async || {
            match second.operation(&key).await.unwrap() {
                KeyStatus::Operation(found) => Some(found),
                _ => None,
            }
        });
    begun.await;
    bed.server.kill().await.unwrap();
    let found = wait::until("the second server knows the outcome", async || {
        let found = second.resume(&key).await.ok()?;
        found.state.is_final().then_some(found)
    });
    assert_eq!(found.await.state, State::Done);
    assert_eq!(pay.effects(bed).await, [(1_300, 1)]);
    paying.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_at_both_servers_are_never_more_than_was_captured() {
    let two = Two::start().await;
    let bed = &two.bed;
    let order = Pay::sale("sakura-card", "approve", 1_000).module_order(bed, bed.shop()).unwrap();
    let first = bed.connection(bed.shop()).await.unwrap();
    let second = two.line_to_the_second().await;
    let paid = first.pay(&order, None).await.unwrap();
    let part = Money::new(300, Currency::JPY).unwrap();
    let refunding: Vec<_> = (0..12)
        .map(|n| {
            let line = if n % 2 == 0 { first.clone() } else { second.clone() };
            tokio::spawn(async move { line.refund(paid.payment_id, part, None).await })
        })
        .collect();
    let mut done = 0;
    for refund in refunding {
        done += usize::from(refund.await.unwrap().is_ok_and(|one| one.state == State::Done));
    }
    assert_eq!(done, 3, "of 1,000 yen 300 go three times");
    let payment = second.payment(paid.payment_id).await.unwrap();
    assert_eq!((payment.captured, payment.refunded), (1_000, 900));
    let ledger = bed.institutions.ledger("sakura-card").await.unwrap();
    assert!(ledger.balanced, "{ledger:?}");
    let refunded: u64 = ledger.totals.iter().map(|one| one.refunded).sum();
    assert_eq!(refunded, 900, "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_cut_off_takes_nothing_with_it() {
    let two = Two::start().await;
    let bed = &two.bed;
    let line = bed.connection(bed.shop()).await.unwrap();
    let before = Pay::sale("sakura-card", "approve", 1_100);
    let order = before.module_order(bed, bed.shop()).unwrap();
    let paid = line.pay(&order, None).await.unwrap();
    assert_eq!(paid.state, State::Done);
    two.cluster.cut().unwrap();
    let place = bed.server.place().unwrap();
    let ready = async || place.send(&Request::get("/readyz")).await.unwrap().status == 200;
    wait::until("the server is not ready", async || (!ready().await).then_some(())).await;
    two.cluster.resume().unwrap();
    wait::until("the server is ready again", async || ready().await.then_some(())).await;
    assert_eq!(line.payment(paid.payment_id).await.unwrap().captured, 1_100);
    let after = Pay::sale("sakura-card", "approve", 1_150);
    let order = after.module_order(bed, bed.shop()).unwrap();
    let again = tokio::time::timeout(Duration::from_secs(60), line.pay(&order, None)).await;
    assert_eq!(again.unwrap().unwrap().state, State::Done);
    for pay in [before, after] {
        assert_eq!(pay.effects(bed).await.len(), 1);
    }
}
