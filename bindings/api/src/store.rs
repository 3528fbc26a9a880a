//! Where a shop's keys and open payments are kept.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pos_connect::env::Task;
use pos_connect::journal::{FileJournal, MemoryJournal};
use pos_connect::keys::{
    Change, FileKeyStore, KeyStore as ModuleKeyStore, KeyStoreError, MemoryKeyStore, StoredKeys,
};
use pos_connect::protocol::text::base64url;
use pos_connect::{FileError, IdempotencyKey, ModuleCode, Stores};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::process::PerProcess;

/// A key storage of the host's own: a secret manager, a database. What it keeps is one text with
/// secrets in it; keep it where only the shop's software can read it.
///
/// It is called on the thread that called the verb; it must not call a blocking verb itself, nor fork. Each
/// method has reached the lasting store when it returns, and looking and writing are one step
/// among all processes that share it.
///
/// What fails by any other error than `KeyStorageError` is told by the name of its class alone, because
/// its text may quote what was to be written: log it where it happens.
#[cfg_attr(feature = "uniffi", uniffi::export(with_foreign))]
pub trait KeyStorage: Send + Sync {
    /// The text; none before the first `replace`.
    fn load(&self) -> Result<Option<String>, KeyStorageError>;

    /// Writes `new` if what is kept is `old` (none: nothing is kept), and says whether it was.
    fn replace(&self, old: Option<String>, new: String) -> Result<bool, KeyStorageError>;
}

/// A host's key storage failed.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Error))]
pub enum KeyStorageError {
    /// It could not read or write.
    #[error("{reason}")]
    Failed {
        /// Why, for the log: without the texts.
        reason: String,
    },
}

#[cfg(feature = "uniffi")]
impl From<uniffi::UnexpectedUniFFICallbackError> for KeyStorageError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { reason: class_of(&error.reason).into() }
    }
}

/// What came before the words of an error that nobody foresaw: the name of its class, in
/// `OSError('…')` as in `Shop\Locked: …`. The words may be those of a statement with all its parameters.
#[cfg(any(feature = "uniffi", test))]
fn class_of(told: &str) -> &str {
    let is_name = |letter: char| letter.is_alphanumeric() || "_.\\".contains(letter);
    match told.find(|letter| !is_name(letter)) {
        Some(0) => "an error of no class",
        Some(end) => &told[..end],
        None => told,
    }
}

/// Where a shop's keys and open payments are kept. One store is one shop's; processes may share a
/// folder, and several connections a store. In a process that was forked after it was made it has
/// the same keys, and what the parent has under way is the parent's.
#[cfg_attr(feature = "uniffi", derive(uniffi::Object))]
pub struct Store {
    kept: Kept,
    here: PerProcess<Here>,
}

enum Kept {
    Folder(PathBuf),
    Memory,
    Host {
        storage: Arc<dyn KeyStorage>,
        journal: PathBuf,
    },
    /// Not known any more.
    Nowhere,
}

/// What one process uses of it.
struct Here {
    stores: Stores,
    /// What is nowhere else.
    memory: Option<Memory>,
}

#[cfg_attr(feature = "uniffi", uniffi::export)]
impl Store {
    /// Files in a folder, which is made (0700) if need be: keep it out of everybody's reach, and in
    /// the backup.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn in_folder(folder: String) -> Result<Arc<Self>, Error> {
        Self::new(Kept::Folder(named("folder", folder)?))
    }

    /// Nothing that lasts: for tests, and for a person's session (`login`), whose key lives in memory
    /// anyway. Payments that are under way when the process ends are not remembered.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn in_memory() -> Arc<Self> {
        let here = PerProcess::holding(Here::in_memory(Memory::default()));
        Arc::new(Self { kept: Kept::Memory, here })
    }

    /// Keys in a storage of the host's own, open payments in files of `journal_folder`.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn of_host(
        storage: Arc<dyn KeyStorage>,
        journal_folder: String,
    ) -> Result<Arc<Self>, Error> {
        let journal = named("journal_folder", journal_folder)?;
        Self::new(Kept::Host { storage, journal })
    }
}

impl Store {
    fn new(kept: Kept) -> Result<Arc<Self>, Error> {
        let here = PerProcess::holding(kept.here(None)?);
        Ok(Arc::new(Self { kept, here }))
    }

    /// One of which nothing is known.
    pub(crate) fn nowhere() -> Arc<Self> {
        Arc::new(Self { kept: Kept::Nowhere, here: PerProcess::empty() })
    }

    /// The same journal without any key: the host's storage its owner may then take away, and a key in memory is gone.
    pub(crate) fn without_keys(self: &Arc<Self>) -> Result<Arc<Self>, Error> {
        let journal = match &self.kept {
            Kept::Nowhere => return Ok(Arc::clone(self)),
            Kept::Memory => {
                let here = self.here.get(|parent| self.kept.here(parent))?;
                let journal = here.memory.as_ref().map(|memory| Arc::clone(&memory.journal));
                let (keys, journal) = (Arc::default(), journal.unwrap_or_default());
                let here = PerProcess::holding(Here::in_memory(Memory { keys, journal }));
                return Ok(Arc::new(Self { kept: Kept::Memory, here }));
            }
            Kept::Folder(folder) => folder.join("journal"),
            Kept::Host { journal, .. } => journal.clone(),
        };
        Self::new(Kept::Host { storage: Arc::new(Gone), journal })
    }

    /// What this process uses of it.
    pub(crate) fn stores(&self) -> Result<&Stores, Error> {
        self.here.get(|parent| self.kept.here(parent)).map(|here| &here.stores)
    }

    /// Whether a payment call under this key may be open: only a journal that can be read says no.
    pub(crate) async fn may_be_open(&self, key: &IdempotencyKey) -> bool {
        match self.stores() {
            Ok(stores) => !matches!(stores.journal().get(key.clone()).await, Ok(None)),
            Err(_) => true,
        }
    }
}

impl Kept {
    fn here(&self, parent: Option<&Here>) -> Result<Here, Error> {
        let unusable = |code| move |cause: FileError| Error::module(code, Some(&cause));
        let journal =
            |folder| FileJournal::new(folder).map(Arc::new).map_err(unusable(ModuleCode::Journal));
        match self {
            Self::Folder(folder) => {
                let keys = FileKeyStore::new(folder.join("keys.json"))
                    .map_err(unusable(ModuleCode::KeyStore))?;
                let stores = Stores::new(Arc::new(keys), journal(folder.join("journal"))?);
                Ok(Here { stores, memory: None })
            }
            Self::Memory => {
                let parent = parent.and_then(|parent| parent.memory.as_ref());
                Ok(Here::in_memory(parent.map(Memory::after_fork).unwrap_or_default()))
            }
            Self::Host { storage, journal: folder } => {
                let keys = Arc::new(HostKeys::new(Arc::clone(storage)));
                Ok(Here { stores: Stores::new(keys, journal(folder.clone())?), memory: None })
            }
            Self::Nowhere => Err(Error::module(ModuleCode::Closed, None)),
        }
    }
}

impl Here {
    fn in_memory(memory: Memory) -> Self {
        let (keys, journal) = (Arc::clone(&memory.keys), Arc::clone(&memory.journal));
        Self { stores: Stores::new(keys, journal), memory: Some(memory) }
    }
}

#[derive(Default)]
struct Memory {
    keys: Arc<MemoryKeyStore>,
    journal: Arc<MemoryJournal>,
}

impl Memory {
    fn after_fork(&self) -> Self {
        let (keys, journal) = (self.keys.after_fork(), self.journal.after_fork());
        Self { keys: Arc::new(keys), journal: Arc::new(journal) }
    }
}

fn named(field: &str, folder: String) -> Result<PathBuf, Error> {
    if folder.is_empty() {
        return Err(Error::argument(field, &"must name a folder"));
    }
    Ok(folder.into())
}

/// How often a change is tried while others write between: far more than processes share a storage.
const TRIES: usize = 100;

/// The storage of a line that is closed: no verb comes so far.
struct Gone;

impl KeyStorage for Gone {
    fn load(&self) -> Result<Option<String>, KeyStorageError> {
        Err(KeyStorageError::Failed { reason: "the connection is closed".into() })
    }

    fn replace(&self, _: Option<String>, _: String) -> Result<bool, KeyStorageError> {
        self.load().map(|_| false)
    }
}

/// A host's text as the module's key store.
struct HostKeys {
    storage: Arc<dyn KeyStorage>,
    /// What it gave or took last: its errors may quote it.
    last: Mutex<Zeroizing<String>>,
}

impl HostKeys {
    fn new(storage: Arc<dyn KeyStorage>) -> Self {
        Self { storage, last: Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, Zeroizing<String>> {
        // Every change is one assignment, so that a panic leaves nothing half done.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self) -> Result<Option<Zeroizing<String>>, KeyStoreError> {
        let loaded = self.storage.load();
        let stored = loaded.map_err(|failure| unquoted(failure, &[&self.last()]))?;
        let stored = stored.map(Zeroizing::new);
        if let Some(text) = &stored {
            *self.last() = text.clone();
        }
        Ok(stored)
    }

    fn read(text: &str) -> Result<StoredKeys, KeyStoreError> {
        // The parser's own words would hold what it read: the keys.
        serde_json::from_str(text).map_err(|cause| {
            let (line, column) = (cause.line(), cause.column());
            because(format!("it holds no keys: the JSON is wrong at {line}:{column}"))
        })
    }

    fn write(keys: &StoredKeys) -> Result<String, KeyStoreError> {
        serde_json::to_string(keys).map_err(failed)
    }

    fn replaced(&self, old: Option<&str>, new: String) -> Result<bool, KeyStoreError> {
        let text = Zeroizing::new(new.clone());
        let replaced = self.storage.replace(old.map(Into::into), new).map_err(|failure| {
            unquoted(failure, &[old.unwrap_or_default(), &text, &self.last()])
        })?;
        if replaced {
            *self.last() = text;
        }
        Ok(replaced)
    }

    fn change_now(&self, change: &Change) -> Result<StoredKeys, KeyStoreError> {
        for _ in 0..TRIES {
            let old = self.stored()?.ok_or(KeyStoreError::Empty)?;
            let mut keys = Self::read(&old)?;
            keys.apply(change.clone());
            let new = Self::write(&keys)?;
            // Somebody else wrote between: their change comes first, and this one on top of it.
            if new == *old || self.replaced(Some(&old), new)? {
                return Ok(keys);
            }
        }
        Err(because(format!("`replace` said {TRIES} times that something else is kept")))
    }
}

impl ModuleKeyStore for HostKeys {
    fn load(&self) -> Task<'_, Result<Option<StoredKeys>, KeyStoreError>> {
        Box::pin(async { self.stored()?.map(|text| Self::read(&text)).transpose() })
    }

    fn create(&self, keys: StoredKeys) -> Task<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            let is_written = self.replaced(None, Self::write(&keys)?)?;
            if is_written { Ok(()) } else { Err(KeyStoreError::Occupied) }
        })
    }

    fn change(&self, change: Change) -> Task<'_, Result<StoredKeys, KeyStoreError>> {
        Box::pin(async move { self.change_now(&change) })
    }

    fn remove(&self) -> Task<'_, Result<(), KeyStoreError>> {
        // No verb of this surface forgets keys: a shop deletes its own storage.
        Box::pin(async { Err(because("not offered".into())) })
    }
}

/// A failure of the host's, for the log: without its reason where that quotes what is kept, or names a
/// part of it.
fn unquoted(failure: KeyStorageError, texts: &[&str]) -> KeyStoreError {
    let KeyStorageError::Failed { reason } = &failure;
    let names_a_key = ["module_key", "next_key"].iter().any(|name| reason.contains(name));
    if names_a_key || texts.iter().any(|text| quotes(reason, text)) {
        return because("its reason is not shown, because it quotes what is kept".into());
    }
    failed(failure)
}

/// Whether a reason holds a piece of a private key of that text, cut off or not.
fn quotes(reason: &str, text: &str) -> bool {
    const PIECE: usize = 8;
    let Ok(keys) = HostKeys::read(text) else { return false };
    [Some(keys.module_key), keys.next_key].into_iter().flatten().any(|seed| {
        let secret = Zeroizing::new(base64url(seed.octets()));
        let mut said = reason.as_bytes().windows(PIECE);
        said.any(|piece| secret.as_bytes().windows(PIECE).any(|of_secret| piece == of_secret))
    })
}

fn because(reason: String) -> KeyStoreError {
    failed(KeyStorageError::Failed { reason })
}

fn failed(cause: impl StdError + Send + Sync + 'static) -> KeyStoreError {
    KeyStoreError::Host(Box::new(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_it_has_the_same_open_calls() {
        let store = Store::in_memory();
        let here = store.here.get(|_| Err(())).unwrap();
        let left = store.without_keys().unwrap();
        let left = left.here.get(|_| Err(())).unwrap();
        let [was, is] = [here, left].map(|here| here.memory.as_ref().unwrap());
        assert!(Arc::ptr_eq(&was.journal, &is.journal));
        assert!(!Arc::ptr_eq(&was.keys, &is.keys));
    }

    #[test]
    fn of_an_error_that_nobody_foresaw_no_more_than_its_class_is_told() {
        for (told, class) in [
            ("OSError(28, 'No space left on device')", "OSError"),
            ("vault.Sealed(\"UPDATE keys SET text = '{}'\")", "vault.Sealed"),
            ("Shop\\Locked: the text was {\"module_key\":\"A\"}", "Shop\\Locked"),
            ("KeyboardInterrupt", "KeyboardInterrupt"),
            ("{\"module_key\":\"A\"}", "an error of no class"),
            ("", ""),
        ] {
            assert_eq!(class_of(told), class);
        }
    }
}
