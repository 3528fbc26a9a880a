//! `pos-testbed` as a client in another language uses it: from its one JSON line alone.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pos_connect::journal::MemoryJournal;
use pos_connect::keys::{MemoryKeyStore, Seed, StoredKeys};
use pos_connect::wire::WireOperationState as State;
use pos_connect::{
    Binding, Config, Connection, EnrolmentCode, Instrument, Money, Order, SealedOperation, Setup,
};
use pos_protocol::key::{PublicKey, SigningKey};
use pos_protocol::money::Currency;
use pos_protocol::secret::SecretText;
use pos_protocol::succession::Fingerprint;
use pos_protocol::text::fixed_from_base64url;
use pos_tests::line::{Place, Request};
use pos_tests::{process, raw, wait};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

struct Testbed {
    child: Child,
    told: Value,
    control: Place,
}

async fn start() -> Testbed {
    let mut child = Command::new(process::program("pos-testbed").unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).await.unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let control = Place::new(told["control_url"].as_str().unwrap(), "").unwrap();
    Testbed { child, told, control }
}

impl Testbed {
    fn text(&self, pointer: &str) -> &str {
        let found = self.told.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("{pointer} in {}", self.told))
    }

    fn config(&self, url: &str) -> Config {
        let config = Config::new(self.text(url)).unwrap();
        let config = config.with_authority(self.text("/server/authority")).unwrap();
        config.with_ca_pem(self.text("/server/ca_pem"))
    }

    async fn shop(&self, url: &str) -> Connection {
        let seed = fixed_from_base64url(self.text("/shop/module_key/seed")).unwrap();
        let answer_key: PublicKey = self.text("/server/answer_key").parse().unwrap();
        let seed = Seed::new(SigningKey::from_seed(&seed).seed());
        let mut keys = StoredKeys::new(seed, Fingerprint::of(&answer_key));
        keys.shop_id = Some(self.text("/shop/id").parse().unwrap());
        let keys = std::sync::Arc::new(MemoryKeyStore::holding(keys));
        let journal = std::sync::Arc::new(MemoryJournal::default());
        Connection::open(Setup::new(self.config(url), keys, journal)).await.unwrap()
    }

    /// Seals a named instrument by what stands in the line beside it.
    fn order(&self, name: &str, yen: u64) -> Order {
        let one = &self.told["instruments"][name];
        let text = |field: &str| one[field].as_str().unwrap_or_else(|| panic!("{name}: {one}"));
        let institution = text("institution");
        let mut all = self.told["institutions"].as_array().unwrap().iter();
        let place = all.find(|place| place["id"] == institution).unwrap();
        let money = Money::new(yen, Currency::JPY).unwrap();
        let order_id = raw::fresh_order("testbed");
        let binding = Binding {
            institution: institution.parse().unwrap(),
            contract_number: text("contract_number").parse().unwrap(),
            operation: SealedOperation::Sale,
            order_id: order_id.clone(),
            money,
        };
        let instrument = Instrument::from_json(one["instrument"].to_string().as_bytes()).unwrap();
        let keys = serde_json::from_value(place["seal_keys"].clone()).unwrap();
        let root: PublicKey = place["seal_root"].as_str().unwrap().parse().unwrap();
        let envelope = pos_connect::seal(&instrument, &binding, &keys, &root).unwrap();
        Order::new(text("contract_id").parse().unwrap(), order_id, money, envelope)
    }

    async fn command(&self, target: &str, body: Value) -> Value {
        self.control.json(&Request::post(target, &body)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_line_is_all_that_a_client_needs() {
    let bed = start().await;
    let names: Vec<_> = bed.told.as_object().unwrap().keys().cloned().collect();
    for name in ["server", "shop", "unregistered", "instruments", "institutions", "control_url"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    // At either address of the server, and through the proxy while it is told nothing.
    for url in ["/server/url", "/server/tls_url", "/server/forge_url"] {
        let line = bed.shop(url).await;
        let paid = line.pay(&bed.order("approve", 1_000), None).await.unwrap();
        assert_eq!(paid.state, State::Done, "{url}");
        let declined = line.pay(&bed.order("expired_card", 1_000), None).await.unwrap();
        assert_eq!(declined.decline.unwrap().reason.as_str(), "expired_card", "{url}");
    }
    let ledgers = bed.control.json(&Request::get("/ledger")).await.unwrap();
    let [total] = &ledgers["sakura-card"]["totals"].as_array().unwrap()[..] else {
        panic!("{ledgers}")
    };
    assert_eq!(total["captured"], 3_000);
    let operations = bed.control.json(&Request::get("/ledger/sakura-card")).await.unwrap();
    assert_eq!(operations.as_array().unwrap().len(), 6);

    // A code that nobody has used.
    let unregistered = bed.told["unregistered"].as_array().unwrap();
    assert!(unregistered.len() >= 3, "{unregistered:?}");
    let user = unregistered[0]["user_id"].as_str().unwrap().parse().unwrap();
    let code = EnrolmentCode::parse(unregistered[0]["code"].as_str().unwrap()).unwrap();
    let setup = Setup::new(
        bed.config("/server/tls_url"),
        std::sync::Arc::new(MemoryKeyStore::default()),
        std::sync::Arc::new(MemoryJournal::default()),
    );
    let password = SecretText::new("a password of my own choice".into());
    let (line, _) = Connection::register(setup.clone(), user, password, &code).await.unwrap();
    assert_eq!(line.methods(None).await.unwrap().contracts.len(), 3);

    // A person signs in by what the line says.
    let user = bed.text("/shop/user_id").parse().unwrap();
    let password = SecretText::new(bed.text("/shop/password").to_owned());
    let (person, _) = Connection::login(setup, user, password).await.unwrap();
    person.sign_out().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_address_breaks_things_on_purpose() {
    let bed = start().await;
    let line = bed.shop("/server/forge_url").await;
    line.methods(None).await.unwrap();

    bed.command("/forge", json!({ "forgery": "cut", "times": 9 })).await;
    let withdraw = Request { method: "DELETE".into(), ..Request::post("/forge", &json!({})) };
    bed.control.json(&withdraw).await.unwrap();
    let left = bed.control.json(&Request::get("/forge")).await.unwrap();
    assert_eq!(left, json!({ "planned": 0 }));
    bed.command("/forge", json!({ "forgery": "altered", "times": 2 })).await;
    let paid = line.pay(&bed.order("approve", 700), None).await.unwrap();
    assert_eq!(paid.state, State::Done);

    let fault = json!({ "fault": "no_answer", "times": 1, "operations": ["refund"] });
    bed.command("/faults", fault).await;
    let money = Money::new(700, Currency::JPY).unwrap();
    let refunded = line.refund(paid.payment_id, money, None).await.unwrap();
    assert_eq!(refunded.state, State::Done);

    let url = bed.text("/server/url").strip_prefix("http://").unwrap().to_owned();
    bed.command("/server/stop", json!({})).await;
    assert!(tokio::net::TcpStream::connect(&url).await.is_err());
    bed.command("/server/restart", json!({})).await;
    let again = line.payment(paid.payment_id).await.unwrap();
    assert_eq!(again.refunded, 700);
    bed.command("/server/stop", json!({ "graceful": true })).await;
    bed.command("/server/restart", json!({})).await;

    let listed = bed.command("/operate", json!({ "words": ["shop", "list"] })).await;
    assert!(listed["shops"].as_array().unwrap().len() >= 4, "{listed}");
    let revoke = json!({
        "shop_id": bed.text("/shop/id"), "key_id": bed.text("/shop/module_key/key_id"),
    });
    bed.command("/keys/revoke", revoke).await;
    let refused = line.payment(paid.payment_id).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "key_revoked");

    for (method, target, status) in
        [("GET", "/nothing", 404), ("POST", "/forge", 400), ("POST", "/faults", 400)]
    {
        let request =
            Request { method: method.into(), ..Request::post(target, &json!({ "a": 1 })) };
        let answer = bed.control.send(&request).await.unwrap();
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.json()["error"].is_string(), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_when_its_input_closes_and_takes_everything_along() {
    for killed in [false, true] {
        let mut bed = start().await;
        let address = bed.text("/server/url").strip_prefix("http://").unwrap().to_owned();
        let folder = bed.text("/folder").to_owned();
        assert!(Path::new(&folder).is_dir());
        let programs = programs_of(&folder);
        assert_eq!(programs.len(), 2, "{programs:?}");
        if killed {
            bed.child.kill().await.unwrap();
        } else {
            drop(bed.child.stdin.take());
            let ended = tokio::time::timeout(Duration::from_secs(20), bed.child.wait()).await;
            assert!(ended.unwrap().unwrap().success());
        }
        wait::until("nothing is left", || async {
            let listens = tokio::net::TcpStream::connect(&address).await.is_ok();
            let runs = programs.iter().any(|id| is_running(id));
            (!listens && !runs && !Path::new(&folder).exists()).then_some(())
        })
        .await;
    }
}

/// The ids of the processes that a bed has noted in its folder.
fn programs_of(folder: &str) -> Vec<String> {
    let noted = std::fs::read_dir(Path::new(folder).join("ids")).unwrap();
    noted.map(|one| one.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Whether a process of this id is one of ours and has not ended: one that nobody has waited for yet
/// has an empty command line.
fn is_running(id: &str) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains("pos-")
}
