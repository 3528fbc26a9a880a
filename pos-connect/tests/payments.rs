//! Payments over a real socket: journal, restarts, and whatever stands between shop and server.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pos_connect::journal::{FileJournal, MemoryJournal};
use pos_connect::keys::{MemoryKeyStore, Seed, StoredKeys};
use pos_connect::protocol::payment::OperationKind;
use pos_connect::protocol::wire::WireOperationState as State;
use pos_connect::{Connection, ErrorKind, HistoryQuery, IdempotencyKey, PaymentId, Setup};
use serde_json::json;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use zeroize::Zeroizing;

const KEY: &str = "0123456789abcdef";

fn some_key() -> Option<IdempotencyKey> {
    Some(KEY.parse().unwrap())
}

/// A store with a module key that the server knows.
fn keys(server: &Server) -> Arc<MemoryKeyStore> {
    let mut keys = StoredKeys::new(Seed::new(Zeroizing::new([1; 32])), server.pin());
    keys.shop_id = Some(SHOP.parse().unwrap());
    server.know(&keys.module_key.key().public());
    Arc::new(MemoryKeyStore::holding(keys))
}

async fn open(server: &Server) -> Connection {
    let setup = Setup::new(server.config(), keys(server), Arc::<MemoryJournal>::default());
    Connection::open(setup).await.unwrap()
}

#[tokio::test]
async fn every_movement_goes_out_and_comes_back() {
    let server = Server::start(|call| Reply::Says(200, operation(call, "done"))).await;
    let connection = open(&server).await;
    let sale = connection.pay(&order("order-1"), some_key()).await.unwrap();
    assert_eq!((sale.operation, sale.state), (OperationKind::Sale.into(), State::Done));
    assert_eq!(sale.idempotency_key.as_str(), KEY);
    let payment = sale.payment_id;
    let held = connection.authorise(&order("order-2"), None).await.unwrap();
    assert_eq!(held.operation, OperationKind::Authorise);
    assert_eq!(held.idempotency_key.as_str().len(), 30, "a key is made where none is given");
    connection.capture(payment, money(), None).await.unwrap();
    connection.void(payment, None).await.unwrap();
    connection.refund(payment, money(), None).await.unwrap();
    assert_eq!(
        server.targets(),
        [
            "/v1/payments".to_owned(),
            "/v1/payments".to_owned(),
            format!("/v1/payments/{payment}/captures"),
            format!("/v1/payments/{payment}/voids"),
            format!("/v1/payments/{payment}/refunds"),
        ]
    );
    let heard = server.heard();
    let last = heard.last().unwrap();
    assert_eq!(last.json(), json!({ "amount": 1200, "currency": "JPY" }));
    assert_eq!(last.header("content-type"), Some("application/json"));
    assert_eq!(last.header("accept-encoding"), None, "answers are never compressed");
    assert!(last.header("user-agent").unwrap().starts_with("pos-connect/"));
    assert!(connection.in_flight().await.unwrap().open.is_empty());
}

#[tokio::test]
async fn a_proxy_that_rewrites_a_reply_is_not_believed() {
    let server = Server::start(|call| {
        if call.method == "POST" {
            return Reply::Says(200, operation(call, "done"));
        }
        let mut found = operation(call_of_key(), "done");
        found["found"] = "operation".into();
        Reply::Says(200, found)
    })
    .await;
    let proxy = rewriting(&server.url, b"\"state\":\"done\"", b"\"state\":\"gone\"").await;
    let authority = server.url.strip_prefix("http://").unwrap();
    let config = pos_connect::Config::new(&proxy).unwrap().with_authority(authority).unwrap();
    let setup = Setup::new(config, keys(&server), Arc::<MemoryJournal>::default());
    let connection = Connection::open(setup).await.unwrap();
    let sale = connection.pay(&order("order-1"), some_key()).await.unwrap();
    assert_eq!(sale.state, State::Done);
    assert_eq!(server.targets(), ["/v1/payments", "/v1/operations/0123456789abcdef"]);
}

/// The call that a question is about.
fn call_of_key() -> &'static Heard {
    static CALL: std::sync::OnceLock<Heard> = std::sync::OnceLock::new();
    CALL.get_or_init(|| Heard {
        method: "POST".into(),
        target: "/v1/payments".into(),
        headers: Vec::new(),
        body: serde_json::to_vec(
            &json!({ "operation": "sale", "order_id": "order-1", "amount": 1200, "currency": "JPY" }),
        )
        .unwrap(),
        key_id: None,
        idempotency_key: Some(KEY.into()),
    })
}

/// Replaces a text in the first answer that has it, and passes all else on.
async fn rewriting(server: &str, find: &'static [u8], put: &'static [u8]) -> String {
    assert_eq!(find.len(), put.len());
    let server = server.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let rewritten = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((shop, _)) = listener.accept().await {
            let upstream = TcpStream::connect(&server).await.unwrap();
            let (mut from_shop, mut to_shop) = shop.into_split();
            let (mut from_server, mut to_server) = upstream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_shop, &mut to_server).await });
            let rewritten = Arc::clone(&rewritten);
            tokio::spawn(async move {
                let mut piece = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = from_server.read(&mut piece).await {
                    let octets = &mut piece[..length];
                    let at = octets.windows(find.len()).position(|window| window == find);
                    if let Some(at) = at
                        && rewritten.fetch_add(1, Ordering::SeqCst) == 0
                    {
                        octets[at..at + put.len()].copy_from_slice(put);
                    }
                    if to_shop.write_all(octets).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn pages_redirects_and_floods_of_others_are_no_answers() {
    let flood = http(200, &[], &vec![b' '; 1024 * 1024 + 1]);
    let redirect = http(307, &[("location", "/v1/stolen")], b"{}");
    let cookie = http(502, &[("set-cookie", "a=b")], b"<html>");
    for raw in [flood, redirect, cookie, b"not http at all\r\n\r\n".to_vec()] {
        let first = AtomicUsize::new(0);
        let server = Server::start(move |call| {
            if first.fetch_add(1, Ordering::SeqCst) == 0 {
                return Reply::Raw(raw.clone());
            }
            assert_eq!(call.header("cookie"), None);
            let mut found = operation(call_of_key(), "done");
            found["found"] = "operation".into();
            Reply::Says(200, found)
        })
        .await;
        let connection = open(&server).await;
        let sale = connection.pay(&order("order-1"), some_key()).await.unwrap();
        assert_eq!(sale.state, State::Done);
        assert_eq!(server.targets(), ["/v1/payments", "/v1/operations/0123456789abcdef"]);
    }
}

#[tokio::test]
async fn one_key_is_not_used_for_two_calls() {
    let server = Server::start(|call| Reply::Says(202, operation(call, "pending"))).await;
    let connection = open(&server).await;
    connection.pay(&order("order-1"), some_key()).await.unwrap();
    // Sealing again gives another body.
    let error = connection.pay(&order("order-1"), some_key()).await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::AskForStatus, "open_under_key"));
    assert!(error.message().contains("Resume it first"), "{}", error.message());
    assert_eq!(server.targets().len(), 1, "refused without asking the server");
    assert_eq!(connection.in_flight().await.unwrap().open.len(), 1, "the first one is still open");
}

/// The process ends between sending and hearing; another one finds the outcome by asking.
#[tokio::test]
async fn a_restart_asks_and_never_sends() {
    let folder = tempfile::tempdir().unwrap();
    let arrived = Arc::new(Notify::new());
    let noted = Arc::clone(&arrived);
    let made = Arc::new(Mutex::new(None));
    let memory = Arc::clone(&made);
    let server = Server::start(move |call| {
        if call.method == "POST" {
            *memory.lock().unwrap() = Some(operation(call, "done"));
            noted.notify_one();
            return Reply::Silence;
        }
        let mut found = memory.lock().unwrap().clone().unwrap();
        found["found"] = "operation".into();
        Reply::Says(200, found)
    })
    .await;
    let keys = keys(&server);
    let setup = || {
        let journal = FileJournal::new(folder.path()).unwrap();
        Setup::new(server.config(), keys.clone(), Arc::new(journal))
    };
    let connection = Connection::open(setup()).await.unwrap();
    let payment = order("order-1");
    let sent = payment.clone();
    let paying = tokio::spawn(async move { connection.pay(&sent, some_key()).await });
    arrived.notified().await;
    paying.abort();
    assert!(paying.await.unwrap_err().is_cancelled());

    let later = Connection::open(setup()).await.unwrap();
    let open = later.in_flight().await.unwrap().open;
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].key.as_str(), open[0].operation.as_str()), (KEY, "sale"));
    assert_eq!(open[0].order_id.as_ref().unwrap().as_str(), "order-1");
    assert_eq!(open[0].attempts.len(), 1);
    // The same call again only asks, too.
    let again = later.pay(&payment, some_key()).await.unwrap();
    assert_eq!(again.state, State::Done);
    assert_eq!(server.targets(), ["/v1/payments", "/v1/operations/0123456789abcdef"]);
    assert!(later.in_flight().await.unwrap().open.is_empty());
    // Whoever was not told before the entry was closed asks in vain for nothing.
    let known = later.resume(&KEY.parse().unwrap()).await.unwrap();
    assert_eq!(known.state, State::Done);
}

#[tokio::test]
async fn an_open_payment_is_settled_by_resuming() {
    let state = Arc::new(Mutex::new("pending"));
    let present = Arc::clone(&state);
    let server = Server::start(move |call| {
        let state = *present.lock().unwrap();
        if call.method == "POST" {
            return Reply::Says(202, operation(call, state));
        }
        let mut found = operation(call_of_key(), state);
        found["found"] = "operation".into();
        Reply::Says(200, found)
    })
    .await;
    let connection = open(&server).await;
    let sale = connection.pay(&order("order-1"), some_key()).await.unwrap();
    assert_eq!(sale.state, State::Pending);
    let key = KEY.parse().unwrap();
    assert_eq!(connection.resume(&key).await.unwrap().state, State::Pending);
    *state.lock().unwrap() = "declined";
    assert_eq!(connection.resume(&key).await.unwrap().state, State::Declined);
    assert!(connection.in_flight().await.unwrap().open.is_empty());
}

#[tokio::test]
async fn what_is_not_written_down_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|call| Reply::Says(200, operation(call, "done"))).await;
    let journal = FileJournal::new(folder.path().join("journal")).unwrap();
    let setup = Setup::new(server.config(), keys(&server), Arc::new(journal));
    let connection = Connection::open(setup).await.unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    let error = connection.pay(&order("order-1"), some_key()).await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::GiveUp, "journal"));
    assert_eq!(error.idempotency_key().unwrap().as_str(), KEY);
    assert_eq!(server.targets(), [""; 0]);
}

#[tokio::test]
async fn a_refusal_says_what_the_server_said() {
    let server = Server::start(|_| {
        let mut refusal = problem("amount_out_of_limits", "new_quote");
        refusal["field"] = "amount".into();
        Reply::Says(409, refusal)
    })
    .await;
    let connection = open(&server).await;
    let error = connection.pay(&order("order-1"), some_key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FixTheRequest);
    assert_eq!(error.retry(), pos_connect::Retry::NewQuote);
    assert_eq!(error.field(), Some("amount"));
    assert_eq!(error.request_id().unwrap().to_string(), "req_014d2pf2dbzzzzzzzzzzzzzzzz");
    assert_eq!(error.message_ja(), "いいえ");
    assert!(connection.in_flight().await.unwrap().open.is_empty(), "nothing is open");
}

#[tokio::test]
async fn a_server_that_is_not_there_leaves_nothing_in_doubt() {
    // A port that was free a moment ago.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Server::start(|_| Reply::HangUp).await;
    let config = pos_connect::Config::new(&format!("http://{gone}")).unwrap();
    let setup = Setup::new(config, keys(&server), Arc::<MemoryJournal>::default());
    let setup = setup.with_environment(Arc::<Hurried>::default());
    let connection = Connection::open(setup).await.unwrap();
    let error = connection.pay(&order("order-1"), None).await.unwrap_err();
    // The answer key is only known by its fingerprint, and not even that question got through.
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::Wait, "server_unreachable"));
    assert!(connection.in_flight().await.unwrap().open.is_empty());
}

#[tokio::test]
async fn the_history_comes_page_by_page() {
    let payment = |digit: char| format!("pay_014d2pf2dbzzzzzzzzzzzzzzz{digit}");
    let view = move |digit| {
        json!({
            "payment_id": payment(digit),
            "order_id": "order-1",
            "pos_id": "pos_014d2pf2dbzzzzzzzzzzzzzzzz",
            "contract_id": "con_014d2pf2dbzzzzzzzzzzzzzzzz",
            "institution": "sakura-card",
            "state": "from_the_future",
            "amount": 1200, "currency": "JPY",
            "authorised": 1200, "captured": 0, "released": 0, "refunded": 0,
            "created_at_ms": 1, "operations": [],
        })
    };
    let next = payment('1');
    let server = Server::start(move |call| {
        let page = match call.target.as_str() {
            "/v1/payments?limit=2" => json!({ "payments": [view('2'), view('1')], "next": next }),
            "/v1/payments?after=pay_014d2pf2dbzzzzzzzzzzzzzzz1&limit=2" => {
                json!({ "payments": [view('0')] })
            }
            other => panic!("{other}"),
        };
        Reply::Says(200, page)
    })
    .await;
    let connection = open(&server).await;
    let mut pages = connection.pages(HistoryQuery { limit: Some(2), ..HistoryQuery::default() });
    let mut found: Vec<PaymentId> = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        found.extend(page.payments.iter().map(|payment| payment.payment_id));
    }
    assert_eq!(found, ['2', '1', '0'].map(|digit| payment(digit).parse().unwrap()));
    assert!(pages.next().await.unwrap().is_none());
}

#[tokio::test]
async fn seal_keys_are_passed_on_only_from_the_root_that_was_named_first() {
    let now = Arc::new(Mutex::new((31_u8, 31_u8, 2_u64)));
    let present = Arc::clone(&now);
    let server = Server::start(move |_| {
        let (root, signer, version) = *present.lock().unwrap();
        Reply::Says(
            200,
            json!({
                "contract": contract(root),
                "seal_keys": seal_keys(signer, version),
                "considered": [],
            }),
        )
    })
    .await;
    let connection = open(&server).await;
    let request = quote_request();
    let quote = connection.quote(&request).await.unwrap();
    assert_eq!(quote.contract.unwrap().contract_number.as_str(), "4980012345");
    for (root, signer, version, code) in [
        (31, 31, 3, None),
        (31, 31, 2, Some("seal_keys_refused")),
        (31, 32, 4, Some("seal_keys_refused")),
        (32, 32, 4, Some("seal_root_changed")),
        (31, 31, 4, None),
    ] {
        *now.lock().unwrap() = (root, signer, version);
        let refused = connection.quote(&request).await.err();
        let found = refused.as_ref().map(|error| error.code().as_str());
        assert_eq!(found, code, "{root} {signer} {version}");
    }
}

/// The shop has a root key from the institution itself: it takes the place of the one remembered,
/// whose versions say nothing of the other's.
#[tokio::test]
async fn a_root_that_the_shop_sets_replaces_the_one_remembered() {
    let now = Arc::new(Mutex::new((31_u8, 5_u64)));
    let present = Arc::clone(&now);
    let server = Server::start(move |_| {
        let (root, version) = *present.lock().unwrap();
        let seal_keys = seal_keys(root, version);
        let quote = json!({ "contract": contract(root), "seal_keys": seal_keys, "considered": [] });
        Reply::Says(200, quote)
    })
    .await;
    let keys = keys(&server);
    let request = quote_request();
    let opened = |config| {
        let setup = Setup::new(config, keys.clone(), Arc::<MemoryJournal>::default());
        async { Connection::open(setup).await.unwrap() }
    };
    opened(server.config()).await.quote(&request).await.unwrap();
    let sakura = "sakura-card".parse().unwrap();
    let set = opened(server.config().with_seal_root(sakura, key(32).public())).await;
    for (root, version, code) in
        [(31, 5, Some("seal_root_changed")), (32, 2, None), (32, 1, Some("seal_keys_refused"))]
    {
        *now.lock().unwrap() = (root, version);
        let refused = set.quote(&request).await.err();
        assert_eq!(refused.as_ref().map(|error| error.code().as_str()), code, "{root} {version}");
    }
    // It is remembered without being set again.
    let later = opened(server.config()).await;
    *now.lock().unwrap() = (31, 9);
    assert_eq!(later.quote(&request).await.unwrap_err().code().as_str(), "seal_root_changed");
}

#[tokio::test]
async fn one_institutions_change_of_root_leaves_the_others_contracts() {
    let root = Arc::new(Mutex::new(31_u8));
    let present = Arc::clone(&root);
    let server = Server::start(move |call| {
        let root = *present.lock().unwrap();
        if call.method == "POST" {
            let seal_keys = seal_keys(root, 1);
            let quote =
                json!({ "contract": contract(root), "seal_keys": seal_keys, "considered": [] });
            return Reply::Says(200, quote);
        }
        let mut other = contract(41);
        other["institution"] = "aozora-bank".into();
        let contracts = [contract(root), other];
        Reply::Says(200, json!({ "contracts": contracts, "seal_keys": [], "keep_ms": 1_000 }))
    })
    .await;
    let connection = open(&server).await;
    connection.quote(&quote_request()).await.unwrap();
    *root.lock().unwrap() = 32;
    let found = connection.methods(None).await.unwrap();
    let names: Vec<_> = found.contracts.iter().map(|one| one.institution.as_str()).collect();
    assert_eq!(names, ["aozora-bank"]);
}

fn quote_request() -> pos_connect::wire::QuoteRequest {
    pos_connect::wire::QuoteRequest {
        order_id: "order-1".parse().unwrap(),
        method: "card:visa".parse().unwrap(),
        amount: money().amount,
        currency: money().currency,
        pos_id: None,
        contract_id: None,
    }
}
