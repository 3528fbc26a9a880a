//! Moves the write-ahead log into the database beside the writer, never inside its commits.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;

use super::OpenError;

/// Pages in the log that are worth a checkpoint: 8 MiB.
const WORTH_PAGES: u32 = 2_000;

/// Pages in the log past which the writer is made to wait for one moment, so that the log begins
/// anew: 128 MiB. Beside a busy writer a passive checkpoint alone never gets to its end.
const TOO_MANY_PAGES: u32 = 32_000;

/// The thread that moves pages; ends when dropped.
pub(super) struct Checkpointer {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// How the writer tells the thread of the log's length.
#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pages: u32,
    closed: bool,
}

impl Signal {
    /// Notes that the log now has so many pages.
    pub(super) fn pages(&self, pages: u32) {
        if pages < WORTH_PAGES {
            return;
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pages = pages;
        self.changed.notify_one();
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_one();
    }

    /// Waits for a log that has grown by what is worth a checkpoint since it had `done` pages;
    /// `None` at the end. A log that has become shorter has begun anew.
    fn wait(&self, done: u32) -> Option<u32> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.closed {
                return None;
            }
            let done = if state.pages < done { 0 } else { done };
            if state.pages >= done.saturating_add(WORTH_PAGES) {
                return Some(state.pages);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let db = super::connect(path)?;
        let signal = Arc::new(Signal::default());
        let heard = Arc::clone(&signal);
        let thread = Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run(&db, &heard))
            .map_err(|cause| OpenError::Io { path: path.into(), cause })?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// What the writer is to call.
    pub(super) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.signal.close();
        if let Some(thread) = self.thread.take() {
            // The thread holds nothing that its panic could harm: a log that is not moved is
            // still whole.
            let _ = thread.join();
        }
    }
}

fn run(db: &Connection, signal: &Signal) {
    let mut done = 0;
    while let Some(pages) = signal.wait(done) {
        done = relieve(db, pages);
    }
}

/// Moves what can be moved of a log of so many pages; answers after how many pages of the log the
/// next checkpoint is to be reckoned.
fn relieve(db: &Connection, pages: u32) -> u32 {
    // A failure leaves the log whole, only longer than before: the next commit asks again.
    let moved = checkpoint(db, "PRAGMA wal_checkpoint(PASSIVE)");
    if moved.is_err() || pages < TOO_MANY_PAGES {
        return pages;
    }
    // The bulk was just moved, so that the writer waits for the rest only.
    match checkpoint(db, "PRAGMA wal_checkpoint(RESTART)") {
        Ok(()) => 0,
        Err(_) => pages,
    }
}

fn checkpoint(db: &Connection, statement: &str) -> rusqlite::Result<()> {
    db.query_row(statement, (), |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of the log and how many of them have been moved.
    fn log(db: &Connection) -> (i64, i64) {
        db.query_row("PRAGMA wal_checkpoint(NOOP)", (), |row| Ok((row.get(1)?, row.get(2)?)))
            .unwrap()
    }

    #[test]
    fn a_long_log_is_moved_and_a_longer_one_begins_anew() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("shop.sqlite");
        let writer = super::super::open_writer(&path).unwrap();
        let write = |at: u32| {
            let statement = "INSERT INTO time_gap (from_ms, to_ms) VALUES (?1, ?1)";
            writer.connection().execute(statement, (at,)).unwrap();
        };
        let beside = super::super::connect(&path).unwrap();
        write(1);
        let (pages, _) = log(&beside);
        assert!(pages > 0);
        assert_eq!(relieve(&beside, WORTH_PAGES), WORTH_PAGES);
        assert_eq!(log(&beside), (pages, pages));
        write(2);
        assert_eq!(relieve(&beside, TOO_MANY_PAGES), 0);
        write(3);
        let (after, _) = log(&beside);
        assert!(after < pages, "the log began anew: {after} of {pages}");
    }

    #[test]
    fn the_thread_is_asked_when_it_is_worth_it() {
        let signal = Signal::default();
        signal.pages(WORTH_PAGES);
        assert_eq!(signal.wait(0), Some(WORTH_PAGES));
        signal.pages(WORTH_PAGES * 2 + 5);
        assert_eq!(signal.wait(WORTH_PAGES), Some(WORTH_PAGES * 2 + 5));
        // Fewer pages than before: the log began anew meanwhile.
        signal.pages(WORTH_PAGES + 1);
        assert_eq!(signal.wait(WORTH_PAGES * 2), Some(WORTH_PAGES + 1));
        signal.close();
        assert_eq!(signal.wait(0), None);
    }
}
