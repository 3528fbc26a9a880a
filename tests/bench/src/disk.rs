//! A raw `fdatasync` loop: what the disk alone costs, beside the latency of whatever waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::figures::Waits;

/// Octets of one append: a page, as the database's log writes it.
const PAGE: [u8; 4096] = [0x5a; 4096];

/// Appends a page and syncs it, at most `most` times and about `limit` long, in a file of its own
/// in `folder`, which is removed again.
pub(crate) fn sync_loop(folder: &Path, most: usize, limit: Duration) -> Result<Waits, BenchError> {
    let mut log = Log::new(folder)?;
    let mut waits = Vec::with_capacity(most);
    let began = Instant::now();
    while waits.len() < most && began.elapsed() < limit {
        waits.push(log.sync()?);
    }
    Ok(Waits::of(waits))
}

/// The same on a thread beside whatever else is measured, one page each `EVERY`.
pub(crate) struct Beside {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Result<Waits, BenchError>>,
}

/// Often enough for a p99.9, and little beside what a load of payments writes.
const EVERY: Duration = Duration::from_millis(10);

impl Beside {
    pub(crate) fn start(folder: &Path) -> Result<Self, BenchError> {
        let mut log = Log::new(folder)?;
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            let mut waits = Vec::new();
            while !told.load(Ordering::Relaxed) {
                waits.push(log.sync()?);
                thread::sleep(EVERY);
            }
            Ok(Waits::of(waits))
        });
        Ok(Self { enough, thread })
    }

    /// Ends it: what was measured since the start.
    pub(crate) fn end(self) -> Result<Waits, BenchError> {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().expect("syncing does not panic")
    }
}

/// A file that is appended to, and removed at the end.
struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn new(folder: &Path) -> Result<Self, BenchError> {
        let path = folder.join("fdatasync");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self { file: file.map_err(failed(&path))?, path })
    }

    fn sync(&mut self) -> Result<Duration, BenchError> {
        let wrote = Instant::now();
        let synced = self.file.write_all(&PAGE).and_then(|()| self.file.sync_data());
        synced.map_err(failed(&self.path))?;
        Ok(wrote.elapsed())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The folder goes with the bed anyway.
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BenchError + use<> {
    BenchError::system(format!("syncing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_ends_by_count_and_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("pos-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let beside = Beside::start(&folder).unwrap();
        while fs::metadata(folder.join("fdatasync")).unwrap().len() == 0 {
            thread::yield_now();
        }
        assert!(beside.end().unwrap().count() > 0);
        let waits = sync_loop(&folder, 3, Duration::from_secs(60)).unwrap();
        assert_eq!(waits.count(), 3);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }
}
