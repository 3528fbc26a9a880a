//! What the kernel says of a process: the CPU it used, the memory it holds.

use std::fs;
use std::time::Duration;

use crate::error::BenchError;

/// The unit of `utime` and `stime`: a hundredth of a second on every Linux that Rust runs on
/// (`USER_HZ`). The kernel counts finer and shows whole ticks, so a round must use many of them.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all threads of a process so far, also of those that have ended.
pub(crate) fn cpu_time(id: u32) -> Result<Duration, BenchError> {
    let path = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(&path).map_err(BenchError::system(&path))?;
    let ticks = ticks_in(&stat).ok_or_else(|| unreadable(&path))?;
    Ok(TICK.saturating_mul(ticks))
}

/// `utime` and `stime`: fields 14 and 15 of proc(5), counted after the program's name, which is in
/// parentheses and may hold blanks and parentheses itself.
fn ticks_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let utime: u32 = fields.next()?.parse().ok()?;
    let stime: u32 = fields.next()?.parse().ok()?;
    utime.checked_add(stime)
}

/// Resident memory in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    /// The most since the process started.
    pub(crate) peak: u64,
}

pub(crate) fn memory(id: u32) -> Result<Memory, BenchError> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path).map_err(BenchError::system(&path))?;
    memory_in(&status).ok_or_else(|| unreadable(&path))
}

fn memory_in(status: &str) -> Option<Memory> {
    let octets = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { now: octets("VmRSS:")?, peak: octets("VmHWM:")? })
}

fn unreadable(path: &str) -> BenchError {
    BenchError::system(path)(std::io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat = "7 (pos) server)) S 1 7 7 0 -1 4194304 20 0 1 0 312 25 3 4 20 0 6 0 99 1 2 3";
        assert_eq!(ticks_in(stat), Some(337));
        assert_eq!(ticks_in("7 (pos-server) S 1 2"), None);
    }

    #[test]
    fn resident_memory_is_read_in_octets() {
        let status = "Name:\tpos-server\nVmHWM:\t   20480 kB\nVmRSS:\t   18432 kB\nThreads:\t6\n";
        assert_eq!(memory_in(status), Some(Memory { now: 18_874_368, peak: 20_971_520 }));
        assert_eq!(memory_in("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn work_shows_as_cpu_time() {
        let id = std::process::id();
        let before = cpu_time(id).unwrap();
        let mut sum = 0_u64;
        while cpu_time(id).unwrap() < before + 3 * TICK {
            sum = (0..100_000).fold(black_box(sum), u64::wrapping_add);
        }
        assert!(memory(id).unwrap().peak >= memory(id).unwrap().now.min(1));
    }
}
