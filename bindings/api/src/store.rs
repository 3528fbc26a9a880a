//! Where a shop's keys and open payments are kept.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use pos_connect::env::Task;
use pos_connect::journal::{FileJournal, Journal, MemoryJournal};
use pos_connect::keys::{
    Change, FileKeyStore, KeyStore as ModuleKeyStore, KeyStoreError, MemoryKeyStore, StoredKeys,
};
use pos_connect::{Config, IdempotencyKey, Setup};

use crate::error::Error;

/// A key storage of the host's own: a secret manager, a database. What it keeps is one text with
/// secrets in it; keep it where only the shop's software can read it.
///
/// Each method has reached the lasting store when it returns, and looking and writing are one step
/// among all processes that share it.
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
        /// Why, for the log.
        reason: String,
    },
}

#[cfg(feature = "uniffi")]
impl From<uniffi::UnexpectedUniFFICallbackError> for KeyStorageError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { reason: error.reason }
    }
}

/// Where a shop's keys and open payments are kept. One store is one shop's; processes may share a
/// folder.
#[cfg_attr(feature = "uniffi", derive(uniffi::Object))]
pub struct Store {
    keys: Arc<dyn ModuleKeyStore>,
    journal: Arc<dyn Journal>,
}

#[cfg_attr(feature = "uniffi", uniffi::export)]
impl Store {
    /// Files in a folder, which is made (0700) if need be: keep it out of everybody's reach, and in
    /// the backup.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn in_folder(folder: String) -> Result<Arc<Self>, Error> {
        let folder = Path::new(&folder);
        if folder.as_os_str().is_empty() {
            return Err(Error::argument("folder", &"must name a folder"));
        }
        let unusable = |cause: pos_connect::FileError| {
            Error::module(pos_connect::ModuleCode::KeyStore, Some(&cause))
        };
        let keys = FileKeyStore::new(folder.join("keys.json")).map_err(unusable)?;
        let journal = FileJournal::new(folder.join("journal")).map_err(unusable)?;
        Ok(Arc::new(Self { keys: Arc::new(keys), journal: Arc::new(journal) }))
    }

    /// Nothing that lasts: for tests, and for a person's session (`login`), whose key lives in memory
    /// anyway. Payments that are under way when the process ends are not remembered.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn in_memory() -> Arc<Self> {
        let (keys, journal) = (MemoryKeyStore::default(), MemoryJournal::default());
        Arc::new(Self { keys: Arc::new(keys), journal: Arc::new(journal) })
    }

    /// Keys in a storage of the host's own, open payments in files of `journal_folder`.
    #[cfg_attr(feature = "uniffi", uniffi::constructor)]
    pub fn of_host(
        storage: Arc<dyn KeyStorage>,
        journal_folder: String,
    ) -> Result<Arc<Self>, Error> {
        let journal = FileJournal::new(Path::new(&journal_folder))
            .map_err(|cause| Error::module(pos_connect::ModuleCode::Journal, Some(&cause)))?;
        Ok(Arc::new(Self { keys: Arc::new(HostKeys(storage)), journal: Arc::new(journal) }))
    }
}

impl Store {
    /// Whether a payment call under this key may be open: only a journal that can be read says no.
    pub(crate) async fn may_be_open(&self, key: &IdempotencyKey) -> bool {
        !matches!(self.journal.get(key.clone()).await, Ok(None))
    }

    /// What a connection is made of.
    pub(crate) fn setup(&self, config: Config) -> Setup {
        Setup::new(config, Arc::clone(&self.keys), Arc::clone(&self.journal))
    }
}

/// A host's text as the module's key store.
struct HostKeys(Arc<dyn KeyStorage>);

impl HostKeys {
    fn read(text: &str) -> Result<StoredKeys, KeyStoreError> {
        // The parser's own words would hold what it read: the keys.
        serde_json::from_str(text).map_err(|cause| {
            let (line, column) = (cause.line(), cause.column());
            let reason = format!("it holds no keys: the JSON is wrong at {line}:{column}");
            failed(KeyStorageError::Failed { reason })
        })
    }

    fn write(keys: &StoredKeys) -> Result<String, KeyStoreError> {
        serde_json::to_string(keys).map_err(failed)
    }

    fn change_now(&self, change: &Change) -> Result<StoredKeys, KeyStoreError> {
        loop {
            let old = self.0.load().map_err(failed)?.ok_or(KeyStoreError::Empty)?;
            let mut keys = Self::read(&old)?;
            keys.apply(change.clone());
            let new = Self::write(&keys)?;
            // Somebody else wrote between: their change comes first, and this one on top of it.
            if new == old || self.0.replace(Some(old), new).map_err(failed)? {
                return Ok(keys);
            }
        }
    }
}

impl ModuleKeyStore for HostKeys {
    fn load(&self) -> Task<'_, Result<Option<StoredKeys>, KeyStoreError>> {
        Box::pin(async {
            let text = self.0.load().map_err(failed)?;
            text.map(|text| Self::read(&text)).transpose()
        })
    }

    fn create(&self, keys: StoredKeys) -> Task<'_, Result<(), KeyStoreError>> {
        Box::pin(async move {
            let is_written = self.0.replace(None, Self::write(&keys)?).map_err(failed)?;
            if is_written { Ok(()) } else { Err(KeyStoreError::Occupied) }
        })
    }

    fn change(&self, change: Change) -> Task<'_, Result<StoredKeys, KeyStoreError>> {
        Box::pin(async move { self.change_now(&change) })
    }

    fn remove(&self) -> Task<'_, Result<(), KeyStoreError>> {
        // No verb of this surface forgets keys: a shop deletes its own storage.
        Box::pin(async { Err(failed(KeyStorageError::Failed { reason: "not offered".into() })) })
    }
}

fn failed(cause: impl StdError + Send + Sync + 'static) -> KeyStoreError {
    KeyStoreError::Host(Box::new(cause))
}
