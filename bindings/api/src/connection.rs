//! The verbs, defined once for every language.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pos_connect::protocol::enrolment::EnrolmentCode;
use pos_connect::{IdempotencyKey, ModuleCode, PaymentId, SecretText, Setup, UserId};
use pos_connect_macros::pos_api;
use zeroize::Zeroizing;

#[cfg(not(target_arch = "wasm32"))]
use crate::error::About;
use crate::error::Error;
use crate::process::PerProcess;
use crate::records::{
    Check, CheckRequest, Config, HistoryPage, HistoryQuery, InFlight, KeyInfo, KeyStatus, Methods,
    Notice, NoticeSettings, Operation, Order, Payment, Quote, QuoteRequest, Registration, Session,
    SetNotices, money, read, read_if,
};
#[cfg(not(target_arch = "wasm32"))]
use crate::runtime::Unheard;
use crate::runtime::refuse_nested;
use crate::store::Store;

/// A shop's line to the operator's server. All verbs may run at the same time, on any thread, and in
/// a process that was forked after this was made.
///
/// It speaks as one: with the key of its store from the first verb on, or as the person who signed in
/// with `login` before any other verb.
///
/// Every verb may give an `Error` of any kind, which says what to do: `FixTheRequest` for an argument
/// that cannot be, with its `field`; `Wait` where the server is not reached; `SignInAgain` where there
/// is no key or it has ended. Only about a payment can the outcome be unknown (`AskForStatus`).
///
/// A payment whose awaiting is cancelled, by a time limit of the program's own or with the request that it
/// belongs to, may have been made all the same. Give `pay` and its like a key of your own, so that you can
/// ask: `resume` that key, or those that `in_flight` names.
#[cfg_attr(feature = "uniffi", derive(uniffi::Object))]
pub struct Connection {
    config: pos_connect::Config,
    store: Arc<Store>,
    /// A person's: set once, and read where the lock of `state` may be lost with the parent.
    is_session: AtomicBool,
    is_closed: AtomicBool,
    state: PerProcess<Mutex<State>>,
}

/// The same line for programs that wait: every verb blocks the calling thread until it is done.
#[cfg(not(target_arch = "wasm32"))]
#[cfg_attr(feature = "uniffi", derive(uniffi::Object))]
pub struct BlockingConnection(Connection);

enum State {
    /// No verb was called yet.
    Fresh,
    Open(pos_connect::Connection),
}

#[cfg_attr(feature = "uniffi", uniffi::export)]
impl Connection {
    /// A line by these settings, with the keys and open payments of this store. Nothing is sent and
    /// no file read yet.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn new(config: Config, store: Arc<Store>) -> Result<Self, Error> {
        let state = PerProcess::holding(Mutex::new(State::Fresh));
        let (is_session, is_closed) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { config: config.read()?, store, is_session, is_closed, state })
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[cfg_attr(feature = "uniffi", uniffi::export)]
impl BlockingConnection {
    /// A line by these settings, with the keys and open payments of this store. Nothing is sent and
    /// no file read yet.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn new(config: Config, store: Arc<Store>) -> Result<Self, Error> {
        Connection::new(config, store).map(Self)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl BlockingConnection {
    fn connection(&self) -> &Connection {
        &self.0
    }

    /// What is left of it once it is closed, for hosts that know it by a number: every verb refuses as before,
    /// and says of a payment that is open under its key that it is. It has no key, no socket and no
    /// storage of the host's.
    ///
    /// # Errors
    /// As for a store: its journal cannot be used any more.
    #[doc(hidden)]
    pub fn remains(&self) -> Result<Self, Error> {
        Ok(Self(Connection::closed(self.0.config.clone(), self.0.store.without_keys()?)))
    }

    /// Stands for one of which nothing is left: whether a payment is open under a key, it cannot say.
    ///
    /// # Errors
    /// None: the settings are its own.
    #[doc(hidden)]
    pub fn unknown() -> Result<Self, Error> {
        let config = Config::new("https://closed.invalid").read()?;
        Ok(Self(Connection::closed(config, Store::nowhere())))
    }
}

impl Connection {
    #[cfg(not(target_arch = "wasm32"))]
    fn closed(config: pos_connect::Config, store: Arc<Store>) -> Self {
        let state = PerProcess::holding(Mutex::new(State::Fresh));
        let (is_session, is_closed) = (AtomicBool::new(false), AtomicBool::new(true));
        Self { config, store, is_session, is_closed, state }
    }

    /// The module's connection in this process, opened if it is not.
    async fn line(&self) -> Result<pos_connect::Connection, Error> {
        if let Some(line) = self.opened()? {
            return Ok(line);
        }
        let line = pos_connect::Connection::open(self.setup()?).await?;
        let mut state = self.state()?;
        match &*state {
            State::Fresh => {
                *state = State::Open(line.clone());
                Ok(line)
            }
            // Another verb was faster.
            State::Open(line) => Ok(line.clone()),
        }
    }

    /// The same, if it is open.
    fn opened(&self) -> Result<Option<pos_connect::Connection>, Error> {
        refuse_nested()?;
        let line = match &*self.state()? {
            State::Fresh => None,
            State::Open(line) => Some(line.clone()),
        };
        self.check_open()?;
        Ok(line)
    }

    /// Speaks as a person from now on, unless a verb was faster or the line was closed.
    fn become_person(&self, line: pos_connect::Connection) -> Result<(), Error> {
        let mut state = self.state()?;
        self.check_open()?;
        if matches!(&*state, State::Open(_)) {
            return Err(Error::module(ModuleCode::AlreadyOpen, None));
        }
        self.is_session.store(true, Ordering::Release);
        *state = State::Open(line);
        Ok(())
    }

    /// What a connection is made of, for a verb that gives this line somebody to speak as: whoever
    /// uses it already must not become another.
    fn setup_unused(&self) -> Result<Setup, Error> {
        match self.opened()? {
            None => self.setup(),
            Some(_) => Err(Error::module(ModuleCode::AlreadyOpen, None)),
        }
    }

    fn setup(&self) -> Result<Setup, Error> {
        let setup = Setup::of(self.config.clone(), self.store.stores()?.clone());
        #[cfg(not(target_arch = "wasm32"))]
        let setup = setup.with_sockets(crate::runtime::sockets());
        Ok(setup)
    }

    /// The state in this process. A child speaks as its parent did, on sockets of its own.
    fn state(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.state.get(|parent| {
            let parent = parent.map(Mutex::try_lock);
            let state = match parent {
                None => State::Fresh,
                Some(Ok(parent)) => self.after_fork(&parent)?,
                Some(Err(TryLockError::Poisoned(parent))) => {
                    self.after_fork(&parent.into_inner())?
                }
                Some(Err(TryLockError::WouldBlock)) => self.without_parent(),
            };
            Ok::<_, Error>(Mutex::new(state))
        })?;
        // Every change is one assignment, so that a panic leaves nothing half done.
        Ok(state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn after_fork(&self, parent: &State) -> Result<State, Error> {
        match parent {
            State::Open(line) if self.is_session() => {
                let line = line.after_fork(self.store.stores()?.clone())?;
                Ok(line.map_or_else(|| self.without_parent(), State::Open))
            }
            State::Open(_) | State::Fresh => Ok(State::Fresh),
        }
    }

    /// The state where another thread of the parent was changing its own at the fork: the key of the
    /// store is there to be read again, a session's is lost.
    fn without_parent(&self) -> State {
        if self.is_session() {
            self.is_closed.store(true, Ordering::Release);
        }
        State::Fresh
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::module(ModuleCode::Closed, None));
        }
        Ok(())
    }

    fn is_session(&self) -> bool {
        self.is_session.load(Ordering::Acquire)
    }

    /// What a verb told, or what is to be said where it was not heard to its end.
    #[cfg(not(target_arch = "wasm32"))]
    fn told<T>(
        &self,
        told: Result<Result<T, Error>, Unheard>,
        about: Option<About>,
    ) -> Result<T, Error> {
        self.spoken(told.unwrap_or_else(|cause| Err(Error::unheard(&cause, about))))
    }

    /// An error in the language that the shop has chosen.
    pub(crate) fn spoken<T>(&self, told: Result<T, Error>) -> Result<T, Error> {
        told.map_err(|error| error.in_language(self.config.language()))
    }

    /// What a verb about a key tells.
    async fn about<T>(
        &self,
        key: Option<&IdempotencyKey>,
        told: Result<T, Error>,
    ) -> Result<T, Error> {
        match (told, key) {
            (Err(error), Some(key)) => Err(self.weighed(key, error).await),
            (told, _) => told,
        }
    }

    /// The module has named the key in its own errors; one that came before it was asked must not say
    /// that nothing was moved where an earlier call under the key is open
    /// (`docs/adr/0211-the-last-word-needs-all-attempts.md`).
    async fn weighed(&self, key: &IdempotencyKey, error: Error) -> Error {
        if error.idempotency_key().is_none() && self.store.may_be_open(key).await {
            error.in_doubt(key)
        } else {
            error
        }
    }

    /// The same for arguments that were refused before the verb was called.
    #[cfg(all(feature = "json", not(target_arch = "wasm32")))]
    fn refused(&self, key: Option<&str>, error: Error) -> Error {
        let Ok(Some(key)) = key_of(key) else { return error };
        crate::runtime::wait(self.weighed(&key, error))
            .unwrap_or_else(|cause| Error::unheard(&cause, Some(About::from(&key.to_string()))))
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
    ///
    /// # Errors
    /// `SignInAgain` (`credential_refused`) for a code or user id that is not right or has ended;
    /// `FixTheRequest` for a password that is too simple (`invalid_field`), a store that holds a registered
    /// key (`already_registered`) or a connection that is in use (`already_open`).
    pub async fn register(
        &self,
        user_id: String,
        password: String,
        code: String,
    ) -> Result<Registration, Error> {
        let (password, code) = (SecretText::new(password), Zeroizing::new(code));
        let user_id: UserId = read("user_id", &user_id)?;
        let code = EnrolmentCode::parse(&code).map_err(|rule| Error::argument("code", &rule))?;
        let setup = self.setup_unused()?;
        let (line, answer) =
            pos_connect::Connection::register(setup, user_id, password, &code).await?;
        let mut state = self.state()?;
        // What the server answered is told whatever became of this line, because it tells it once. A
        // person who has signed in meanwhile stays.
        if !self.is_session() {
            *state = State::Open(line);
        }
        drop(state);
        Ok(answer.into())
    }

    /// Signs a person in: this connection, which no other verb has used before, acts with a fresh
    /// key, held in memory only, until `sign_out`, 15 minutes of silence, or 12 hours.
    ///
    /// # Errors
    /// `SignInAgain` (`credential_refused`) for a wrong user id or password; `Wait` (`login_locked`)
    /// after too many wrong ones; `FixTheRequest` (`already_open`) on a connection that is in use.
    pub async fn login(&self, user_id: String, password: String) -> Result<Session, Error> {
        let password = SecretText::new(password);
        let user_id: UserId = read("user_id", &user_id)?;
        let setup = self.setup_unused()?;
        let (line, answer) = pos_connect::Connection::login(setup, user_id, password).await?;
        if let Err(refused) = self.become_person(line.clone()) {
            // Nobody is to act with a key that nobody knows of; it ends by itself in any case.
            let _ = line.sign_out().await;
            return Err(refused);
        }
        Ok(answer.into())
    }

    /// Ends the session that this connection acts with.
    pub async fn sign_out(&self) -> Result<(), Error> {
        Ok(self.line().await?.sign_out().await?)
    }

    /// Closes this connection: verbs begun from now on are refused, those under way go on. Neither
    /// key nor session ends by it.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        // A child that cannot make its own state has no line that could be used.
        if let Ok(state) = self.state()
            && let State::Open(line) = &*state
        {
            line.close();
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
    ///
    /// # Errors
    /// `AskForStatus`: it may have been made; never pay again under another key, but ask with `resume`.
    /// Every other error says that nothing was moved; see `Error` for what to do on each.
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
    ///
    /// # Errors
    /// As for `pay`.
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
    ///
    /// # Errors
    /// As for `pay`.
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
    ///
    /// # Errors
    /// As for `pay`.
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
    ///
    /// # Errors
    /// As for `pay`.
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
    ///
    /// # Errors
    /// `AskForStatus` while it is not known: ask again later; `FixTheRequest` (`not_in_journal`) for a
    /// key that neither the journal nor the server knows; `Wait` (`not_made`) when it is proved that nothing was made.
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

    /// Where the shop is told of what happens, by mail and by webhook.
    pub async fn notices(&self) -> Result<NoticeSettings, Error> {
        Ok(self.line().await?.notices().await?.into())
    }

    /// Sets where the shop is told from now on; what is left out is told there no more. Gives what
    /// stands then.
    pub async fn set_notices(&self, settings: SetNotices) -> Result<NoticeSettings, Error> {
        let request = settings.read()?;
        Ok(self.line().await?.set_notices(&request).await?.into())
    }

    /// Reads a webhook that arrived at the shop's URL: the values of its header fields `webhook-id`,
    /// `webhook-timestamp` and `webhook-signature`, and its body as received. Answer it with status 200
    /// once the notice is stored; with 400 after the error `webhook_unverified`; with 500 after any other
    /// error, so that it comes again.
    ///
    /// A notice may come twice (the same `webhook_id`), and later than one that arose after it
    /// (`sequence`): before shipping, ask the server.
    ///
    /// # Errors
    /// `FixTheRequest` (`webhook_unverified`) where it is not the server's, or more than five minutes old.
    pub async fn verify_webhook(
        &self,
        webhook_id: String,
        webhook_timestamp: String,
        webhook_signature: String,
        body: String,
    ) -> Result<Notice, Error> {
        let line = self.line().await?;
        let notice = line
            .verify_webhook(&webhook_id, &webhook_timestamp, &webhook_signature, body.as_bytes())
            .await?;
        Ok(notice.into())
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
