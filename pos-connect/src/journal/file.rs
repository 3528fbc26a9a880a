//! A journal in a folder: one file for each call under way.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pos_protocol::id::IdempotencyKey;

use super::{Attempt, Begun, Entry, Journal, JournalError};
use crate::env::Task;
use crate::files::{self, FileError};

/// Keeps one file (JSON, mode 0600) for each call under way, beside a lock file. The processes of
/// one shop may share the folder: the file is made exclusively, so that one of them alone sends.
#[derive(Clone, Debug)]
pub struct FileJournal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// What this process entered.
    ours: Mutex<HashSet<IdempotencyKey>>,
}

impl FileJournal {
    /// The journal in this folder, which is made (0700) if need be. Opened once a process: what
    /// another one of the same folder entered is taken for an earlier life's.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self, FileError> {
        let folder = folder.into();
        files::make_folder(&folder)?;
        Ok(Self(Arc::new(Inner { folder, ours: Mutex::default() })))
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, JournalError> + Send + 'static,
    ) -> Task<'_, Result<T, JournalError>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || work(&inner)).await {
                Ok(result) => result,
                Err(lost) => Err(JournalError::Host(Box::new(lost))),
            }
        })
    }
}

impl Journal for FileJournal {
    fn begin(&self, entry: Entry) -> Task<'_, Result<Begun, JournalError>> {
        self.blocking(move |inner| {
            let (mut ours, _lock) = inner.held()?;
            let path = inner.path(&entry.key);
            if !files::write_new(&path, &text(&entry))? {
                if let Some(known) = read(&path)? {
                    let ours = ours.contains(&known.key);
                    return Ok(Begun::Known { entry: known, ours });
                }
                // Cut short by a crash before it was whole, and so before anything was sent.
                files::replace(&path, &text(&entry))?;
            }
            ours.insert(entry.key);
            Ok(Begun::New)
        })
    }

    fn attempt(&self, key: IdempotencyKey, attempt: Attempt) -> Task<'_, Result<(), JournalError>> {
        self.blocking(move |inner| {
            let _held = inner.held()?;
            let path = inner.path(&key);
            let mut entry = read(&path)?.ok_or(JournalError::NoEntry)?;
            entry.attempts.push(attempt);
            Ok(files::replace(&path, &text(&entry))?)
        })
    }

    fn finish(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>> {
        self.blocking(move |inner| {
            let (mut ours, _lock) = inner.held()?;
            files::remove(&inner.path(&key))?;
            ours.remove(&key);
            Ok(())
        })
    }

    fn entries(&self) -> Task<'_, Result<Vec<Entry>, JournalError>> {
        self.blocking(|inner| {
            let folder = &inner.folder;
            let listed = fs::read_dir(folder).map_err(files::failed("list", folder))?;
            let mut entries = Vec::new();
            for file in listed {
                let path = file.map_err(files::failed("list", folder))?.path();
                if path.extension().is_some_and(|extension| extension == "json") {
                    entries.extend(read(&path)?);
                }
            }
            Ok(entries)
        })
    }
}

impl Inner {
    /// Holds off this process's other tasks, and other processes: what is cut short is a crash's
    /// then, and not just being written.
    fn held(&self) -> Result<(MutexGuard<'_, HashSet<IdempotencyKey>>, fs::File), FileError> {
        // The files are the truth; the set only says who wrote them.
        let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((ours, files::lock(&self.folder.join("lock"))?))
    }

    /// Capitals are written `=a`, because some file systems do not tell them from small letters.
    fn path(&self, key: &IdempotencyKey) -> PathBuf {
        let mut name = String::with_capacity(key.as_str().len().saturating_mul(2));
        for letter in key.as_str().chars() {
            if letter.is_ascii_uppercase() {
                name.push('=');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name.push_str(".json");
        self.folder.join(name)
    }
}

/// One line, whose end shows that it is whole.
fn text(entry: &Entry) -> Vec<u8> {
    let mut octets = serde_json::to_vec(entry).expect("an entry has a JSON form");
    octets.push(b'\n');
    octets
}

/// `None` where there is no file, or one that a crash cut short while it was first written.
fn read(path: &Path) -> Result<Option<Entry>, FileError> {
    let Some(octets) = files::read(path)?.filter(|octets| octets.ends_with(b"\n")) else {
        return Ok(None);
    };
    serde_json::from_slice(&octets)
        .map(Some)
        .map_err(|source| FileError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use pos_protocol::Timestamp;
    use pos_protocol::payment::OperationKind;

    use super::*;
    use crate::journal::Digest;

    fn entry(key: &str) -> Entry {
        Entry {
            key: key.parse().unwrap(),
            operation: OperationKind::Sale,
            order_id: Some("order-1".parse().unwrap()),
            payment_id: None,
            digest: Digest([3; 32]),
            attempts: vec![attempt(20)],
        }
    }

    fn attempt(expires_s: u64) -> Attempt {
        Attempt { created_ms: Timestamp::from_secs(1), expires_ms: Timestamp::from_secs(expires_s) }
    }

    async fn listed(journal: &FileJournal) -> Vec<Entry> {
        journal.entries().await.unwrap()
    }

    const KEY: &str = "0123456789abcdef";

    #[tokio::test]
    async fn an_entry_outlives_the_process_and_is_not_ours_then() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::new(folder.path()).unwrap();
        assert!(matches!(journal.begin(entry(KEY)).await.unwrap(), Begun::New));
        assert!(matches!(
            journal.begin(entry(KEY)).await.unwrap(),
            Begun::Known { ours: true, .. }
        ));
        journal.attempt(KEY.parse().unwrap(), attempt(40)).await.unwrap();

        let later = FileJournal::new(folder.path()).unwrap();
        let known = Entry { attempts: vec![attempt(20), attempt(40)], ..entry(KEY) };
        assert_eq!(listed(&later).await, std::slice::from_ref(&known));
        let begun = later.begin(entry(KEY)).await.unwrap();
        assert!(
            matches!(&begun, Begun::Known { entry, ours: false } if *entry == known),
            "{begun:?}"
        );
        later.finish(KEY.parse().unwrap()).await.unwrap();
        later.finish(KEY.parse().unwrap()).await.unwrap();
        assert_eq!(listed(&later).await, []);
        let gone = later.attempt(KEY.parse().unwrap(), attempt(60)).await.unwrap_err();
        assert!(matches!(gone, JournalError::NoEntry));
    }

    /// The file stands in its folder, but the crash came before all of it was written.
    #[tokio::test]
    async fn an_entry_cut_short_was_never_sent() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::new(folder.path()).unwrap();
        let whole = text(&entry(KEY));
        for length in 0..whole.len() {
            let path = journal.0.path(&KEY.parse().unwrap());
            let _ = fs::remove_file(&path);
            assert!(files::write_new(&path, &whole[..length]).unwrap());
            assert_eq!(listed(&journal).await, [], "{length} octets");
            assert!(matches!(journal.begin(entry(KEY)).await.unwrap(), Begun::New));
            assert_eq!(listed(&journal).await, [entry(KEY)]);
        }
    }

    /// A second attempt was being noted: the first one must still be known.
    #[tokio::test]
    async fn half_a_note_of_an_attempt_leaves_those_before() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::new(folder.path()).unwrap();
        journal.begin(entry(KEY)).await.unwrap();
        fs::write(folder.path().join(format!("{KEY}.json.new")), b"{\"key\":\"01").unwrap();
        assert_eq!(listed(&journal).await, [entry(KEY)]);
        journal.attempt(KEY.parse().unwrap(), attempt(40)).await.unwrap();
        assert_eq!(listed(&journal).await[0].attempts, [attempt(20), attempt(40)]);
    }

    #[tokio::test]
    async fn a_whole_file_that_cannot_be_read_stops_everything() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::new(folder.path()).unwrap();
        let path = journal.0.path(&KEY.parse().unwrap());
        files::write_new(&path, b"{\"from\":\"a newer version\"}\n").unwrap();
        assert!(journal.begin(entry(KEY)).await.is_err());
        assert!(journal.entries().await.is_err());
    }

    #[tokio::test]
    async fn keys_that_differ_in_case_alone_are_two() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::new(folder.path()).unwrap();
        journal.begin(entry("0123456789abcdeF")).await.unwrap();
        assert!(matches!(journal.begin(entry(KEY)).await.unwrap(), Begun::New));
        let names: HashSet<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name().to_string_lossy().to_lowercase())
            .filter(|name| name.ends_with(".json"))
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}
