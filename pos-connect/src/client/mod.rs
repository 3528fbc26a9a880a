//! The verbs.

mod access;
mod drive;
mod notices;
mod payments;
mod reads;
mod running;
mod seals;
mod settle;

use std::collections::BTreeMap;
use std::fmt;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pos_protocol::Timestamp;
use pos_protocol::enrolment::EnrolmentCode;
use pos_protocol::id::{InstitutionId, ShopId};
use pos_protocol::key::{KeyId, Signature};
#[cfg(not(target_arch = "wasm32"))]
use zeroize::Zeroizing;

use notices::ReadKeys;
pub use payments::Order;
pub use reads::{HistoryQuery, InFlight, Pages};
use running::Running;

use crate::config::{Config, ConfigError};
#[cfg(target_arch = "wasm32")]
use crate::crypto::Crypto;
use crate::crypto::Signer;
use crate::env::{Environment, System};
use crate::error::Error;
use crate::exchange::Trust;
#[cfg(not(target_arch = "wasm32"))]
use crate::files::FileError;
#[cfg(not(target_arch = "wasm32"))]
use crate::journal::FileJournal;
use crate::journal::Journal;
#[cfg(not(target_arch = "wasm32"))]
use crate::keys::FileKeyStore;
use crate::keys::{KeyStore, SealPin, Seed};
use crate::transport::Sender;
#[cfg(not(target_arch = "wasm32"))]
use crate::transport::{Carrier, Sockets};

/// Where a shop's keys and open payments are kept: one value for all connections of a process that
/// use the same journal, so that of two verbs with one idempotency key the second hears what became
/// of the first.
#[derive(Clone)]
pub struct Stores {
    keys: Arc<dyn KeyStore>,
    journal: Arc<dyn Journal>,
    #[cfg(target_arch = "wasm32")]
    crypto: Arc<dyn Crypto>,
    /// With the journal: what is under way by it.
    running: Arc<Running>,
}

impl Stores {
    /// Of a key store and a journal.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(keys: Arc<dyn KeyStore>, journal: Arc<dyn Journal>) -> Self {
        Self { keys, journal, running: Arc::default() }
    }

    /// Of a key store, a journal, and whoever signs.
    #[cfg(target_arch = "wasm32")]
    pub fn new(
        keys: Arc<dyn KeyStore>,
        journal: Arc<dyn Journal>,
        crypto: Arc<dyn Crypto>,
    ) -> Self {
        Self { keys, journal, crypto, running: Arc::default() }
    }

    /// Of a key store and whoever signs, with the journal of these and what is under way by it.
    #[cfg(target_arch = "wasm32")]
    #[must_use]
    pub fn sharing(&self, keys: Arc<dyn KeyStore>, crypto: Arc<dyn Crypto>) -> Self {
        Self { keys, crypto, ..self.clone() }
    }

    /// The journal.
    pub fn journal(&self) -> &dyn Journal {
        &*self.journal
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// What a connection is made of: settings, and where keys and open payments are kept.
#[derive(Clone)]
pub struct Setup {
    config: Config,
    stores: Stores,
    environment: Arc<dyn Environment>,
    #[cfg(not(target_arch = "wasm32"))]
    sockets: Option<Sockets>,
    #[cfg(not(target_arch = "wasm32"))]
    carrier: Option<Arc<dyn Carrier>>,
}

impl Setup {
    /// With the given stores, and the system's clock and randomness.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(config: Config, keys: Arc<dyn KeyStore>, journal: Arc<dyn Journal>) -> Self {
        Self::of(config, Stores::new(keys, journal))
    }

    /// With stores that other connections of this process use too, and the system's clock and
    /// randomness.
    pub fn of(config: Config, stores: Stores) -> Self {
        Self {
            config,
            stores,
            environment: Arc::new(System),
            #[cfg(not(target_arch = "wasm32"))]
            sockets: None,
            #[cfg(not(target_arch = "wasm32"))]
            carrier: None,
        }
    }

    /// With files in a folder: `keys.json`, and one file for each open payment in `journal`. The
    /// folder is made (0700) if need be; keep it out of everybody's reach, and in the backup.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be made.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn in_folder(config: Config, folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let folder = folder.as_ref();
        let keys = FileKeyStore::new(folder.join("keys.json"))?;
        let journal = FileJournal::new(folder.join("journal"))?;
        Ok(Self::new(config, Arc::new(keys), Arc::new(journal)))
    }

    /// The same with another clock, randomness and sleep.
    #[must_use]
    pub fn with_environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// The same with sockets that other connections of this process use too.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn with_sockets(mut self, sockets: &Sockets) -> Self {
        self.sockets = Some(sockets.clone());
        self
    }

    /// The same with somebody else who carries its messages.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn carried_by(mut self, carrier: Arc<dyn Carrier>) -> Self {
        self.carrier = Some(carrier);
        self
    }

    fn connect(
        self,
        role: Role,
        signer: Signer,
        trust: Trust,
        seals: BTreeMap<InstitutionId, SealPin>,
    ) -> Result<Connection, Error> {
        let sender = self
            .sender()
            .map_err(|cause: ConfigError| Error::from(cause).in_language(self.config.language))?;
        let authority = self.config.authority.as_str().into();
        let signer = Arc::new(signer);
        let webhook_keys = None;
        let state = State { signer, shop_id: None, trust, seals, webhook_keys, is_closed: false };
        let inner = Inner { setup: self, authority, role, sender, state: Mutex::new(state) };
        Ok(Connection(Arc::new(inner)))
    }

    fn sender(&self) -> Result<Sender, ConfigError> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(carrier) = &self.carrier {
            return Sender::carried(Arc::clone(carrier), &self.config);
        }
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(sockets) = &self.sockets {
            return sockets.sender(&self.config);
        }
        Sender::new(&self.config)
    }

    /// A fresh key.
    #[cfg(not(target_arch = "wasm32"))]
    #[expect(clippy::unused_async, reason = "in a browser the host is asked for one")]
    async fn seed(&self) -> Result<Seed, Error> {
        let mut octets = Zeroizing::new([0; 32]);
        self.environment.fill(&mut *octets)?;
        Ok(Seed::new(octets))
    }

    /// A fresh key.
    #[cfg(target_arch = "wasm32")]
    async fn seed(&self) -> Result<Seed, Error> {
        Ok(self.stores.crypto.draw().await?)
    }

    /// Whoever signs by this key.
    #[cfg(not(target_arch = "wasm32"))]
    #[expect(clippy::unused_self, reason = "in a browser it is the host")]
    fn signer(&self, key: &Seed) -> Signer {
        key.key().into()
    }

    /// Whoever signs by this key.
    #[cfg(target_arch = "wasm32")]
    fn signer(&self, key: &Seed) -> Signer {
        Signer::new(key.clone(), Arc::clone(&self.stores.crypto))
    }

    /// A signature by the code's own key.
    #[cfg(not(target_arch = "wasm32"))]
    async fn sign_by_code(&self, code: &EnrolmentCode, octets: &[u8]) -> Result<Signature, Error> {
        Ok(code.enrolment_key().sign(octets))
    }

    /// A signature by the code's own key.
    #[cfg(target_arch = "wasm32")]
    async fn sign_by_code(&self, code: &EnrolmentCode, octets: &[u8]) -> Result<Signature, Error> {
        Ok(self.stores.crypto.sign(None, Some(&code.enrolment_seed()), octets).await?)
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A shop's line to the operator's server. Clones share it; all verbs may run at the same time.
///
/// Made by [`register`](Self::register) the first time, by [`open`](Self::open) ever after, and by
/// [`login`](Self::login) for a person. Every verb signs its call, retries within the limits of the
/// [`Config`], and believes nothing but answers that the server has signed. All futures are `Send`
/// natively, and need a tokio runtime with time and I/O. One that is dropped leaves its payment in
/// the journal.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    setup: Setup,
    authority: Arc<str>,
    role: Role,
    sender: Sender,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Module,
    Session,
}

#[derive(Clone)]
struct State {
    signer: Arc<Signer>,
    /// None only while a registration or sign-in is under way.
    shop_id: Option<ShopId>,
    trust: Trust,
    seals: BTreeMap<InstitutionId, SealPin>,
    /// The keys of webhooks as they were last read.
    webhook_keys: Option<ReadKeys>,
    is_closed: bool,
}

impl Connection {
    /// The key that signs: the module key, or the session's.
    pub fn key_id(&self) -> KeyId {
        self.state().signer.public().id()
    }

    /// The same connection with sockets of its own and these stores, for a child process that was
    /// forked with this one in its memory: the parent goes on reading from the sockets that both
    /// have. For a person's session, whose key is nowhere else; a module key's connection is opened
    /// anew as easily. `None` where another thread of the parent was changing it at that moment.
    ///
    /// Do not drop the inherited one, whose runtime has no threads in the child: forget it
    /// ([`std::mem::forget`]).
    ///
    /// # Errors
    /// `FixTheRequest` (`configuration`) where the settings cannot be used any more.
    pub fn after_fork(&self, stores: Stores) -> Result<Option<Self>, Error> {
        let state = match self.0.state.try_lock() {
            Ok(state) => state.clone(),
            Err(TryLockError::Poisoned(state)) => state.into_inner().clone(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let setup = Setup {
            stores,
            #[cfg(not(target_arch = "wasm32"))]
            sockets: None,
            ..self.0.setup.clone()
        };
        let sender = setup.sender().map_err(|cause| self.told(cause.into()))?;
        let (authority, role) = (Arc::clone(&self.0.authority), self.0.role);
        let state = Mutex::new(state);
        Ok(Some(Self(Arc::new(Inner { setup, authority, role, sender, state }))))
    }

    /// The server's time, as far as its signed answers have told it; before the first one, this
    /// machine's. Seal by it where the local clock may be wrong.
    ///
    /// # Errors
    /// Kind `GiveUp` when the system has no clock.
    pub fn server_time(&self) -> Result<Timestamp, Error> {
        let now = self.environment().now().map_err(|cause| self.told(cause.into()))?;
        let offset_ms = self.state().trust.offset_ms;
        Ok(Timestamp::from_ms(now.as_ms().saturating_add_signed(offset_ms)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a plain assignment, so that a panic elsewhere leaves nothing half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn environment(&self) -> &dyn Environment {
        &*self.0.setup.environment
    }

    fn keys(&self) -> &dyn KeyStore {
        &*self.0.setup.stores.keys
    }

    fn journal(&self) -> &dyn Journal {
        &*self.0.setup.stores.journal
    }

    /// The error in the language that the shop has chosen.
    fn told(&self, error: Error) -> Error {
        error.in_language(self.0.setup.config.language)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.0.setup.config.origin)
            .field("role", &self.0.role)
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn connections_and_errors_cross_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<Connection>();
        crosses::<Error>();
        crosses::<Setup>();
    }
}
