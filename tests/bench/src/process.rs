//! What the kernel says of a process: the CPU it used, the memory it holds.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use crate::error::BenchError;

/// CPU that each thread of a process has used, by its id.
#[derive(Clone, Debug)]
pub(crate) struct CpuTime {
    process: u32,
    threads: HashMap<String, u64>,
}

/// Reads what every thread of a process has used so far, in nanoseconds. `utime` and `stime` of
/// `/proc/<id>/stat` are cut to hundredths of a second, which is a tenth of what a round of echoes uses.
pub(crate) fn cpu_time(process: u32) -> Result<CpuTime, BenchError> {
    let path = format!("/proc/{process}/task");
    let mut threads = HashMap::new();
    for thread in fs::read_dir(&path).map_err(BenchError::system(&path))? {
        let thread = thread.map_err(BenchError::system(&path))?;
        let path = thread.path().join("schedstat");
        // One that ended since the folder was listed is missed, and said so, by the next reading.
        let Ok(line) = fs::read_to_string(&path) else { continue };
        let used = on_cpu_in(&line).ok_or_else(|| unreadable(&path.display().to_string()))?;
        threads.insert(thread.file_name().to_string_lossy().into_owned(), used);
    }
    Ok(CpuTime { process, threads })
}

impl CpuTime {
    /// What the process has used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Result<Duration, BenchError> {
        let ended =
            |(thread, used): (&String, &u64)| *used > 0 && !self.threads.contains_key(thread);
        if before.threads.iter().any(ended) {
            return Err(BenchError::ThreadEnded(self.process));
        }
        let used = self.threads.iter().map(|(thread, used)| {
            used.saturating_sub(before.threads.get(thread).copied().unwrap_or_default())
        });
        Ok(Duration::from_nanos(used.sum()))
    }
}

/// CPU that a process has used so far, its threads that have ended included, in hundredths of a second.
pub(crate) fn rough_cpu_time(process: u32) -> Result<Duration, BenchError> {
    let Stat { own, .. } = stat(&format!("/proc/{process}/stat"))?;
    Ok(Duration::from_millis(own.saturating_mul(10)))
}

/// The process that started this one.
pub(crate) fn parent(process: u32) -> Result<u32, BenchError> {
    let path = format!("/proc/{process}/stat");
    Ok(stat(&path)?.parent)
}

/// CPU that a process, its children and those of its children that have ended have used so far. What
/// has ended is counted in hundredths of a second.
pub(crate) fn family_time(process: u32) -> Result<Duration, BenchError> {
    let Stat { ended, .. } = stat(&format!("/proc/{process}/stat"))?;
    let mut used = Duration::from_millis(ended.saturating_mul(10));
    for entry in fs::read_dir("/proc").map_err(BenchError::system("/proc"))? {
        let entry = entry.map_err(BenchError::system("/proc"))?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile is counted by the next reading.
        let is_kin = id == process || parent(id).is_ok_and(|parent| parent == process);
        if let Some(time) = is_kin.then(|| cpu_time(id)).and_then(Result::ok) {
            used = used.saturating_add(Duration::from_nanos(time.threads.values().sum()));
        }
    }
    Ok(used)
}

/// Lets this process, and those that it starts from now on, open at least so many files.
pub(crate) fn raise_file_limit(files: usize) -> Result<(), BenchError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = files as u64;
    if limit.current.is_none_or(|now| now >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|most| most.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .map_err(|cause| BenchError::system(format!("{files} open files"))(cause.into()))
}

/// What one line tells of a process; ticks are hundredths of a second.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Ticks of all its threads, those that have ended included.
    own: u64,
    /// Ticks of children that it has waited for.
    ended: u64,
}

fn stat(path: &str) -> Result<Stat, BenchError> {
    let line = fs::read_to_string(path).map_err(BenchError::system(path))?;
    stat_in(&line).ok_or_else(|| unreadable(path))
}

/// Fields 4 and 14 to 17 of proc_pid_stat(5). The second, the name, may hold blanks and parentheses, so
/// fields are counted from its last `)`.
fn stat_in(line: &str) -> Option<Stat> {
    let (_, behind) = line.rsplit_once(')')?;
    let fields: Vec<_> = behind.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(11)?.saturating_add(ticks(12)?),
        ended: ticks(13)?.saturating_add(ticks(14)?),
    })
}

/// The first field of `schedstat`: nanoseconds on a processor
/// (`Documentation/scheduler/sched-stats.rst` of Linux).
fn on_cpu_in(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
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
    fn time_on_a_processor_is_the_first_field() {
        assert_eq!(on_cpu_in("139686 3390819 2\n"), Some(139_686));
        assert_eq!(on_cpu_in(""), None);
    }

    #[test]
    fn a_parent_is_found_behind_an_odd_name() {
        let line = "41 (a) S 7 (b)) S 12 41 41 0 -1 0 1 2 3 4 50 60 7 8 20 0 1";
        assert_eq!(stat_in(line), Some(Stat { parent: 12, own: 110, ended: 15 }));
        assert_eq!(stat_in("41"), None);
        let own = std::process::id();
        assert_eq!(parent(own).unwrap(), std::os::unix::process::parent_id());
    }

    #[test]
    fn a_family_has_used_what_its_children_have() {
        let mut child = std::process::Command::new("sh");
        child.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        let before = family_time(std::process::id()).unwrap();
        assert!(child.status().unwrap().success());
        let used = family_time(std::process::id()).unwrap().saturating_sub(before);
        assert!(used >= Duration::from_millis(10), "{used:?}");
    }

    fn used(threads: &[(&str, u64)]) -> CpuTime {
        let threads = threads.iter().map(|(id, used)| ((*id).to_owned(), *used)).collect();
        CpuTime { process: 7, threads }
    }

    #[test]
    fn threads_that_came_count_whole_and_one_that_went_spoils_the_reading() {
        let before = used(&[("7", 100), ("8", 0)]);
        let after = used(&[("7", 350), ("9", 50)]);
        assert_eq!(after.since(&before).unwrap(), Duration::from_nanos(300));
        assert!(matches!(before.since(&after), Err(BenchError::ThreadEnded(7))));
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
        let mine = |time: &CpuTime| time.threads.values().sum::<u64>();
        let mut sum = 0_u64;
        while mine(&cpu_time(id).unwrap()) < mine(&before) + 30_000_000 {
            sum = (0..100_000).fold(black_box(sum), u64::wrapping_add);
        }
        assert!(memory(id).unwrap().peak >= memory(id).unwrap().now.min(1));
    }
}
