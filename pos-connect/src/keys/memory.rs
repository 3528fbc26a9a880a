//! Keys for the life of the process.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

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

    /// A store of its own with the same keys, for a child process that was forked with this one in
    /// its memory; an empty one where another thread of the parent was at it at that moment, and so
    /// holds it for ever in the child.
    #[must_use]
    pub fn after_fork(&self) -> Self {
        let stored = match self.0.try_lock() {
            Ok(stored) => stored.clone(),
            Err(TryLockError::Poisoned(stored)) => stored.into_inner().clone(),
            Err(TryLockError::WouldBlock) => None,
        };
        Self(Mutex::new(stored))
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

#[cfg(test)]
mod tests {
    use pos_protocol::succession::Fingerprint;
    use zeroize::Zeroizing;

    use super::*;
    use crate::keys::Seed;

    #[test]
    fn a_child_has_keys_of_its_own_or_none_and_never_waits() {
        let seed = Seed::new(Zeroizing::new([1; 32]));
        let keys = StoredKeys::new(seed, Fingerprint::from_octets([7; 16]));
        let parent = MemoryKeyStore::holding(keys);
        let child = parent.after_fork();
        *child.stored() = None;
        assert!(parent.stored().is_some());
        let held = parent.stored();
        assert!(parent.after_fork().stored().is_none());
        drop(held);
        assert!(parent.after_fork().stored().is_some());
    }
}
