//! Bad input and misuse: the surface's own error, with the field, and nothing sent.

#![expect(clippy::result_large_err, reason = "a host takes an error by value")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]

use std::mem;
use std::sync::{Arc, Mutex, OnceLock};

use pos_connect::Timestamp;
use pos_connect::protocol::key::SigningKey;
use pos_connect::protocol::seal::{SealKey, SealKeySet, SealPublicKey};
use pos_connect::protocol::text::base64url;
use pos_connect_api::{
    BlockingConnection, CheckRequest, Config, Error, HistoryQuery, Instrument, KeyStorage,
    KeyStorageError, Language, Order, QuoteRequest, Retry, SealBinding, SealedOperation, Store,
    seal, verify,
};

/// A line to an address where nobody listens: whatever came to a call would be `server_unreachable`.
fn line() -> BlockingConnection {
    BlockingConnection::new(Config::new("http://127.0.0.1:1"), Store::in_memory()).unwrap()
}

#[track_caller]
fn wrong<T>(result: Result<T, Error>, field: &str) {
    let Err(error) = result else { panic!("{field} was taken") };
    assert!(matches!(error, Error::FixTheRequest { .. }), "{error:?}");
    assert_eq!((error.code(), error.field()), ("invalid_field", Some(field)), "{error}");
    assert!(error.to_string().starts_with(field), "{error}");
}

fn order() -> Order {
    Order {
        contract_id: "con_014d2pf2dbzzzzzzzzzzzzzzzz".into(),
        order_id: "order-1".into(),
        amount: 1_200,
        currency: "JPY".into(),
        envelope: "{}".into(),
        allow_partial: false,
        give_up_after_s: None,
    }
}

/// One that can be read, and by nobody opened.
fn envelope() -> String {
    let (key, sealed, rand) = ("A".repeat(43), "A".repeat(704), "A".repeat(22));
    format!(
        r#"{{"v":1,"suite":1,"key_id":"{key}","enc":"{key}","ct":"{sealed}","rand":"{rand}","not_after_ms":1}}"#
    )
}

#[test]
fn arguments_that_cannot_be_are_refused_with_their_field() {
    let line = line();
    let pay = |order| line.pay(order, None);
    wrong(pay(Order { contract_id: "con_1".into(), ..order() }), "contract_id");
    wrong(pay(Order { order_id: "a/b".into(), ..order() }), "order_id");
    wrong(pay(Order { amount: 0, ..order() }), "amount");
    wrong(pay(Order { amount: 1 << 63, ..order() }), "amount");
    wrong(pay(Order { currency: "jpy".into(), ..order() }), "currency");
    wrong(pay(Order { currency: "¥".repeat(1 << 20), ..order() }), "currency");
    wrong(pay(order()), "envelope.v");
    wrong(pay(Order { envelope: "not json".into(), ..order() }), "envelope");
    wrong(pay(Order { envelope: "null".into(), ..order() }), "envelope");
    wrong(line.capture("pay_1".into(), 1, "JPY".into(), None), "payment_id");
    let payment = || "pay_014d2pf2dbzzzzzzzzzzzzzzzz".to_owned();
    wrong(line.refund(payment(), 0, "JPY".into(), None), "amount");
    wrong(line.void(payment(), Some("short".into())), "idempotency_key");
    wrong(line.payment(String::new()), "payment_id");
    wrong(line.payment_of_order("\u{0}".into()), "order_id");
    wrong(line.operation("x".into()), "idempotency_key");
    wrong(line.resume("x".into()), "idempotency_key");
    wrong(line.dismiss("x".into()), "idempotency_key");
    wrong(line.revoke_key("x".into()), "key_id");
    wrong(line.methods(Some("pos_".into())), "pos_id");
    let query = HistoryQuery { after: Some("pay".into()), ..HistoryQuery::default() };
    wrong(line.history(query), "after");
    wrong(line.login("someone".into(), "a password of mine".into()), "user_id");
    let user = "usr_014d2pf2dbzzzzzzzzzzzzzzzz";
    wrong(line.register(user.into(), "a password of mine".into(), "abcd".into()), "code");
    let quote = QuoteRequest {
        order_id: "order-1".into(),
        method: "Card".into(),
        amount: 1,
        currency: "JPY".into(),
        pos_id: None,
        contract_id: None,
    };
    wrong(line.quote(quote), "method");
    let check = CheckRequest {
        contract_id: order().contract_id,
        order_id: "order-1".into(),
        amount: 1,
        currency: "JPY".into(),
        envelope: r#"{"v":2}"#.into(),
    };
    wrong(line.check(check, None), "envelope.v");
}

#[test]
fn what_cannot_be_sealed_or_verified_is_refused_with_its_field() {
    let card = |number: &str| Instrument::Card {
        number: number.into(),
        expiry_year: 2039,
        expiry_month: 12,
        security_code: None,
        holder: None,
    };
    let binding = || SealBinding {
        institution: "sakura-card".into(),
        contract_number: "4926731782".into(),
        operation: SealedOperation::Sale,
        order_id: "order-1".into(),
        amount: 1_200,
        currency: "JPY".into(),
    };
    let root = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let sealed = |number, binding, keys: &str, root: &str| {
        seal(card(number), binding, keys.into(), root.into())
    };
    let good = "3530111333300000";
    wrong(sealed("3530111333300001", binding(), "{}", root), "number");
    let nowhere = SealBinding { institution: "Sakura Card".into(), ..binding() };
    wrong(sealed(good, nowhere, "{}", root), "institution");
    wrong(sealed(good, binding(), "[]", root), "seal_keys");
    let keys = format!(r#"{{"payload":"e30","signature":"{}"}}"#, "A".repeat(86));
    wrong(sealed(good, binding(), &keys, "x"), "seal_root");
    let forged = sealed(good, binding(), &keys, root).unwrap_err();
    assert!(matches!(&forged, Error::GiveUp { .. }), "{forged:?}");
    assert_eq!(forged.code(), "seal_keys_refused");

    // The institution's own set, which has ended: a quote brings the next one.
    let signer = SigningKey::from_seed(&[7; 32]);
    let ended = SealKeySet {
        institution: "sakura-card".parse().unwrap(),
        version: 1,
        not_after_ms: Timestamp::from_secs(1),
        keys: vec![SealKey::new(SealPublicKey::from_octets([9; 32]), Timestamp::from_secs(1))],
    };
    let ended = serde_json::to_string(&ended.sign(&signer)).unwrap();
    let own_root = base64url(signer.public().octets());
    let ended = sealed(good, binding(), &ended, &own_root).unwrap_err();
    let Error::Wait { code, retry, .. } = ended else { panic!("{ended:?}") };
    assert_eq!((code.as_str(), retry), ("seal_keys_refused", Retry::NewQuote));

    let verified = |key: &str, octets| verify(key.into(), octets, 200, [].into(), Vec::new());
    wrong(verified("x", vec![0; 64]), "answer_key");
    wrong(verified(root, vec![0; 63]), "call_signature");
    let unsigned = verified(root, vec![0; 64]).unwrap_err();
    assert!(matches!(&unsigned, Error::AskForStatus { .. }), "{unsigned:?}");
    assert_eq!(unsigned.code(), "answer_unverified");
}

#[test]
fn settings_that_cannot_be_are_refused_before_anything_else() {
    let code = |config| BlockingConnection::new(config, Store::in_memory()).err().unwrap();
    let usual = || Config::new("https://pos.example");
    for (config, field) in [
        (Config::new("http://pos.example"), "server_url"),
        (Config { connect_timeout_s: Some(0), ..usual() }, "connect_timeout_s"),
        (Config { attempt_timeout_s: Some(4), ..usual() }, "attempt_timeout_s"),
        (Config { total_timeout_s: Some(u32::MAX), ..usual() }, "total_timeout_s"),
        (Config { user_agent: Some("a\r\nb".into()), ..usual() }, "user_agent"),
        (Config { authority: Some("a/b".into()), ..usual() }, "authority"),
    ] {
        let error = code(config);
        assert_eq!((error.code(), error.field()), ("configuration", Some(field)), "{error:?}");
    }
    let japanese = Config { language: Some(Language::Japanese), ..Config::new("") };
    assert_eq!(code(japanese).to_string(), "接続の設定が正しくありません。 (server_url)");
    assert_eq!(
        code(Config { answer_key: Some("x".into()), ..usual() }).field(),
        Some("answer_key")
    );
    let roots = [("sakura-card".to_owned(), "x".to_owned())].into();
    let error = code(Config { seal_roots: roots, ..usual() });
    assert_eq!(error.field(), Some("seal_roots.sakura-card"));
}

#[test]
fn an_unused_or_closed_connection_says_so_in_the_chosen_language() {
    let config = Config { language: Some(Language::Japanese), ..Config::new("http://127.0.0.1:1") };
    let line = BlockingConnection::new(config, Store::in_memory()).unwrap();
    let error = line.methods(None).unwrap_err();
    assert!(matches!(&error, Error::SignInAgain { .. }), "{error:?}");
    assert_eq!(error.code(), "not_registered");
    assert_eq!(error.to_string(), "登録済みの鍵がありません。登録コードで登録してください。");
    line.close();
    line.close();
    let user = "usr_014d2pf2dbzzzzzzzzzzzzzzzz";
    for error in [
        line.methods(None).unwrap_err(),
        line.login(user.into(), "a password of mine".into()).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::FixTheRequest { .. }), "{error:?}");
        assert_eq!(error.code(), "closed");
    }
}

#[test]
fn a_server_that_is_not_there_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_folder(folder.path().to_str().unwrap().into()).unwrap();
    let config = Config { total_timeout_s: Some(6), ..Config::new("http://127.0.0.1:1") };
    let line = BlockingConnection::new(config, store).unwrap();
    let code = "3qq5-bm5p-rfpj-hbhy-0ft7-bk2g-kaqk-6txr-jvm9-9h8q-qr2b-a572-epjd-kyke";
    let user = "usr_014d2pf2dbzzzzzzzzzzzzzzzz";
    let error = line.register(user.into(), "a password of mine".into(), code.into()).err().unwrap();
    assert!(matches!(&error, Error::Wait { .. }), "{error:?}");
    assert_eq!(error.code(), "server_unreachable");
    let Error::Wait { cause, .. } = error else { unreachable!() };
    assert!(cause.unwrap().contains("refused"), "the cause is told");
}

/// A storage that somebody else writes to between every look and write, as often as told.
struct Contended {
    text: Mutex<Option<String>>,
    disturbances: Mutex<u32>,
}

impl KeyStorage for Contended {
    fn load(&self) -> Result<Option<String>, KeyStorageError> {
        Ok(self.text.lock().unwrap().clone())
    }

    fn replace(&self, old: Option<String>, new: String) -> Result<bool, KeyStorageError> {
        let mut left = self.disturbances.lock().unwrap();
        let mut text = self.text.lock().unwrap();
        if *left > 0 && old.is_some() {
            *left = left.saturating_sub(1);
            // The same keys, written by another hand.
            *text = text.as_ref().map(|text| format!("{text} "));
        }
        let is_old = *text == old;
        if is_old {
            *text = Some(new);
        }
        Ok(is_old)
    }
}

struct Broken;

impl KeyStorage for Broken {
    fn load(&self) -> Result<Option<String>, KeyStorageError> {
        Err(KeyStorageError::Failed { reason: "the vault is sealed".into() })
    }

    fn replace(&self, _: Option<String>, _: String) -> Result<bool, KeyStorageError> {
        unreachable!("nothing is written where nothing can be read")
    }
}

#[test]
fn a_host_s_storage_is_asked_again_when_another_was_faster_and_its_failure_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let journal = || folder.path().join("journal").to_str().unwrap().to_owned();
    let contended = Arc::new(Contended { text: Mutex::default(), disturbances: Mutex::new(3) });
    let store = Store::of_host(Arc::clone(&contended) as _, journal()).unwrap();
    let config = Config { total_timeout_s: Some(6), ..Config::new("http://127.0.0.1:1") };
    let line = BlockingConnection::new(config.clone(), store).unwrap();
    let user = "usr_014d2pf2dbzzzzzzzzzzzzzzzz";
    let register = |line: &BlockingConnection, code: &str| {
        line.register(user.into(), "a password of mine".into(), code.into()).err().unwrap()
    };
    let first = "3qq5-bm5p-rfpj-hbhy-0ft7-bk2g-kaqk-6txr-jvm9-9h8q-qr2b-a572-epjd-kyke";
    assert_eq!(register(&line, first).code(), "server_unreachable");
    let made = contended.load().unwrap().unwrap();
    assert!(made.contains(r#""module_key":""#), "the key was stored before it was sent");
    // A code of another server pins another answer key: a change of what is stored.
    let second = "000g-40r4-0m30-e209-185g-r38e-1xzq-skdm-v7c7-w2c4-5b23-5j3v-ctq1-rw5t";
    assert_eq!(register(&line, second).code(), "server_unreachable");
    assert_eq!(*contended.disturbances.lock().unwrap(), 0);
    let changed = contended.load().unwrap().unwrap();
    assert_ne!(changed.trim(), made.trim(), "the pin changed");

    // One that never takes what is written is not asked for ever.
    *contended.disturbances.lock().unwrap() = u32::MAX;
    let error =
        line.register(user.into(), "a password of mine".into(), first.into()).err().unwrap();
    assert_eq!(error.code(), "key_store");
    let Error::GiveUp { cause, .. } = error else { panic!("{error:?}") };
    assert!(cause.unwrap().contains("100 times"));

    let line =
        BlockingConnection::new(config, Store::of_host(Arc::new(Broken), journal()).unwrap());
    let error = line.unwrap().methods(None).unwrap_err();
    assert_eq!(error.code(), "key_store");
    let Error::GiveUp { cause, .. } = error else { panic!("{error:?}") };
    assert!(cause.unwrap().contains("the vault is sealed"));
}

/// One that quotes in its error what it could not write, as databases do.
struct Quoting(fn(&str) -> String);

impl KeyStorage for Quoting {
    fn load(&self) -> Result<Option<String>, KeyStorageError> {
        Ok(None)
    }

    fn replace(&self, _: Option<String>, new: String) -> Result<bool, KeyStorageError> {
        Err(KeyStorageError::Failed { reason: self.0(&new) })
    }
}

#[test]
fn what_a_storage_quotes_of_a_key_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let cause_with = |quote| {
        let journal = folder.path().to_str().unwrap().to_owned();
        let store = Store::of_host(Arc::new(Quoting(quote)), journal).unwrap();
        let line = BlockingConnection::new(Config::new("http://127.0.0.1:1"), store).unwrap();
        let user = "usr_014d2pf2dbzzzzzzzzzzzzzzzz";
        let code = "3qq5-bm5p-rfpj-hbhy-0ft7-bk2g-kaqk-6txr-jvm9-9h8q-qr2b-a572-epjd-kyke";
        let told = line.register(user.into(), "a password of mine".into(), code.into());
        let Err(Error::GiveUp { cause: Some(cause), .. }) = told else { panic!("it has failed") };
        cause
    };
    let whole: fn(&str) -> String = |new| format!("disk full (parameters: {new:?})");
    let cut_off = |new: &str| format!("disk full: {}…", &new[..r#"{"module_key":""#.len() + 12]);
    for quote in [whole, cut_off] {
        let cause = cause_with(quote);
        assert!(cause.ends_with("it quotes what is kept"), "{cause}");
        assert!(!cause.contains("disk full"), "{cause}");
    }
    let cause = cause_with(|_| "disk full: /var/lib/shop".into());
    assert!(cause.ends_with("disk full: /var/lib/shop"), "{cause}");
}

/// One that hands over its text once, or never, and quotes it in its error from then on.
struct Forgetful {
    text: Mutex<Option<String>>,
    reason: String,
}

impl KeyStorage for Forgetful {
    fn load(&self) -> Result<Option<String>, KeyStorageError> {
        let first = self.text.lock().unwrap().take();
        first.map(Some).ok_or_else(|| KeyStorageError::Failed { reason: self.reason.clone() })
    }

    fn replace(&self, _: Option<String>, _: String) -> Result<bool, KeyStorageError> {
        unreachable!("nothing is written")
    }
}

#[test]
fn what_a_storage_quotes_of_a_key_where_it_cannot_read_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let seed = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    let text = format!(r#"{{"module_key":"{seed}","pin":"kPrK_qmxVWaYVA9wwBF6Ig"}}"#);
    let cause_with = |text: Option<&String>, reason: &str| {
        let journal = folder.path().to_str().unwrap().to_owned();
        let text = Mutex::new(text.cloned());
        let storage = Arc::new(Forgetful { text, reason: reason.into() });
        let store = Store::of_host(storage, journal).unwrap();
        let line = BlockingConnection::new(Config::new("http://127.0.0.1:1"), store).unwrap();
        // It is read once by the first verb, where it can be: no shop is registered by it.
        let _ = line.methods(None);
        let Err(Error::GiveUp { cause: Some(cause), .. }) = line.methods(None) else {
            panic!("it has failed")
        };
        cause
    };
    for cause in [
        cause_with(None, &format!("the row {text} cannot be parsed")),
        cause_with(None, r#"no field "next_key""#),
        cause_with(Some(&text), &format!("bad value {:?}…", &seed[..12])),
    ] {
        assert!(cause.ends_with("it quotes what is kept"), "{cause}");
    }
    let cause = cause_with(Some(&text), "the vault is sealed");
    assert!(cause.ends_with("the vault is sealed"), "{cause}");
}

/// A fault of whatever runs below a verb.
struct Panicking;

impl KeyStorage for Panicking {
    fn load(&self) -> Result<Option<String>, KeyStorageError> {
        panic!("as the test wants")
    }

    fn replace(&self, _: Option<String>, _: String) -> Result<bool, KeyStorageError> {
        unreachable!("nothing is written where nothing can be read")
    }
}

#[test]
fn after_a_panic_the_outcome_of_a_payment_is_unknown_and_asked_for_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().to_str().unwrap().to_owned();
    let store = Store::of_host(Arc::new(Panicking), journal).unwrap();
    let line = BlockingConnection::new(Config::new("http://127.0.0.1:1"), store).unwrap();
    let key = "panicking-key-0001";
    let error = line.void("pay_014d2pf2dbzzzzzzzzzzzzzzzz".into(), Some(key.into())).unwrap_err();
    assert!(matches!(&error, Error::AskForStatus { .. }), "{error:?}");
    assert_eq!((error.code(), error.idempotency_key()), ("outcome_unknown", Some(key)));
    let check = CheckRequest {
        contract_id: order().contract_id,
        order_id: "order-1".into(),
        amount: 1,
        currency: "JPY".into(),
        envelope: envelope(),
    };
    for error in [
        line.methods(None).unwrap_err(),
        line.operation(key.into()).unwrap_err(),
        line.check(check, Some(key.into())).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Wait { .. }), "{error:?}");
    }
}

/// What was registered in some earlier run.
fn registered() -> Arc<Contended> {
    // The answer key of RFC 8037 appendix A, and its thumbprint's first half.
    let text = format!(
        r#"{{"module_key":"{}","shop_id":"shp_014d2pf2dbzzzzzzzzzzzzzzzz",
            "pin":"kPrK_qmxVWaYVA9wwBF6Ig",
            "answer_key":{{"kty":"OKP","crv":"Ed25519",
                "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}}}"#,
        "A".repeat(43),
    );
    Arc::new(Contended { text: Mutex::new(Some(text)), disturbances: Mutex::default() })
}

/// A storage that pays while it is asked for its text, once it knows the line.
struct Paying {
    text: String,
    line: OnceLock<BlockingConnection>,
    orders: Vec<(Order, String)>,
    heard: Mutex<Vec<Error>>,
}

impl KeyStorage for Paying {
    fn load(&self) -> Result<Option<String>, KeyStorageError> {
        if let Some(line) = self.line.get() {
            let pay = |(order, key): &(Order, String)| line.pay(order.clone(), Some(key.clone()));
            let heard = self.orders.iter().map(|one| pay(one).unwrap_err());
            self.heard.lock().unwrap().extend(heard);
        }
        Ok(Some(self.text.clone()))
    }

    fn replace(&self, _: Option<String>, _: String) -> Result<bool, KeyStorageError> {
        Ok(true)
    }
}

#[test]
fn folders_without_a_name_are_refused() {
    wrong(Store::in_folder(String::new()), "folder");
    wrong(Store::of_host(Arc::new(Broken), String::new()), "journal_folder");
}

#[test]
fn no_error_says_that_nothing_was_moved_while_a_call_under_the_key_is_open() {
    // A server that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().to_str().unwrap().to_owned();
    let store = Store::of_host(registered(), journal).unwrap();
    let config =
        Config { attempt_timeout_s: Some(5), total_timeout_s: Some(6), ..Config::new(url) };
    let line = BlockingConnection::new(config, store).unwrap();
    let order = || Order { envelope: envelope(), ..order() };
    let key = || "order-1-sale-0001".to_owned();
    let in_doubt = |error: Error, code: &str| {
        assert!(matches!(&error, Error::AskForStatus { .. }), "{error:?}");
        assert_eq!((error.code(), error.idempotency_key()), (code, Some(key().as_str())));
    };
    in_doubt(line.pay(order(), Some(key())).unwrap_err(), "outcome_unknown");
    assert_eq!(line.in_flight().unwrap().open[0].idempotency_key, key());
    let none = || Order { amount: 0, ..order() };
    in_doubt(line.pay(none(), Some(key())).unwrap_err(), "invalid_field");
    in_doubt(line.void("pay_1".into(), Some(key())).unwrap_err(), "invalid_field");
    wrong(line.pay(none(), Some("order-2-sale-0001".into())), "amount");

    // Another connection of the shop, whose storage pays while it is asked.
    let unused = || "order-3-sale-0001".to_owned();
    let paying = Arc::new(Paying {
        text: registered().load().unwrap().unwrap(),
        line: OnceLock::new(),
        orders: vec![(order(), key()), (order(), unused())],
        heard: Mutex::default(),
    });
    let journal = || folder.path().to_str().unwrap().to_owned();
    let store = || Store::of_host(Arc::clone(&paying) as _, journal()).unwrap();
    let inner = BlockingConnection::new(Config::new("http://127.0.0.1:1"), store()).unwrap();
    let outer = BlockingConnection::new(Config::new("http://127.0.0.1:1"), store()).unwrap();
    assert!(paying.line.set(inner).is_ok());
    outer.key_id().unwrap();
    let mut heard = mem::take(&mut *paying.heard.lock().unwrap());
    assert_eq!(heard.len(), 2);
    let fresh = heard.pop().unwrap();
    assert!(matches!(&fresh, Error::FixTheRequest { .. }), "{fresh:?}");
    assert_eq!(fresh.code(), "nested");
    in_doubt(heard.pop().unwrap(), "nested");

    line.close();
    in_doubt(line.pay(order(), Some(key())).unwrap_err(), "closed");
    in_doubt(
        line.refund("pay_1".into(), 1, "JPY".into(), Some(key())).unwrap_err(),
        "invalid_field",
    );
    in_doubt(line.resume(key()).unwrap_err(), "closed");
    in_doubt(line.dismiss(key()).unwrap_err(), "closed");
    let other = line.resume("order-2-sale-0001".into()).unwrap_err();
    assert!(matches!(&other, Error::FixTheRequest { .. }), "{other:?}");
}
