//! Moves the write-ahead log into the database beside the writer, never inside its commits.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::{Connection, ErrorCode};
use tracing::{error, warn};

use super::{OpenError, SqliteOptions};

/// Pages in the log that are worth a checkpoint: 8 MiB.
const WORTH_PAGES: u32 = 2_000;

/// Pages in the log past which the writer is made to wait for one moment, so that the log begins
/// anew: 32 MiB. Beside a busy writer a checkpoint alone never gets to its end, and lookups in a
/// long log are slow.
const TOO_MANY_PAGES: u32 = 8_000;

/// Who moves pages; ends when dropped.
pub(super) struct Checkpointer {
    gate: Arc<Gate>,
    mover: Mover,
}

enum Mover {
    /// A thread beside the writer; none once it was joined.
    Thread(Option<JoinHandle<()>>),
    /// The writer itself, between two commits: by this connection, when the log has grown since it had
    /// so many pages.
    Writer { db: Connection, done: u32 },
}

/// Where writer and checkpointer meet.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Of the log, as the last commit left it.
    pages: u32,
    /// A transaction is under way.
    writing: bool,
    /// The writer is to wait.
    shut: bool,
    /// The disk failed under the log: nothing more is to be written before a restart.
    failed: bool,
    closed: bool,
}

impl Gate {
    /// The writer's: waits until it may begin a transaction. `false`: it must not begin any more.
    pub(super) fn enter(&self) -> bool {
        let mut state = self.wait_while(|state| state.shut);
        state.writing = !state.failed;
        state.writing
    }

    /// The writer's: its transaction has ended.
    pub(super) fn leave(&self) {
        self.lock().writing = false;
        self.changed.notify_one();
    }

    /// From inside the writer's commit: the log now has so many pages.
    pub(super) fn pages(&self, pages: u32) {
        self.lock().pages = pages;
    }

    /// Keeps the writer waiting while `work` is done.
    fn shut<T>(&self, work: impl FnOnce() -> T) -> T {
        self.lock().shut = true;
        drop(self.wait_while(|state| state.writing));
        let done = work();
        self.lock().shut = false;
        self.changed.notify_one();
        done
    }

    /// Lets the writer begin nothing more.
    pub(super) fn fail(&self) {
        self.lock().failed = true;
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for a log that has grown by what is worth a checkpoint since it had `done` pages;
    /// `None` at the end.
    fn wait(&self, done: u32) -> Option<u32> {
        let state = self.wait_while(|state| !state.closed && !state.is_worth_moving(done));
        (!state.closed).then_some(state.pages)
    }

    /// The same without waiting; `None` where it is not worth it yet.
    fn worth(&self, done: u32) -> Option<u32> {
        let state = self.lock();
        state.is_worth_moving(done).then_some(state.pages)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed
            .wait_while(self.lock(), |state| condition(state))
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A log that has become shorter has begun anew.
    const fn is_worth_moving(&self, done: u32) -> bool {
        let done = if self.pages < done { 0 } else { done };
        self.pages >= done.saturating_add(WORTH_PAGES)
    }
}

impl Checkpointer {
    /// Takes a connection of its own, and a thread where it is to have one.
    pub(super) fn start(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let db = super::connect(path, options.disk)?;
        let gate = Arc::new(Gate::default());
        if options.moves_in_place {
            return Ok(Self { gate, mover: Mover::Writer { db, done: 0 } });
        }
        let watched = Arc::clone(&gate);
        let thread = Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || run(&db, &watched))
            .map_err(|cause| OpenError::Io { path: path.into(), cause })?;
        Ok(Self { gate, mover: Mover::Thread(Some(thread)) })
    }

    /// The writer's, after its transaction: moves what is worth it, where no thread does so.
    pub(super) fn move_in_place(&mut self) {
        let Mover::Writer { db, done } = &mut self.mover else { return };
        if let Some(pages) = self.gate.worth(*done) {
            *done = relieve(db, &self.gate, pages);
        }
    }

    /// What the writer enters and leaves.
    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.gate.close();
        if let Mover::Thread(thread) = &mut self.mover
            && let Some(thread) = thread.take()
        {
            // The thread holds nothing that its panic could harm: a log that is not moved is
            // still whole.
            let _ = thread.join();
        }
    }
}

fn run(db: &Connection, gate: &Gate) {
    let mut done = 0;
    while let Some(pages) = gate.wait(done) {
        done = relieve(db, gate, pages);
    }
}

/// Moves what can be moved of a log of so many pages; answers after how many pages of the log the
/// next checkpoint is to be reckoned.
///
/// PASSIVE waits for nobody. Where it reaches the end of the log, the writer's next transaction
/// begins the log anew, unless a reader still looks into the old one. A failure leaves the log
/// whole, only longer than before: the next commit asks again. Where the disk itself failed, what
/// is on it is not known any more, so the process restarts on it (`payments.md` 6.3).
fn relieve(db: &Connection, gate: &Gate, pages: u32) -> u32 {
    let mut moved = checkpoint(db);
    if moved.is_ok() && pages >= TOO_MANY_PAGES {
        // The bulk was just moved, so that the writer waits for the rest only.
        moved = gate.shut(|| checkpoint(db));
    }
    match moved {
        Ok(()) => {}
        Err(cause) if cause.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
            error!(cause = %cause, "the disk failed while the database's log was moved");
            gate.fail();
        }
        Err(cause) => warn!(cause = %cause, "the database's log was not moved"),
    }
    pages
}

fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
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
    fn a_log_that_was_moved_begins_anew() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("shop.sqlite");
        let writer = super::super::open_writer(&path, SqliteOptions::default()).unwrap();
        let write = |at: u32| {
            let statement = "INSERT INTO time_gap (from_ms, to_ms) VALUES (?1, ?1)";
            writer.connection().execute(statement, (at,)).unwrap();
        };
        let beside = super::super::connect(&path, None).unwrap();
        let gate = Gate::default();
        write(1);
        write(2);
        let (pages, _) = log(&beside);
        assert!(pages > 0);
        for length in [WORTH_PAGES, TOO_MANY_PAGES] {
            assert_eq!(relieve(&beside, &gate, length), length);
            assert_eq!(log(&beside), (pages, pages));
        }
        write(3);
        let (after, _) = log(&beside);
        assert!(after < pages, "{after} of {pages}");
    }

    #[test]
    fn the_thread_is_asked_when_it_is_worth_it() {
        let gate = Gate::default();
        gate.pages(WORTH_PAGES);
        assert_eq!(gate.wait(0), Some(WORTH_PAGES));
        gate.pages(WORTH_PAGES * 2 + 5);
        assert_eq!(gate.wait(WORTH_PAGES), Some(WORTH_PAGES * 2 + 5));
        // Fewer pages than before: the log began anew meanwhile.
        gate.pages(WORTH_PAGES + 1);
        assert_eq!(gate.wait(WORTH_PAGES * 2), Some(WORTH_PAGES + 1));
        gate.close();
        assert_eq!(gate.wait(0), None);
    }

    #[test]
    fn the_writer_and_a_shut_gate_exclude_each_other() {
        use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
        let (gate, inside) = (Gate::default(), AtomicU32::new(0));
        let alone = || {
            assert_eq!(inside.fetch_add(1, SeqCst), 0);
            std::thread::yield_now();
            inside.fetch_sub(1, SeqCst);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    assert!(gate.enter());
                    alone();
                    gate.leave();
                }
            });
            for _ in 0..200 {
                gate.shut(alone);
            }
        });
        assert_eq!(inside.load(SeqCst), 0);
    }

    #[test]
    fn a_busy_writer_does_not_make_the_log_grow_without_end() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("shop.sqlite");
        let mut writer = super::super::open_writer(&path, SqliteOptions::default()).unwrap();
        let db = writer.connection_mut();
        // No syncs: the log is to grow as fast as it can.
        db.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE filler (octets BLOB)").unwrap();
        let gate = writer.gate();
        for _ in 0..40 {
            assert!(gate.enter());
            let filled = writer.connection().execute(
                "INSERT INTO filler SELECT zeroblob(1000000) FROM (VALUES (1), (2), (3), (4))",
                (),
            );
            gate.leave();
            assert_eq!(filled.unwrap(), 4);
        }
        let log = std::fs::metadata(folder.path().join("shop.sqlite-wal")).unwrap();
        assert!(log.len() < 150_000_000, "{} octets of 160 million", log.len());
    }
}
