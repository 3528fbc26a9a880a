//! A journal in a folder: one file for each call under way.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pos_protocol::id::IdempotencyKey;

use super::{
    Attempt, Begun, Entries, Entry, Finished, Journal, JournalError, Known, UnreadableEntry,
};
use crate::env::Task;
use crate::files::{self, FileError};

/// Among how many lock files the keys are shared out, so that calls seldom wait for each other's
/// syncs.
const LOCKS: usize = 16;

/// Keeps one file (JSON, mode 0600) for each call under way, beside a few lock files. The processes
/// of one shop may share the folder: the file is made exclusively, so that one of them alone sends.
#[derive(Clone, Debug)]
pub struct FileJournal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// What this process entered.
    ours: Mutex<HashSet<IdempotencyKey>>,
}

impl FileJournal {
    /// The journal in this folder, which is made (0700) if need be. Opened once a process, and anew
    /// in a forked child: what another one of the same folder entered is taken for an earlier life's.
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
            let _lock = inner.lock(&entry.key)?;
            let path = inner.path(&entry.key);
            if !files::write_new(&path, &text(&entry))? {
                if let Some(known) = inner.known(&entry.key)? {
                    return Ok(Begun::Known(known));
                }
                // Cut short by a crash before it was whole, and so before anything was sent.
                files::replace(&path, &text(&entry))?;
            }
            inner.ours().insert(entry.key);
            Ok(Begun::New)
        })
    }

    fn attempt(&self, key: IdempotencyKey, attempt: Attempt) -> Task<'_, Result<(), JournalError>> {
        self.blocking(move |inner| {
            let _lock = inner.lock(&key)?;
            let path = inner.path(&key);
            let mut entry = read(&path)?.ok_or(JournalError::NoEntry)?;
            entry.attempts.push(attempt);
            Ok(files::replace(&path, &text(&entry))?)
        })
    }

    fn finish(
        &self,
        key: IdempotencyKey,
        attempts: Vec<Attempt>,
    ) -> Task<'_, Result<Finished, JournalError>> {
        self.blocking(move |inner| {
            let _lock = inner.lock(&key)?;
            let path = inner.path(&key);
            if let Some(entry) = read(&path)?.filter(|entry| !entry.beyond(&attempts).is_empty()) {
                return Ok(Finished::Grown(entry));
            }
            inner.removed(&key)?;
            Ok(Finished::Removed)
        })
    }

    fn get(&self, key: IdempotencyKey) -> Task<'_, Result<Option<Known>, JournalError>> {
        self.blocking(move |inner| Ok(inner.known(&key)?))
    }

    fn entries(&self) -> Task<'_, Result<Entries, JournalError>> {
        self.blocking(|inner| {
            let folder = &inner.folder;
            let listed = fs::read_dir(folder).map_err(files::failed("list", folder))?;
            let mut entries = Entries::default();
            for file in listed {
                let path = file.map_err(files::failed("list", folder))?.path();
                if path.extension().is_none_or(|extension| extension != "json") {
                    continue;
                }
                match read(&path) {
                    Ok(entry) => entries.readable.extend(entry),
                    Err(cause) => entries
                        .unreadable
                        .push(UnreadableEntry { key: key_of(&path), cause: cause.into() }),
                }
            }
            Ok(entries)
        })
    }

    fn remove(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>> {
        self.blocking(move |inner| {
            let _lock = inner.lock(&key)?;
            Ok(inner.removed(&key)?)
        })
    }
}

impl Inner {
    /// Holds off this process's other tasks, and other processes, where they change entries of the
    /// same lock: what is cut short is a crash's then, and not just being written. Readers need no
    /// lock, because a file is put in place whole.
    fn lock(&self, key: &IdempotencyKey) -> Result<files::Lock, FileError> {
        let sum: usize = key.as_str().bytes().map(usize::from).sum();
        files::lock(&self.folder.join(format!("lock-{}", sum % LOCKS)))
    }

    fn ours(&self) -> MutexGuard<'_, HashSet<IdempotencyKey>> {
        // The files are the truth; the set only says who wrote them.
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, key: &IdempotencyKey) -> Result<Option<Known>, FileError> {
        let found = read(&self.path(key))?;
        Ok(found.map(|entry| Known { entry, ours: self.ours().contains(key) }))
    }

    fn removed(&self, key: &IdempotencyKey) -> Result<(), FileError> {
        files::remove(&self.path(key))?;
        self.ours().remove(key);
        Ok(())
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

/// The key that a file is named after.
fn key_of(path: &Path) -> Option<IdempotencyKey> {
    let mut key = String::new();
    let mut is_capital = false;
    for letter in path.file_stem()?.to_str()?.chars() {
        match letter {
            '=' => is_capital = true,
            _ if is_capital => {
                key.push(letter.to_ascii_uppercase());
                is_capital = false;
            }
            _ => key.push(letter),
        }
    }
    key.parse().ok()
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
    use super::*;
    use crate::journal::{Digest, Owner};
    use pos_protocol::Timestamp;
    use pos_protocol::money::{Amount, Currency};

    fn entry(key: &str) -> Entry {
        Entry {
            key: key.parse().unwrap(),
            owner: Owner {
                authority: "pos.example".into(),
                shop_id: "shp_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap(),
            },
            operation: "sale".into(),
            order_id: Some("order-1".parse().unwrap()),
            payment_id: None,
            amount: Amount::new(1_200).ok(),
            currency: Some(Currency::JPY),
            digest: Digest([3; 32]),
            attempts: vec![attempt(20)],
        }
    }

    fn attempt(expires_s: u64) -> Attempt {
        Attempt { created_ms: Timestamp::from_secs(1), expires_ms: Timestamp::from_secs(expires_s) }
    }

    async fn listed(journal: &FileJournal) -> Vec<Entry> {
        let entries = journal.entries().await.unwrap();
        assert!(entries.unreadable.is_empty(), "{:?}", entries.unreadable);
        entries.readable
    }

    async fn finish(journal: &FileJournal, attempts: &[Attempt]) -> Finished {
        journal.finish(KEY.parse().unwrap(), attempts.to_vec()).await.unwrap()
    }

    const KEY: &str = "0123456789abcdef";

    #[tokio::test]
    async fn an_entry_outlives_the_process_and_is_not_ours_then() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::new(folder.path()).unwrap();
        assert!(matches!(journal.begin(entry(KEY)).await.unwrap(), Begun::New));
        assert!(matches!(
            journal.begin(entry(KEY)).await.unwrap(),
            Begun::Known(Known { ours: true, .. })
        ));
        journal.attempt(KEY.parse().unwrap(), attempt(40)).await.unwrap();

        let later = FileJournal::new(folder.path()).unwrap();
        let known = Entry { attempts: vec![attempt(20), attempt(40)], ..entry(KEY) };
        assert_eq!(listed(&later).await, std::slice::from_ref(&known));
        let begun = later.begin(entry(KEY)).await.unwrap();
        assert!(
            matches!(&begun, Begun::Known(Known { entry, ours: false }) if *entry == known),
            "{begun:?}"
        );
        let all = known.attempts;
        assert_eq!(finish(&later, &all).await, Finished::Removed);
        assert_eq!(finish(&later, &all).await, Finished::Removed);
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

    /// Another process of the folder has sent the call again in the meantime, even in the same second.
    #[tokio::test]
    async fn an_entry_is_closed_by_those_alone_who_know_all_its_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (FileJournal::new(folder.path()), FileJournal::new(folder.path()));
        let (one, two) = (one.unwrap(), two.unwrap());
        one.begin(entry(KEY)).await.unwrap();
        two.attempt(KEY.parse().unwrap(), attempt(20)).await.unwrap();
        let grown = Entry { attempts: vec![attempt(20); 2], ..entry(KEY) };
        assert_eq!(finish(&one, &[attempt(20)]).await, Finished::Grown(grown.clone()));
        assert_eq!(listed(&one).await, std::slice::from_ref(&grown));
        assert_eq!(finish(&one, &grown.attempts).await, Finished::Removed);
        assert_eq!(listed(&two).await, []);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::new(folder.path()).unwrap();
        journal.begin(entry(KEY)).await.unwrap();
        let bad: IdempotencyKey = "Not-readable-0001".parse().unwrap();
        files::write_new(&journal.0.path(&bad), b"{\"from\":\"somewhere else\"}\n").unwrap();
        let entries = journal.entries().await.unwrap();
        assert_eq!(entries.readable, [entry(KEY)]);
        assert_eq!(entries.unreadable.len(), 1);
        assert_eq!(entries.unreadable[0].key.as_ref(), Some(&bad));
        assert!(journal.begin(entry(bad.as_str())).await.is_err());
        assert!(journal.get(bad.clone()).await.is_err());
        let known = journal.get(KEY.parse().unwrap()).await.unwrap();
        assert_eq!(known, Some(Known { entry: entry(KEY), ours: true }));
        journal.remove(bad).await.unwrap();
        assert_eq!(listed(&journal).await, [entry(KEY)]);
    }

    /// What a newer version moves is still asked for by its key.
    #[tokio::test]
    async fn an_entry_of_a_newer_version_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FileJournal::new(folder.path()).unwrap();
        let newer = Entry { operation: "from_the_future".into(), ..entry(KEY) };
        let mut written = serde_json::to_value(&newer).unwrap();
        written["more"] = true.into();
        let path = journal.0.path(&newer.key);
        files::write_new(&path, format!("{written}\n").as_bytes()).unwrap();
        assert_eq!(listed(&journal).await, [newer]);
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
