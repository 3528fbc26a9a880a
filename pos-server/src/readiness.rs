//! Whether this process may be sent calls: started, database writable, clock sane, not draining.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use pos_protocol::Timestamp;

/// What can keep a process from being ready. Institutions are not among it: each has a state of
/// its own, and one that is down must not take the others with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Wall time has drifted from the time since boot, or is behind what was seen before.
    Clock,
    /// The database does not take writes.
    Database,
    /// The process was asked to end.
    Draining,
    /// Start-up has not finished.
    Starting,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Clock, Self::Database, Self::Draining, Self::Starting];

    /// The word for it in `/readyz` and in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Database => "database",
            Self::Draining => "draining",
            Self::Starting => "starting",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The faults of this process at this moment; begins as [`Fault::Starting`].
#[derive(Debug)]
pub struct Readiness(AtomicU8);

impl Default for Readiness {
    fn default() -> Self {
        Self(AtomicU8::new(Fault::Starting.bit()))
    }
}

impl Readiness {
    /// Notes that `fault` is present. Answers whether that is news.
    pub fn raise(&self, fault: Fault) -> bool {
        self.0.fetch_or(fault.bit(), Ordering::Relaxed) & fault.bit() == 0
    }

    /// Notes that `fault` is over. Answers whether that is news.
    pub fn clear(&self, fault: Fault) -> bool {
        self.0.fetch_and(!fault.bit(), Ordering::Relaxed) & fault.bit() != 0
    }

    /// Whether `fault` is present.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.load(Ordering::Relaxed) & fault.bit() != 0
    }

    /// What keeps the process from being ready; empty when it is.
    pub fn faults(&self) -> Vec<Fault> {
        let bits = self.0.load(Ordering::Relaxed);
        Fault::ALL.into_iter().filter(|fault| bits & fault.bit() != 0).collect()
    }
}

/// How far the two clocks may part before the process must not judge freshness any more.
pub const DRIFT_LIMIT: Duration = Duration::from_secs(5);

/// Compares wall time with monotonic time since the process began.
#[derive(Debug)]
pub struct DriftWatch {
    wall: Timestamp,
    monotonic: Duration,
}

impl DriftWatch {
    /// Takes the present readings as those that agree.
    pub fn begin(wall: Timestamp, monotonic: Duration) -> Self {
        Self { wall, monotonic }
    }

    /// How far the clocks have parted since the beginning, in either direction.
    pub fn drift(&self, wall: Timestamp, monotonic: Duration) -> Duration {
        let expected = self.wall.plus(monotonic.saturating_sub(self.monotonic));
        wall.since(expected).max(expected.since(wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_the_absence_of_faults() {
        let readiness = Readiness::default();
        assert_eq!(readiness.faults(), [Fault::Starting]);
        assert!(readiness.raise(Fault::Database));
        assert!(!readiness.raise(Fault::Database), "raised twice is not news");
        assert!(readiness.clear(Fault::Starting));
        assert_eq!(readiness.faults(), [Fault::Database]);
        assert!(readiness.clear(Fault::Database));
        assert!(!readiness.clear(Fault::Database));
        assert_eq!(readiness.faults(), []);
    }

    #[test]
    fn drift_counts_jumps_both_ways_and_not_the_passing_of_time() {
        let watch = DriftWatch::begin(Timestamp::from_secs(1_000), Duration::from_secs(50));
        let drift = |wall, mono| {
            watch.drift(Timestamp::from_ms(wall), Duration::from_millis(mono)).as_millis()
        };
        assert_eq!(drift(1_000_000, 50_000), 0);
        assert_eq!(drift(4_600_000, 3_650_000), 0);
        assert_eq!(drift(1_016_000, 60_000), 6_000);
        assert_eq!(drift(1_004_000, 60_000), 6_000);
    }
}
