//! A journal for the life of the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pos_protocol::id::IdempotencyKey;

use super::{Attempt, Begun, Entries, Entry, Finished, Journal, JournalError, Known};
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

    fn known(&self, key: &IdempotencyKey) -> Option<Known> {
        self.open().get(key).map(|entry| Known { entry: entry.clone(), ours: true })
    }
}

impl Journal for MemoryJournal {
    fn begin(&self, entry: Entry) -> Task<'_, Result<Begun, JournalError>> {
        Box::pin(async {
            let mut open = self.open();
            if let Some(known) = open.get(&entry.key) {
                return Ok(Begun::Known(Known { entry: known.clone(), ours: true }));
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

    fn finish(
        &self,
        key: IdempotencyKey,
        attempts: Vec<Attempt>,
    ) -> Task<'_, Result<Finished, JournalError>> {
        Box::pin(async move {
            let mut open = self.open();
            if let Some(entry) = open.get(&key).filter(|entry| !entry.beyond(&attempts).is_empty())
            {
                return Ok(Finished::Grown(entry.clone()));
            }
            open.remove(&key);
            Ok(Finished::Removed)
        })
    }

    fn get(&self, key: IdempotencyKey) -> Task<'_, Result<Option<Known>, JournalError>> {
        Box::pin(async move { Ok(self.known(&key)) })
    }

    fn entries(&self) -> Task<'_, Result<Entries, JournalError>> {
        Box::pin(async {
            let readable = self.open().values().cloned().collect();
            Ok(Entries { readable, unreadable: Vec::new() })
        })
    }

    fn remove(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>> {
        Box::pin(async move {
            self.open().remove(&key);
            Ok(())
        })
    }
}
