//! A copy of the whole database as it is at one moment, made while it is written to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

/// Why there is no copy, or why one cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The database is damaged.
    #[error("the database {} is damaged: {finding}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found first.
        finding: String,
    },
    /// A file operation failed.
    #[error("{} cannot be made or read: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// SQLite said no.
    #[error("the database could not be copied")]
    Sqlite(#[from] rusqlite::Error),
}

/// Copies the database into a new file of its own (0600), checks the copy, and syncs it. All of it is
/// of the moment at which the copying began. Writers go on meanwhile; their log grows as long as it
/// takes.
///
/// It is to run in the process that holds the database: a copy that outlived a server would keep the
/// next one from settling its log.
///
/// # Errors
/// [`SnapshotError`]; a file that was begun stays and is good for nothing.
pub fn snapshot(database: &Path, copy: &Path) -> Result<(), SnapshotError> {
    let failed = |cause| SnapshotError::Io { path: copy.into(), cause };
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy).map_err(failed)?;
    let source = open(database)?;
    let mut target = open(copy)?;
    copy_at_once(&source, &mut target)?;
    // A file of its own, without a log beside it.
    target.query_row("PRAGMA journal_mode = DELETE", (), |_| Ok(()))?;
    check_connection(&target, copy)?;
    target.close().map_err(|(_, cause)| cause)?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(failed)
}

/// Looks through a whole database that nobody writes to.
///
/// # Errors
/// [`SnapshotError::Damaged`] with the first finding.
pub fn check(database: &Path) -> Result<(), SnapshotError> {
    check_connection(&open(database)?, database)
}

/// In one step, and so in one read transaction: a step that a writer overtakes would begin anew.
fn copy_at_once(source: &Connection, target: &mut Connection) -> rusqlite::Result<()> {
    let backup = Backup::new(source, target)?;
    loop {
        match backup.step(-1)? {
            StepResult::Done => return Ok(()),
            // Somebody opens or closes the database this very moment.
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn check_connection(db: &Connection, path: &Path) -> Result<(), SnapshotError> {
    let finding: String = db.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(SnapshotError::Damaged { path: path.into(), finding })
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(10))?;
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF")?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::sqlite::SqliteOptions;

    #[test]
    fn a_copy_is_of_one_moment_while_the_database_is_written_to() {
        let folder = tempfile::TempDir::new().unwrap();
        let (path, copy) = (folder.path().join("shop.sqlite3"), folder.path().join("copy.sqlite3"));
        let writer = super::super::open_writer(&path, SqliteOptions::default()).unwrap();
        let pair = |at: u32| {
            let statement = "INSERT INTO time_gap (from_ms, to_ms) VALUES (?1, 0), (-?1, 0)";
            writer.connection().execute(statement, (at,)).unwrap();
        };
        for at in 1..=2_000 {
            pair(at);
        }
        let copied = std::thread::scope(|scope| {
            let copying = scope.spawn(|| snapshot(&path, &copy));
            let mut at = 2_000;
            while !copying.is_finished() {
                at += 1;
                pair(at);
            }
            copying.join().unwrap()
        });
        copied.unwrap();
        let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let beside: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("copy"))
            .collect();
        assert_eq!(beside, ["copy.sqlite3"]);
        check(&copy).unwrap();
        let db = Connection::open(&copy).unwrap();
        let (count, sum): (i64, i64) = db
            .query_row("SELECT count(*), sum(from_ms) FROM time_gap", (), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert!(count >= 4_000 && count % 2 == 0 && sum == 0, "{count} {sum}");
        let again = snapshot(&path, &copy).unwrap_err();
        assert!(matches!(again, SnapshotError::Io { .. }), "nothing is overwritten: {again}");
    }

    #[test]
    fn a_damaged_database_is_found_out() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("shop.sqlite3");
        let writer = super::super::open_writer(&path, SqliteOptions::default()).unwrap();
        let statement = "INSERT INTO time_gap (from_ms, to_ms) VALUES (?1, ?1)";
        for at in 0..2_000 {
            writer.connection().execute(statement, (at,)).unwrap();
        }
        drop(writer);
        check(&path).unwrap();
        let mut octets = std::fs::read(&path).unwrap();
        let length = octets.len();
        octets[length - 4_096..length - 2_048].fill(0xa5);
        std::fs::write(&path, octets).unwrap();
        let found = check(&path);
        assert!(found.is_err(), "{found:?}");
    }
}
