//! A wall clock that never runs backwards: what is late once stays late (`docs/INSTITUTION.md`
//! 4.4).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pos_protocol::time::Timestamp;
use pos_server::env::{Clock, SystemClock};

/// The system's clock, held where it was when somebody sets it back; also over a restart, because
/// the ledger keeps the latest time that was told.
#[derive(Debug)]
pub(crate) struct SteadyClock {
    system: SystemClock,
    latest_ms: AtomicU64,
}

impl SteadyClock {
    pub(crate) fn start() -> Self {
        Self { system: SystemClock, latest_ms: AtomicU64::new(0) }
    }

    /// Says nothing earlier than this from now on.
    pub(crate) fn not_before(&self, latest: Timestamp) {
        self.latest_ms.fetch_max(latest.as_ms(), Ordering::AcqRel);
    }

    fn not_before_latest(&self, now: Timestamp) -> Timestamp {
        let before = self.latest_ms.fetch_max(now.as_ms(), Ordering::AcqRel);
        Timestamp::from_ms(before.max(now.as_ms()))
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        self.not_before_latest(self.system.now())
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_stands_still() {
        let clock = SteadyClock::start();
        let times = [5, 9, 7, 10].map(|ms| clock.not_before_latest(Timestamp::from_ms(ms)));
        assert_eq!(times.map(Timestamp::as_ms), [5, 9, 9, 10]);
        clock.not_before(Timestamp::from_ms(20));
        assert_eq!(clock.not_before_latest(Timestamp::from_ms(11)).as_ms(), 20);
    }
}
