//! The handle that the rest of the server holds.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use super::StoreError;
use super::engine::{Engine, Lookups, Reader, Writer};
use super::queue::{Group, Queue};
use super::sqlite::{self, OpenError, SqliteOptions};
use super::verbs::{Reply, Verb};
use crate::env::Executor;

/// The shop database. Clones are the same store; the last one to go closes it.
///
/// Every verb has a method of its own (see [`super::verbs`]). A verb whose future is dropped is
/// done all the same.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

/// What is told about the writer, from its thread: metrics and readiness. The methods must not
/// block, and an observer must not hold the [`Store`], which waits for that thread when it closes.
pub trait Observer: Send + Sync + 'static {
    /// A group of `verbs` verbs was committed, or refused as a whole, in `took`.
    fn group(&self, verbs: usize, took: Duration);

    /// Whether the database could be reached by the last group. An engine of this process's own always
    /// can.
    fn reached(&self, _: Result<(), &StoreError>) {}

    /// The store takes no more writes because a commit failed: end the process, so that it starts
    /// again on the database as it is on disk (`payments.md` 6.3). Called once, not at a close.
    fn stopped(&self, cause: &StoreError);
}

/// How much waits and how much goes together.
pub struct StoreOptions {
    /// Verbs that may wait, money and others each; more are answered [`StoreError::Full`].
    pub queue: usize,
    /// Verbs of one commit at most.
    pub group: usize,
    /// From the beginning of a commit to that of the next at least: what comes meanwhile goes
    /// together.
    pub spacing: Duration,
    /// Lists that are read at the same time.
    pub lists: usize,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// Whether the writer and the lists have threads.
    pub executor: Executor,
}

/// A commit costs the same pages and one sync whether it brings one verb or ten
/// (`docs/adr/0266-commits-are-four-milliseconds-apart.md`).
const SPACING: Duration = Duration::from_millis(4);

impl StoreOptions {
    /// The usual sizes.
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        let executor = Executor::Threads;
        Self { queue: 4096, group: 256, spacing: SPACING, lists: 2, observer, executor }
    }
}

struct Shared {
    queue: Arc<Queue>,
    /// None where it is a task, which ends by itself once the queue is closed and empty.
    writer: Mutex<Option<JoinHandle<()>>>,
    lookups: Reading,
    lists: Reading,
}

/// A reader, and where it is called.
struct Reading {
    reader: Arc<dyn Reader>,
    /// Threads that may wait for it at a time; none where it is called on the thread that asks.
    threads: Option<Arc<Semaphore>>,
}

impl Store {
    /// Opens the embedded database in this file, with the usual readers.
    ///
    /// # Errors
    /// [`OpenError`], whose sentence says what the operator can do.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let engine = sqlite::open(path, SqliteOptions::default())?;
        Self::open_with(engine, options).map_err(|cause| OpenError::Io { path: path.into(), cause })
    }

    /// Puts queue and writer above an opened engine (`sqlite::open`). The writer has a thread, or is a
    /// task of the runtime that this is called on.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn open_with(engine: Engine, options: StoreOptions) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(options.queue));
        let Engine { writer, reader, lookups, lists } = engine;
        let line = Line {
            queue: Arc::clone(&queue),
            writer,
            group: options.group.max(1),
            spacing: options.spacing,
            observer: options.observer,
        };
        let (writer, of_lists) = match &options.executor {
            Executor::Threads => {
                let thread =
                    Builder::new().name("store-writer".into()).spawn(move || line.run())?;
                (Some(thread), Lookups::Apart(options.lists))
            }
            Executor::OneThread(_) => {
                options.executor.spawn(line.run_as_task());
                (None, Lookups::InPlace)
            }
        };
        Ok(Self(Arc::new(Shared {
            queue,
            writer: Mutex::new(writer),
            lookups: Reading::new(reader, lookups),
            lists: Reading::new(lists, of_lists),
        })))
    }

    /// Queues one verb and waits for its commit. The methods named after verbs call this.
    ///
    /// # Errors
    /// [`StoreError::Full`] and [`StoreError::Stopped`]: nothing was kept. [`StoreError::Unknown`]:
    /// whether it was is not known, and the store stops. Others are the verb's own: nothing of it
    /// was kept.
    pub async fn commit(&self, verb: Verb) -> Result<Reply, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.queue.push(verb, answer)?;
        // A sender that went without a word means that the writer's thread died.
        answered.await.unwrap_or_else(|cause| Err(StoreError::Unknown { cause: Arc::new(cause) }))
    }

    /// Lookups by key, where the engine makes them ([`Lookups`]). Each lookup sees what was
    /// committed when it began.
    ///
    /// # Errors
    /// What `read` says, or [`StoreError::Stopped`] when the runtime is ending.
    pub async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
    {
        self.0.lookups.read(read).await
    }

    /// Lists, on threads and connections of their own and few at a time.
    ///
    /// # Errors
    /// What `read` says, or [`StoreError::Stopped`] when the runtime is ending.
    pub async fn read_slow<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
    {
        self.0.lists.read(read).await
    }

    /// Takes no more verbs, commits those that wait, and returns when that is done. Blocks; it may
    /// be called more than once.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Reading {
    fn new(reader: Arc<dyn Reader>, lookups: Lookups) -> Self {
        let threads = match lookups {
            Lookups::InPlace => None,
            Lookups::Apart(threads) => Some(Arc::new(Semaphore::new(threads.max(1)))),
        };
        Self { reader, threads }
    }

    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
    {
        let Some(threads) = &self.threads else {
            return read(&*self.reader);
        };
        let permit = Arc::clone(threads).acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let reader = Arc::clone(&self.reader);
        let reading = tokio::task::spawn_blocking(move || {
            let _held = permit;
            read(&*reader)
        });
        reading.await.map_err(|_| StoreError::Stopped)?
    }
}

impl Shared {
    fn close(&self) {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // Its panic has been answered: senders that are dropped say `Unknown`.
            let _ = writer.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

/// The writer: a thread or a task.
struct Line {
    queue: Arc<Queue>,
    writer: Box<dyn Writer>,
    group: usize,
    spacing: Duration,
    observer: Arc<dyn Observer>,
}

impl Line {
    fn run(mut self) {
        // However this thread ends, nobody waits for it in vain.
        let end = End { queue: Arc::clone(&self.queue), observer: Arc::clone(&self.observer) };
        while let Some(group) = self.queue.take(self.group) {
            let begun = Instant::now();
            if let Err(cause) = self.commit(group) {
                end.stop(&cause);
                return;
            }
            // A verb that comes later than that is committed at once.
            self.queue.rest(self.spacing.saturating_sub(begun.elapsed()));
        }
    }

    async fn run_as_task(mut self) {
        let end = End { queue: Arc::clone(&self.queue), observer: Arc::clone(&self.observer) };
        while let Some(group) = self.queue.next(self.group).await {
            if let Err(cause) = self.commit(group) {
                end.stop(&cause);
                return;
            }
            tokio::time::sleep(self.spacing).await;
        }
    }

    /// The error is one that ends the writing.
    fn commit(&mut self, group: Group) -> Result<(), StoreError> {
        let Group { verbs, answers } = group;
        let begun = Instant::now();
        let replies = self.writer.commit(&verbs);
        self.observer.group(verbs.len(), begun.elapsed());
        match &replies {
            Err(cause @ (StoreError::Away { .. } | StoreError::Unknown { .. })) => {
                self.observer.reached(Err(cause));
            }
            _ => self.observer.reached(Ok(())),
        }
        match replies {
            Ok(replies) => {
                for (answer, reply) in answers.into_iter().zip(replies) {
                    // Nobody waits any more: the verb is done all the same.
                    let _ = answer.send(reply);
                }
                Ok(())
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
                if self.writer.is_over(&error) { Err(error) } else { Ok(()) }
            }
        }
    }
}

/// The end of the writer.
struct End {
    queue: Arc<Queue>,
    observer: Arc<dyn Observer>,
}

impl End {
    /// What waits was not tried: nothing of it is kept.
    fn stop(&self, cause: &StoreError) {
        self.queue.close();
        while let Some(rest) = self.queue.take(usize::MAX) {
            for answer in rest.answers {
                let _ = answer.send(Err(StoreError::Stopped));
            }
        }
        self.observer.stopped(cause);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stop(&StoreError::Stopped);
        }
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
