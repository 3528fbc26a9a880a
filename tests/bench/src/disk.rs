//! A raw `fdatasync` loop: what the disk alone costs, beside the latency of whatever waits for it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::figures::Waits;

/// Octets of one append: a page, as the database's log writes it.
const PAGE: [u8; 4096] = [0x5a; 4096];

/// Appends a page and syncs it, at most `most` times and about `limit` long, in a file of its own
/// in `folder`, which is removed again.
pub(crate) fn sync_loop(folder: &Path, most: usize, limit: Duration) -> Result<Waits, BenchError> {
    let path = folder.join("fdatasync");
    let failed = || BenchError::system(format!("syncing {}", path.display()));
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed())?;
    let mut waits = Vec::with_capacity(most);
    let began = Instant::now();
    while waits.len() < most && began.elapsed() < limit {
        let wrote = Instant::now();
        file.write_all(&PAGE).and_then(|()| file.sync_data()).map_err(failed())?;
        waits.push(wrote.elapsed());
    }
    fs::remove_file(&path).map_err(failed())?;
    Ok(Waits::of(waits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_ends_by_count_and_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("pos-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let waits = sync_loop(&folder, 3, Duration::from_secs(60)).unwrap();
        assert_eq!(waits.count(), 3);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }
}
