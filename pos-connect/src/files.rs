//! Private files that survive a crash: written whole or not at all, readable by their owner alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds it, and does not let go.
    #[error("{} is held by another process", .path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// Others than the owner may use it: `chmod 600` it after finding out who has read it.
    #[error("{} is open to others than its owner (mode {mode:o}); it must be 600", .path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else than this module writes.
    #[error("{} does not hold what it should", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: serde_json::Error,
    },
    /// It holds no keys. Where, and not what stands there: that may be a key.
    #[error("{} holds no keys: the JSON is wrong at {line}:{column}", .path.display())]
    NoKeys {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, in octets.
        column: usize,
    },
}

/// Names what failed, for `map_err`.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}

/// Makes the folder (0700) where it does not exist.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    builder.create(path).map_err(failed("make the folder", path))?;
    // A folder that a crash takes away would take away what is synced within it.
    missing.into_iter().filter(|made| !made.as_os_str().is_empty()).try_for_each(sync_folder_of)
}

/// Writes a file that does not exist yet, and syncs it and its folder. `false` where it exists.
pub(crate) fn write_new(path: &Path, octets: &[u8]) -> Result<bool, FileError> {
    let mut file = match private().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(found) if found.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(source) => return Err(failed("create", path)(source)),
    };
    write_through(&mut file, octets).map_err(failed("write", path))?;
    sync_folder_of(path)?;
    Ok(true)
}

/// Puts a file in the place of another, so that a reader sees the one or the other, and syncs.
/// Callers exclude each other.
pub(crate) fn replace(path: &Path, octets: &[u8]) -> Result<(), FileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let next = PathBuf::from(name);
    // One that is there is what a crash has left: it was never put in place.
    remove(&next)?;
    write_new(&next, octets)?;
    fs::rename(&next, path).map_err(failed("put in place", path))?;
    sync_folder_of(path)
}

/// Removes a file, which may be gone already. Not synced: after a crash it may be there again.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed("remove", path)(source)),
    }
}

/// Reads a private file whole; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("open", path)(source)),
    };
    check_private(&file, path)?;
    let mut octets = Vec::new();
    file.read_to_end(&mut octets).map_err(failed("read", path))?;
    Ok(Some(octets))
}

/// How long a lock is waited for: holders sync a file or two.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
/// How often it is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A lock file that is held.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Closing the file would do, were there no child that was forked in the meantime: it has the
    /// same open file, and would hold the lock for as long as it lives. (It still does where this
    /// process is killed between lock and unlock.)
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Holds other threads and processes off until it is dropped. One that hangs while it holds the lock
/// must not hang all others, so it is waited for within a limit.
pub(crate) fn lock(path: &Path) -> Result<Lock, FileError> {
    let file = private()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed("open", path))?;
    let end = Instant::now().checked_add(LOCK_LIMIT);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(source)) => return Err(failed("lock", path)(source)),
            Err(TryLockError::WouldBlock) if end.is_some_and(|end| Instant::now() < end) => {
                thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => return Err(FileError::Held { path: path.to_owned() }),
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn write_through(file: &mut File, octets: &[u8]) -> io::Result<()> {
    file.write_all(octets)?;
    file.sync_all()
}

/// Makes a new, renamed or removed name last. Other systems have no such call.
fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    #[cfg(unix)]
    {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(unix)]
fn check_private(file: &File, path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = file.metadata().map_err(failed("look at", path))?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileError::TooOpen { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_private(_: &File, _: &Path) -> Result<(), FileError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_let_go_is_waited_for_within_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap();
        let began = Instant::now();
        assert!(matches!(lock(&path), Err(FileError::Held { .. })));
        assert!((Duration::from_secs(5)..Duration::from_secs(30)).contains(&began.elapsed()));
        drop(held);
        lock(&path).unwrap();
    }

    /// What a forked child has: another descriptor of the same open file.
    #[test]
    fn a_lock_is_let_go_although_a_child_has_the_file_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap();
        let inherited = held.0.try_clone().unwrap();
        drop(held);
        let began = Instant::now();
        lock(&path).unwrap();
        assert!(began.elapsed() < LOCK_LIMIT);
        drop(inherited);
    }
}
