//! The shop's own process is killed while it pays: before the call is sent, while it is under way,
//! and before it is struck from the journal. Another process of the same folder finds the truth.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use pos_connect::env::Task;
use pos_connect::journal::{
    Attempt, Begun, Entries, Entry, FileJournal, Finished, Journal, JournalError, Known,
};
use pos_connect::keys::{FileKeyStore, KeyStore as _, Seed, StoredKeys};
use pos_connect::wire::WireOperationState as State;
use pos_connect::{
    Amount, Config, Connection, ContractId, Currency, Envelope, ErrorKind, IdempotencyKey, Money,
    Order, OrderId, Setup,
};
use pos_protocol::succession::Fingerprint;
use pos_tests::pay::Pay;
use pos_tests::raw::fresh_key;
use pos_tests::{Bed, wait};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::BED;

/// Where the shop's process stands still until it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Point {
    /// The attempt is noted, and nothing is sent.
    Noted,
    /// The call is under way, and no answer is there.
    Sent,
    /// The answer is there, and the journal still holds the entry.
    Answered,
}

/// What the shop's process is told on its standard input.
#[derive(Serialize, Deserialize)]
struct Told {
    url: String,
    authority: String,
    ca_pem: String,
    folder: String,
    point: Point,
    key: IdempotencyKey,
    contract_id: ContractId,
    order_id: OrderId,
    amount: Amount,
    currency: Currency,
    envelope: Envelope,
}

/// The journal of a folder, at which the process stands still.
struct Stopping {
    journal: FileJournal,
    point: Point,
}

impl Stopping {
    async fn stop_at(&self, point: Point) {
        if self.point == point {
            std::io::Write::write_all(&mut std::io::stdout(), b"\nstopped\n").unwrap();
            std::future::pending::<()>().await;
        }
    }
}

impl Journal for Stopping {
    fn begin(&self, entry: Entry) -> Task<'_, Result<Begun, JournalError>> {
        Box::pin(async move {
            let begun = self.journal.begin(entry).await;
            self.stop_at(Point::Noted).await;
            begun
        })
    }

    fn attempt(&self, key: IdempotencyKey, attempt: Attempt) -> Task<'_, Result<(), JournalError>> {
        self.journal.attempt(key, attempt)
    }

    fn finish(
        &self,
        key: IdempotencyKey,
        attempts: Vec<Attempt>,
    ) -> Task<'_, Result<Finished, JournalError>> {
        Box::pin(async move {
            self.stop_at(Point::Answered).await;
            self.journal.finish(key, attempts).await
        })
    }

    fn get(&self, key: IdempotencyKey) -> Task<'_, Result<Option<Known>, JournalError>> {
        self.journal.get(key)
    }

    fn entries(&self) -> Task<'_, Result<Entries, JournalError>> {
        self.journal.entries()
    }

    fn remove(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>> {
        self.journal.remove(key)
    }
}

fn config(url: &str, authority: &str, ca_pem: &str) -> Config {
    let config = Config::new(url).unwrap().with_authority(authority).unwrap();
    config.with_ca_pem(ca_pem).with_attempt_timeout(Duration::from_secs(5)).unwrap()
}

/// Not a test: what the shop's process runs. It is this program, started by the tests below.
#[tokio::test]
#[ignore = "it is the shop's process of the other tests"]
async fn the_shop() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let told: Told = serde_json::from_str(&line).unwrap();
    let folder = Path::new(&told.folder);
    let keys = FileKeyStore::new(folder.join("keys.json")).unwrap();
    let journal = FileJournal::new(folder.join("journal")).unwrap();
    let journal = Stopping { journal, point: told.point };
    let config = config(&told.url, &told.authority, &told.ca_pem);
    let setup = Setup::new(config, Arc::new(keys), Arc::new(journal));
    let connection = Connection::open(setup).await.unwrap();
    let money = Money { amount: told.amount, currency: told.currency };
    let order = Order::new(told.contract_id, told.order_id, money, told.envelope);
    let _ = connection.pay(&order, Some(told.key)).await;
}

/// Starts a shop that pays and stands still at the point.
async fn start_shop(bed: &Bed, folder: &Path, pay: &Pay, point: Point) -> (Child, IdempotencyKey) {
    let shop = bed.shop();
    let pin = Fingerprint::of(&bed.server.address().answer_key);
    let mut keys = StoredKeys::new(Seed::new(shop.key.seed()), pin);
    keys.shop_id = Some(shop.enrolment.shop_id);
    FileKeyStore::new(folder.join("keys.json")).unwrap().create(keys).await.unwrap();
    let order = pay.module_order(bed, shop).unwrap();
    let key = fresh_key();
    let told = Told {
        url: bed.server.address().tls_url.clone(),
        authority: bed.server.address().authority.clone(),
        ca_pem: bed.server.ca_pem().to_owned(),
        folder: folder.to_str().unwrap().to_owned(),
        point,
        key: key.clone(),
        contract_id: order.contract_id,
        order_id: order.order_id,
        amount: order.money.amount,
        currency: order.money.currency,
        envelope: order.envelope,
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shop_killed::the_shop", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let line = serde_json::to_string(&told).unwrap() + "\n";
    child.stdin.take().unwrap().write_all(line.as_bytes()).await.unwrap();
    (child, key)
}

/// Until the shop's process says that it stands still.
async fn stopped(child: &mut Child) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let saying = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.ends_with("stopped") {
                return;
            }
        }
        panic!("the shop ended by itself");
    };
    tokio::time::timeout(wait::LIMIT, saying).await.expect("the shop stands still");
}

/// Another process of the shop, with the same folder.
async fn after_the_kill(bed: &Bed, folder: &Path, key: &IdempotencyKey) -> Connection {
    let address = bed.server.address();
    let config = config(&address.tls_url, &address.authority, bed.server.ca_pem());
    let line = Connection::open(Setup::in_folder(config, folder).unwrap()).await.unwrap();
    let found = line.in_flight().await.unwrap();
    assert!(found.unreadable.is_empty());
    assert_eq!(found.open.iter().map(|entry| &entry.key).collect::<Vec<_>>(), [key]);
    line
}

#[test]
fn a_shop_killed_before_it_sent_made_nothing() {
    BED.run(async |bed| {
        let folder = tempfile::tempdir().unwrap();
        let pay = Pay::sale("sakura-card", "approve", 1_100);
        let (mut shop, key) = start_shop(bed, folder.path(), &pay, Point::Noted).await;
        stopped(&mut shop).await;
        shop.kill().await.unwrap();
        let line = after_the_kill(bed, folder.path(), &key).await;
        let told = line.resume(&key).await.unwrap_err();
        assert_eq!((told.kind(), told.code().as_str()), (ErrorKind::Wait, "not_made"));
        assert!(line.in_flight().await.unwrap().open.is_empty());
        assert!(pay.effects(bed).await.is_empty());
    });
}

#[test]
fn a_shop_killed_while_it_waits_has_paid_once() {
    BED.run(async |bed| {
        let folder = tempfile::tempdir().unwrap();
        let pay = Pay::sale("sakura-card", "fault:delayed_answer", 1_200);
        let (mut shop, key) = start_shop(bed, folder.path(), &pay, Point::Sent).await;
        wait::until("the institution has it", || async {
            (!pay.effects(bed).await.is_empty()).then_some(())
        })
        .await;
        shop.kill().await.unwrap();
        let line = after_the_kill(bed, folder.path(), &key).await;
        assert_eq!(line.resume(&key).await.unwrap().state, State::Done);
        assert!(line.in_flight().await.unwrap().open.is_empty());
        assert_eq!(pay.effects(bed).await, [(1_200, 1)]);
    });
}

#[test]
fn a_shop_killed_before_it_closed_the_entry_has_paid_once() {
    BED.run(async |bed| {
        let folder = tempfile::tempdir().unwrap();
        let pay = Pay::sale("sakura-card", "approve", 1_300);
        let (mut shop, key) = start_shop(bed, folder.path(), &pay, Point::Answered).await;
        stopped(&mut shop).await;
        shop.kill().await.unwrap();
        let line = after_the_kill(bed, folder.path(), &key).await;
        assert_eq!(line.resume(&key).await.unwrap().state, State::Done);
        assert!(line.in_flight().await.unwrap().open.is_empty());
        assert_eq!(pay.effects(bed).await, [(1_300, 1)]);
    });
}
