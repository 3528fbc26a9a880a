//! Calls that were under way before: whose they are, who else is at them, and what is said of them
//! when they cannot be settled.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use pos_connect::env::{Environment as _, System, Task};
use pos_connect::journal::{Attempt, Digest, Entry, FileJournal, Journal, MemoryJournal, Owner};
use pos_connect::keys::{MemoryKeyStore, Seed, StoredKeys};
use pos_connect::protocol::wire::WireOperationState as State;
use pos_connect::{Connection, ErrorKind, IdempotencyKey, Setup};
use serde_json::{Value, json};
use support::*;
use tokio::sync::Notify;
use zeroize::Zeroizing;

const KEY: &str = "0123456789abcdef";

fn some_key() -> IdempotencyKey {
    KEY.parse().unwrap()
}

fn setup(server: &Server, journal: Arc<dyn Journal>) -> Setup {
    let mut keys = StoredKeys::new(Seed::new(Zeroizing::new([1; 32])), server.pin());
    keys.shop_id = Some(SHOP.parse().unwrap());
    server.know(&keys.module_key.key().public());
    Setup::new(server.config(), Arc::new(MemoryKeyStore::holding(keys)), journal)
}

/// A refund of an earlier life, whose only attempt ended two minutes ago.
fn earlier(server: &Server) -> Entry {
    let owner = Owner {
        authority: server.url.strip_prefix("http://").unwrap().into(),
        shop_id: SHOP.parse().unwrap(),
    };
    Entry {
        key: some_key(),
        owner,
        operation: "refund".into(),
        order_id: None,
        payment_id: Some("pay_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap()),
        amount: Some(money().amount),
        currency: Some(money().currency),
        digest: Digest([0; 32]),
        attempts: vec![attempt_ended(120)],
    }
}

fn attempt_ended(ago_s: u64) -> Attempt {
    let now = System.now().unwrap().as_secs();
    let time = |ago_s: u64| pos_connect::Timestamp::from_secs(now - ago_s);
    Attempt { created_ms: time(ago_s + 20), expires_ms: time(ago_s) }
}

/// What a journal in memory does at once.
fn now<T>(mut task: Task<'_, T>) -> T {
    match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a journal in memory does not wait"),
    }
}

fn journal_with(entry: Entry) -> Arc<MemoryJournal> {
    let journal = Arc::<MemoryJournal>::default();
    now(journal.begin(entry)).unwrap();
    journal
}

fn refund(state: &str) -> Value {
    json!({
        "found": "operation",
        "operation_id": "op_014d2pf2dbzzzzzzzzzzzzzzzz",
        "payment_id": "pay_014d2pf2dbzzzzzzzzzzzzzzzz",
        "order_id": "order-1",
        "idempotency_key": KEY,
        "operation": "refund",
        "state": state,
        "amount": 1200,
        "currency": "JPY",
        "contract_id": "con_014d2pf2dbzzzzzzzzzzzzzzzz",
        "institution": "sakura-card",
        "created_at_ms": 1_795_132_800_000_u64,
    })
}

fn nothing() -> Reply {
    let server_time_ms = System.now().unwrap().as_ms();
    Reply::Says(200, json!({ "found": "nothing", "server_time_ms": server_time_ms, "gaps": [] }))
}

/// Another process sends the call again while this one asks: `nothing` proves nothing of that.
#[tokio::test]
async fn an_attempt_that_is_noted_meanwhile_keeps_it_from_being_not_made() {
    let journal = Arc::new(Mutex::new(None::<Arc<MemoryJournal>>));
    let shared = Arc::clone(&journal);
    let server = Server::start(move |_| match shared.lock().unwrap().take() {
        Some(journal) => {
            now(journal.attempt(some_key(), attempt_ended(0))).unwrap();
            nothing()
        }
        None => Reply::Says(200, refund("done")),
    })
    .await;
    let kept = journal_with(earlier(&server));
    *journal.lock().unwrap() = Some(Arc::clone(&kept));
    let connection = Connection::open(setup(&server, kept)).await.unwrap();
    let found = connection.resume(&some_key()).await.unwrap();
    assert_eq!(found.state, State::Done);
    assert_eq!(server.targets(), ["/v1/operations/0123456789abcdef"; 2]);
}

/// A shop asks about a key whose entry is not there: it died before the entry was made, or after it was closed.
#[tokio::test]
async fn a_server_that_has_lost_some_time_cannot_say_of_a_lost_entry_that_nothing_was_made() {
    let lost = json!([{ "from_ms": 1_795_132_800_000_u64, "to_ms": 1_795_132_900_000_u64 }]);
    for (gaps, expected) in [
        (json!([]), (ErrorKind::FixTheRequest, "not_in_journal")),
        (lost, (ErrorKind::AskForStatus, "needs_human")),
    ] {
        let server = Server::start(move |_| {
            let server_time_ms = System.now().unwrap().as_ms();
            let body =
                json!({ "found": "nothing", "server_time_ms": server_time_ms, "gaps": gaps });
            Reply::Says(200, body)
        })
        .await;
        let connection =
            Connection::open(setup(&server, Arc::<MemoryJournal>::default())).await.unwrap();
        let error = connection.resume(&some_key()).await.unwrap_err();
        assert_eq!((error.kind(), error.code().as_str()), expected);
    }
}

#[tokio::test]
async fn what_nobody_else_is_at_is_not_made_and_closed() {
    let server = Server::start(|_| nothing()).await;
    let kept = journal_with(earlier(&server));
    let connection = Connection::open(setup(&server, kept)).await.unwrap();
    let error = connection.resume(&some_key()).await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::Wait, "not_made"));
    assert_eq!(error.retry(), pos_connect::Retry::Never, "a new try takes a new key");
    assert!(connection.in_flight().await.unwrap().open.is_empty());
}

/// The second waits for the first and is told the same, whether it pays or resumes.
#[tokio::test]
async fn of_two_verbs_with_one_key_the_second_hears_what_became_of_the_first() {
    for resumes in [false, true] {
        let made = Arc::new(Mutex::new(None));
        let (memory, arrived) = (Arc::clone(&made), Arc::new(Notify::new()));
        let noted = Arc::clone(&arrived);
        let server = Server::start(move |call| {
            if call.method == "POST" {
                *memory.lock().unwrap() = Some(operation(call, "pending"));
                noted.notify_one();
                return Reply::HangUp;
            }
            let mut found = memory.lock().unwrap().clone().unwrap();
            found["found"] = "operation".into();
            found["state"] = "done".into();
            Reply::Says(200, found)
        })
        .await;
        let setup = setup(&server, Arc::<MemoryJournal>::default());
        let first = Connection::open(setup.clone()).await.unwrap();
        let second = Connection::open(setup).await.unwrap();
        let order = order("order-1");
        let sent = order.clone();
        let paying = tokio::spawn(async move { first.pay(&sent, Some(some_key())).await });
        arrived.notified().await;
        let told = if resumes {
            second.resume(&some_key()).await
        } else {
            second.pay(&order, Some(some_key())).await
        };
        assert_eq!(told.unwrap(), paying.await.unwrap().unwrap());
        let posts = server.heard().iter().filter(|call| call.method == "POST").count();
        assert_eq!(posts, 1, "one call was made");
    }
}

#[tokio::test]
async fn nobody_is_told_what_became_of_anothers_call() {
    let server = Server::start(|_| nothing()).await;
    let own = earlier(&server);
    let other_shop = "shp_014d2pf2dbzzzzzzzzzzzzzzz0".parse().unwrap();
    for owner in [
        Owner { shop_id: other_shop, ..own.owner.clone() },
        Owner { authority: "pos.example".into(), ..own.owner.clone() },
    ] {
        let kept = journal_with(Entry { owner, ..own.clone() });
        let connection = Connection::open(setup(&server, Arc::clone(&kept) as _)).await.unwrap();
        assert!(connection.in_flight().await.unwrap().open.is_empty());
        let resumed = connection.resume(&some_key()).await.unwrap_err();
        let refund = connection.refund(own.payment_id.unwrap(), money(), Some(some_key()));
        let refused = refund.await.unwrap_err();
        let dismissed = connection.dismiss(&some_key()).await.unwrap_err();
        for error in [resumed, refused, dismissed] {
            let found = (error.kind(), error.code().as_str());
            assert_eq!(found, (ErrorKind::AskForStatus, "foreign_entry"));
        }
        assert_eq!(now(kept.entries()).unwrap().readable.len(), 1);
    }
    assert!(server.targets().is_empty(), "nothing was asked");
}

/// The amount that the journal remembers is held against what the server says.
#[tokio::test]
async fn an_answer_about_another_amount_is_not_believed() {
    let server = Server::start(|_| Reply::Says(200, refund("done"))).await;
    let amount = pos_connect::Amount::new(1_201).ok();
    let kept = journal_with(Entry { amount, ..earlier(&server) });
    let setup = setup(&server, kept).with_environment(Arc::<Hurried>::default());
    let connection = Connection::open(setup).await.unwrap();
    let error = connection.resume(&some_key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AskForStatus);
    assert_eq!(connection.in_flight().await.unwrap().open.len(), 1);
}

/// An attempt of an earlier life may have moved money, whatever keeps this call from asking.
#[tokio::test]
async fn a_call_whose_key_is_open_is_never_said_to_have_moved_nothing() {
    let server = Server::start(|_| Reply::HangUp).await;
    let folder = tempfile::tempdir().unwrap();
    let first = order("order-1");
    let hurried = |journal| setup(&server, journal).with_environment(Arc::<Hurried>::default());
    let journal: Arc<dyn Journal> = Arc::new(FileJournal::new(folder.path()).unwrap());
    let connection = Connection::open(hurried(Arc::clone(&journal))).await.unwrap();
    connection.pay(&first, Some(some_key())).await.unwrap_err();

    let journal: Arc<dyn Journal> = Arc::new(FileJournal::new(folder.path()).unwrap());
    // No server.
    let gone = Server::start(|_| Reply::HangUp).await;
    let authority = server.url.strip_prefix("http://").unwrap();
    let gone = pos_connect::Config::new(&gone.url.replace("127.0.0.1", "127.0.0.2")).unwrap();
    let gone = gone.with_authority(authority).unwrap();
    let mut keys = StoredKeys::new(Seed::new(Zeroizing::new([1; 32])), server.pin());
    keys.shop_id = Some(SHOP.parse().unwrap());
    let keys = Arc::new(MemoryKeyStore::holding(keys));
    let down = Setup::new(gone, keys, Arc::clone(&journal));
    let down = Connection::open(down.with_environment(Arc::<Hurried>::default())).await.unwrap();
    let error = down.pay(&first, Some(some_key())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AskForStatus, "{error:?}");
    // A line that was closed.
    down.close();
    let error = down.pay(&first, Some(some_key())).await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::AskForStatus, "closed"));
    // The same order, sealed again.
    let connection = Connection::open(hurried(journal)).await.unwrap();
    let error = connection.pay(&order("order-1"), Some(some_key())).await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::AskForStatus, "open_under_key"));
    // An entry that cannot be read.
    let file = folder.path().join(format!("{KEY}.json"));
    std::fs::write(&file, b"{}\n").unwrap();
    let error = connection.pay(&first, Some(some_key())).await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::AskForStatus, "journal"));
    let found = connection.in_flight().await.unwrap();
    assert!(found.open.is_empty());
    assert_eq!(found.unreadable[0].kind(), ErrorKind::AskForStatus);
    assert_eq!(found.unreadable[0].idempotency_key(), Some(&some_key()));
    // Until a person has seen to it.
    connection.dismiss(&some_key()).await.unwrap();
    assert!(connection.in_flight().await.unwrap().unreadable.is_empty());
    assert!(!file.exists());
}
