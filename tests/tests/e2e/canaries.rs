//! Canaries: card numbers, PINs, passwords, codes and private keys, planted where a shop or a stranger
//! could put them, and looked for in everything that the server keeps, writes and holds (`security.md`
//! T7, 2.6).

use std::path::PathBuf;

use pos_protocol::enrolment::EnrolmentCode;
use pos_protocol::key::SigningKey;
use pos_protocol::seal::{
    Account, AccountKind, Card, Expiry, Instrument, Prepaid, SealedOperation,
};
use pos_tests::bed::shop::register;
use pos_tests::bed::{ContractKit, ShopKit};
use pos_tests::canary::{self, Canary};
use pos_tests::line::Request;
use pos_tests::raw::{self, Answer, Draft, fresh_key, fresh_order, fresh_signing_key};
use pos_tests::receiver::{MailServer, Protection, Receiver};
use pos_tests::shared::LogsOnPanic;
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};

/// The digits of a number, with the check digit of ISO/IEC 7812-1 behind.
fn card_number() -> String {
    let digits: Vec<u8> = raw::random::<15>().iter().map(|octet| octet % 10).collect();
    let digits = [&[4], &digits[1..]].concat();
    let doubled = digits.iter().rev().enumerate().map(|(at, digit)| match (at % 2, digit * 2) {
        (0, twice) => twice / 10 + twice % 10,
        _ => *digit,
    });
    let check = (10 - doubled.sum::<u8>() % 10) % 10;
    let digits = digits.into_iter().chain([check]);
    digits.map(|digit| char::from(b'0' + digit)).collect()
}

/// As many digits, none of them telling another number.
fn digits<const N: usize>() -> String {
    raw::random::<N>().iter().map(|octet| char::from(b'0' + octet % 10)).collect()
}

/// The planted secrets.
struct Planted<'a> {
    bed: &'a Bed,
    shop: ShopKit,
    secrets: Vec<Canary>,
    /// Those that only ever came sealed: nor may they be in memory.
    sealed: Vec<Canary>,
}

impl<'a> Planted<'a> {
    async fn new(bed: &'a Bed) -> Self {
        let password = format!("canary password {}", digits::<12>());
        let (enrolment, web) = bed.admit("Canaries").await.unwrap();
        let key = fresh_signing_key();
        let answer = register(&bed.server, &enrolment, &password, &key).await.unwrap();
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        let registration: Value = answer.json();
        let mut secrets = vec![Canary::text("password", &password)];
        secrets.push(Canary { name: "module key".into(), octets: key.seed().to_vec() });
        let printed = enrolment.enrolment_code.expose();
        secrets.push(Canary::text("enrolment code", &printed.replace('-', "")));
        let code = EnrolmentCode::parse(printed).unwrap();
        let seed = code.enrolment_seed().to_vec();
        secrets.push(Canary { name: "enrolment key".into(), octets: seed });
        let codes = registration["recovery_codes"].as_array().unwrap();
        for code in codes.iter().chain([&registration["panic_code"]]) {
            secrets.push(Canary::text("saved code", code.as_str().unwrap()));
        }
        let registration = serde_json::from_value(registration).unwrap();
        let shop = ShopKit { enrolment, poses: vec![web], key, registration };
        Self { bed, shop, secrets, sealed: Vec::new() }
    }

    fn contract(&self, institution: &str) -> &ContractKit {
        self.shop.contract(institution).unwrap()
    }

    async fn call(&self, key: &SigningKey, draft: &Draft) -> Answer {
        let caller = self.bed.caller_with(SigningKey::from_seed(&key.seed()));
        caller.call(&self.bed.server.tls_place().unwrap(), draft).await.unwrap()
    }

    /// A payment, or a check, by an instrument of the test's own.
    async fn pay(
        &mut self,
        institution: &str,
        instrument: &Instrument,
        what: SealedOperation,
    ) -> Value {
        let order = fresh_order("canary");
        let contract = self.contract(institution).clone();
        let binding = contract.binding(what, &order, 1_500, pos_protocol::Currency::JPY);
        let keys = self.bed.seal_keys_of(institution).unwrap();
        let not_after = raw::now().plus(pos_connect::ENVELOPE_LIFE);
        let key = keys.key_for(raw::now(), not_after).unwrap();
        let envelope =
            pos_protocol::seal::seal(instrument, &binding, not_after, key, &raw::random()).unwrap();
        let name = format!("envelope for {institution}");
        // The beginning is enough, and short of what a block of a file could cut.
        self.secrets.push(Canary { name, octets: envelope.ct()[..48].to_vec() });
        let mut body = json!({
            "contract_id": contract.contract_id, "order_id": order, "amount": 1_500,
            "currency": "JPY", "envelope": envelope,
        });
        let path = if what == SealedOperation::Check {
            "/v1/checks"
        } else {
            body["operation"] = json!(what.as_str());
            "/v1/payments"
        };
        let draft = Draft::post(path, &body).keyed(fresh_key());
        let answer = self.call(&self.shop.key, &draft).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        let again = self.call(&self.shop.key, &draft).await;
        assert_eq!(again.body, answer.body);
        answer.json()
    }

    fn seal(&mut self, name: &str, text: &str) {
        self.sealed.push(Canary::text(name, text));
    }

    /// Has everything told that can be.
    async fn be_told_at(&self, url: &str) {
        let body = json!({
            "mail": { "address": "orders@shop.example", "language": "en" },
            "webhook": { "url": url },
        });
        let draft = Draft::post("/v1/notices", &body).keyed(fresh_key());
        let set = self.call(&self.shop.key, &draft).await;
        assert_eq!(set.status, 200, "{:?}", set.json());
    }

    /// Sealed instruments: one that pays, and ones that are declined.
    async fn pay_by_everything(&mut self) {
        let expiry = Expiry { year: 2031, month: 7 };
        let good = self.bed.instrument("sakura-card", "approve").unwrap();
        let Instrument::Card(card) = &good else { panic!("a card acquirer's") };
        self.seal("test card", card.number());
        let paid = self.pay("sakura-card", &good, SealedOperation::Sale).await;
        assert_eq!(paid["state"], "done", "{paid}");
        for what in [SealedOperation::Sale, SealedOperation::Authorise, SealedOperation::Check] {
            let (number, holder) = (card_number(), format!("CANARY {}", digits::<10>()));
            self.seal("card number", &number);
            self.seal("card holder", &holder);
            let card = Card::new(&number, expiry).and_then(|card| card.with_security_code("739"));
            let card = card.and_then(|card| card.with_holder(&holder)).unwrap();
            self.pay("sakura-card", &Instrument::Card(card), what).await;
        }
        let (number, pin) = (format!("PPC{}", digits::<12>()), digits::<12>());
        self.seal("prepaid number", &number);
        self.seal("PIN", &pin);
        let prepaid = Prepaid::new(&number).and_then(|prepaid| prepaid.with_pin(&pin)).unwrap();
        self.pay("momiji-prepaid", &Instrument::Prepaid(prepaid), SealedOperation::Sale).await;
        let secret = format!("secret of the account {}", digits::<10>());
        self.seal("account secret", &secret);
        let account = Account::new("0001", "002", AccountKind::Ordinary, "7654321");
        let account = account.and_then(|account| account.with_secret(&secret)).unwrap();
        self.pay("aozora-bank", &Instrument::Account(account), SealedOperation::Sale).await;
    }

    /// What a broken client, or a person at the wrong field, would send in the clear.
    async fn blurt(&mut self) {
        let (card, password) = (card_number(), format!("a wrong password {}", digits::<12>()));
        self.secrets.push(Canary::text("card number in the clear", &card));
        self.secrets.push(Canary::text("wrong password", &password));
        let session = fresh_signing_key();
        self.secrets.push(Canary { name: "session key".into(), octets: session.seed().to_vec() });
        let right = String::from_utf8(self.secrets[0].octets.clone()).unwrap();
        for (told, status) in [(&password, 401), (&right, 200)] {
            let user_id = self.shop.enrolment.user_id;
            let body = json!({ "user_id": user_id, "password": told, "key": session.public() });
            let answer = self.call(&session, &Draft::post("/v1/sessions", &body)).await;
            assert_eq!(answer.status, status, "{:?}", answer.json());
        }
        let broken = [
            json!({ "number": card, "pin": password }).to_string(),
            json!({ "operation": card, "contract_id": card }).to_string(),
            json!({ "order_id": format!("{} {}", &card[..8], &card[8..]) }).to_string(),
            format!("number={card}&password={password}"),
            format!("\"{card}"),
        ];
        for path in
            ["/v1/payments", "/v1/quotes", "/v1/checks", "/v1/registrations", "/v1/sessions"]
        {
            for body in &broken {
                let draft = Draft::post(path, &json!({})).octets(body.as_bytes());
                let answer = self.call(&self.shop.key, &draft).await;
                self.refuses(&answer, &[&card, &password]);
            }
        }
        let targets = [
            format!("/v1/payments?card={card}"),
            format!("/v1/payments?{card}={password}").replace(' ', "+"),
            format!("/v1/methods?pos={card}"),
            format!("/v1/payments/{card}"),
            format!("/v1/orders/{card}"),
            format!("/v1/{card}"),
        ];
        for target in targets {
            let answer = self.call(&self.shop.key, &Draft::get(&*target)).await;
            self.refuses(&answer, &[&password]);
        }
        let mut unsigned = Request::get(format!("/{card}?{card}"));
        for name in
            ["authorization", "cookie", "user-agent", "x-card", "signature", "idempotency-key"]
        {
            unsigned.set_header(name, format!("{card} {password}"));
        }
        for place in [self.bed.server.place().unwrap(), self.bed.server.tls_place().unwrap()] {
            assert!(place.send(&unsigned).await.unwrap().status >= 400);
        }
        // An operator who gives the code where a name belongs does it before the server's eyes only.
        let keyed = Draft::post("/v1/payments", &json!({})).keyed(format!("{card}{card}"));
        assert_eq!(self.call(&self.shop.key, &keyed).await.status, 400);
    }

    /// A refusal says what is wrong without repeating what was sent.
    fn refuses(&self, answer: &Answer, told: &[&str]) {
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status >= 400, "{text}");
        assert!(told.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

/// The server's own keys, each of which lies in a file of its own and nowhere else.
const KEY_FILES: [&str; 4] =
    ["answer-key.pem", "institution-call-key.pem", "pepper.key", "webhook-seed.key"];

fn keys_of_the_server(bed: &Bed) -> Vec<Canary> {
    let keys = KEY_FILES.map(|name| {
        let octets = std::fs::read(bed.folder().join("data").join(name)).unwrap();
        let octets = match String::from_utf8(octets.clone()) {
            // The last 32 octets of PKCS#8 are the seed (RFC 8410 section 7).
            Ok(pem) if name.ends_with(".pem") => {
                let lines = pem.lines().filter(|line| !line.starts_with('-'));
                let text = lines.collect::<String>().replace('+', "-").replace('/', "_");
                let der = pos_protocol::text::from_base64url(&text).unwrap();
                der[der.len() - 32..].to_vec()
            }
            _ => octets,
        };
        assert_eq!(octets.len(), 32, "{name}");
        Canary { name: name.into(), octets }
    });
    keys.into()
}

/// What the server keeps and writes beside its keys, and what it does not.
fn of_the_server(bed: &Bed) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let all = canary::files(bed.folder()).unwrap();
    let is_its = |path: &PathBuf| {
        let path = path.strip_prefix(bed.folder()).unwrap();
        let is_key = KEY_FILES.iter().any(|name| path.ends_with(name));
        !is_key && (path.starts_with("data") || path.ends_with("pos-server.log"))
    };
    all.into_iter().partition(is_its)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_stored_logged_or_held() {
    let receiver = Receiver::start().await.unwrap();
    let mailbox = tempfile::tempdir().unwrap();
    let mail_server = MailServer::start(mailbox.path(), Protection::Implicit).await.unwrap();
    let mut options = BedOptions::default();
    options.server.more = receiver.settings() + &mail_server.settings();
    let bed = Bed::start(&options).await.unwrap();
    let _logs = LogsOnPanic(&bed);
    let mut planted = Planted::new(&bed).await;
    planted.be_told_at(&receiver.url()).await;
    planted.pay_by_everything().await;
    planted.blurt().await;
    // A number that the shop calls its order by is kept: that is how the search is seen to work.
    let order = format!("{}-control", digits::<12>());
    let control = Canary::text("control", &order);
    let pay =
        pos_tests::pay::Pay::sale("sakura-card", "approve", 300).order(order.parse().unwrap());
    let paid = planted.call(&planted.shop.key, &pay.draft(&bed, &planted.shop).unwrap()).await;
    assert_eq!(paid.json()["state"], "done", "{:?}", paid.json());

    let process = bed.server.process_id().await.unwrap();
    let looked_for = [&planted.sealed[..], std::slice::from_ref(&control)].concat();
    let found = canary::in_memory(process, &looked_for).unwrap();
    assert!(found.iter().any(|found| found.name == "control"), "the search finds nothing");
    assert!(found.iter().all(|found| found.name == "control"), "{found:#?}");

    let metrics = pos_tests::line::Place::new(&bed.server.address().metrics_url, "").unwrap();
    let metrics = metrics.send(&Request::get("/metrics")).await.unwrap();
    let secrets = [planted.secrets, planted.sealed, keys_of_the_server(&bed)].concat();
    for secret in &secrets {
        assert_eq!(secret.sought_in(&metrics.body, "metrics"), []);
    }
    // What was told, by mail and by webhook, once the last payment is among it.
    let is_last = |text: &str| text.contains(&order);
    let told = wait::until("the last payment is told", async || {
        let webhooks = receiver.arrived().into_iter().map(|one| format!("{one:?}"));
        let (webhooks, mails) = (webhooks.collect::<Vec<_>>(), mail_server.mails());
        let all = webhooks.iter().any(|one| is_last(one)) && mails.iter().any(|one| is_last(one));
        all.then(|| [webhooks, mails].concat())
    });
    for text in told.await {
        for secret in &secrets {
            assert_eq!(secret.sought_in(text.as_bytes(), "notice"), []);
        }
    }
    // With the write-ahead log, and again when it was folded into the database.
    for ended in [false, true] {
        if ended {
            bed.server.end(std::time::Duration::from_secs(35)).await.unwrap();
        }
        let (its, others) = of_the_server(&bed);
        assert!(its.iter().any(|path| path.ends_with("data/pos.sqlite3")), "{its:?}");
        assert!(its.iter().any(|path| path.ends_with("pos-server.log")), "{its:?}");
        assert!(ended || its.iter().any(|path| path.ends_with("data/pos.sqlite3-wal")), "{its:?}");
        assert_eq!(canary::in_files(bed.folder(), &others, &secrets).unwrap(), []);
        let kept = canary::in_files(bed.folder(), &others, std::slice::from_ref(&control)).unwrap();
        assert!(kept.iter().any(|found| found.form == "raw"), "the search finds nothing");
        assert!(kept.iter().all(|found| !found.place.ends_with(".log")), "{kept:#?}");
    }
}
