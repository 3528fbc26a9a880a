//! Load on kept-alive connections: closed loop for throughput, constant arrival rate (open loop) for
//! latency.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pos_tests::line::{Line, Place, Request, Response};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::error::BenchError;
use crate::figures::Waits;

/// Numbered calls. What is prepared and judged does not count as waiting.
pub(crate) trait Work: Send + Sync + 'static {
    /// What of the call its answer is judged by.
    type Ticket: Send;

    fn prepare(&self, number: usize) -> (Request, Self::Ticket);

    /// # Errors
    /// Any answer that is not the expected one ends the benchmark.
    fn judge(
        &self,
        number: usize,
        ticket: Self::Ticket,
        answer: Response,
    ) -> Result<(), BenchError>;
}

/// What a round brought.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) took: Duration,
    pub(crate) waits: Vec<Duration>,
}

impl Round {
    pub(crate) fn calls(&self) -> usize {
        self.waits.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.calls() as f64 / self.took.as_secs_f64()
    }
}

/// When a call may be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Closed loop: as fast as the connections allow, each one call at a time; none is begun after
    /// `limit`.
    Closed { limit: Duration },
    /// Open loop: call `n` at `n × every`, or as soon as a connection is free after that. A wait is
    /// counted from when the call was due, so that one slow answer does not hide behind the calls
    /// that it kept from being made.
    Open { every: Duration },
}

/// Open connections to one place.
#[derive(Debug)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    pub(crate) async fn connect(place: &Place, count: usize) -> Result<Self, BenchError> {
        let mut connecting = JoinSet::new();
        for _ in 0..count {
            let place = place.clone();
            connecting.spawn(async move { place.connect().await });
        }
        let mut lines = Vec::with_capacity(count);
        while let Some(connected) = connecting.join_next().await {
            lines.push(connected.expect("connecting does not panic")?);
        }
        Ok(Self(lines))
    }

    /// Makes these calls.
    pub(crate) async fn run<W: Work>(
        &mut self,
        work: &Arc<W>,
        numbers: Range<usize>,
        pace: Pace,
    ) -> Result<Round, BenchError> {
        let began = Instant::now();
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for line in std::mem::take(&mut self.0) {
            let (work, next, numbers) = (Arc::clone(work), Arc::clone(&next), numbers.clone());
            workers.spawn(one_line(line, work, next, numbers, began, pace));
        }
        let mut waits = Vec::with_capacity(numbers.len());
        while let Some(ended) = workers.join_next().await {
            let (line, own) = ended.expect("a worker does not panic")?;
            self.0.push(line);
            waits.extend(own);
        }
        Ok(Round { took: began.elapsed(), waits })
    }
}

async fn one_line<W: Work>(
    mut line: Line,
    work: Arc<W>,
    next: Arc<AtomicUsize>,
    numbers: Range<usize>,
    began: Instant,
    pace: Pace,
) -> Result<(Line, Vec<Duration>), BenchError> {
    let mut waits = Vec::new();
    loop {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let Some(number) = numbers.clone().nth(turn) else { break };
        let (request, ticket) = work.prepare(number);
        let due = match pace {
            Pace::Closed { limit } if began.elapsed() >= limit => break,
            Pace::Closed { .. } => began.elapsed(),
            Pace::Open { every } => due(began, every, turn).await,
        };
        let answer = line.send(&request).await?;
        waits.push(began.elapsed().saturating_sub(due));
        work.judge(number, ticket, answer)?;
    }
    Ok((line, waits))
}

/// Waits for the turn and gives when it was, counted from the beginning. A turn that was waited for
/// counts from when it was really taken: the timer of this process is a millisecond late at times,
/// which is not the server's doing.
async fn due(began: Instant, every: Duration, turn: usize) -> Duration {
    let due = every.saturating_mul(u32::try_from(turn).unwrap_or(u32::MAX));
    let ahead = due.saturating_sub(began.elapsed());
    if ahead.is_zero() {
        return due;
    }
    sleep(ahead).await;
    began.elapsed()
}

/// All waits of these rounds.
pub(crate) fn all_waits<'a>(rounds: impl IntoIterator<Item = &'a Round>) -> Waits {
    Waits::of(rounds.into_iter().flat_map(|round| round.waits.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_comes_too_late_still_counts_from_when_it_was_due() {
        let began = Instant::now();
        let every = Duration::from_millis(10);
        assert_eq!(due(began, every, 3).await, Duration::from_millis(30));
        assert_eq!(began.elapsed(), Duration::from_millis(30));
        tokio::time::advance(Duration::from_millis(50)).await;
        assert_eq!(due(began, every, 4).await, Duration::from_millis(40));
        assert_eq!(began.elapsed(), Duration::from_millis(80));
    }

    #[test]
    fn a_round_knows_its_rate() {
        let round = Round { took: Duration::from_secs(2), waits: vec![Duration::ZERO; 500] };
        assert_eq!(round.per_second(), 250.0);
        assert_eq!(all_waits([&round, &round]).count(), 1000);
    }
}
