//! Virtual time: tokio's stopped clock for what passes, and a wall clock beside it that can be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use pos_protocol::Timestamp;
use pos_server::env::Clock;
use tokio::time::Instant;

/// When a world begins, by a clock that is right.
const BEGINNING: Timestamp = Timestamp::from_secs(1_795_000_000);

/// One machine's clocks.
#[derive(Debug)]
pub struct WorldClock {
    begun: Instant,
    /// How far its wall clock is ahead.
    ahead_ms: AtomicI64,
    /// Where it never says less than before: what it said last.
    steady: Option<AtomicU64>,
}

impl WorldClock {
    /// A clock of a machine in the world that began at `begun`.
    pub fn new(begun: Instant, ahead_ms: i64) -> Arc<Self> {
        Arc::new(Self { begun, ahead_ms: AtomicI64::new(ahead_ms), steady: None })
    }

    /// One that stands still where it would go back.
    pub fn steady(begun: Instant, ahead_ms: i64) -> Arc<Self> {
        let steady = Some(AtomicU64::new(0));
        Arc::new(Self { begun, ahead_ms: AtomicI64::new(ahead_ms), steady })
    }

    /// Sets the wall clock.
    pub fn step(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let right = BEGINNING.plus(self.begun.elapsed());
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        let told = right.as_ms().saturating_add_signed(ahead);
        let Some(steady) = &self.steady else { return Timestamp::from_ms(told) };
        Timestamp::from_ms(steady.fetch_max(told, Ordering::Relaxed).max(told))
    }

    fn monotonic(&self) -> Duration {
        // No machine was started at the instant at which the world began.
        self.begun.elapsed().saturating_add(Duration::from_secs(1_000))
    }
}
