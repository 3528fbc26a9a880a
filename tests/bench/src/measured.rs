//! Rounds of calls with the CPU that a process used meanwhile, and what several of them say together.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::error::BenchError;
use crate::figures::{Spread, Waits, us_per_call};
use crate::load::{Lines, Pace, Round, Work, all_waits};
use crate::process;

/// A round that comes to less than this share of the rate was not at that rate.
const RATE_KEPT: f64 = 0.97;

/// A round with the CPU that the process used meanwhile.
pub(crate) struct Measured {
    pub(crate) round: Round,
    pub(crate) cpu: Duration,
}

impl Measured {
    pub(crate) fn cpu_us(&self) -> f64 {
        us_per_call(self.cpu, self.round.calls())
    }
}

/// Payments a second of each round over those of the base's round beside it.
pub(crate) fn rate(base: &[Measured], other: &[Measured]) -> Option<Spread> {
    let pairs = base.iter().zip(other);
    let shares = pairs.map(|(base, other)| other.round.per_second() / base.round.per_second());
    Spread::of(shares).filter(|spread| spread.most.is_finite())
}

/// Makes these calls while `process` is watched.
pub(crate) async fn measure<W: Work>(
    process: u32,
    lines: &mut Lines,
    work: &Arc<W>,
    numbers: Range<usize>,
    pace: Pace,
) -> Result<Measured, BenchError> {
    let before = process::cpu_time(process)?;
    let round = lines.run(work, numbers, pace).await?;
    let cpu = process::cpu_time(process)?.since(&before)?;
    Ok(Measured { round, cpu })
}

/// Rounds of one kind of call.
pub(crate) struct Rounds {
    /// CPU of the process for a call, in microseconds.
    pub(crate) cpu_us: Spread,
    pub(crate) per_second: Spread,
    pub(crate) waits: Waits,
}

impl Rounds {
    /// Every round came to the rate that was asked for, but for what its last answers took.
    pub(crate) fn kept(&self, what: &'static str, wanted: u32) -> Result<(), BenchError> {
        let reached = self.per_second.least;
        if reached >= f64::from(wanted) * RATE_KEPT {
            return Ok(());
        }
        Err(BenchError::Slow { what, reached, wanted })
    }

    pub(crate) fn of(what: &'static str, measured: &[Measured]) -> Result<Self, BenchError> {
        let too_few = || BenchError::TooFew(what);
        let cpu_us = Spread::of(measured.iter().map(Measured::cpu_us)).ok_or_else(too_few)?;
        if !cpu_us.most.is_finite() {
            return Err(too_few());
        }
        let per_second = measured.iter().map(|one| one.round.per_second());
        Ok(Self {
            cpu_us,
            per_second: Spread::of(per_second).ok_or_else(too_few)?,
            waits: all_waits(measured.iter().map(|one| &one.round)),
        })
    }
}

/// What the tests of several files measure.
#[cfg(test)]
pub(crate) mod in_tests {
    use super::*;

    pub(crate) fn measured(calls: usize, took_ms: u64, cpu_ms: u64) -> Measured {
        let took = Duration::from_millis(took_ms);
        let round = Round { took, waits: vec![Duration::ZERO; calls] };
        Measured { round, cpu: Duration::from_millis(cpu_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::in_tests::measured;
    use super::*;

    #[test]
    fn a_rate_that_was_not_kept_is_no_result() {
        let rounds = |calls| Rounds::of("the echo", &[measured(calls, 1_000, 40)]).unwrap();
        assert!(rounds(990).kept("the echo", 1_000).is_ok());
        assert!(matches!(rounds(960).kept("the echo", 1_000), Err(BenchError::Slow { .. })));
    }

    #[test]
    fn nothing_measured_is_no_result() {
        assert!(Rounds::of("the payments", &[measured(0, 1_000, 10)]).is_err());
        assert!(Rounds::of("the payments", &[]).is_err());
    }
}
