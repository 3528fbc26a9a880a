//! What asks: clients of several shops with lines of their own, at one server or at two.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pos_connect::wire::{OperationView, WireOperationState as State};
use pos_protocol::key::SigningKey;
use pos_tests::bed::{Server, ServerOptions};
use pos_tests::line::{Line, Place};
use pos_tests::pay::Pay;
use pos_tests::postgres::{Cluster, Durability};
use pos_tests::raw::{self, Answer, Caller, Draft};
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::{CLIENTS, Engine};

const SHOPS: usize = 4;
/// How long a client tries to get an answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// What all clients share.
pub(crate) struct Load {
    pub(crate) bed: Arc<Bed>,
    /// Another server on the same database.
    pub(crate) second: Option<Server>,
    /// Where the servers answer.
    places: Vec<Place>,
    pub(crate) enough: AtomicBool,
    pub(crate) answers: AtomicU64,
    pub(crate) repeats: AtomicU64,
    pub(crate) broken: AtomicU64,
    /// From a call's first refusal or broken line to its final answer, the longest of all, in
    /// milliseconds.
    longest_ms: AtomicU64,
    /// The last: it ends after what uses it.
    pub(crate) cluster: Option<Arc<Cluster>>,
}

/// A call and the final answer that its client had.
pub(crate) struct Answered {
    shop: usize,
    draft: Draft,
    body: Vec<u8>,
}

impl Load {
    /// A bed with shops on this engine.
    pub(crate) async fn on(engine: Engine) -> Arc<Self> {
        let (bed, cluster, _) = bed(engine).await;
        Self::new(bed, None, cluster)
    }

    /// Two servers on one PostgreSQL.
    pub(crate) async fn on_two() -> Arc<Self> {
        let (bed, cluster, options) = bed(Engine::Postgres).await;
        let second = bed.server.start_beside(&options).await.unwrap();
        Self::new(bed, Some(second), cluster)
    }

    fn new(bed: Bed, second: Option<Server>, cluster: Option<Cluster>) -> Arc<Self> {
        let servers = [Some(&bed.server), second.as_ref()];
        Arc::new(Self {
            places: servers.into_iter().flatten().map(|one| one.tls_place().unwrap()).collect(),
            bed: Arc::new(bed),
            second,
            enough: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            longest_ms: AtomicU64::new(0),
            cluster: cluster.map(Arc::new),
        })
    }

    /// One or both.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Server> {
        [Some(&self.bed.server), self.second.as_ref()].into_iter().flatten()
    }

    /// The longest that a call was refused, or had its line broken, before its final answer.
    pub(crate) fn longest_refusal(&self) -> Duration {
        Duration::from_millis(self.longest_ms.load(Ordering::Relaxed))
    }

    /// Starts the clients; each makes `calls` and then goes on until it is enough.
    pub(crate) fn start(self: &Arc<Self>, calls: usize) -> JoinSet<Vec<Answered>> {
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

    /// So many more answers have come, and then some.
    pub(crate) async fn has_worked_on(&self, what: &str) {
        let more = 20 + u64::from(raw::random::<1>()[0]);
        let until = self.answers.load(Ordering::Relaxed) + more;
        let reached = || async { (self.answers.load(Ordering::Relaxed) >= until).then_some(()) };
        wait::until(what, reached).await;
    }
}

async fn bed(engine: Engine) -> (Bed, Option<Cluster>, ServerOptions) {
    let cluster = match engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(Cluster::start(Durability::Synced).unwrap()),
    };
    let database = cluster.as_ref().map(|cluster| cluster.database().unwrap());
    let server = ServerOptions { connections: 2_048, database, ..ServerOptions::default() };
    let options = BedOptions { shops: SHOPS, server, ..BedOptions::default() };
    (Bed::start(&options).await.unwrap(), cluster, options.server)
}

/// Every answer that a client had, asked for again at every server: by its key, and by the same call.
pub(crate) async fn still_stand(load: &Arc<Load>, answered: &[Answered]) {
    for place in 0..load.places.len() {
        let mut askers = JoinSet::new();
        for part in answered.chunks(answered.len().div_ceil(16).max(1)) {
            let part: Vec<_> =
                part.iter().map(|one| (one.shop, one.draft.clone(), one.body.clone())).collect();
            let mut asker = Client::new(Arc::clone(load), place);
            askers.spawn(async move { asker.ask_again(part).await });
        }
        askers.join_all().await;
    }
}

/// One client of one shop, with connections of its own.
struct Client {
    load: Arc<Load>,
    number: usize,
    /// Which server it asks.
    at: usize,
    shop: usize,
    caller: Caller,
    line: Option<Line>,
    answered: Vec<Answered>,
}

impl Client {
    fn new(load: Arc<Load>, number: usize) -> Self {
        let shop = number % SHOPS;
        let caller = load.bed.caller(&load.bed.shops[shop]);
        let at = number % load.places.len();
        Self { load, number, at, shop, caller, line: None, answered: Vec::new() }
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
            // At the other server, where there is one.
            twin.at = (self.at + 1) % self.load.places.len();
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
        let mut refused = None;
        let trying = async {
            loop {
                match self.attempt(draft).await {
                    Some(answer) if answer.status == 200 => return answer.body,
                    Some(answer) if answer.status == 202 => {}
                    Some(answer) => {
                        let told = text(&answer.body);
                        assert!([429, 503].contains(&answer.status), "{} {told}", answer.status);
                        refused.get_or_insert_with(Instant::now);
                        self.turn();
                    }
                    None => {
                        self.load.broken.fetch_add(1, Ordering::Relaxed);
                        refused.get_or_insert_with(Instant::now);
                        self.turn();
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let settled = timeout(PATIENCE, trying).await;
        let took = refused.map_or(0, |since: Instant| since.elapsed().as_millis());
        self.load.longest_ms.fetch_max(took.try_into().unwrap(), Ordering::Relaxed);
        settled.unwrap_or_else(|_| panic!("no final answer to {draft:?}"))
    }

    /// To the next server, as a load balancer would send it; to the only one by a new line.
    fn turn(&mut self) {
        self.line = None;
        self.at = (self.at + 1) % self.load.places.len();
    }

    /// `None` where the line broke.
    async fn attempt(&mut self, draft: &Draft) -> Option<Answer> {
        if self.line.is_none() {
            self.line = self.load.places[self.at].connect().await.ok();
        }
        let draft = Draft { created: raw::now(), ..draft.clone() };
        let answer = self.caller.call_on(self.line.as_mut()?, &draft).await.ok()?;
        assert!(answer.verified.is_ok(), "{answer:?}");
        Some(answer)
    }

    /// What was answered before is answered so again.
    async fn ask_again(&mut self, answered: Vec<(usize, Draft, Vec<u8>)>) {
        for (shop, draft, body) in answered {
            let key = &self.load.bed.shops[shop].key;
            self.caller.key = SigningKey::from_seed(&key.seed());
            assert_eq!(text(&self.settle(&draft).await), text(&body));
            let key = draft.key.as_ref().unwrap();
            let by_key = self.settle(&Draft::get(format!("/v1/operations/{key}"))).await;
            let mut status: Value = serde_json::from_slice(&by_key).unwrap();
            assert_eq!(status["found"].take(), "operation");
            status.as_object_mut().unwrap().remove("found");
            assert_eq!(status, serde_json::from_slice::<Value>(&body).unwrap());
        }
    }
}

pub(crate) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
