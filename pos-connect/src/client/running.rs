//! The keys that a verb of this process is under way for: a second verb of the same key waits for
//! the first, and then hears what became of it, instead of judging by half of the attempts.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use pos_protocol::id::IdempotencyKey;

use crate::env::Environment;

/// The keys, each with those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashMap<IdempotencyKey, Vec<Waker>>>);

/// A key is this verb's until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    running: Arc<Running>,
    key: IdempotencyKey,
    /// Whether another verb had the key before.
    pub(super) has_waited: bool,
}

impl Running {
    /// Takes the key, after the verb that has it now; `None` when that takes longer than `limit`.
    pub(super) async fn turn(
        self: &Arc<Self>,
        key: &IdempotencyKey,
        limit: Duration,
        environment: &dyn Environment,
    ) -> Option<Turn> {
        if self.take(key, None) {
            return Some(self.turn_of(key, false));
        }
        let mut limit = environment.sleep(limit);
        poll_fn(|context| {
            if self.take(key, Some(context.waker())) {
                return Poll::Ready(Some(self.turn_of(key, true)));
            }
            limit.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// Takes the key if it is free; else whoever is given is woken when it is.
    fn take(&self, key: &IdempotencyKey, waker: Option<&Waker>) -> bool {
        let mut keys = self.keys();
        let Some(waiting) = keys.get_mut(key) else {
            keys.insert(key.clone(), Vec::new());
            return true;
        };
        if let Some(waker) = waker.filter(|new| !waiting.iter().any(|old| old.will_wake(new))) {
            waiting.push(waker.clone());
        }
        false
    }

    fn turn_of(self: &Arc<Self>, key: &IdempotencyKey, has_waited: bool) -> Turn {
        Turn { running: Arc::clone(self), key: key.clone(), has_waited }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<IdempotencyKey, Vec<Waker>>> {
        // Every change is one operation of the map, so that a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let waiting = self.running.keys().remove(&self.key).unwrap_or_default();
        waiting.into_iter().for_each(Waker::wake);
    }
}
