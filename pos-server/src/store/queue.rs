//! What waits for the writer: money before everything else.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::StoreError;
use super::verbs::{Reply, Verb};

/// Where a verb's answer goes.
pub(super) type Answer = oneshot::Sender<Result<Reply, StoreError>>;

/// A bounded queue between many callers and one writer.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    grown: Condvar,
    ends: Condvar,
    /// For a writer that is a task.
    changed: Notify,
    most: usize,
}

#[derive(Default)]
struct Waiting {
    money: VecDeque<(Verb, Answer)>,
    other: VecDeque<(Verb, Answer)>,
    closed: bool,
}

/// Verbs that are committed together, and where their answers go.
pub(super) struct Group {
    pub(super) verbs: Vec<Verb>,
    pub(super) answers: Vec<Answer>,
}

impl Queue {
    /// A queue of at most `most` verbs of either class.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                money: VecDeque::new(),
                other: VecDeque::new(),
                closed: false,
            }),
            grown: Condvar::new(),
            ends: Condvar::new(),
            changed: Notify::const_new(),
            most,
        }
    }

    /// Adds a verb.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Stopped`].
    pub(super) fn push(&self, verb: Verb, answer: Answer) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Stopped);
        }
        // An outcome is never turned away: there are no more of them than operations were begun.
        let bounded = !matches!(verb, Verb::RecordOutcome(_));
        let line = if is_money(&verb) { &mut waiting.money } else { &mut waiting.other };
        if bounded && line.len() >= self.most {
            return Err(StoreError::Full);
        }
        line.push_back((verb, answer));
        drop(waiting);
        self.grown.notify_one();
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for verbs and takes at most `most` of those that are there, money first; `None` once
    /// the queue is closed and empty.
    pub(super) fn take(&self, most: usize) -> Option<Group> {
        let mut waiting = self
            .grown
            .wait_while(self.lock(), |waiting| waiting.is_empty() && !waiting.closed)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.take(most)
    }

    /// The same, for a writer that is a task.
    pub(super) async fn next(&self, most: usize) -> Option<Group> {
        loop {
            {
                let mut waiting = self.lock();
                if waiting.closed || !waiting.is_empty() {
                    return waiting.take(most);
                }
            }
            self.changed.notified().await;
        }
    }

    /// Takes no more verbs; those that wait are still given out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.grown.notify_all();
        self.ends.notify_all();
        self.changed.notify_one();
    }

    /// Waits for so long, whatever is added meanwhile, or until the queue is closed.
    pub(super) fn rest(&self, time: Duration) {
        // Why the wait ended does not matter.
        let _ = self.ends.wait_timeout_while(self.lock(), time, |waiting| !waiting.closed);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// At most `most` of what waits, money first; `None` where nothing does.
    fn take(&mut self, most: usize) -> Option<Group> {
        if self.is_empty() {
            return None;
        }
        // A sixteenth of the group is left for the others, so that no rush of money starves them.
        let kept_free = self.other.len().min(most.div_ceil(16));
        let money = self.money.len().min(most.saturating_sub(kept_free));
        let other = self.other.len().min(most.saturating_sub(money));
        let mut group = Group {
            verbs: Vec::with_capacity(money.saturating_add(other)),
            answers: Vec::with_capacity(money.saturating_add(other)),
        };
        let Self { money: first, other: second, .. } = self;
        for (verb, answer) in first.drain(..money).chain(second.drain(..other)) {
            group.verbs.push(verb);
            group.answers.push(answer);
        }
        Some(group)
    }

    fn is_empty(&self) -> bool {
        self.money.is_empty() && self.other.is_empty()
    }
}

const fn is_money(verb: &Verb) -> bool {
    matches!(verb, Verb::BeginOperation(_) | Verb::RecordOutcome(_) | Verb::KeepRefusal(_))
}
