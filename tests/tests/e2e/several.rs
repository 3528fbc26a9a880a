//! Two servers on one PostgreSQL: what one has begun the other knows, what one leaves behind the other
//! takes over, and neither moves more than there is.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pos_connect::wire::{KeyStatus, OperationView, PaymentView, WireOperationState as State};
use pos_connect::{Connection, Money};
use pos_protocol::id::{IdempotencyKey, PaymentId};
use pos_protocol::money::Currency;
use pos_tests::bed::{Server, ServerOptions};
use pos_tests::error::BedError;
use pos_tests::folder::Folder;
use pos_tests::line::{Place, Request};
use pos_tests::pay::Pay;
use pos_tests::postgres::{Cluster, Durability};
use pos_tests::raw::fresh_key;
use pos_tests::tls::Certificates;
use pos_tests::{Bed, BedOptions, wait};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

/// A bed on PostgreSQL, and a second server on the same database.
struct Two {
    cluster: Cluster,
    bed: Bed,
    second: Server,
}

impl Two {
    async fn start() -> Self {
        Self::with(3_000, 13).await
    }

    /// With this processing limit of the institutions, and leases of this length.
    async fn with(processing_limit_ms: u32, lease_seconds: u32) -> Self {
        let cluster = Cluster::start(Durability::Synced).unwrap();
        let mut options = BedOptions { processing_limit_ms, ..BedOptions::default() };
        options.server.lease_seconds = lease_seconds;
        options.server.database = Some(cluster.database().unwrap());
        let bed = Bed::start(&options).await.unwrap();
        let second = bed.server.start_beside(&options.server).await.unwrap();
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

/// Twelve at once, by turns at both servers. Gives how many were done.
async fn at_both<F>(
    lines: [&Connection; 2],
    paid: &OperationView,
    change: fn(Connection, PaymentId, Money) -> F,
) -> usize
where
    F: Future<Output = Result<OperationView, pos_connect::Error>> + Send + 'static,
{
    let part = Money::new(300, Currency::JPY).unwrap();
    let mut changing = JoinSet::new();
    for line in lines.into_iter().cycle().take(12) {
        changing.spawn(change(line.clone(), paid.payment_id, part));
    }
    let changed = changing.join_all().await;
    let is_done =
        |one: &&Result<OperationView, _>| one.as_ref().is_ok_and(|one| one.state == State::Done);
    changed.iter().filter(is_done).count()
}

/// The institution gives out whatever it is asked for, so that only the servers' own guards stand.
#[tokio::test(flavor = "multi_thread")]
async fn refunds_at_both_servers_are_never_more_than_was_captured() {
    let two = Two::start().await;
    let bed = &two.bed;
    let pay = Pay::sale("sakura-card", "approve", 1_000);
    let order = pay.module_order(bed, bed.shop()).unwrap();
    let (first, second) =
        (bed.connection(bed.shop()).await.unwrap(), two.line_to_the_second().await);
    let paid = first.pay(&order, None).await.unwrap();
    bed.institutions.set_quirk("sakura-card", Some("refunds_too_much")).await.unwrap();
    let done = at_both([&first, &second], &paid, |line, id, part| async move {
        line.refund(id, part, None).await
    })
    .await;
    assert_eq!(done, 3, "of 1,000 yen 300 go three times");
    let payment = second.payment(paid.payment_id).await.unwrap();
    assert_eq!((payment.captured, payment.refunded), (1_000, 900));
    assert_eq!(pay.effects(bed).await, [(1_000, 1), (300, 1), (300, 1), (300, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_at_both_servers_are_never_more_than_was_authorised() {
    let two = Two::start().await;
    let bed = &two.bed;
    let pay = Pay::authorise("sakura-card", "approve", 1_000);
    let order = pay.module_order(bed, bed.shop()).unwrap();
    let (first, second) =
        (bed.connection(bed.shop()).await.unwrap(), two.line_to_the_second().await);
    let held = first.authorise(&order, None).await.unwrap();
    bed.institutions.set_quirk("sakura-card", Some("captures_too_much")).await.unwrap();
    let done = at_both([&first, &second], &held, |line, id, part| async move {
        line.capture(id, part, None).await
    })
    .await;
    assert_eq!(done, 3, "of 1,000 yen 300 go three times");
    let payment = second.payment(held.payment_id).await.unwrap();
    assert_eq!((payment.authorised, payment.captured), (1_000, 900));
    assert_eq!(pay.effects(bed).await, [(1_000, 1), (300, 1), (300, 1), (300, 1)]);
}

/// What a call in flight is about: its key, its order, and what its institution moves for it.
struct InFlight {
    key: IdempotencyKey,
    pay: Pay,
    effects: Vec<(u64, u64)>,
    state: State,
    asking: JoinHandle<Result<OperationView, pos_connect::Error>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_cut_off_takes_nothing_with_it() {
    let two = Two::with(10_000, 20).await;
    let bed = &two.bed;
    let (first, second) =
        (bed.connection(bed.shop()).await.unwrap(), two.line_to_the_second().await);
    let order = |pay: &Pay| pay.module_order(bed, bed.shop()).unwrap();
    let before = Pay::sale("sakura-card", "approve", 1_100);
    let paid = first.pay(&order(&before), None).await.unwrap();
    assert_eq!(paid.state, State::Done);
    let reserved = Pay::authorise("sakura-card", "approve", 1_200);
    let held = first.authorise(&order(&reserved), None).await.unwrap();

    // From here on the card company answers what it has done only after six seconds.
    let fault = json!({ "fault": "delayed_answer", "delay_ms": 6_000, "on": ["operations"],
                        "institution": "sakura-card" });
    bed.institutions.add_fault(fault).await.unwrap();
    let mut flying = Vec::new();
    let mut fly = |pay: &Pay, effects: &[(u64, u64)], state, call: Call| {
        let (key, pay) = (fresh_key(), pay.clone());
        let asking = tokio::spawn(call(key.clone()));
        flying.push(InFlight { key, pay, effects: effects.to_vec(), state, asking });
    };
    for (line, yen) in [(&first, 1_300), (&second, 1_400)] {
        let pay = Pay::sale("sakura-card", "approve", yen);
        let (line, order) = (line.clone(), order(&pay));
        let call = move |key| async move { line.pay(&order, Some(key)).await };
        fly(&pay, &[(yen, 1)], State::Done, Box::new(|key| Box::pin(call(key))));
    }
    let part = Money::new(300, Currency::JPY).unwrap();
    let (line, id) = (first.clone(), paid.payment_id);
    let refund = move |key| async move { line.refund(id, part, Some(key)).await };
    fly(&before, &[(1_100, 1), (300, 1)], State::Done, Box::new(|key| Box::pin(refund(key))));
    let (line, id) = (second.clone(), held.payment_id);
    let capture = move |key| async move { line.capture(id, part, Some(key)).await };
    fly(&reserved, &[(1_200, 1), (300, 1)], State::Done, Box::new(|key| Box::pin(capture(key))));
    // The bank never answers: once it has done what it was asked for, once it has not.
    for (line, instrument, yen, effects, state) in [
        (&first, "fault:no_answer", 1_500, &[(1_500, 1)][..], State::Done),
        (&second, "fault:lost", 1_600, &[], State::NotSent),
    ] {
        let pay = Pay::sale("aozora-bank", instrument, yen);
        let (line, order) = (line.clone(), order(&pay));
        let call = move |key| async move { line.pay(&order, Some(key)).await };
        fly(&pay, effects, state, Box::new(|key| Box::pin(call(key))));
    }
    for one in &flying {
        wait::until("an operation is on its way", async || {
            let moved = one.pay.effects(bed).await == one.effects;
            let begun = matches!(first.operation(&one.key).await, Ok(KeyStatus::Operation(_)));
            (moved && begun).then_some(())
        })
        .await;
    }

    two.cluster.cut().unwrap();
    let places = [bed.server.place().unwrap(), two.second.place().unwrap()];
    let ready =
        async |place: &Place| place.send(&Request::get("/readyz")).await.unwrap().status == 200;
    for (server, place) in [&bed.server, &two.second].into_iter().zip(&places) {
        wait::until("an answer came that cannot be written", async || {
            let log = server.log().unwrap();
            log.contains("an outcome could not be written; trying again").then_some(())
        })
        .await;
        assert!(!ready(place).await, "without its database no server is ready");
    }
    two.cluster.resume().unwrap();
    for place in &places {
        wait::until("the server is ready again", async || ready(place).await.then_some(())).await;
    }
    bed.institutions.clear_faults().await.unwrap();

    for one in flying {
        for line in [&first, &second] {
            let found = wait::until("an operation comes to its end", async || {
                let found = line.resume(&one.key).await.ok()?;
                found.state.is_final().then_some(found)
            })
            .await;
            assert_eq!(found.state, one.state, "{:?}", one.pay);
        }
        assert_eq!(one.pay.effects(bed).await, one.effects, "{:?}", one.pay);
        // Who asked may have been told that it is open; who was told an end was told this one.
        if let Ok(told) = one.asking.await.unwrap()
            && told.state.is_final()
        {
            assert_eq!(told.state, one.state);
        }
    }
    let sums = |payment: PaymentView| (payment.captured, payment.refunded);
    for line in [&first, &second] {
        assert_eq!(sums(line.payment(paid.payment_id).await.unwrap()), (1_100, 300));
        assert_eq!(sums(line.payment(held.payment_id).await.unwrap()), (300, 0));
    }
    for server in [&bed.server, &two.second] {
        assert_eq!(server.faults_in_log().unwrap(), [""; 0]);
    }
}

/// A call under this key.
type Call = Box<
    dyn FnOnce(
        IdempotencyKey,
    )
        -> Pin<Box<dyn Future<Output = Result<OperationView, pos_connect::Error>> + Send>>,
>;

/// A server on a database that shows `shown` and is believed by `believed`.
async fn server_over_tls(
    cluster: &Cluster,
    shown: &Certificates,
    believed: &Certificates,
) -> Result<Server, BedError> {
    let (certificate, key) = (&shown.certificate_pem, &shown.key_pem);
    let url = cluster.speak_tls(certificate, key, "postgres", "localhost").unwrap();
    let folder = Arc::new(Folder::new().unwrap());
    let ca = folder.path().join("postgres-ca.pem");
    std::fs::write(&ca, &believed.ca_pem).unwrap();
    let more = format!("[postgres]\nca_file = \"{}\"\n", ca.display());
    let options = ServerOptions { database: Some(url), more, ..ServerOptions::default() };
    Server::start(folder, &options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_prove_who_it_is_gets_no_word() {
    let cluster = Cluster::start(Durability::Fast).unwrap();
    let ours = Certificates::new().unwrap();
    let strangers = Certificates::new().unwrap();
    let named_otherwise = Certificates::for_names(&["db.example.jp"]).unwrap();
    let tables =
        || cluster.sql("postgres", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
    for (shown, believed, why) in [
        // The stranger's CA has the name of ours.
        (&strangers, &ours, "BadSignature"),
        (&named_otherwise, &named_otherwise, "not valid for name"),
    ] {
        let refused = server_over_tls(&cluster, shown, believed).await.err().unwrap().to_string();
        assert!(refused.contains(why), "{refused}");
        assert_eq!(tables().unwrap(), "0", "nothing was said over that line");
    }
    let server = server_over_tls(&cluster, &ours, &ours).await.unwrap();
    assert_ne!(tables().unwrap(), "0");
    let lines = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity \
                 USING (pid) WHERE application_name = 'pos-server'";
    assert_eq!(cluster.sql("postgres", lines).unwrap(), "t", "every line is encrypted");
    server.end(Duration::from_secs(20)).await.unwrap();
}
