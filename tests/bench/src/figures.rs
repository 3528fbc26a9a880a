//! The statistics: medians with their spread, percentiles of waits.

use std::time::Duration;

/// The middle of several rounds, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one round.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut rounds: Vec<_> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        let (least, most) = (*rounds.first()?, *rounds.last()?);
        let (below, above) = (rounds.len().saturating_sub(1) / 2, rounds.len() / 2);
        let median = f64::midpoint(*rounds.get(below)?, *rounds.get(above)?);
        Some(Self { median, least, most })
    }
}

/// How long calls took, shortest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits(Vec<Duration>);

impl Waits {
    pub(crate) fn of(waits: impl IntoIterator<Item = Duration>) -> Self {
        let mut waits: Vec<_> = waits.into_iter().collect();
        waits.sort_unstable();
        Self(waits)
    }

    /// The wait that this many of a thousand calls did not exceed (nearest rank), in milliseconds.
    pub(crate) fn per_mille(&self, share: usize) -> f64 {
        let rank = self.0.len().saturating_mul(share).div_ceil(1000);
        let wait = self.0.get(rank.saturating_sub(1));
        wait.map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    }

    /// What of each is more than `part`.
    pub(crate) fn beyond(&self, part: Duration) -> Self {
        Self(self.0.iter().map(|wait| wait.saturating_sub(part)).collect())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// CPU in microseconds of one of `calls`.
pub(crate) fn us_per_call(cpu: Duration, calls: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / calls as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle() {
        let odd = Spread::of([9.0, 1.0, 5.0]);
        assert_eq!(odd, Some(Spread { median: 5.0, least: 1.0, most: 9.0 }));
        let even = Spread::of([4.0, 1.0, 2.0, 8.0]);
        assert_eq!(even, Some(Spread { median: 3.0, least: 1.0, most: 8.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn percentiles_are_waits_that_were_measured() {
        let waits = Waits::of((1..=1000).rev().map(Duration::from_millis));
        assert_eq!(waits.per_mille(500), 500.0);
        assert_eq!(waits.per_mille(990), 990.0);
        assert_eq!(waits.per_mille(999), 999.0);
        let few = Waits::of([3, 1, 2].map(Duration::from_millis));
        assert_eq!(few.per_mille(500), 2.0);
        assert_eq!(few.per_mille(999), 3.0);
        assert_eq!(few.beyond(Duration::from_millis(2)).per_mille(999), 1.0);
        assert_eq!(few.beyond(Duration::from_millis(2)).per_mille(1), 0.0);
        assert!(Waits::default().per_mille(500).is_nan());
    }

    #[test]
    fn cpu_is_shared_among_the_calls() {
        assert_eq!(us_per_call(Duration::from_millis(340), 1000), 340.0);
    }
}
