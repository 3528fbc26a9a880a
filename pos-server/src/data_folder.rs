//! The data folder: one process at a time, readable by its owner only.

pub mod keys;
pub(crate) mod private_file;
pub mod succession;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a process holds the folder for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// One operator's command, done in a moment.
    Command,
    /// A server, for as long as it runs.
    Serve,
}

/// Who holds the folder, as the lock file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// What for.
    pub purpose: Purpose,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// There has been a database, and it is not there.
    #[error(
        "the database {} is missing, and these keys have had one: restore it from a backup, or name \
         the right file. A new one would have forgotten every order, and could charge again; if \
         that is meant, remove {}",
        database.display(), marker.display()
    )]
    DatabaseGone {
        /// Where it should be.
        database: PathBuf,
        /// What says that there was one.
        marker: PathBuf,
    },
    /// The database was moved to another engine.
    #[error(
        "the database {} was moved to {to}: start with settings that name that one (`database = …`). This \
         file holds nothing of what was done there since; if you mean to go back to it nevertheless, remove \
         {}",
        database.display(), marker.display()
    )]
    DatabaseMoved {
        /// The file.
        database: PathBuf,
        /// Where it is now.
        to: String,
        /// What says so.
        marker: PathBuf,
    },
    /// A process on another data folder has the database.
    #[error(
        "the database {} is in use by a server or a command on another data folder: stop it first",
        database.display()
    )]
    DatabaseHeld {
        /// The file.
        database: PathBuf,
    },
    /// Another process has it.
    #[error("the data folder {} is in use{}", path.display(), in_use_by(holder.as_ref()))]
    Held {
        /// The folder.
        path: PathBuf,
        /// Who has it, when the lock file says so.
        holder: Option<Holder>,
    },
    /// A file operation failed.
    #[error("{what} {} failed: {cause}", path.display())]
    Io {
        /// What was tried, as a verb in -ing.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Others than the owner may look in.
    #[error(
        "the data folder {} is open to others (mode {mode:o}): it holds keys, so run \
         `chmod 700 {}`",
        path.display(), path.display()
    )]
    OpenToOthers {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

fn in_use_by(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, purpose: Purpose::Serve }) => {
            format!(" by the server with process id {pid}: stop it first, or use another folder")
        }
        Some(Holder { pid, purpose: Purpose::Command }) => {
            format!(" by a command with process id {pid}: try again when it has ended")
        }
        None => " by another process".into(),
    }
}

/// What the name of a copy of the database begins with, until `pos-server backup` takes it away.
pub(crate) const SNAPSHOT: &str = "snapshot-";

/// What the name of the note ends with that says where a database was moved. It lies beside the database,
/// which may be named by two data folders.
const MOVED: &str = ".moved";

/// Beside the keys: this folder has had a database.
const DATABASE_MADE: &str = "database-made";

/// The lock on a shop database, which may lie outside the data folder and be named by two of them.
#[derive(Debug)]
pub struct DatabaseLock(#[expect(dead_code, reason = "closing the file unlocks it")] File);

/// The folder, held by this process until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: File,
}

impl DataFolder {
    /// Makes the folder (0700) if it is not there, and takes its lock. Does not wait: see
    /// [`Self::open_patiently`].
    ///
    /// # Errors
    /// [`DataFolderError::Held`] when another process has it, and what else may be wrong with it.
    pub fn open(path: &Path, purpose: Purpose) -> Result<Self, DataFolderError> {
        let failed = |what, path: &Path| {
            let path = path.into();
            move |cause| DataFolderError::Io { what, path, cause }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("making", path))?;
        let mode = fs::metadata(path).map_err(failed("reading", path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(DataFolderError::OpenToOthers { path: path.into(), mode: mode & 0o777 });
        }
        let lock_path = path.join("lock");
        let mut lock = private_file::options()
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed("opening", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = lock
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| serde_json::from_str(&text).ok());
                return Err(DataFolderError::Held { path: path.into(), holder });
            }
            Err(TryLockError::Error(cause)) => return Err(failed("locking", &lock_path)(cause)),
        }
        let holder = Holder { pid: std::process::id(), purpose };
        write_holder(&mut lock, &holder).map_err(failed("writing", &lock_path))?;
        Ok(Self { path: path.into(), lock })
    }

    /// As [`Self::open`], but waits up to `patience` while a command, which ends by itself in a
    /// moment, has the folder.
    ///
    /// # Errors
    /// As [`Self::open`]; a server that has the folder is reported at once.
    pub async fn open_patiently(
        path: &Path,
        purpose: Purpose,
        patience: Duration,
    ) -> Result<Self, DataFolderError> {
        let began = tokio::time::Instant::now();
        loop {
            let outcome = Self::open(path, purpose);
            let passing = matches!(
                &outcome,
                Err(DataFolderError::Held { holder, .. })
                    if holder.as_ref().is_none_or(|it| it.purpose == Purpose::Command)
            );
            if !passing || began.elapsed() >= patience {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes the database for this process, and refuses one that was moved elsewhere, or to begin a new one
    /// where there has been one.
    ///
    /// # Errors
    /// [`DataFolderError::DatabaseGone`]; [`DataFolderError::DatabaseHeld`];
    /// [`DataFolderError::DatabaseMoved`].
    pub fn take_database(&self, database: &Path) -> Result<DatabaseLock, DataFolderError> {
        // The note is read under the lock under which it is written.
        let lock = self.lock_database(database)?;
        match move_of(database) {
            None => Ok(lock),
            Some(Move::Begun { to } | Move::Done { to }) => Err(moved(database, to)),
        }
    }

    /// The same for a command that moves it to `to`, or that compares it with what is there: a move to
    /// the same place may have been begun before, and only to compare may it be done.
    ///
    /// # Errors
    /// As [`Self::take_database`].
    pub fn take_database_to_move(
        &self,
        database: &Path,
        to: &str,
        only_compare: bool,
    ) -> Result<DatabaseLock, DataFolderError> {
        let lock = self.lock_database(database)?;
        match move_of(database) {
            None => Ok(lock),
            // Whoever is interrupted while the first note is written has moved nothing.
            Some(Move::Begun { to: before }) if before == to || before.is_empty() => Ok(lock),
            Some(Move::Done { to: before }) if before == to && only_compare => Ok(lock),
            Some(Move::Begun { to } | Move::Done { to }) => Err(moved(database, to)),
        }
    }

    fn lock_database(&self, database: &Path) -> Result<DatabaseLock, DataFolderError> {
        let marker = self.path.join(DATABASE_MADE);
        if marker.exists() && !database.exists() {
            return Err(DataFolderError::DatabaseGone { database: database.into(), marker });
        }
        let path = beside(database, ".lock");
        let failed = |what| {
            let path = path.clone();
            move |cause| DataFolderError::Io { what, path, cause }
        };
        let lock = private_file::options().create(true).truncate(false).open(&path);
        let lock = lock.map_err(failed("opening"))?;
        match lock.try_lock() {
            Ok(()) => Ok(DatabaseLock(lock)),
            Err(TryLockError::WouldBlock) => {
                Err(DataFolderError::DatabaseHeld { database: database.into() })
            }
            Err(TryLockError::Error(cause)) => Err(failed("locking")(cause)),
        }
    }

    /// Removes copies of the database that nobody came for.
    ///
    /// # Errors
    /// [`DataFolderError::Io`].
    pub fn remove_snapshots(&self) -> Result<(), DataFolderError> {
        let failed =
            |cause| DataFolderError::Io { what: "cleaning", path: self.path.clone(), cause };
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().as_encoded_bytes().starts_with(SNAPSHOT.as_bytes()) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Whether these keys have had a database.
    pub fn has_had_database(&self) -> bool {
        self.path.join(DATABASE_MADE).exists()
    }

    /// Notes that the database has been made.
    ///
    /// # Errors
    /// [`DataFolderError::Io`].
    pub fn note_database(&self) -> Result<(), DataFolderError> {
        let path = self.path.join(DATABASE_MADE);
        if path.exists() {
            return Ok(());
        }
        let note = || {
            private_file::options().create(true).truncate(false).open(&path)?.sync_all()?;
            File::open(&self.path)?.sync_all()
        };
        note().map_err(|cause| DataFolderError::Io { what: "making", path: path.clone(), cause })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The socket through which commands reach a running server.
    pub fn admin_socket(path: &Path) -> PathBuf {
        path.join("admin.sock")
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // The name of a process that is gone would only mislead; closing the file unlocks it.
        let _ = self.lock.set_len(0);
    }
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// What the note beside a database says of its move.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Move {
    /// The new one may stand or not: a crash came in between, or comes yet.
    Begun { to: String },
    /// The new one stands. The old one is never moved again: it knows nothing of what was done since.
    Done { to: String },
}

/// What stands in the second line of the note of a move that is done.
const DONE: &str = "done";

/// Notes beside a database that it is moved, before it is: from then on no server starts on it.
pub(crate) fn note_move(database: &Path, to: &str) -> io::Result<()> {
    write_note(database, &format!("{to}\n"))
}

/// Notes that the new one stands, where a move to it was begun.
pub(crate) fn finish_move(database: &Path, to: &str) -> io::Result<()> {
    if move_of(database) == Some(Move::Begun { to: to.to_owned() }) {
        write_note(database, &format!("{to}\n{DONE}\n"))?;
    }
    Ok(())
}

/// Whole or not at all, whatever comes in between.
fn write_note(database: &Path, text: &str) -> io::Result<()> {
    let (path, new) = (beside(database, MOVED), beside(database, ".moved.new"));
    let mut note = private_file::options().create(true).truncate(true).open(&new)?;
    note.write_all(text.as_bytes())?;
    note.sync_all()?;
    fs::rename(&new, &path)?;
    sync_folder(&path)
}

fn move_of(database: &Path) -> Option<Move> {
    let note = beside(database, MOVED);
    // One that cannot be read is one all the same.
    let text = note.exists().then(|| fs::read_to_string(&note).unwrap_or_default())?;
    let mut lines = text.lines();
    let to = lines.next().unwrap_or_default().to_owned();
    Some(if lines.next() == Some(DONE) { Move::Done { to } } else { Move::Begun { to } })
}

fn moved(database: &Path, to: String) -> DataFolderError {
    let marker = beside(database, MOVED);
    DataFolderError::DatabaseMoved { database: database.into(), to, marker }
}

/// Takes the note back, where the database was not moved.
pub(crate) fn forget_move(database: &Path) -> io::Result<()> {
    let note = beside(database, MOVED);
    match fs::remove_file(&note) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(cause),
        Ok(()) => sync_folder(&note),
    }
}

/// So that the names in the folder of this file are on the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn write_holder(lock: &mut File, holder: &Holder) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    let mut line = serde_json::to_vec(holder)?;
    line.push(b'\n');
    lock.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_private_and_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/pos-data");
        let first = DataFolder::open(&path, Purpose::Serve).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join("lock")).unwrap().permissions().mode() & 0o777, 0o600);

        let refusal = DataFolder::open(&path, Purpose::Command).unwrap_err();
        let pid = std::process::id();
        assert!(
            matches!(
                &refusal,
                DataFolderError::Held { holder: Some(holder), .. }
                    if *holder == Holder { pid, purpose: Purpose::Serve }
            ),
            "{refusal:?}"
        );
        let sentence = refusal.to_string();
        assert!(sentence.contains(&format!("by the server with process id {pid}: stop it")));

        drop(first);
        assert_eq!(fs::read(path.join("lock")).unwrap(), b"");
        DataFolder::open(&path, Purpose::Command).unwrap();
    }

    #[test]
    fn a_database_is_held_once_and_not_begun_anew() {
        let root = tempfile::tempdir().unwrap();
        let open = |name: &str| DataFolder::open(&root.path().join(name), Purpose::Serve).unwrap();
        let (one, other) = (open("one"), open("other"));
        let database = root.path().join("shared.sqlite3");
        let lock = one.take_database(&database).unwrap();
        let refused = other.take_database(&database).unwrap_err().to_string();
        assert!(refused.contains("shared.sqlite3 is in use by a server"), "{refused}");
        drop(lock);
        drop(other.take_database(&database).unwrap());

        fs::write(&database, b"").unwrap();
        note_move(&database, "postgres://pos@db/pos").unwrap();
        for folder in [&one, &other] {
            let refused = folder.take_database(&database).unwrap_err().to_string();
            assert!(
                refused.contains("was moved to postgres://pos@db/pos: start with"),
                "{refused}"
            );
            assert!(refused.contains("remove") && refused.contains(".sqlite3.moved"), "{refused}");
        }
        let to_move = |to, only_compare| one.take_database_to_move(&database, to, only_compare);
        drop(to_move("postgres://pos@db/pos", false).unwrap());
        assert!(to_move("postgres://pos@db:5433/pos", false).is_err(), "that is another place");
        finish_move(&database, "postgres://pos@db:5433/pos").unwrap();
        drop(to_move("postgres://pos@db/pos", false).unwrap());
        finish_move(&database, "postgres://pos@db/pos").unwrap();
        assert!(to_move("postgres://pos@db/pos", false).is_err(), "never twice");
        drop(to_move("postgres://pos@db/pos", true).unwrap());
        assert!(one.take_database(&database).is_err());
        // An empty note is that of a move that never came to anything.
        fs::write(beside(&database, MOVED), "").unwrap();
        assert!(one.take_database(&database).is_err());
        drop(to_move("postgres://pos@db/pos", false).unwrap());
        forget_move(&database).unwrap();
        forget_move(&database).unwrap();
        drop(one.take_database(&database).unwrap());
        fs::remove_file(&database).unwrap();

        one.note_database().unwrap();
        one.note_database().unwrap();
        let refused = one.take_database(&database).unwrap_err().to_string();
        assert!(refused.contains("is missing") && refused.contains("database-made"), "{refused}");
        fs::write(&database, b"").unwrap();
        drop(one.take_database(&database).unwrap());
        fs::remove_file(&database).unwrap();
        fs::remove_file(one.path().join("database-made")).unwrap();
        one.take_database(&database).unwrap();
    }

    #[test]
    fn a_folder_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
        let refusal = DataFolder::open(dir.path(), Purpose::Serve).unwrap_err().to_string();
        assert!(refusal.contains("mode 750") && refusal.contains("chmod 700"), "{refusal}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_waits_for_a_command_but_not_for_a_server() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let open = |patience| {
            DataFolder::open_patiently(dir.path(), Purpose::Serve, Duration::from_secs(patience))
        };

        let command = DataFolder::open(dir.path(), Purpose::Command).unwrap();
        assert!(matches!(open(1).await, Err(DataFolderError::Held { .. })));
        let (server, ()) = tokio::join!(open(60), async { drop(command) });
        let server = server.unwrap();

        let began = tokio::time::Instant::now();
        assert!(matches!(open(60).await, Err(DataFolderError::Held { .. })));
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(server);
    }
}
