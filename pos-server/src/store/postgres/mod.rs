//! PostgreSQL, for several server processes on one database.
//!
//! Each process has one connection that writes and some that read. Everything goes by READ COMMITTED:
//! rows that a verb's decision rests on are locked or written under a condition.

mod access;
mod audit;
mod import;
mod manage;
mod migrate;
mod money;
mod notices;
mod reader;
mod rows;
mod session;
mod settings;
mod settlement;
#[cfg(test)]
mod tests;
mod tls;
mod wave;
mod writer;
mod writes;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

pub(super) use self::import::Import;
use self::reader::PostgresReader;
use self::session::{Failure, Session};
pub use self::settings::{PostgresUrl, WayError};
use self::settings::{Way, causes};
use self::writer::{Line, PostgresWriter};
use super::StoreError;
use super::engine::{Engine, Lookups};
use super::rows::Incarnation;

/// Why a database cannot be used. Each sentence is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A migration that was applied is not the one that this release knows.
    #[error(
        "the database's migration {version} is not the one that this release knows: it was \
         written by a build of another origin"
    )]
    Altered {
        /// Which one.
        version: usize,
    },
    /// There has been a database, and it is not there.
    #[error(
        "the database is empty, and these keys have had one: restore it from a backup, or name the \
         right one. A new one would have forgotten every order, and could charge again; if that is \
         meant, remove the file database-made from the data folder"
    )]
    Gone,
    /// A newer release has been here.
    #[error(
        "the database is at version {found} and this release knows only up to {known}: start the \
         newer release again, or restore a backup from before it"
    )]
    Newer {
        /// The database's version.
        found: usize,
        /// The newest that this release knows.
        known: usize,
    },
    /// The user's tables have no place to be.
    #[error("the database has no schema that its user may use: give the user one of its own name")]
    NoSchema,
    /// Tables of some other program.
    #[error("the database holds tables of another program: give this server one of its own")]
    NotOurs,
    /// The database said no, or nothing.
    #[error(
        "{said}: see that the database runs and takes writes, that URL, user and password are right, \
         and that the user may make tables"
    )]
    Refused {
        /// What it said.
        said: String,
    },
    /// The system gives no thread.
    #[error("no thread for the database: {0}")]
    Thread(#[source] io::Error),
    /// Password or certificates cannot be used.
    #[error(transparent)]
    Way(#[from] WayError),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        let said = match failure {
            Failure::Conflict(cause) | Failure::Lost(cause) | Failure::Raced(cause) => {
                causes(&cause)
            }
            Failure::Taken(_) => failure.told().to_string(),
            Failure::Verb(cause) => causes(&cause),
        };
        Self::Refused { said }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Failure::from(error).into()
    }
}

/// Where the database is, and how many connections read.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Where it is.
    pub url: PostgresUrl,
    /// The file that holds the user's password, where it needs one.
    pub password_file: Option<PathBuf>,
    /// PEM of the CA that the database's certificate is verified by; the system's roots without one.
    pub ca_file: Option<PathBuf>,
    /// Connections for lookups.
    pub readers: usize,
    /// Connections for lists.
    pub list_readers: usize,
    /// A read that takes longer is ended with an error.
    pub read_limit: Duration,
    /// Who writes: another one each time the database is opened.
    pub incarnation: Incarnation,
    /// Whether there must be a database already.
    pub begun: bool,
}

impl PostgresOptions {
    /// The usual numbers.
    pub fn new(url: PostgresUrl, incarnation: Incarnation) -> Self {
        Self {
            url,
            password_file: None,
            ca_file: None,
            readers: 8,
            list_readers: 2,
            read_limit: Duration::from_secs(5),
            incarnation,
            begun: false,
        }
    }
}

/// Connects, and brings the schema up to this release's. Blocks, so not for a thread that answers calls.
///
/// # Errors
/// [`OpenError`], whose sentence says what the operator can do.
pub fn open(options: &PostgresOptions) -> Result<Engine, OpenError> {
    let way = options.way()?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(OpenError::Thread)?;
    let mut line = Line::new(way.clone(), options.incarnation);
    runtime.block_on(async {
        let session = Session::open(&way).await?;
        migrate::migrate(&session, options.begun).await?;
        line.register(session).await.map_err(OpenError::from)
    })?;
    let reading = reading_runtime()?;
    let readers = |count| {
        let reader =
            PostgresReader::new(Arc::clone(&reading), way.clone(), count, options.read_limit);
        Arc::new(reader)
    };
    Ok(Engine {
        writer: Box::new(PostgresWriter::new(runtime, line)),
        reader: readers(options.readers),
        lookups: Lookups::Apart(options.readers),
        lists: readers(options.list_readers),
    })
}

/// Whether the database has been begun. Blocks like [`open`], and changes nothing.
///
/// # Errors
/// [`OpenError`], whose sentence says what the operator can do.
pub fn is_begun(options: &PostgresOptions) -> Result<bool, OpenError> {
    let way = options.way()?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(OpenError::Thread)?;
    runtime.block_on(async { migrate::is_begun(&Session::open(&way).await?).await })
}

impl PostgresOptions {
    fn way(&self) -> Result<Way, WayError> {
        Way::new(&self.url, self.password_file.as_deref(), self.ca_file.as_deref())
    }
}

/// Turns the lines of all readers.
struct Reading(Option<Runtime>);

impl Reading {
    fn handle(&self) -> Option<&Runtime> {
        self.0.as_ref()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Also where waiting is forbidden.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn reading_runtime() -> Result<Arc<Reading>, OpenError> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("store-reader")
        .enable_all()
        .build()
        .map_err(OpenError::Thread)?;
    Ok(Arc::new(Reading(Some(runtime))))
}
