//! Registration, sign-in and keys over a real socket, with crashes between the steps.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pos_connect::env::{Environment, EnvironmentError, System, Task};
use pos_connect::journal::MemoryJournal;
use pos_connect::keys::{Change, FileKeyStore, KeyStore, MemoryKeyStore, Seed, StoredKeys};
use pos_connect::protocol::enrolment::{EnrolmentCode, registration_proof};
use pos_connect::protocol::key::PublicKey;
use pos_connect::protocol::succession::Fingerprint;
use pos_connect::{Connection, Error, ErrorKind, SecretText, Setup, Timestamp, UserId, wire};
use serde_json::{Value, json};
use support::*;
use tokio::sync::Notify;
use zeroize::Zeroizing;

fn user() -> UserId {
    "usr_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap()
}

fn code(server: &Server) -> EnrolmentCode {
    let first = server.state.lock().unwrap().answer_keys[0];
    EnrolmentCode::new([5; 16], &key(first).public())
}

fn setup(server: &Server, keys: &(impl KeyStore + Clone + 'static)) -> Setup {
    Setup::new(server.config(), Arc::new(keys.clone()), Arc::<MemoryJournal>::default())
}

fn registered(call: &Heard) -> Value {
    json!({
        "shop_id": "shp_014d2pf2dbzzzzzzzzzzzzzzzz",
        "key_id": call.key_id,
        "pos_ids": [],
        "recovery_codes": ["one", "two"],
        "panic_code": "panic",
    })
}

fn key_answer(key: &PublicKey) -> Value {
    json!({ "key_id": key.id(), "role": "module", "created_at_ms": 1 })
}

async fn register(server: &Server, keys: &FileKeyStore) -> Result<Connection, Error> {
    let password = SecretText::from("correct horse battery staple");
    let registered =
        Connection::register(setup(server, keys), user(), password, &code(server)).await;
    registered.map(|(connection, answer)| {
        assert_eq!(answer.recovery_codes[1].expose(), "two");
        connection
    })
}

#[tokio::test]
async fn the_key_is_stored_before_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let stored = path.clone();
    let server = Server::start(move |call| {
        let kept: Value = serde_json::from_slice(&std::fs::read(&stored).unwrap()).unwrap();
        assert_eq!(kept["shop_id"], Value::Null);
        let body = call.json();
        let key: PublicKey = serde_json::from_value(body["key"].clone()).unwrap();
        let proof = serde_json::from_value(body["code_proof"].clone()).unwrap();
        let code = EnrolmentCode::new([5; 16], &support::key(11).public());
        code.enrolment_key().public().verify(&registration_proof(&user(), &key), &proof).unwrap();
        assert_eq!(call.idempotency_key, None);
        Reply::Says(200, registered(call))
    })
    .await;
    let keys = FileKeyStore::new(&path).unwrap();
    let error = Connection::open(setup(&server, &keys)).await.unwrap_err();
    assert_eq!(error.code().as_str(), "not_registered");
    let connection = register(&server, &keys).await.unwrap();
    let stored = keys.load().await.unwrap().unwrap();
    assert_eq!(stored.shop_id.unwrap().to_string(), SHOP);
    assert_eq!(stored.answer_key, Some(key(11).public()));
    assert_eq!(stored.module_key.key().public().id(), connection.key_id());
    let again = register(&server, &keys).await.unwrap_err();
    assert_eq!(again.code().as_str(), "already_registered");
    assert_eq!(server.targets(), ["/v1/registrations"]);
}

#[tokio::test]
async fn a_registration_that_was_cut_off_goes_on_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FileKeyStore::new(folder.path().join("keys.json")).unwrap();
    let arrived = Arc::new(Notify::new());
    let (noted, calls) = (Arc::clone(&arrived), AtomicUsize::new(0));
    let server = Server::start(move |call| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => {
            noted.notify_one();
            Reply::Silence
        }
        1 => Reply::HangUp,
        _ => Reply::Says(200, registered(call)),
    })
    .await;
    let server = Arc::new(server);
    let (cut, same) = (Arc::clone(&server), keys.clone());
    let registering = tokio::spawn(async move { register(&cut, &same).await });
    arrived.notified().await;
    registering.abort();
    let _ = registering.await;
    register(&server, &keys).await.unwrap();
    let heard = server.heard();
    let sent: Vec<_> = heard.iter().filter(|call| call.method == "POST").collect();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|call| call.key_id == sent[0].key_id && call.body == sent[0].body));
}

/// Somebody who ends TLS in between cannot offer an answer key of his own.
#[tokio::test]
async fn a_code_made_for_another_answer_key_registers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FileKeyStore::new(folder.path().join("keys.json")).unwrap();
    let server = Server::start(|call| Reply::Says(200, registered(call))).await;
    let code = EnrolmentCode::new([5; 16], &key(77).public());
    let password = SecretText::from("correct horse battery staple");
    let error = Connection::register(setup(&server, &keys), user(), password, &code).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::GiveUp, "server_not_proved"));
    assert_eq!(server.targets(), [""; 0], "neither password nor key were sent");
}

fn module_keys(server: &Server) -> StoredKeys {
    let mut keys = StoredKeys::new(Seed::new(Zeroizing::new([1; 32])), server.pin());
    keys.shop_id = Some(SHOP.parse().unwrap());
    server.know(&keys.module_key.key().public());
    keys
}

async fn store(folder: &tempfile::TempDir, server: &Server) -> FileKeyStore {
    let store = FileKeyStore::new(folder.path().join("keys.json")).unwrap();
    store.create(module_keys(server)).await.unwrap();
    store
}

fn no_keys() -> Reply {
    Reply::Says(200, json!({ "keys": [] }))
}

#[tokio::test]
async fn a_rolled_key_is_stored_first_and_used_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let server = Server::start(move |call| {
        if call.method == "GET" {
            return no_keys();
        }
        let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert!(kept["next_key"].is_string(), "stored before it is sent");
        let request: wire::RollKeyRequest = serde_json::from_value(call.json()).unwrap();
        let old = key(1).public();
        let signed = pos_connect::protocol::enrolment::key_roll_proof(&old, &request.key);
        request.key.verify(&signed, &request.proof).unwrap();
        Reply::Says(200, key_answer(&request.key))
    })
    .await;
    let keys = store(&folder, &server).await;
    let connection = Connection::open(setup(&server, &keys)).await.unwrap();
    let old = connection.key_id();
    let rolled = connection.roll_key().await.unwrap();
    assert_ne!(old, rolled.key_id);
    assert_eq!(connection.key_id(), rolled.key_id);
    let stored = keys.load().await.unwrap().unwrap();
    assert_eq!(stored.module_key.key().public().id(), rolled.key_id);
    assert!(stored.next_key.is_none());
    server.know(&stored.module_key.key().public());
    connection.list_keys().await.unwrap();
    assert_eq!(server.heard().last().unwrap().key_id, Some(rolled.key_id));
}

/// The server has taken the new key, and the process ended before it heard so. The old key runs
/// out meanwhile.
#[tokio::test]
async fn after_a_crash_while_rolling_both_keys_are_tried() {
    let folder = tempfile::tempdir().unwrap();
    let arrived = Arc::new(Notify::new());
    let noted = Arc::clone(&arrived);
    let taken = Arc::new(Mutex::new(None));
    let memory = Arc::clone(&taken);
    let server = Server::start(move |call| {
        if call.method == "GET" {
            return no_keys();
        }
        let request: wire::RollKeyRequest = serde_json::from_value(call.json()).unwrap();
        *memory.lock().unwrap() = Some(request.key);
        noted.notify_one();
        Reply::Silence
    })
    .await;
    let keys = store(&folder, &server).await;
    let connection = Connection::open(setup(&server, &keys)).await.unwrap();
    let rolling = tokio::spawn(async move { connection.roll_key().await });
    arrived.notified().await;
    rolling.abort();
    let _ = rolling.await;
    let next: PublicKey = taken.lock().unwrap().unwrap();
    server.forget_all_keys();
    server.know(&next);

    let later = Connection::open(setup(&server, &keys)).await.unwrap();
    later.list_keys().await.unwrap();
    assert_eq!(later.key_id(), next.id());
    let stored = keys.load().await.unwrap().unwrap();
    assert_eq!(stored.module_key.key().public(), next);
    assert!(stored.next_key.is_none());
}

/// The roll never arrived: the old key goes on, and the next roll takes the key that was made.
#[tokio::test]
async fn a_roll_that_failed_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|call| {
        let request: wire::RollKeyRequest = serde_json::from_value(call.json()).unwrap();
        Reply::Says(200, key_answer(&request.key))
    })
    .await;
    let keys = store(&folder, &server).await;
    let waiting = Seed::new(Zeroizing::new([2; 32]));
    keys.change(Change::NextKey(waiting.clone())).await.unwrap();
    let connection = Connection::open(setup(&server, &keys)).await.unwrap();
    let rolled = connection.roll_key().await.unwrap();
    assert_eq!(rolled.key_id, waiting.key().public().id());
    let key = server.heard().last().unwrap().idempotency_key.clone().unwrap();
    assert_eq!(key, format!("roll-{}", rolled.key_id), "every try is the same call");
}

/// Another process has rolled the key that this one still holds.
#[tokio::test]
async fn a_key_that_was_rolled_elsewhere_is_found_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| no_keys()).await;
    let keys = store(&folder, &server).await;
    let connection = Connection::open(setup(&server, &keys)).await.unwrap();
    let new = Seed::new(Zeroizing::new([2; 32]));
    keys.change(Change::NextKey(new.clone())).await.unwrap();
    keys.change(Change::Promote(new.key().public())).await.unwrap();
    server.forget_all_keys();
    server.know(&new.key().public());
    connection.list_keys().await.unwrap();
    assert_eq!(connection.key_id(), new.key().public().id());
}

/// The old key was refused, and of the successor nobody has said anything: it may never have arrived.
#[tokio::test]
async fn a_successor_is_not_promoted_before_the_server_has_taken_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::HangUp).await;
    let keys = store(&folder, &server).await;
    let setup = setup(&server, &keys).with_environment(Arc::<Hurried>::default());
    let connection = Connection::open(setup).await.unwrap();
    let old = connection.key_id();
    let next = Seed::new(Zeroizing::new([2; 32]));
    keys.change(Change::NextKey(next.clone())).await.unwrap();
    server.forget_all_keys();
    server.know(&next.key().public());
    connection.list_keys().await.unwrap_err();
    assert_eq!(connection.key_id(), old);
    let stored = keys.load().await.unwrap().unwrap();
    assert_eq!(stored.module_key.key().public().id(), old);
    assert!(stored.next_key.is_some());
}

/// Another process has rolled the key that this one still holds, and now this one rolls.
#[tokio::test]
async fn a_roll_begins_with_the_key_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|call| {
        let request: wire::RollKeyRequest = serde_json::from_value(call.json()).unwrap();
        let old = key(2).public();
        let signed = pos_connect::protocol::enrolment::key_roll_proof(&old, &request.key);
        request.key.verify(&signed, &request.proof).unwrap();
        Reply::Says(200, key_answer(&request.key))
    })
    .await;
    let keys = store(&folder, &server).await;
    let connection = Connection::open(setup(&server, &keys)).await.unwrap();
    keys.change(Change::NextKey(Seed::new(Zeroizing::new([2; 32])))).await.unwrap();
    keys.change(Change::Promote(key(2).public())).await.unwrap();
    server.know(&key(2).public());
    let rolled = connection.roll_key().await.unwrap();
    assert_eq!(server.heard().last().unwrap().key_id, Some(key(2).public().id()));
    let stored = keys.load().await.unwrap().unwrap();
    assert_eq!(stored.module_key.key().public().id(), rolled.key_id);
}

#[tokio::test]
async fn without_a_good_key_one_signs_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| no_keys()).await;
    let keys = store(&folder, &server).await;
    let connection = Connection::open(setup(&server, &keys)).await.unwrap();
    server.forget_all_keys();
    let error = connection.list_keys().await.unwrap_err();
    assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::SignInAgain, "key_unknown"));
    // For money such a refusal proves nothing: it may be that of a copy under another key's name.
    let error = connection.pay(&order("order-1"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AskForStatus);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("key_unknown"), "{why}");
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let server = Server::start(|call| match call.target.as_str() {
        "/v1/sessions" => Reply::Says(
            200,
            json!({
                "shop_id": "shp_014d2pf2dbzzzzzzzzzzzzzzzz",
                "key_id": call.key_id,
                "pos_ids": [],
                "ends_at_ms": 1,
                "idle_ms": 900_000,
            }),
        ),
        "/v1/sessions/end" => Reply::Says(401, problem("session_ended", "never")),
        _ => no_keys(),
    })
    .await;
    let empty = Setup::new(
        server.config(),
        Arc::<MemoryKeyStore>::default(),
        Arc::<MemoryJournal>::default(),
    );
    let password = || SecretText::from("correct horse battery staple");
    let error = Connection::login(empty, user(), password()).await.unwrap_err();
    assert_eq!(error.code().as_str(), "configuration", "nobody says whose answers to believe");
    let pinned = Setup::new(
        server.config().with_answer_key(Fingerprint::of(&key(11).public())),
        Arc::<MemoryKeyStore>::default(),
        Arc::<MemoryJournal>::default(),
    );
    let (one, session) = Connection::login(pinned.clone(), user(), password()).await.unwrap();
    let (two, _) = Connection::login(pinned, user(), password()).await.unwrap();
    assert_eq!(session.key_id, one.key_id());
    assert_ne!(one.key_id(), two.key_id(), "every session has a key of its own");
    let sessions: Vec<PublicKey> = server
        .heard()
        .iter()
        .filter(|call| call.target == "/v1/sessions")
        .map(|call| serde_json::from_value(call.json()["key"].clone()).unwrap())
        .collect();
    for session in sessions {
        server.know(&session);
    }
    one.list_keys().await.unwrap();
    let error = one.roll_key().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code().as_str()),
        (ErrorKind::FixTheRequest, "not_a_module_key")
    );
    // It had run out meanwhile, which is what was wanted.
    one.sign_out().await.unwrap();
    one.sign_out().await.unwrap();
    assert_eq!(one.list_keys().await.unwrap_err().code().as_str(), "closed");
    let clone = two.clone();
    two.close();
    assert_eq!(clone.list_keys().await.unwrap_err().code().as_str(), "closed");
}

#[tokio::test]
async fn a_new_answer_key_is_walked_to_once_and_stored() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| no_keys()).await;
    let keys = store(&folder, &server).await;
    let connection = Connection::open(setup(&server, &keys)).await.unwrap();
    connection.list_keys().await.unwrap();
    server.state.lock().unwrap().answer_keys = vec![11, 12, 13];
    connection.list_keys().await.unwrap();
    connection.list_keys().await.unwrap();
    let asked = server.heard().iter().filter(|call| call.target == "/v1/answer-keys").count();
    assert_eq!(asked, 2, "for the first key, and for the third");
    let stored = keys.load().await.unwrap().unwrap();
    assert_eq!(stored.answer_key, Some(key(13).public()));
    // Back to an earlier one is no succession.
    server.state.lock().unwrap().answer_keys = vec![11, 12];
    let setup = setup(&server, &keys).with_environment(Arc::<Hurried>::default());
    let error = Connection::open(setup).await.unwrap().list_keys().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Wait, "{error:?}");
    assert_eq!(error.code().as_str(), "answer_unverified");
}

/// An hour behind, by its own clock.
struct Late;

impl Environment for Late {
    fn now(&self) -> Result<Timestamp, EnvironmentError> {
        Ok(System.now()?.minus(std::time::Duration::from_secs(3_600)))
    }

    fn uptime(&self) -> std::time::Duration {
        System.uptime()
    }

    fn fill(&self, octets: &mut [u8]) -> Result<(), EnvironmentError> {
        System.fill(octets)
    }

    fn sleep(&self, span: std::time::Duration) -> Task<'_, ()> {
        System.sleep(span)
    }
}

#[tokio::test]
async fn a_wrong_clock_is_learnt_once() {
    let server = Server::start(|_| no_keys()).await;
    let keys = Arc::new(MemoryKeyStore::holding(module_keys(&server)));
    let setup = Setup::new(server.config(), keys, Arc::<MemoryJournal>::default());
    let connection = Connection::open(setup.with_environment(Arc::new(Late))).await.unwrap();
    connection.list_keys().await.unwrap();
    connection.list_keys().await.unwrap();
    assert_eq!(server.targets().len(), 3, "refused once, then right");
    let now = System.now().unwrap();
    let learnt = connection.server_time().unwrap();
    assert!(now.since(learnt).max(learnt.since(now)).as_secs() <= 2);
}
