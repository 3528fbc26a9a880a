//! Keys for the life of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Change, KeyStore, KeyStoreError, StoredKeys};
use crate::env::Task;

/// Keeps keys for as long as it lives: for tests, for sessions of people, and for hosts that bring
/// the key from elsewhere with [`holding`](Self::holding). A module key that only lives here is
/// lost at the end of the process, and with it the registration.
#[derive(Debug, Default)]
pub struct MemoryKeyStore(Mutex<Option<StoredKeys>>);

impl MemoryKeyStore {
    /// A store that holds these keys.
    pub const fn holding(keys: StoredKeys) -> Self {
        Self(Mutex::new(Some(keys)))
    }

    fn stored(&self) -> MutexGuard<'_, Option<StoredKeys>> {
        // Every change is one assignment, so that a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for MemoryKeyStore {
    fn load(&self) -> Task<'_, Result<Option<StoredKeys>, KeyStoreError>> {
        let stored = self.stored().clone();
        Box::pin(async { Ok(stored) })
    }

    fn create(&self, keys: StoredKeys) -> Task<'_, Result<(), KeyStoreError>> {
        Box::pin(async {
            let mut stored = self.stored();
            if stored.is_some() {
                return Err(KeyStoreError::Occupied);
            }
            *stored = Some(keys);
            Ok(())
        })
    }

    fn change(&self, change: Change) -> Task<'_, Result<StoredKeys, KeyStoreError>> {
        Box::pin(async {
            let mut stored = self.stored();
            let keys = stored.as_mut().ok_or(KeyStoreError::Empty)?;
            keys.apply(change);
            Ok(keys.clone())
        })
    }

    fn remove(&self) -> Task<'_, Result<(), KeyStoreError>> {
        Box::pin(async {
            *self.stored() = None;
            Ok(())
        })
    }
}
