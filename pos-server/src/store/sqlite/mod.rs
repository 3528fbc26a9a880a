//! The embedded engine: SQLite in WAL mode, every commit synced.
//!
//! One connection writes, a few read, one moves the log into the database. Nothing here keeps a
//! second copy of the data in memory.

mod access;
mod audit;
mod checkpoint;
mod export;
mod manage;
mod migrate;
mod money;
mod notices;
mod reader;
mod rows;
mod settlement;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use self::checkpoint::Checkpointer;
use self::reader::SqliteReader;
use self::writer::SqliteWriter;
use super::StoreError;
use super::audit::Chain;
use super::engine::{Engine, Lookups};
use super::rows::Incarnation;
use crate::data_folder::sync_folder;

pub(super) use self::export::Export;
pub use self::snapshot::{SnapshotError, check, snapshot};

/// Why a database file cannot be used. Each sentence is for the operator.
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
    /// The file could not be made or opened.
    #[error("opening the database {} failed: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The write-ahead log could not be moved into the database.
    #[error("the database is in use by another program, which keeps its log from being settled")]
    LogInUse,
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
    /// The file system cannot hold a write-ahead log.
    #[error("the database cannot keep a write-ahead log here (journal mode {mode})")]
    NoWal {
        /// What SQLite uses instead.
        mode: String,
    },
    /// A database of some other program.
    #[error("the file is a SQLite database of another program")]
    NotOurs,
    /// SQLite said no.
    #[error("the database could not be opened")]
    Sqlite(#[from] rusqlite::Error),
}

/// How many connections read, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Connections for lookups: as many as threads that ask at the same time.
    pub readers: usize,
    /// Connections for lists.
    pub list_readers: usize,
    /// A read that takes longer is ended with an error.
    pub read_limit: Duration,
    /// Who writes, for the audit: another one each time the database is opened.
    pub incarnation: Incarnation,
    /// SQLite's way to the disk, by the name that it was registered under; the system's own where none
    /// is named.
    pub disk: Option<&'static str>,
    /// Whether the log is moved into the database between two commits, and not by a thread beside them.
    pub moves_in_place: bool,
}

impl SqliteOptions {
    /// Where so many threads answer calls; two more look on their own account.
    pub fn for_threads(threads: usize, incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            readers: threads.saturating_add(2),
            list_readers: 2,
            read_limit: Duration::from_secs(5),
            disk: None,
            moves_in_place: false,
        }
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        let mut incarnation = [0; 16];
        getrandom::fill(&mut incarnation).expect("the system has random octets");
        Self::for_threads(2, incarnation)
    }
}

/// Opens the database file, makes it if it is not there (0600), and migrates it. That only one
/// process does so is the data folder's lock's business.
///
/// # Errors
/// [`OpenError`], whose sentence says what the operator can do.
pub fn open(path: &Path, options: SqliteOptions) -> Result<Engine, OpenError> {
    let writer = open_writer(path, options)?;
    let readers = |count| SqliteReader::open(path, count, options).map(Arc::new);
    Ok(Engine {
        writer: Box::new(writer),
        reader: readers(options.readers)?,
        lookups: Lookups::InPlace,
        lists: readers(options.list_readers)?,
    })
}

fn open_writer(path: &Path, options: SqliteOptions) -> Result<SqliteWriter, OpenError> {
    make_private(path)?;
    renew_log(path).map_err(|cause| OpenError::Io { path: path.into(), cause })?;
    let mut db = connect(path, options.disk)?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWal { mode });
    }
    migrate::migrate(&mut db)?;
    // What an earlier run could not move, perhaps because a sync failed, is moved and synced anew
    // before anything is answered from it.
    let busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    if busy {
        return Err(OpenError::LogInUse);
    }
    // 4 MiB hold the ends of the hot trees, where new rows go. After a commit in which a page was split
    // SQLite looks through the whole cache, so that a larger one costs more than it saves.
    db.pragma_update(None, "cache_size", -4_096)?;
    let checkpointer = Checkpointer::start(path, options)?;
    let gate = checkpointer.gate();
    db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        gate.pages(pages.unsigned_abs());
        Ok(())
    }))?;
    Ok(SqliteWriter::new(db, checkpointer, Chain::begin(options.incarnation)))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine { cause: Arc::new(error) }
    }
}

/// A connection with what all of them have in common.
fn connect(path: &Path, disk: Option<&str>) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match disk {
        None => Connection::open_with_flags(path, flags)?,
        Some(disk) => Connection::open_with_flags_and_vfs(path, flags, disk)?,
    };
    db.busy_timeout(Duration::from_secs(10))?;
    db.set_prepared_statement_cache_capacity(128);
    // Without it SQLite plans a statement anew whenever a parameter that a partial index might
    // look at is bound: that would be at nearly every lookup.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // FULL syncs the log at every commit; the two fullfsync make a sync of macOS one. Checkpoints
    // have a thread of their own. `trusted_schema` off: the file may come from a backup.
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; \
         PRAGMA wal_autocheckpoint = 0; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
         PRAGMA trusted_schema = OFF",
    )?;
    Ok(db)
}

/// SQLite gives log and index the mode of the database file. The folder is synced so that the file
/// itself survives a power cut.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let failed = |cause| OpenError::Io { path: path.into(), cause };
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => sync_folder(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Writes the log of an earlier run to the disk once more, in its place and as it is. After a sync that
/// failed, systems show what never reached the disk, take it for written and sync it no more: what is
/// moved into the database from such a log could be half there, and its log gone, when the power fails.
fn renew_log(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = match OpenOptions::new().read(true).write(true).open(name) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut part = vec![0; 1 << 16];
    let mut at = 0_u64;
    loop {
        let length = log.read_at(&mut part, at)?;
        let Some(read) = part.get(..length).filter(|read| !read.is_empty()) else { break };
        log.write_all_at(read, at)?;
        at = at.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
    log.sync_all()
}
