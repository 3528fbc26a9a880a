//! One run: what is started, in which order it is loaded, what is measured.

use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::key::SigningKey;
use pos_tests::bed::ServerOptions;
use pos_tests::raw::Caller;
use pos_tests::{Bed, BedOptions};

use crate::calls::{Payments, Quotes};
use crate::disk;
use crate::echo::{Echo, Echoes};
use crate::error::BenchError;
use crate::figures::{Spread, Waits, us_per_call};
use crate::ledger::{self, Agreed};
use crate::load::{Lines, Pace, Round, Work, all_waits};
use crate::process::{self, Memory};

/// How much is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Rounds of payments, each between two of echo.
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Calls a second of those rounds: the same for payments and echo.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rate: u32,
    /// Kept-alive connections of each load.
    #[arg(long, default_value_t = 128)]
    pub(crate) connections: usize,
}

/// Seconds that a round at a constant rate lasts.
const ROUND_S: u32 = 3;

/// A round that comes to less than this share of the rate was not at that rate.
const RATE_KEPT: f64 = 0.97;

/// Calls of a round of the closed loop, and how many such rounds of payments there are. An echo takes
/// so much less that the rounds are about as long.
const CLOSED_PAYMENTS: usize = 3_000;
const CLOSED_ECHOES: usize = 40_000;
const CLOSED_ROUNDS: usize = 3;

/// No call of a closed loop is begun after this, however slow the machine.
const CLOSED_LIMIT: Duration = Duration::from_secs(5);

/// The connections at which loaded memory is read.
const MANY_CONNECTIONS: usize = 512;

/// What was measured.
pub(crate) struct Outcome {
    pub(crate) plan: Plan,
    /// Both at the same constant rate of calls.
    pub(crate) at_rate: Compared,
    /// Both as fast as they go.
    pub(crate) closed: Compared,
    /// At the constant rate.
    pub(crate) quote: Rounds,
    pub(crate) disk: Waits,
    pub(crate) idle: Memory,
    pub(crate) loaded: Memory,
    pub(crate) many: Memory,
    pub(crate) agreed: Agreed,
}

/// Payments beside echo.
pub(crate) struct Compared {
    /// CPU of a payment over CPU of an echo, a value for each round.
    pub(crate) ratio: Spread,
    pub(crate) echo: Rounds,
    pub(crate) payment: Rounds,
}

/// Rounds of one kind of call.
pub(crate) struct Rounds {
    /// CPU of the process for a call, in microseconds.
    pub(crate) cpu_us: Spread,
    pub(crate) per_second: Spread,
    pub(crate) waits: Waits,
}

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    say("starting server, institution and echo");
    let server = ServerOptions { connections: 2_048, ..ServerOptions::default() };
    let bed = Bed::start(&BedOptions { server, ..BedOptions::default() }).await?;
    let echo = Echo::start().await?;
    let ids = Processes { server: bed.server.process_id().await?, echo: echo.process_id() };

    let at_rate = usize::try_from(plan.rate.saturating_mul(ROUND_S)).unwrap_or(usize::MAX);
    // Each kind of round once more to warm up; the last of all has many connections.
    let sealed = at_rate
        .saturating_mul(plan.rounds.saturating_add(1))
        .saturating_add(CLOSED_PAYMENTS.saturating_mul(CLOSED_ROUNDS.saturating_add(2)));
    say(&format!("sealing {sealed} instruments"));
    let payments = Arc::new(Payments::seal(&bed, caller(&bed), sealed)?);
    // It gives back what the password of the registration took 1.1 s later, and tells nobody.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = process::memory(ids.server)?;
    let place = bed.server.tls_place()?;
    let mut load = Load {
        ids,
        echo: Lines::connect(&echo.place, plan.connections).await?,
        server: Lines::connect(&place, plan.connections).await?,
        payments: Arc::clone(&payments),
        next: 0,
    };

    say(&format!("{} calls/s of echo and payments in turn", plan.rate));
    let every =
        Duration::from_secs(1).checked_div(plan.rate).ok_or(BenchError::TooFew("the run"))?;
    let pace = Pace::Open { every };
    let constant = load.alternate(plan.rounds, [at_rate; 2], pace).await?;
    let quote = Rounds::of("the quotes", &load.quotes(&bed, at_rate, pace).await?)?;
    for (what, rounds) in
        [("the echo", &constant.echo), ("the payments", &constant.payment), ("the quotes", &quote)]
    {
        rounds.kept(what, plan.rate)?;
    }
    say("as many as there can be");
    let pace = Pace::Closed { limit: CLOSED_LIMIT };
    let calls = [CLOSED_ECHOES, CLOSED_PAYMENTS];
    let closed = load.alternate(CLOSED_ROUNDS, calls, pace).await?;
    let loaded = process::memory(ids.server)?;
    let disk = disk::sync_loop(bed.folder(), 1_000, Duration::from_secs(2))?;
    say(&format!("{MANY_CONNECTIONS} connections"));
    load.server = Lines::connect(&place, MANY_CONNECTIONS).await?;
    let numbers = load.take(CLOSED_PAYMENTS);
    load.server.run(&payments, numbers, pace).await?;
    let many = process::memory(ids.server)?;

    say("comparing the books");
    let agreed = ledger::check(&bed, &caller(&bed), &payments.paid()).await?;
    Ok(Outcome { plan, at_rate: constant, closed, quote, disk, idle, loaded, many, agreed })
}

#[derive(Clone, Copy)]
struct Processes {
    server: u32,
    echo: u32,
}

/// The connections and what is left to be paid.
struct Load {
    ids: Processes,
    echo: Lines,
    server: Lines,
    payments: Arc<Payments>,
    next: usize,
}

impl Load {
    /// Short rounds in turn, beginning and ending with an echo, so that what else the machine does
    /// meanwhile meets both. The first of each is to warm up and is dropped.
    async fn alternate(
        &mut self,
        rounds: usize,
        [echoes, payments]: [usize; 2],
        pace: Pace,
    ) -> Result<Compared, BenchError> {
        let work = Arc::new(Echoes);
        let (mut echoed, mut paid) = (Vec::new(), Vec::new());
        for number in 0..=rounds {
            let measured = measure(self.ids.echo, &mut self.echo, &work, 0..echoes, pace).await?;
            if number > 0 {
                echoed.push(measured);
            }
            let numbers = self.take(payments);
            let payments = Arc::clone(&self.payments);
            let lines = &mut self.server;
            let measured = measure(self.ids.server, lines, &payments, numbers, pace).await?;
            let counts = if number == 0 { "to warm up" } else { "counts" };
            let (rate, cpu_us) = (measured.round.per_second(), measured.cpu_us());
            say(&format!("round {number} {counts}: {rate:.0} payments/s, {cpu_us:.0} µs each"));
            if number > 0 {
                paid.push(measured);
            }
        }
        echoed.push(measure(self.ids.echo, &mut self.echo, &work, 0..echoes, pace).await?);
        Ok(Compared {
            ratio: ratio(&echoed, &paid)?,
            echo: Rounds::of("the echo", &echoed)?,
            payment: Rounds::of("the payments", &paid)?,
        })
    }

    /// Two rounds, the first to warm up.
    async fn quotes(
        &mut self,
        bed: &Bed,
        calls: usize,
        pace: Pace,
    ) -> Result<[Measured; 1], BenchError> {
        let work = Arc::new(Quotes { caller: caller(bed) });
        self.server.run(&work, 0..calls / 4, pace).await?;
        Ok([measure(self.ids.server, &mut self.server, &work, 0..calls, pace).await?])
    }

    /// The numbers of the next payments. What a round leaves because its time is up is not made.
    fn take(&mut self, count: usize) -> Range<usize> {
        let first = self.next;
        self.next = first.saturating_add(count);
        first..self.next
    }
}

/// A round with the CPU that the process used meanwhile.
struct Measured {
    round: Round,
    cpu: Duration,
}

impl Measured {
    fn cpu_us(&self) -> f64 {
        us_per_call(self.cpu, self.round.calls())
    }
}

async fn measure<W: Work>(
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

/// Each round of payments over the mean of the echoes before and after it.
fn ratio(echoes: &[Measured], paid: &[Measured]) -> Result<Spread, BenchError> {
    let beside = echoes.windows(2).zip(paid);
    let ratios = beside.map(|(echoes, paid)| {
        let [before, after] = [&echoes[0], &echoes[1]].map(Measured::cpu_us);
        paid.cpu_us() / f64::midpoint(before, after)
    });
    Spread::of(ratios).filter(|spread| spread.most.is_finite()).ok_or(BenchError::TooFew("the run"))
}

impl Rounds {
    /// Every round came to the rate that was asked for, but for what its last answers took.
    fn kept(&self, what: &'static str, wanted: u32) -> Result<(), BenchError> {
        let reached = self.per_second.least;
        if reached >= f64::from(wanted) * RATE_KEPT {
            return Ok(());
        }
        Err(BenchError::Slow { what, reached, wanted })
    }

    fn of(what: &'static str, measured: &[Measured]) -> Result<Self, BenchError> {
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

fn caller(bed: &Bed) -> Caller {
    bed.caller_with(SigningKey::from_seed(&bed.shop().key.seed()))
}

/// Progress, beside the result on standard output.
fn say(what: &str) {
    // Nobody may listen; the run goes on.
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(calls: usize, cpu_ms: u64) -> Measured {
        let round = Round { took: Duration::from_secs(1), waits: vec![Duration::ZERO; calls] };
        Measured { round, cpu: Duration::from_millis(cpu_ms) }
    }

    #[test]
    fn a_round_is_compared_with_the_echoes_around_it() {
        let echoes = [measured(1000, 40), measured(1000, 60), measured(1000, 80)];
        let paid = [measured(100, 40), measured(100, 35)];
        // 400 / 50 and 350 / 70.
        let found = ratio(&echoes, &paid).unwrap();
        assert_eq!(found, Spread { median: 6.5, least: 5.0, most: 8.0 });
    }

    #[test]
    fn a_rate_that_was_not_kept_is_no_result() {
        let rounds = |calls| Rounds::of("the echo", &[measured(calls, 40)]).unwrap();
        assert!(rounds(990).kept("the echo", 1_000).is_ok());
        assert!(matches!(rounds(960).kept("the echo", 1_000), Err(BenchError::Slow { .. })));
    }

    #[test]
    fn nothing_measured_is_no_result() {
        assert!(ratio(&[], &[]).is_err());
        let idle = [measured(1000, 0), measured(1000, 0)];
        assert!(ratio(&idle, &[measured(100, 40)]).is_err());
        assert!(Rounds::of("the payments", &[measured(0, 10)]).is_err());
    }
}
