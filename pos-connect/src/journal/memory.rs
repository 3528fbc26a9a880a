//! A journal for the life of the process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pos_protocol::id::IdempotencyKey;

use super::{Attempt, Begun, Entries, Entry, Finished, Journal, JournalError, Known};
use crate::env::Task;

/// Forgets at the end of the process which payments were under way: for tests, and for calls whose
/// keys the shop itself has written down before.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    entries: Mutex<HashMap<IdempotencyKey, Known>>,
    /// What the parent of this process had under way could not be read.
    is_lost: bool,
}

/// The parent's entries could not be read when this process was forked.
#[derive(Debug, thiserror::Error)]
#[error("what the parent process had under way was lost when this one was forked")]
struct LostInFork;

impl MemoryJournal {
    /// A journal of its own, for a child process that was forked with this one in its memory: what
    /// the parent has under way is known in it and only asked for. Where another thread of the
    /// parent was at it at that moment, it holds it for ever in the child, and the new journal fails
    /// whoever asks it.
    #[must_use]
    pub fn after_fork(&self) -> Self {
        let entries = match self.entries.try_lock() {
            Ok(entries) => entries.clone(),
            Err(TryLockError::Poisoned(entries)) => entries.into_inner().clone(),
            Err(TryLockError::WouldBlock) => {
                return Self { entries: Mutex::default(), is_lost: true };
            }
        };
        let theirs = entries.into_iter().map(|(key, known)| (key, Known { ours: false, ..known }));
        Self { entries: Mutex::new(theirs.collect()), is_lost: self.is_lost }
    }

    fn open(&self) -> Result<MutexGuard<'_, HashMap<IdempotencyKey, Known>>, JournalError> {
        if self.is_lost {
            return Err(JournalError::Host(Box::new(LostInFork)));
        }
        // Every change is one operation of the map, so that a panic leaves nothing half done.
        Ok(self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for MemoryJournal {
    fn begin(&self, entry: Entry) -> Task<'_, Result<Begun, JournalError>> {
        Box::pin(async {
            let mut open = self.open()?;
            if let Some(known) = open.get(&entry.key) {
                return Ok(Begun::Known(known.clone()));
            }
            open.insert(entry.key.clone(), Known { entry, ours: true });
            Ok(Begun::New)
        })
    }

    fn attempt(&self, key: IdempotencyKey, attempt: Attempt) -> Task<'_, Result<(), JournalError>> {
        Box::pin(async move {
            let mut open = self.open()?;
            let known = open.get_mut(&key).ok_or(JournalError::NoEntry)?;
            known.entry.attempts.push(attempt);
            Ok(())
        })
    }

    fn finish(
        &self,
        key: IdempotencyKey,
        attempts: Vec<Attempt>,
    ) -> Task<'_, Result<Finished, JournalError>> {
        Box::pin(async move {
            let mut open = self.open()?;
            let known = open.get(&key).map(|known| &known.entry);
            if let Some(entry) = known.filter(|entry| !entry.beyond(&attempts).is_empty()) {
                return Ok(Finished::Grown(entry.clone()));
            }
            open.remove(&key);
            Ok(Finished::Removed)
        })
    }

    fn get(&self, key: IdempotencyKey) -> Task<'_, Result<Option<Known>, JournalError>> {
        Box::pin(async move { Ok(self.open()?.get(&key).cloned()) })
    }

    fn entries(&self) -> Task<'_, Result<Entries, JournalError>> {
        Box::pin(async {
            let readable = self.open()?.values().map(|known| known.entry.clone()).collect();
            Ok(Entries { readable, unreadable: Vec::new() })
        })
    }

    fn remove(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>> {
        Box::pin(async move {
            self.open()?.remove(&key);
            Ok(())
        })
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use pos_protocol::Timestamp;

    use super::*;
    use crate::journal::{Digest, Owner};

    #[tokio::test]
    async fn a_child_only_asks_for_what_the_parent_has_under_way_or_says_that_it_was_lost() {
        let key: IdempotencyKey = "0123456789abcdef".parse().unwrap();
        let attempt =
            Attempt { created_ms: Timestamp::from_secs(1), expires_ms: Timestamp::from_secs(20) };
        let entry = Entry {
            key: key.clone(),
            owner: Owner {
                authority: "pos.example".into(),
                shop_id: "shp_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap(),
            },
            operation: "sale".into(),
            order_id: None,
            payment_id: None,
            amount: None,
            currency: None,
            digest: Digest([3; 32]),
            attempts: vec![attempt],
        };
        let parent = MemoryJournal::default();
        parent.begin(entry.clone()).await.unwrap();
        let of = |journal: &MemoryJournal| {
            let known = journal.entries.lock().unwrap().get(&key).cloned();
            known.map(|known| (known.entry == entry, known.ours))
        };
        let child = parent.after_fork();
        assert_eq!((of(&parent), of(&child)), (Some((true, true)), Some((true, false))));
        assert_eq!(of(&child.after_fork()), Some((true, false)));

        let held = parent.entries.lock().unwrap();
        let lost = parent.after_fork();
        drop(held);
        let asked = lost.get(key.clone()).await.unwrap_err();
        assert!(
            matches!(asked, JournalError::Host(_)),
            "nothing is known of it, not even that it is not"
        );
        assert!(lost.begin(entry.clone()).await.is_err());
        assert!(lost.after_fork().get(key.clone()).await.is_err(), "nor in a child's child");
    }
}
