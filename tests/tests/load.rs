//! 256 shops' clients at once, then the same while the server is killed again and again. The judge
//! is the institutions' books: they must equal the server's state to the unit, and every answer that
//! a client had must still stand.
//!
//! `POS_LOAD_KILLS` says how often the server is killed; CI's part `load` kills it 20 times.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]
#![expect(clippy::arithmetic_side_effects, reason = "a test overflows loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pos_connect::HistoryQuery;
use pos_connect::wire::{OperationView, PaymentView, WireOperationState as State};
use pos_protocol::id::PaymentId;
use pos_protocol::key::SigningKey;
use pos_tests::bed::{LedgerOperation, ServerOptions, ShopKit};
use pos_tests::line::{Line, Place, Request};
use pos_tests::pay::Pay;
use pos_tests::raw::{self, Answer, Caller, Draft};
use pos_tests::shared::LogsOnPanic;
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const SHOPS: usize = 4;
const CLIENTS: usize = 256;
/// Calls that each client makes where nothing is killed.
const CALLS: usize = 20;
/// How often the server is killed unless told otherwise.
const KILLS: usize = 3;
/// No operation may be open this long after the last start.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// How long a client tries to get an answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// What all clients share.
struct Load {
    bed: Arc<Bed>,
    place: Place,
    enough: AtomicBool,
    answers: AtomicU64,
    repeats: AtomicU64,
    broken: AtomicU64,
}

/// A call and the final answer that its client had.
struct Answered {
    shop: usize,
    draft: Draft,
    body: Vec<u8>,
}

impl Load {
    fn new(bed: Bed) -> Arc<Self> {
        Arc::new(Self {
            place: bed.server.tls_place().unwrap(),
            bed: Arc::new(bed),
            enough: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            broken: AtomicU64::new(0),
        })
    }

    /// Starts the clients; each makes `calls` and then goes on until it is enough.
    fn start(self: &Arc<Self>, calls: usize) -> JoinSet<Vec<Answered>> {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let mut client = Client::new(Arc::clone(self), number);
            clients.spawn(async move {
                let mut made = 0;
                while made < calls || !client.load.enough.load(Ordering::Relaxed) {
                    made += client.work(made).await;
                }
                client.answered
            });
        }
        clients
    }

    /// Every payment of a shop, as the shop reads it.
    async fn payments(&self, shop: &ShopKit) -> BTreeMap<PaymentId, PaymentView> {
        let line = self.bed.connection(shop).await.unwrap();
        let mut pages = line.pages(HistoryQuery { limit: Some(100), ..HistoryQuery::default() });
        let mut all = BTreeMap::new();
        while let Some(page) = pages.next().await.unwrap() {
            all.extend(page.payments.into_iter().map(|payment| (payment.payment_id, payment)));
        }
        all
    }
}

/// One client of one shop, with connections of its own.
struct Client {
    load: Arc<Load>,
    number: usize,
    shop: usize,
    caller: Caller,
    line: Option<Line>,
    answered: Vec<Answered>,
}

impl Client {
    fn new(load: Arc<Load>, number: usize) -> Self {
        let shop = number % SHOPS;
        let caller = load.bed.caller(&load.bed.shops[shop]);
        Self { load, number, shop, caller, line: None, answered: Vec::new() }
    }

    /// A sale, a decline, or the life of an authorisation. Gives how many calls that were.
    async fn work(&mut self, made: usize) -> usize {
        let turn = self.number + made;
        let yen = 100 + u64::try_from(turn % 900).unwrap();
        let institution = ["sakura-card", "aozora-bank", "momiji-prepaid"][turn % 3];
        if turn % 7 == 3 {
            let held = self.pay(&Pay::authorise("sakura-card", "approve", yen)).await;
            let money = |minor: u64| json!({ "amount": minor, "currency": "JPY" });
            if held.state != State::Done {
                return 1; // Killed before it was sent: there is nothing to change.
            }
            let captured = self.change(&held, "captures", money(yen / 2)).await;
            if captured.state == State::Done {
                self.change(&held, "refunds", money(yen / 4)).await;
            }
            self.change(&held, "voids", json!({})).await;
            return 4;
        }
        let instrument = if turn % 9 == 5 { "insufficient_funds" } else { "approve" };
        let expected = if instrument == "approve" { State::Done } else { State::Declined };
        let view = self.pay(&Pay::sale(institution, instrument, yen)).await;
        assert!([expected, State::NotSent].contains(&view.state), "{view:?}");
        1
    }

    async fn pay(&mut self, pay: &Pay) -> OperationView {
        let bed = Arc::clone(&self.load.bed);
        let draft = pay.draft(&bed, &bed.shops[self.shop]).unwrap();
        self.make(draft).await
    }

    async fn change(&mut self, held: &OperationView, kind: &str, body: Value) -> OperationView {
        let path = format!("/v1/payments/{}/{kind}", held.payment_id);
        self.make(Draft::post(path, &body).keyed(raw::fresh_key())).await
    }

    /// Makes a call until it has a final answer. A fifth of the calls is made twice: every other
    /// one of those at the same time, the others one after the other.
    async fn make(&mut self, draft: Draft) -> OperationView {
        let count = self.answered.len();
        let body = if count.is_multiple_of(10) {
            let mut twin = Self::new(Arc::clone(&self.load), self.number);
            let (body, same) = tokio::join!(self.settle(&draft), twin.settle(&draft));
            self.load.repeats.fetch_add(1, Ordering::Relaxed);
            assert_eq!(text(&body), text(&same));
            body
        } else {
            self.settle(&draft).await
        };
        if count % 10 == 5 {
            self.load.repeats.fetch_add(1, Ordering::Relaxed);
            let again = self.settle(&draft).await;
            assert_eq!(text(&body), text(&again));
        }
        let view = serde_json::from_slice(&body).unwrap();
        self.answered.push(Answered { shop: self.shop, draft, body });
        self.load.answers.fetch_add(1, Ordering::Relaxed);
        view
    }

    /// The final answer, however often the line breaks: the same body, signed afresh, under the same
    /// key.
    async fn settle(&mut self, draft: &Draft) -> Vec<u8> {
        let trying = async {
            loop {
                match self.attempt(draft).await {
                    Some(answer) if answer.status == 200 => return answer.body,
                    Some(answer) => {
                        let told = text(&answer.body);
                        let open = answer.status == 202 || answer.status == 429;
                        assert!(open || answer.status == 503, "{} {told}", answer.status);
                    }
                    None => {
                        self.load.broken.fetch_add(1, Ordering::Relaxed);
                        self.line = None;
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        match timeout(PATIENCE, trying).await {
            Ok(body) => body,
            Err(_) => panic!("no final answer to {draft:?}"),
        }
    }

    /// `None` where the line broke.
    async fn attempt(&mut self, draft: &Draft) -> Option<Answer> {
        if self.line.is_none() {
            self.line = self.load.place.connect().await.ok();
        }
        let draft = Draft { created: raw::now(), ..draft.clone() };
        let answer = self.caller.call_on(self.line.as_mut()?, &draft).await.ok()?;
        assert!(answer.verified.is_ok(), "{answer:?}");
        Some(answer)
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// The server's state against the books, operation by operation and in sum.
async fn compare(load: &Load) -> (usize, u64) {
    let mut books: BTreeMap<String, LedgerOperation> = BTreeMap::new();
    for institution in load.bed.institutions.ids() {
        let ledger = load.bed.institutions.ledger(institution.as_str()).await.unwrap();
        assert!(ledger.balanced && ledger.moved_twice == 0, "{ledger:?}");
        let all = load.bed.institutions.operations(institution.as_str()).await.unwrap();
        books.extend(all.into_iter().map(|one| (one.operation_id.to_string(), one)));
    }
    let (mut payments, mut total) = (0, 0);
    for shop in &load.bed.shops {
        for payment in load.payments(shop).await.into_values() {
            payments += 1;
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
    (payments, total)
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

/// The server has counted its answers, and its log tells of every life: nothing was a fault of its own.
async fn no_internal_error(load: &Load) {
    let place = Place::new(&load.bed.server.address().metrics_url, "").unwrap();
    let metrics = text(&place.send(&Request::get("/metrics")).await.unwrap().body);
    assert!(metrics.contains(r#"status="200""#), "{metrics}");
    assert!(!metrics.contains(r#"status="500""#), "{metrics}");
    assert_eq!(load.bed.faults_in_log().unwrap(), [""; 0]);
}

/// Operations that are not final yet.
async fn open_operations(load: &Load) -> usize {
    let mut open = 0;
    for shop in &load.bed.shops {
        let payments = load.payments(shop).await;
        let operations = payments.values().flat_map(|payment| &payment.operations);
        open += operations.filter(|one| !one.state.is_final()).count();
    }
    open
}

/// Every answer that a client had, asked for again: by its key, and by the same call.
async fn still_stand(load: &Arc<Load>, answered: &[Answered]) {
    let mut askers = JoinSet::new();
    for part in answered.chunks(answered.len().div_ceil(16).max(1)) {
        let part: Vec<_> =
            part.iter().map(|one| (one.shop, one.draft.clone(), one.body.clone())).collect();
        let mut asker = Client::new(Arc::clone(load), 0);
        askers.spawn(async move {
            for (shop, draft, body) in part {
                let key = &asker.load.bed.shops[shop].key;
                asker.caller.key = SigningKey::from_seed(&key.seed());
                assert_eq!(text(&asker.settle(&draft).await), text(&body));
                let key = draft.key.as_ref().unwrap();
                let by_key = asker.settle(&Draft::get(format!("/v1/operations/{key}"))).await;
                let mut status: Value = serde_json::from_slice(&by_key).unwrap();
                assert_eq!(status["found"].take(), "operation");
                status.as_object_mut().unwrap().remove("found");
                assert_eq!(status, serde_json::from_slice::<Value>(&body).unwrap());
            }
        });
    }
    askers.join_all().await;
}

async fn bed() -> Bed {
    let server = ServerOptions { connections: 2_048, ..ServerOptions::default() };
    let options = BedOptions { shops: SHOPS, server, ..BedOptions::default() };
    Bed::start(&options).await.unwrap()
}

fn megabytes(octets: u64) -> String {
    format!("{}.{} MB", octets / 1_000_000, octets / 100_000 % 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_the_books_equal_the_servers_state() {
    let bed = bed().await;
    let idle = bed.server.resident_octets().await.unwrap();
    let load = Load::new(bed);
    let _logs = LogsOnPanic(&load.bed);
    load.enough.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let answered: Vec<_> = load.start(CALLS).join_all().await.into_iter().flatten().collect();
    let took = began.elapsed();
    // By now the clients have closed their connections, so it is the most that tells.
    let loaded = load.bed.server.most_resident_octets().await.unwrap();
    assert_eq!(load.broken.load(Ordering::Relaxed), 0, "lines that broke with nobody killed");
    assert_eq!(open_operations(&load).await, 0);
    let (payments, total) = compare(&load).await;
    still_stand(&load, &answered).await;
    no_internal_error(&load).await;
    println!(
        "load: clients={CLIENTS} calls={} repeats={} payments={payments} net={total} yen \
         ledger=equal took={:.1} s idle={} loaded={}",
        answered.len(),
        load.repeats.load(Ordering::Relaxed),
        took.as_secs_f64(),
        megabytes(idle),
        megabytes(loaded),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_the_server_loses_nothing_and_charges_nothing_twice() {
    let told = std::env::var("POS_LOAD_KILLS").ok();
    let kills = told.map_or(KILLS, |kills| kills.parse().unwrap());
    let load = Load::new(bed().await);
    let _logs = LogsOnPanic(&load.bed);
    let clients = load.start(1);
    for number in 0..kills {
        // In the thick of it: after some more answers have come, never at a quiet moment.
        let more = 20 + u64::from(raw::random::<1>()[0]);
        let until = load.answers.load(Ordering::Relaxed) + more;
        let reached = || async { (load.answers.load(Ordering::Relaxed) >= until).then_some(()) };
        wait::until(&format!("there is load before kill {number}"), reached).await;
        load.bed.server.kill().await.unwrap();
        load.bed.server.restart().await.unwrap();
    }
    let last_start = Instant::now();
    load.enough.store(true, Ordering::Relaxed);
    let answered: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    wait::until("no operation is open", || async {
        (open_operations(&load).await == 0).then_some(())
    })
    .await;
    let settled = last_start.elapsed();
    assert!(settled <= SETTLED_WITHIN, "settled only after {settled:?}");
    // Both sides of a kill: lines that broke under their callers, operations that nobody owned any more.
    assert!(load.broken.load(Ordering::Relaxed) > 0, "no kill met a call");
    let log = std::fs::read_to_string(load.bed.folder().join("pos-server.log")).unwrap();
    assert!(log.contains("open operations taken over"), "no kill left an operation open");
    let (payments, total) = compare(&load).await;
    still_stand(&load, &answered).await;
    no_internal_error(&load).await;
    println!(
        "load: kills={kills} restarts={kills} calls={} repeats={} broken_lines={} \
         payments={payments} net={total} yen ledger=equal settled={:.1} s after the last start",
        answered.len(),
        load.repeats.load(Ordering::Relaxed),
        load.broken.load(Ordering::Relaxed),
        settled.as_secs_f64(),
    );
}
