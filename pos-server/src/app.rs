//! The server put together in one place: [`App::build`] for everything that needs no socket,
//! [`serve`] for the sockets around it.

mod server;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_protocol::succession::Statement;
use tokio::task::JoinSet;
use tracing::{info, warn};

pub use self::server::{Announcement, ServeError, Server, runtime, serve};
use crate::clocks::{ClockWatch, TimeMarkError};
use crate::config::{Config, Database};
use crate::connectors::{CallKey, Driver, DriverSettings, Registry};
use crate::data_folder::keys::{KeyFileError, ServerKeys};
use crate::data_folder::succession::SuccessionFileError;
use crate::data_folder::{DataFolder, DataFolderError, DatabaseLock, succession};
use crate::env::{Clock, Entropy, Executor, Network, SystemClock, SystemEntropy, SystemNetwork};
use crate::http::admission::Admission;
use crate::http::listener::ListenError;
use crate::http::tls::TlsError;
use crate::notices::{Outbox, OutboxError};
use crate::payments::Conductor;
use crate::pos;
use crate::pos::password::Passwords;
use crate::readiness::{Fault, Readiness};
use crate::shutdown::{Halt, Shutdown};
use crate::store::postgres::{self, PostgresOptions};
use crate::store::rows::Incarnation;
use crate::store::sqlite::{self, OpenError, SqliteOptions};
use crate::store::{Observer, Store, StoreError, StoreOptions};
use crate::telemetry::logs::chain;
use crate::telemetry::metrics::Metrics;
use crate::worker;

/// What the server takes from the machine.
#[derive(Clone)]
pub struct Environment {
    /// Where it reads the time.
    pub clock: Arc<dyn Clock>,
    /// Where it draws random octets.
    pub entropy: Arc<dyn Entropy>,
    /// How it reaches institutions.
    pub network: Arc<dyn Network>,
    /// Who carries on its work.
    pub executor: Executor,
    /// How the database reaches its file ([`SqliteOptions::disk`]).
    pub disk: Option<&'static str>,
}

impl Environment {
    /// This clock and randomness; all else is the machine's.
    pub fn with(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let network = Arc::new(SystemNetwork);
        Self { clock, entropy, network, executor: Executor::Threads, disk: None }
    }

    /// The machine's own clocks and random generator.
    ///
    /// # Errors
    /// [`StartError::Entropy`] on a machine without random octets.
    pub fn of_the_system() -> Result<Self, StartError> {
        let entropy = SystemEntropy::open().map_err(StartError::Entropy)?;
        Ok(Self::with(Arc::new(SystemClock), Arc::new(entropy)))
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket for operators' commands could not be made.
    #[error("the admin socket {} cannot be made: {cause}", path.display())]
    AdminSocket {
        /// Where it should lie.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The bound addresses could not be told to whoever started the server.
    #[error("the addresses cannot be written to standard output: {0}")]
    Announce(#[source] io::Error),
    /// The shop database cannot be opened.
    #[error("the database {}: {cause}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: OpenError,
    },
    /// The shop database on PostgreSQL cannot be opened.
    #[error("the database {url}: {cause}")]
    Postgres {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        #[source]
        cause: postgres::OpenError,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The machine gives no random octets.
    #[error("the operating system gives no random octets: {0}")]
    Entropy(#[source] getrandom::Error),
    /// A key of the server cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// An address is not free.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Shops cannot be told by these settings.
    #[error("shops cannot be told: {}", chain(.0))]
    Outbox(#[from] OutboxError),
    /// What is kept of the institutions cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer key's succession statements cannot be used.
    #[error("{0}")]
    Succession(#[from] SuccessionFileError),
    /// The system gives no thread.
    #[error("no thread for the shop database: {0}")]
    Thread(#[source] io::Error),
    /// What is kept of the time cannot be read.
    #[error(transparent)]
    TimeMark(#[from] TimeMarkError),
    /// The certificate files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Everything of the server but its sockets. Handlers, commands and workers share one.
pub struct App {
    /// The settings as they were read.
    pub config: Config,
    /// The name that callers sign; empty in a command beside no server, which takes no calls.
    pub authority: String,
    /// The server's own keys.
    pub keys: Arc<ServerKeys>,
    /// How the answer key came to be this one: every succession statement, oldest first.
    pub succession: Vec<Statement>,
    /// Whether this process may be sent calls.
    pub readiness: Arc<Readiness>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random octets.
    pub entropy: Arc<dyn Entropy>,
    /// How many signed calls are worked on at once, and for how long.
    pub admission: Admission,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// When this run of this process began.
    pub started: Timestamp,
    /// Names this run of this process in the leases that it takes.
    pub incarnation: Incarnation,
    /// The shop database.
    pub store: Store,
    /// The institutions that the operator serves.
    pub institutions: Registry,
    /// How they are spoken to.
    pub driver: Driver,
    /// How shops are told.
    pub outbox: Outbox,
    /// Who carries on what a call began.
    pub executor: Executor,
    /// The operations that run in this process.
    pub conductor: Arc<Conductor>,
    /// Ends the process when a part of it cannot go on.
    pub halt: Halt,
    /// Held as long as the store, where the database is this process's own: every other incarnation is
    /// then known to be dead.
    pub database: Option<DatabaseLock>,
    /// Held for as long as anything may touch what is in it, so the last to be dropped.
    pub folder: DataFolder,
}

impl App {
    /// Opens keys and database in `folder`. The one place of start-up, for the server and for an
    /// operator's command alike; `authority` is the name that calls are signed for.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do.
    pub async fn build(
        config: Config,
        folder: DataFolder,
        authority: Option<String>,
        environment: Environment,
    ) -> Result<Arc<Self>, StartError> {
        let Environment { clock, entropy, network, executor, disk } = environment;
        let outbox = Outbox::new(&config)?;
        let incarnation = entropy.array();
        let place = Place::find(&config, &folder, incarnation).await?;
        // An embedded database may be older than webhooks are; one in PostgreSQL never is.
        let seed = folder.path().join(&config.keys.webhook_seed);
        if matches!(config.database, Database::Postgres(_)) && place.is_begun() && !seed.exists() {
            return Err(KeyFileError::Lost { path: seed }.into());
        }
        let keys = ServerKeys::open(&folder, &config.keys, place.is_begun(), entropy.as_ref())?;
        let keys = Arc::new(keys);
        let succession = succession::read(folder.path(), &keys.answer.public())?;
        let metrics = Arc::new(Metrics::default());
        let readiness = Arc::new(Readiness::default());
        let halt = Halt::default();
        let watch = StoreWatch {
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&readiness),
            halt: halt.clone(),
        };
        let options = SqliteOptions {
            disk,
            moves_in_place: matches!(executor, Executor::OneThread(_)),
            ..SqliteOptions::for_threads(
                config.limits.answering_threads(server::processors()),
                incarnation,
            )
        };
        let (store, database) = place.open(options, watch, &executor).await?;
        folder.note_database()?;
        folder.remove_snapshots()?;
        let call_key = {
            let keys = Arc::clone(&keys);
            let id = keys.institution_call.id();
            CallKey::new(id, move |message| keys.institution_call.sign(message))
        };
        let limits = &config.limits;
        let in_flight = metrics.requests_in_flight();
        let hashing = &config.passwords;
        let app = Arc::new(Self {
            authority: authority.unwrap_or_default(),
            admission: Admission::new(limits.in_flight, limits.request, in_flight),
            passwords: Passwords::new(
                Arc::clone(&keys.pepper),
                hashing.hashes_at_once,
                hashing.hashes_waiting,
                metrics.hashes_in_flight(),
            ),
            started: clock.now(),
            incarnation,
            store,
            institutions: Registry::new(call_key),
            driver: Driver::new(DriverSettings::default(), Arc::clone(&clock)).over(network),
            executor,
            outbox,
            conductor: Arc::default(),
            keys,
            succession,
            readiness,
            metrics,
            halt,
            clock,
            entropy,
            database,
            folder,
            config,
        });
        app.load_institutions().await?;
        Ok(app)
    }

    /// Reads the institutions anew from the shop database; those that stay keep their lines.
    ///
    /// # Errors
    /// [`StoreError`]; the registry is as it was then.
    pub async fn load_institutions(&self) -> Result<(), StoreError> {
        let rows = self.store.read(|reader| reader.institutions()).await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|row| !row.capabilities.is_empty()) {
            match pos::institutions::record(row) {
                Ok(record) => records.push(record),
                Err(cause) => {
                    warn!(institution_id = %row.id, cause = %cause, "an institution cannot be read")
                }
            }
        }
        let held = self.store.read(|reader| reader.held_institutions()).await?;
        for institution in &held {
            warn!(institution_id = %institution, "an institution gets nothing new until its task is closed");
        }
        self.institutions.hold(held);
        for (institution, cause) in self.institutions.replace(records) {
            warn!(institution_id = %institution, cause = %cause, "an institution cannot be used");
        }
        Ok(())
    }

    /// How long an operation that was just begun may wait for its institution. A stop gives it that
    /// long, so that no outcome which could be known becomes unknown.
    fn longest_exchange(&self) -> Duration {
        let all = self.institutions.all();
        all.iter().map(|one| self.driver.longest_exchange(one)).max().unwrap_or_default()
    }

    /// Begins the work beside the calls for whoever brings calls by another way than sockets, and is
    /// ready from then on. Dropping the tasks ends them.
    ///
    /// # Errors
    /// [`StartError::TimeMark`].
    pub fn begin(self: &Arc<Self>, shutdown: &Shutdown) -> Result<JoinSet<()>, StartError> {
        let mut tasks = JoinSet::new();
        self.spawn_background(ClockWatch::begin(self)?, &mut tasks, shutdown);
        self.readiness.clear(Fault::Starting);
        Ok(tasks)
    }

    /// The work that goes on beside the calls; each ends soon after `shutdown` is asked for.
    fn spawn_background(
        self: &Arc<Self>,
        clocks: ClockWatch,
        tasks: &mut JoinSet<()>,
        shutdown: &Shutdown,
    ) {
        tasks.spawn(clocks.run(Arc::clone(self), shutdown.clone()));
        tasks.spawn(worker::run(Arc::clone(self), shutdown.clone()));
    }

    /// Ends what the app holds open, after everything that used it has ended.
    pub async fn close(app: Arc<Self>) {
        let store = app.store.clone();
        // It joins the writer's thread, which may still be syncing.
        if app.executor.apart(move || store.close()).await.is_none() {
            warn!("the store did not close");
        }
        // In the order of its fields: the folder, whose lock others wait for, is the last.
        if let Some(app) = Arc::into_inner(app) {
            drop(app);
        } else {
            warn!("something still uses the data folder at the end");
        }
    }
}

/// What the store tells: figures, and that it takes no more writes.
struct StoreWatch {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    halt: Halt,
}

impl Observer for StoreWatch {
    fn group(&self, verbs: usize, took: Duration) {
        self.metrics.store_group(verbs, took);
    }

    fn reached(&self, outcome: Result<(), &StoreError>) {
        match outcome {
            Ok(()) => {
                if self.readiness.clear(Fault::Database) {
                    info!("the shop database takes writes again");
                }
            }
            Err(cause) => {
                if self.readiness.raise(Fault::Database) {
                    warn!(cause = %chain(cause), "the shop database cannot be reached");
                }
            }
        }
    }

    fn stopped(&self, cause: &StoreError) {
        tracing::error!(cause = %chain(cause), "the shop database takes no more writes");
        self.readiness.raise(Fault::Database);
        self.halt.halt("a commit of the shop database failed");
    }
}

/// Where the shop database is.
enum Place {
    /// In a file, which this process holds, and whether it was there.
    File(PathBuf, DatabaseLock, bool),
    /// Elsewhere, and whether it was begun.
    Postgres(Box<PostgresOptions>, bool),
}

impl Place {
    async fn find(
        config: &Config,
        folder: &DataFolder,
        incarnation: Incarnation,
    ) -> Result<Self, StartError> {
        let mut options = match (&config.database, config.postgres_options(incarnation)) {
            (_, Some(options)) => options,
            (Database::Sqlite(path), _) => {
                let path = config.data_folder.join(path);
                let lock = folder.take_database(&path)?;
                let begun = path.exists();
                return Ok(Self::File(path, lock, begun));
            }
            (Database::Postgres(_), None) => return Err(StoreError::Crossed.into()),
        };
        options.begun = folder.has_had_database();
        let (options, begun) = apart(options, postgres::is_begun).await?;
        Ok(Self::Postgres(Box::new(options), begun))
    }

    const fn is_begun(&self) -> bool {
        match self {
            Self::File(_, _, begun) | Self::Postgres(_, begun) => *begun,
        }
    }

    async fn open(
        self,
        options: SqliteOptions,
        watch: StoreWatch,
        executor: &Executor,
    ) -> Result<(Store, Option<DatabaseLock>), StartError> {
        let (engine, lock) = match self {
            Self::File(path, lock, _) => {
                let engine = sqlite::open(&path, options);
                let engine = engine.map_err(|cause| StartError::Database { path, cause })?;
                (engine, Some(lock))
            }
            Self::Postgres(options, _) => (apart(*options, postgres::open).await?.1, None),
        };
        let options =
            StoreOptions { executor: executor.clone(), ..StoreOptions::new(Arc::new(watch)) };
        let store = Store::open_with(engine, options);
        Ok((store.map_err(StartError::Thread)?, lock))
    }
}

/// Asks PostgreSQL on a thread that may wait.
async fn apart<T: Send + 'static>(
    options: PostgresOptions,
    ask: fn(&PostgresOptions) -> Result<T, postgres::OpenError>,
) -> Result<(PostgresOptions, T), StartError> {
    let asked = tokio::task::spawn_blocking(move || {
        let answer = ask(&options);
        (options, answer)
    });
    let (options, answer) = asked.await.map_err(|_| StoreError::Stopped)?;
    match answer {
        Ok(answer) => Ok((options, answer)),
        Err(cause) => Err(StartError::Postgres { url: options.url.to_string(), cause }),
    }
}
