//! A journal for the life of the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pos_protocol::id::IdempotencyKey;

use super::{Attempt, Begun, Entry, Journal, JournalError};
use crate::env::Task;

/// Forgets at the end of the process which payments were under way: for tests, and for calls whose
/// keys the shop itself has written down before.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<HashMap<IdempotencyKey, Entry>>);

impl MemoryJournal {
    fn open(&self) -> MutexGuard<'_, HashMap<IdempotencyKey, Entry>> {
        // Every change is one operation of the map, so that a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn begin(&self, entry: Entry) -> Task<'_, Result<Begun, JournalError>> {
        Box::pin(async {
            let mut open = self.open();
            if let Some(known) = open.get(&entry.key) {
                return Ok(Begun::Known { entry: known.clone(), ours: true });
            }
            open.insert(entry.key.clone(), entry);
            Ok(Begun::New)
        })
    }

    fn attempt(&self, key: IdempotencyKey, attempt: Attempt) -> Task<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let mut open = self.open();
            let entry = open.get_mut(&key).ok_or(JournalError::NoEntry)?;
            entry.attempts.push(attempt);
            Ok(())
        })
    }

    fn finish(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>> {
        Box::pin(async move {
            self.open().remove(&key);
            Ok(())
        })
    }

    fn entries(&self) -> Task<'_, Result<Vec<Entry>, JournalError>> {
        Box::pin(async { Ok(self.open().values().cloned().collect()) })
    }
}
