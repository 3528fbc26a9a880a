//! The surface against a real server, as a host uses it: from the test bed's one line alone.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]

use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use pos_connect_api::{
    BlockingConnection, CheckRequest, CheckState, Config, Connection, Error, HistoryQuery,
    Instrument, KeyRole, KeyStatus, OperationKind, OperationState, Order, Payment, PaymentState,
    QuoteRequest, SealBinding, SealedOperation, ShopperAdvice, Store, seal,
};
use serde_json::Value;

/// The test bed as a process; it ends when its standard input does.
struct Bed {
    child: Child,
    told: Value,
}

impl Bed {
    fn start() -> Self {
        // Beside the folder that cargo puts test programs in.
        let here = std::env::current_exe().unwrap();
        let program: PathBuf = here.ancestors().nth(2).unwrap().join("pos-testbed");
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|cause| panic!("{}: {cause}", program.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, told: serde_json::from_str(&line).unwrap() }
    }

    fn text(&self, pointer: &str) -> String {
        let found = self.told.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("{pointer} in {}", self.told)).to_owned()
    }

    fn config(&self) -> Config {
        Config {
            authority: Some(self.text("/server/authority")),
            ca_pem: Some(self.text("/server/ca_pem")),
            answer_key: None,
            ..Config::new(self.text("/server/tls_url"))
        }
    }

    /// A registration that nobody has used.
    fn unregistered(&self, at: usize) -> (String, String) {
        let one = |name| self.text(&format!("/unregistered/{at}/{name}"));
        (one("user_id"), one("code"))
    }

    fn card(&self, name: &str) -> Instrument {
        let of = |field| self.text(&format!("/instruments/{name}/instrument/{field}"));
        Instrument::Card {
            number: of("number"),
            expiry_year: 2039,
            expiry_month: 12,
            security_code: Some(of("security_code")),
            holder: None,
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

const PASSWORD: &str = "a password of my own choice";

fn quote(order_id: &str, amount: u64) -> QuoteRequest {
    QuoteRequest {
        order_id: order_id.into(),
        method: "card:visa".into(),
        amount,
        currency: "JPY".into(),
        pos_id: None,
        contract_id: None,
    }
}

/// What the shopper's page does with a quote.
fn sealed(
    quote: pos_connect_api::Quote,
    card: Instrument,
    what: SealedOperation,
    order_id: &str,
    amount: u64,
) -> Order {
    let contract = quote.contract.unwrap();
    let binding = SealBinding {
        institution: contract.institution,
        contract_number: contract.contract_number,
        operation: what,
        order_id: order_id.into(),
        amount,
        currency: "JPY".into(),
    };
    let envelope = seal(card, binding, quote.seal_keys.unwrap(), contract.seal_root).unwrap();
    Order {
        contract_id: contract.contract_id,
        order_id: order_id.into(),
        amount,
        currency: "JPY".into(),
        envelope,
        allow_partial: false,
        give_up_after_s: None,
    }
}

/// An executor that knows nothing of tokio, as a host's event loop does not.
fn run<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park();
    }
}

fn sums(payment: &Payment) -> [u64; 4] {
    [payment.authorised, payment.captured, payment.released, payment.refunded]
}

#[test]
fn a_host_that_waits_pays_from_registration_to_history() {
    let bed = Bed::start();
    let folder = tempfile::tempdir().unwrap();
    let path = || folder.path().join("keys").to_str().unwrap().to_owned();
    let line = BlockingConnection::new(bed.config(), Store::in_folder(path()).unwrap()).unwrap();
    let (user, code) = bed.unregistered(0);
    let registered = line.register(user.clone(), PASSWORD.into(), code).unwrap();
    assert_eq!(registered.recovery_codes.len(), 10);
    assert_eq!(registered.key_id, line.key_id().unwrap());

    // Another process, later.
    let line = BlockingConnection::new(bed.config(), Store::in_folder(path()).unwrap()).unwrap();
    assert_eq!(line.key_id().unwrap(), registered.key_id);
    assert_eq!(line.methods(None).unwrap().contracts.len(), 3);
    let asked = line.quote(quote("order-1", 1_200)).unwrap();
    let contract = asked.contract.clone().unwrap();
    assert_eq!(contract.institution, "sakura-card");
    assert!(contract.operations.contains(&OperationKind::Refund));
    let order = sealed(asked, bed.card("approve"), SealedOperation::Sale, "order-1", 1_200);
    let key = "order-1-sale-0001".to_owned();
    let paid = line.pay(order.clone(), Some(key.clone())).unwrap();
    assert_eq!((paid.state, paid.done_amount), (OperationState::Done, Some(1_200)));
    assert_eq!(line.pay(order, Some(key.clone())).unwrap(), paid, "once");
    let refunded = line.refund(paid.payment_id.clone(), 200, "JPY".into(), None).unwrap();
    assert_eq!(refunded.operation, OperationKind::Refund);
    let payment = line.payment(paid.payment_id.clone()).unwrap();
    assert_eq!(payment.state, PaymentState::PartlyRefunded);
    assert_eq!(sums(&payment), [1_200, 1_200, 0, 200]);
    assert_eq!(line.payment_of_order("order-1".into()).unwrap(), payment);
    assert_eq!(line.operation(key).unwrap(), KeyStatus::Found { operation: paid });
    let nothing = line.operation("never-used-key-01".into()).unwrap();
    assert!(matches!(nothing, KeyStatus::Nothing { server_time_ms: 1.. }), "{nothing:?}");
    assert!(line.in_flight().unwrap().open.is_empty());
    let error = line.resume("never-used-key-01".into()).unwrap_err();
    assert_eq!(error.code(), "not_in_journal");

    let asked = line.quote(quote("order-2", 500)).unwrap();
    let order = sealed(asked, bed.card("expired_card"), SealedOperation::Sale, "order-2", 500);
    let declined = line.pay(order, None).unwrap();
    assert_eq!(declined.state, OperationState::Declined);
    let decline = declined.decline.unwrap();
    assert_eq!(decline.reason, "expired_card");
    assert_eq!(decline.text_ja, "カードの有効期限が切れています。");
    assert_eq!(decline.shopper_advice, ShopperAdvice::TryAnother);

    let page = line.history(HistoryQuery { limit: Some(1), ..HistoryQuery::default() }).unwrap();
    assert_eq!(page.payments[0].state, PaymentState::Declined);
    let rest = HistoryQuery { after: page.next, ..HistoryQuery::default() };
    assert_eq!(line.history(rest).unwrap().payments, [payment]);

    let rolled = line.roll_key().unwrap();
    assert_eq!((rolled.key_id.clone(), rolled.role), (line.key_id().unwrap(), KeyRole::Module));
    assert_eq!(line.list_keys().unwrap().len(), 2);
    line.revoke_key(rolled.key_id).unwrap();
    let error = line.methods(None).unwrap_err();
    assert!(matches!(&error, Error::SignInAgain { request_id: Some(_), .. }), "{error:?}");
    assert_eq!(error.code(), "key_revoked");

    // The person, by the answer key that the store has pinned.
    let error = line.login(user.clone(), PASSWORD.into()).unwrap_err();
    assert_eq!(error.code(), "already_open", "whoever uses it must not become another");
    let line = BlockingConnection::new(bed.config(), Store::in_folder(path()).unwrap()).unwrap();
    let session = line.login(user, PASSWORD.into()).unwrap();
    assert_eq!(session.key_id, line.key_id().unwrap());
    assert_eq!(line.list_keys().unwrap()[0].role, KeyRole::Session);
    line.sign_out().unwrap();
    assert_eq!(line.methods(None).unwrap_err().code(), "closed");
}

#[test]
fn a_host_s_event_loop_authorises_captures_and_voids() {
    let bed = Bed::start();
    let line = Connection::new(bed.config(), Store::in_memory()).unwrap();
    run(async {
        let (user, code) = bed.unregistered(1);
        line.register(user, PASSWORD.into(), code).await.unwrap();
        let asked = line.quote(quote("order-1", 900)).await.unwrap();
        let check =
            sealed(asked.clone(), bed.card("approve"), SealedOperation::Check, "order-1", 900);
        let Order { contract_id, order_id, amount, currency, envelope, .. } = check;
        let check = CheckRequest { contract_id, order_id, amount, currency, envelope };
        assert_eq!(line.check(check, None).await.unwrap().state, CheckState::Sufficient);
        let order = sealed(asked, bed.card("approve"), SealedOperation::Authorise, "order-1", 900);
        let held = line.authorise(order, None).await.unwrap();
        let payment = || held.payment_id.clone();
        line.capture(payment(), 400, "JPY".into(), None).await.unwrap();
        let void = line.void(payment(), None).await.unwrap();
        assert_eq!((void.state, void.amount), (OperationState::Done, 500));
        let error = line.capture(payment(), 1, "JPY".into(), None).await.unwrap_err();
        assert_eq!(error.code(), "nothing_left");
        let found = line.payment(payment()).await.unwrap();
        assert_eq!(sums(&found), [900, 400, 500, 0]);
        assert!(line.server_time_ms().await.unwrap() >= found.created_at_ms);
        line.close();
        assert_eq!(line.methods(None).await.unwrap_err().code(), "closed");
    });
}
