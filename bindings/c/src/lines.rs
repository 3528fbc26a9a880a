//! The open connections, by number: what C could use after it was closed is a number, not a pointer.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pos_connect_api::json::closed;
use pos_connect_api::{BlockingConnection, Error, PerProcess};

/// One table for each process: a lock that a fork has left locked would stay so in the child.
static LINES: PerProcess<Mutex<Lines>> = PerProcess::empty();

/// How many that were closed are kept in mind: what is left of one is its settings and its journal.
const CLOSED: usize = 256;

#[derive(Clone, Default)]
struct Lines {
    last: u64,
    open: HashMap<u64, Arc<BlockingConnection>>,
    /// What is left of those that were closed, the latest first.
    closed: VecDeque<(u64, Arc<BlockingConnection>)>,
}

pub(crate) fn keep(line: BlockingConnection) -> Result<u64, Error> {
    let mut lines = lines();
    // One number for each connection of a process: 2^64 of them are never made.
    lines.last = lines.last.saturating_add(1);
    let number = lines.last;
    lines.open.insert(number, Arc::new(line));
    Ok(number)
}

/// The connection of this number, or who refuses in its place: that nothing was moved is not said of a
/// payment that is open (`docs/adr/0211-the-last-word-needs-all-attempts.md`).
pub(crate) fn find(number: u64) -> Result<Arc<BlockingConnection>, Error> {
    let found = {
        let lines = lines();
        let mut closed = lines.closed.iter().filter(|(closed, _)| *closed == number);
        let line = lines.open.get(&number).or_else(|| closed.next().map(|(_, left)| left));
        line.map(Arc::clone)
    };
    // Made without holding up the others.
    found.map_or_else(|| BlockingConnection::unknown().map(Arc::new), Ok)
}

pub(crate) fn close(number: u64) -> Result<(), Error> {
    let line = lines().open.get(&number).cloned().ok_or_else(closed)?;
    line.close();
    let left = line.remains();
    let mut lines = lines();
    // Another thread may have closed it meanwhile.
    lines.open.remove(&number).ok_or_else(closed)?;
    if let Ok(left) = left {
        lines.closed.push_front((number, Arc::new(left)));
        lines.closed.truncate(CLOSED);
    }
    Ok(())
}

fn lines() -> MutexGuard<'static, Lines> {
    let made = LINES.get(|parent| {
        let inherited = match parent.map(Mutex::try_lock) {
            None => Lines::default(),
            Some(Ok(parent)) => parent.clone(),
            Some(Err(TryLockError::Poisoned(parent))) => parent.into_inner().clone(),
            // Another thread of the parent was opening or closing one as it forked: the numbers
            // cannot be read, and every one is refused in the child.
            Some(Err(TryLockError::WouldBlock)) => Lines { last: u64::MAX / 2, ..Lines::default() },
        };
        Ok::<_, Infallible>(Mutex::new(inherited))
    });
    let Ok(made) = made;
    // Every change is one call of the table.
    made.lock().unwrap_or_else(PoisonError::into_inner)
}
