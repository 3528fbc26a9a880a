//! The verbs, defined once for every language.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{mem, process};

use pos_connect::protocol::enrolment::EnrolmentCode;
use pos_connect::{IdempotencyKey, ModuleCode, PaymentId, SecretText, UserId};
use pos_connect_macros::pos_api;

use crate::error::Error;
use crate::records::{
    Check, CheckRequest, Config, HistoryPage, HistoryQuery, InFlight, KeyInfo, KeyStatus, Methods,
    Operation, Order, Payment, Quote, QuoteRequest, Registration, Session, money, read, read_if,
};
use crate::store::Store;

/// A shop's line to the operator's server. All verbs may run at the same time, on any thread, and in
/// a process that was forked after this was made.
///
/// It speaks with the key of its store from the first verb on, or after `login` as the person who
/// signed in.
#[cfg_attr(feature = "uniffi", derive(uniffi::Object))]
pub struct Connection {
    config: pos_connect::Config,
    store: Arc<Store>,
    state: Mutex<State>,
}

/// The same line for programs that wait: every verb blocks the calling thread until it is done.
#[cfg_attr(feature = "uniffi", derive(uniffi::Object))]
pub struct BlockingConnection(Connection);

#[derive(Default)]
enum State {
    /// No verb was called yet.
    #[default]
    Fresh,
    /// In this process.
    Open {
        process: u32,
        line: pos_connect::Connection,
    },
    Closed,
}

#[cfg_attr(feature = "uniffi", uniffi::export)]
impl Connection {
    /// A line by these settings, with the keys and open payments of this store. Nothing is sent and
    /// no file read yet.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn new(config: Config, store: Arc<Store>) -> Result<Self, Error> {
        Ok(Self { config: config.read()?, store, state: Mutex::default() })
    }
}

#[cfg_attr(feature = "uniffi", uniffi::export)]
impl BlockingConnection {
    /// A line by these settings, with the keys and open payments of this store. Nothing is sent and
    /// no file read yet.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn new(config: Config, store: Arc<Store>) -> Result<Self, Error> {
        Connection::new(config, store).map(Self)
    }
}

impl BlockingConnection {
    fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Connection {
    /// The module's connection in this process, opened if it is not.
    async fn line(&self) -> Result<pos_connect::Connection, Error> {
        if let Some(line) = self.opened()? {
            return Ok(line);
        }
        let line = pos_connect::Connection::open(self.store.setup(self.config.clone())).await?;
        self.keep(line)
    }

    /// The same, if it is open.
    fn opened(&self) -> Result<Option<pos_connect::Connection>, Error> {
        let mut state = self.state();
        match &mut *state {
            State::Fresh => Ok(None),
            State::Closed => Err(Error::module(ModuleCode::Closed, None)),
            State::Open { process, line } => {
                if *process != process::id() {
                    let inherited = mem::replace(line, line.after_fork()?);
                    mem::forget(inherited);
                    *process = process::id();
                }
                Ok(Some(line.clone()))
            }
        }
    }

    /// Keeps a line that was opened, unless another verb was faster: two would settle the same
    /// payments without knowing of each other.
    fn keep(&self, line: pos_connect::Connection) -> Result<pos_connect::Connection, Error> {
        let mut state = self.state();
        match &*state {
            State::Fresh => {
                *state = State::Open { process: process::id(), line: line.clone() };
                Ok(line)
            }
            State::Open { line, .. } => Ok(line.clone()),
            State::Closed => Err(Error::module(ModuleCode::Closed, None)),
        }
    }

    /// Speaks as somebody else from now on. One that was closed meanwhile stays closed: what the
    /// server answered is told all the same, because it tells it once.
    fn become_line(&self, line: pos_connect::Connection) {
        let mut state = self.state();
        if matches!(&*state, State::Closed) {
            line.close();
        } else {
            *state = State::Open { process: process::id(), line };
        }
    }

    /// What a verb about a key tells. The module has named the key in its own errors; one that came
    /// before it was asked must not say that nothing was moved where an earlier call under the key
    /// is open (`docs/adr/0211-the-last-word-needs-all-attempts.md`).
    async fn about<T>(
        &self,
        key: Option<&IdempotencyKey>,
        told: Result<T, Error>,
    ) -> Result<T, Error> {
        match (told, key) {
            (Err(error), Some(key)) if error.idempotency_key().is_none() => {
                Err(if self.store.may_be_open(key).await { error.in_doubt(key) } else { error })
            }
            (told, _) => told,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so that a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    /// In a child that never used it: what was inherited is left as it is.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Open { process, line } = mem::take(state)
            && process != process::id()
        {
            mem::forget(line);
        }
    }
}

fn key_of(text: Option<&str>) -> Result<Option<IdempotencyKey>, Error> {
    read_if("idempotency_key", text)
}

fn payment_of(text: &str) -> Result<PaymentId, Error> {
    read("payment_id", text)
}

#[pos_api(blocking = BlockingConnection)]
impl Connection {
    /// Registers the shop's software with the code that the operator gave: makes a module key, stores
    /// it, then sends it with the password that `user_id` signs in by from now on (15 to 128
    /// characters). This connection speaks with the new key from then on.
    ///
    /// After a crash or an error that says `Wait`, register again with the same code.
    pub async fn register(
        &self,
        user_id: String,
        password: String,
        code: String,
    ) -> Result<Registration, Error> {
        self.opened()?;
        let password = SecretText::new(password);
        let user_id: UserId = read("user_id", &user_id)?;
        let code = EnrolmentCode::parse(&code).map_err(|rule| Error::argument("code", &rule))?;
        let setup = self.store.setup(self.config.clone());
        let (line, answer) =
            pos_connect::Connection::register(setup, user_id, password, &code).await?;
        self.become_line(line);
        Ok(answer.into())
    }

    /// Signs a person in: this connection acts with a fresh key, held in memory only, until
    /// `sign_out`, 15 minutes of silence, or 12 hours.
    pub async fn login(&self, user_id: String, password: String) -> Result<Session, Error> {
        self.opened()?;
        let password = SecretText::new(password);
        let user_id: UserId = read("user_id", &user_id)?;
        let setup = self.store.setup(self.config.clone());
        let (line, answer) = pos_connect::Connection::login(setup, user_id, password).await?;
        self.become_line(line);
        Ok(answer.into())
    }

    /// Ends the session that this connection acts with.
    pub async fn sign_out(&self) -> Result<(), Error> {
        Ok(self.line().await?.sign_out().await?)
    }

    /// Closes this connection: verbs begun from now on are refused, those under way go on. Neither
    /// key nor session ends by it.
    pub fn close(&self) {
        let mut state = self.state();
        let before = mem::replace(&mut *state, State::Closed);
        drop(state);
        if let State::Open { process, line } = before {
            if process == process::id() {
                line.close();
            } else {
                mem::forget(line);
            }
        }
    }

    /// Everything that the shop can be paid by now, on one POS or on all.
    pub async fn methods(&self, pos_id: Option<String>) -> Result<Methods, Error> {
        let pos_id = read_if("pos_id", pos_id.as_deref())?;
        Ok(self.line().await?.methods(pos_id).await?.into())
    }

    /// Which contract a payment would use, or why none can be used. Ask when the shopper has chosen
    /// how to pay; nothing is stored.
    pub async fn quote(&self, request: QuoteRequest) -> Result<Quote, Error> {
        let request = request.read()?;
        Ok(self.line().await?.quote(&request).await?.into())
    }

    /// Asks the institution whether the instrument would do, where the contract can tell. Nothing is
    /// paid or held; paying takes a new envelope.
    pub async fn check(
        &self,
        request: CheckRequest,
        idempotency_key: Option<String>,
    ) -> Result<Check, Error> {
        let (request, key) = (request.read()?, key_of(idempotency_key.as_deref())?);
        Ok(self.line().await?.check(&request, key).await?.into())
    }

    /// Takes the whole amount at once. A decline is an operation too: its state says what became of
    /// it, also that it is not known yet.
    ///
    /// The same idempotency key never acts twice. Store it with the order before the call: whoever
    /// crashes between the order and the answer then repeats the call under the same key. Without
    /// one a fresh key is made.
    pub async fn pay(
        &self,
        order: Order,
        idempotency_key: Option<String>,
    ) -> Result<Operation, Error> {
        let key = key_of(idempotency_key.as_deref())?;
        let told = async {
            let order = order.read()?;
            Ok(self.line().await?.pay(&order, key.clone()).await?.into())
        };
        self.about(key.as_ref(), told.await).await
    }

    /// Holds the amount, to be captured later; else as `pay`.
    pub async fn authorise(
        &self,
        order: Order,
        idempotency_key: Option<String>,
    ) -> Result<Operation, Error> {
        let key = key_of(idempotency_key.as_deref())?;
        let told = async {
            let order = order.read()?;
            Ok(self.line().await?.authorise(&order, key.clone()).await?.into())
        };
        self.about(key.as_ref(), told.await).await
    }

    /// Takes what was authorised, or a part of it; there may be several captures.
    pub async fn capture(
        &self,
        payment_id: String,
        amount: u64,
        currency: String,
        idempotency_key: Option<String>,
    ) -> Result<Operation, Error> {
        let key = key_of(idempotency_key.as_deref())?;
        let told = async {
            let (payment, money) = (payment_of(&payment_id)?, money(amount, &currency)?);
            Ok(self.line().await?.capture(payment, money, key.clone()).await?.into())
        };
        self.about(key.as_ref(), told.await).await
    }

    /// Releases all that was authorised and not captured.
    pub async fn void(
        &self,
        payment_id: String,
        idempotency_key: Option<String>,
    ) -> Result<Operation, Error> {
        let key = key_of(idempotency_key.as_deref())?;
        let told = async {
            let payment = payment_of(&payment_id)?;
            Ok(self.line().await?.void(payment, key.clone()).await?.into())
        };
        self.about(key.as_ref(), told.await).await
    }

    /// Pays back what was captured, or a part of it; there may be several refunds.
    pub async fn refund(
        &self,
        payment_id: String,
        amount: u64,
        currency: String,
        idempotency_key: Option<String>,
    ) -> Result<Operation, Error> {
        let key = key_of(idempotency_key.as_deref())?;
        let told = async {
            let (payment, money) = (payment_of(&payment_id)?, money(amount, &currency)?);
            Ok(self.line().await?.refund(payment, money, key.clone()).await?.into())
        };
        self.about(key.as_ref(), told.await).await
    }

    /// Finds out what became of a payment call of this or an earlier process. Only asks: should no
    /// call have arrived, none is made.
    pub async fn resume(&self, idempotency_key: String) -> Result<Operation, Error> {
        let key = read("idempotency_key", &idempotency_key)?;
        let told = async { Ok(self.line().await?.resume(&key).await?.into()) };
        self.about(Some(&key), told.await).await
    }

    /// Takes a payment call out of the journal without knowing what became of it, once a person has
    /// cleared it up with the operator.
    pub async fn dismiss(&self, idempotency_key: String) -> Result<(), Error> {
        let key = read("idempotency_key", &idempotency_key)?;
        let told = async { Ok(self.line().await?.dismiss(&key).await?) };
        self.about(Some(&key), told.await).await
    }

    /// The payment calls that this shop's software has under way at this server, or had when it was
    /// ended: settle each with `resume` after a start. Nothing is asked of the server.
    pub async fn in_flight(&self) -> Result<InFlight, Error> {
        Ok(self.line().await?.in_flight().await?.into())
    }

    /// One payment with all its operations.
    pub async fn payment(&self, payment_id: String) -> Result<Payment, Error> {
        let payment = payment_of(&payment_id)?;
        Ok(self.line().await?.payment(payment).await?.into())
    }

    /// The payment of an order: the one that stands or may stand, else the latest.
    pub async fn payment_of_order(&self, order_id: String) -> Result<Payment, Error> {
        let order = read("order_id", &order_id)?;
        Ok(self.line().await?.payment_of_order(&order).await?.into())
    }

    /// What the server has under an idempotency key.
    pub async fn operation(&self, idempotency_key: String) -> Result<KeyStatus, Error> {
        let key = read("idempotency_key", &idempotency_key)?;
        Ok(self.line().await?.operation(&key).await?.into())
    }

    /// One page of the history, newest payments first.
    pub async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, Error> {
        let query = query.read()?;
        Ok(self.line().await?.history(&query).await?.into())
    }

    /// The shop's keys that have not ended, newest first.
    pub async fn list_keys(&self) -> Result<Vec<KeyInfo>, Error> {
        Ok(self.line().await?.list_keys().await?.into_iter().map(Into::into).collect())
    }

    /// Replaces the module key by a fresh one. The old one stays good for 24 hours, for other
    /// processes that still hold it.
    pub async fn roll_key(&self) -> Result<KeyInfo, Error> {
        Ok(self.line().await?.roll_key().await?.into())
    }

    /// Ends a key of the shop at once, for good.
    pub async fn revoke_key(&self, key_id: String) -> Result<KeyInfo, Error> {
        let key = read("key_id", &key_id)?;
        Ok(self.line().await?.revoke_key(&key).await?.into())
    }

    /// The id of the key that signs.
    pub async fn key_id(&self) -> Result<String, Error> {
        Ok(self.line().await?.key_id().to_string())
    }

    /// The server's time in milliseconds since 1970, as far as its signed answers have told it;
    /// before the first one, this machine's.
    pub async fn server_time_ms(&self) -> Result<u64, Error> {
        Ok(self.line().await?.server_time()?.as_ms())
    }
}
