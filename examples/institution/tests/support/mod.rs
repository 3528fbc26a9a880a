//! A running institution, the server's driver in front of it, and its ledger as the judge.

// Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use pos_institution::house::House;
use pos_institution::keys::x_of;
use pos_institution::running::{Announced, Announcement};
use pos_institution::{Options, Running, start};
use pos_protocol::id::{OperationId, OrderId};
use pos_protocol::money::{Currency, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::{Binding, Envelope, Instrument, SealedOperation, seal};
use pos_protocol::time::Timestamp;
use pos_server::connectors::institution_protocol::capabilities;
use pos_server::connectors::{
    Answer, CallKey, CheckOrder, Driver, DriverSettings, Institution, InstitutionRecord,
    OperationOrder, SendPermit,
};
use pos_server::data_folder::keys::SigningKeyPair;
use pos_server::env::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

pub const CONTRACT: &str = "4980012345";

/// How long a test's driver waits for an answer that will not come.
pub const PATIENCE: Duration = Duration::from_millis(700);

/// Institutions in this process, or in one of their own.
pub enum Serving {
    Here(Running),
    Apart(Mutex<Child>, Announcement),
}

impl Serving {
    pub fn announcement(&self) -> &Announcement {
        match self {
            Self::Here(running) => running.announcement(),
            Self::Apart(_, announcement) => announcement,
        }
    }

    /// Starts the program and reads what it announces.
    fn apart(verb: &str, folder: &Path, more: &[String]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pos-institution"))
            .args([verb, "--until-stdin-closes", "--data", folder.to_str().unwrap()])
            .args(["--contract", CONTRACT, "--operator-key", &x_of(&call_pair().public())])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self::Apart(Mutex::new(child), serde_json::from_str(&line).unwrap())
    }

    /// Kills the process: SIGKILL, and it is gone when this returns.
    pub fn kill(&self) {
        let Self::Apart(child, _) = self else { panic!("there is no process of its own") };
        let mut child = child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Self::Apart(child, _) = self {
            let child = child.get_mut().unwrap();
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn call_pair() -> Arc<SigningKeyPair> {
    Arc::new(SigningKeyPair::from_seed(&[9; 32]))
}

pub struct Bed {
    pub driver: Driver,
    pub clock: Arc<dyn Clock>,
    pub running: Serving,
    pub call_key: CallKey,
    folder: TempDir,
    instruments: Value,
}

impl Bed {
    /// All three houses, with the operator's key and one contract known.
    pub async fn start() -> Self {
        Self::start_with(DriverSettings { answer: PATIENCE, ..DriverSettings::default() }).await
    }

    pub async fn start_with(settings: DriverSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let operator_keys = vec![call_pair().public()];
        let contracts = vec![CONTRACT.parse().unwrap()];
        let options = Options { operator_keys, contracts, ..Options::local(folder.path()) };
        let running = start(options).await.unwrap();
        Self::over(Serving::Here(running), folder, settings).await
    }

    /// Institutions in a process of their own: `all`, `card`, `bank` or `prepaid`.
    pub async fn start_apart(verb: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving::apart(verb, folder.path(), &[]);
        Self::over(serving, folder, DriverSettings::default()).await
    }

    /// Starts the process again that was killed, on the same addresses and folders.
    pub async fn start_apart_again(self, verb: &str) -> Self {
        let listen = self.running.announcement().institutions.iter().flat_map(|one| {
            let address = one.url.trim_start_matches("https://").to_owned();
            [format!("--{}-listen", one.kind), address]
        });
        let listen: Vec<_> = listen.collect();
        let Self { running, folder, .. } = self;
        drop(running);
        let serving = Serving::apart(verb, folder.path(), &listen);
        Self::over(serving, folder, DriverSettings::default()).await
    }

    async fn over(running: Serving, folder: TempDir, settings: DriverSettings) -> Self {
        let pair = call_pair();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let driver = Driver::new(settings, Arc::clone(&clock));
        let call_key = CallKey::new(pair.id(), move |message| pair.sign(message));
        let mut bed = Self { driver, clock, running, call_key, folder, instruments: Value::Null };
        bed.instruments = bed.control("GET", "/control/instruments", &Value::Null).await;
        bed
    }

    /// Stops the institutions and starts them again on the same addresses and folders.
    pub async fn restart(self) -> Self {
        let mut options = Options::local(self.folder.path());
        for (at, (_, address)) in options.houses.iter_mut().enumerate() {
            let url = &self.running.announcement().institutions[at].url;
            *address = url.trim_start_matches("https://").parse().unwrap();
        }
        let Self { mut running, driver, clock, call_key, folder, instruments } = self;
        if let Serving::Here(before) = &mut running {
            before.stop().await;
        }
        drop(running);
        let running = Serving::Here(start(options).await.unwrap());
        Self { running, driver, clock, call_key, folder, instruments }
    }

    /// Where keys and ledgers lie.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    pub fn announced(&self, house: House) -> &Announced {
        let all = &self.running.announcement().institutions;
        all.iter().find(|one| one.id == house.id()).unwrap()
    }

    pub fn record(&self, house: House) -> InstitutionRecord {
        let told = self.announced(house);
        InstitutionRecord {
            id: told.id.clone(),
            names: told.info.names.clone(),
            url: told.url.clone(),
            ca_pem: told.ca_pem.clone(),
            verify_key: told.verify_key.parse().unwrap(),
            seal_root: told.seal_root.parse().unwrap(),
            seal_key_version: 0,
            enabled: true,
            capabilities: capabilities(&told.info),
        }
    }

    pub fn institution(&self, house: House) -> Institution {
        Institution::new(self.record(house), &self.call_key).unwrap()
    }

    pub fn instrument(&self, house: House, name: &str) -> Instrument {
        let all = self.instruments.as_array().unwrap();
        let found =
            all.iter().find(|one| one["institution"] == json!(house.id()) && one["name"] == name);
        let found = found.unwrap_or_else(|| panic!("{house:?} has no instrument {name}"));
        Instrument::from_json(found["instrument"].to_string().as_bytes()).unwrap()
    }

    /// A new payment of a test instrument.
    pub async fn order(
        &self,
        at: &Institution,
        kind: OperationKind,
        name: &str,
        yen: u64,
    ) -> OperationOrder {
        let order_id = self.fresh_order_id();
        let money = Money::new(yen, Currency::JPY).unwrap();
        let sealed = match kind {
            OperationKind::Authorise => SealedOperation::Authorise,
            _ => SealedOperation::Sale,
        };
        let envelope = self.envelope(at, sealed, &order_id, money, name).await;
        OperationOrder {
            institution: at.record().id.clone(),
            operation_id: self.fresh_id(),
            kind,
            original: None,
            contract_number: CONTRACT.parse().unwrap(),
            order_id,
            money,
            not_after: self.clock.now().plus(Duration::from_secs(10)),
            allow_partial: false,
            sent_before: false,
            envelope: Some(envelope),
        }
    }

    /// A capture, void or refund of an earlier order.
    pub fn following(
        &self,
        original: &OperationOrder,
        kind: OperationKind,
        yen: u64,
    ) -> OperationOrder {
        OperationOrder {
            operation_id: self.fresh_id(),
            kind,
            original: Some(original.operation_id),
            money: Money::new(yen, Currency::JPY).unwrap(),
            envelope: None,
            ..original.clone()
        }
    }

    pub async fn check_order(&self, at: &Institution, name: &str, yen: u64) -> CheckOrder {
        let order_id = self.fresh_order_id();
        let money = Money::new(yen, Currency::JPY).unwrap();
        let envelope = self.envelope(at, SealedOperation::Check, &order_id, money, name).await;
        CheckOrder {
            institution: at.record().id.clone(),
            contract_number: CONTRACT.parse().unwrap(),
            order_id,
            money,
            envelope,
        }
    }

    pub async fn send(&self, at: &Institution, order: &OperationOrder) -> Answer {
        self.driver.send(at, order, self.permit()).await
    }

    pub fn permit(&self) -> SendPermit {
        let end = self.clock.monotonic() + Duration::from_secs(60);
        SendPermit { not_after: end, expires: Timestamp::from_ms(u64::MAX), lease_until: end }
    }

    pub fn fresh_id(&self) -> OperationId {
        let mut entropy = [0; 10];
        getrandom::fill(&mut entropy).unwrap();
        OperationId::fresh(self.clock.now(), entropy)
    }

    fn fresh_order_id(&self) -> OrderId {
        self.fresh_id().to_string().parse().unwrap()
    }

    async fn envelope(
        &self,
        at: &Institution,
        operation: SealedOperation,
        order_id: &OrderId,
        money: Money,
        name: &str,
    ) -> Envelope {
        let id = at.record().id.clone();
        let house = House::ALL.into_iter().find(|house| house.id() == id).unwrap();
        let instrument = self.instrument(house, name);
        let binding = Binding {
            institution: id,
            contract_number: CONTRACT.parse().unwrap(),
            operation,
            order_id: order_id.clone(),
            money,
        };
        let keys = self.driver.seal_keys(at, Duration::from_secs(10)).await.unwrap();
        let now = self.clock.now();
        let not_after = now.plus(Duration::from_secs(600));
        let mut entropy = [0; 48];
        getrandom::fill(&mut entropy).unwrap();
        let key = keys.set.key_for(now, not_after).unwrap();
        seal(&instrument, &binding, not_after, key, &entropy).unwrap()
    }

    /// What the institution's ledger says of an operation: state, amount moved, how often it moved.
    pub async fn judged(&self, order: &OperationOrder) -> Option<(String, u64, u64)> {
        let path =
            format!("/control/ledger/{}/operations/{}", order.institution, order.operation_id);
        let found = self.control("GET", &path, &Value::Null).await;
        let state = found["state"].as_str()?.to_owned();
        Some((state, found["moved"].as_u64().unwrap(), found["effects"].as_u64().unwrap()))
    }

    /// The whole ledger must be in balance, with no operation that moved money twice.
    pub async fn ledger_is_sound(&self) {
        let reports = self.control("GET", "/control/ledger", &Value::Null).await;
        for (id, report) in reports.as_object().unwrap() {
            assert_eq!(report["balanced"], true, "{id}");
            assert_eq!(report["moved_twice"], 0, "{id}");
        }
    }

    pub async fn plan_fault(&self, fault: Value) {
        let planned = self.control("POST", "/control/faults", &fault).await;
        assert_eq!(planned["fault"], fault["fault"], "{planned}");
    }

    pub async fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = &self.running.announcement().control_url;
        let address: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", address.to_string())
            .body(Full::<Bytes>::from(body))
            .unwrap();
        let driving = tokio::spawn(connection);
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await;
        driving.abort();
        serde_json::from_slice(&answer.unwrap().to_bytes()).unwrap()
    }

    /// Asks until the answer is no longer "not yet".
    pub async fn inquire_until_known(&self, at: &Institution, order: &OperationOrder) -> Answer {
        for _ in 0..10_000 {
            let answer = self.driver.inquire(at, order).await;
            if answer.outcome != pos_protocol::payment::Outcome::Unknown {
                return answer;
            }
        }
        panic!("the outcome of {order:?} stays unknown")
    }
}

/// An instant that has just passed.
pub fn just_past(clock: &dyn Clock) -> Timestamp {
    clock.now().minus(Duration::from_millis(1))
}
