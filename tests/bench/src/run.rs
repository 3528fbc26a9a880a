//! One run: what is started, in which order it is loaded, what is measured.

use std::io::Write as _;
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
use crate::load::{Lines, Round, Work, all_waits};
use crate::process::{self, Memory};

/// How much is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Rounds of payments, each between two of echo.
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Payments in a round.
    #[arg(long, default_value_t = 4_000)]
    pub(crate) payments: usize,
    /// Kept-alive connections of each load.
    #[arg(long, default_value_t = 128)]
    pub(crate) connections: usize,
}

/// Echoes for each payment of a round: an echo takes so much less that rounds are about as long.
const ECHOES_FOR_A_PAYMENT: usize = 6;

/// No call of a round is begun after this, however slow the machine: all rounds together end within
/// two minutes.
const ROUND_LIMIT: Duration = Duration::from_secs(6);

/// How long the open loop lasts, and which share of the closed loop's rate it has.
const OPEN_LOOP: Duration = Duration::from_secs(6);
const OPEN_SHARE: f64 = 0.5;

/// The connections at which loaded memory is read.
const MANY_CONNECTIONS: usize = 512;

/// What was measured.
pub(crate) struct Outcome {
    pub(crate) plan: Plan,
    /// CPU of a payment over CPU of an echo, a value for each round.
    pub(crate) cpu_ratio: Spread,
    pub(crate) echo: Rounds,
    pub(crate) payment: Rounds,
    pub(crate) quote: Rounds,
    pub(crate) open_per_second: f64,
    pub(crate) open: Waits,
    pub(crate) disk: Waits,
    pub(crate) idle: Memory,
    pub(crate) loaded: Memory,
    pub(crate) many: Memory,
    pub(crate) agreed: Agreed,
}

/// Rounds of one kind of call.
pub(crate) struct Rounds {
    /// CPU of the process for a call, in microseconds.
    pub(crate) cpu_us: Spread,
    pub(crate) per_second: Spread,
    pub(crate) waits: Waits,
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

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    say("starting server, institution and echo");
    let server = ServerOptions { connections: 2_048, ..ServerOptions::default() };
    let bed = Bed::start(&BedOptions { server, ..BedOptions::default() }).await?;
    let echo = Echo::start().await?;
    let ids = Processes { server: bed.server.process_id().await?, echo: echo.process_id() };
    let idle = process::memory(ids.server)?;

    // One round to warm up, the rounds that count, one with many connections, the open loop.
    let open_at_most = plan.payments.saturating_mul(4);
    let rounds = plan.rounds.saturating_add(2);
    let sealed = plan.payments.saturating_mul(rounds).saturating_add(open_at_most);
    say(&format!("sealing {sealed} instruments"));
    let payments = Arc::new(Payments::seal(&bed, caller(&bed), sealed)?);
    let place = bed.server.tls_place()?;
    let mut load = Load {
        ids,
        echo: Lines::connect(&echo.place, plan.connections).await?,
        server: Lines::connect(&place, plan.connections).await?,
        payments: Arc::clone(&payments),
        next: 0,
    };

    let (echoes, paid) = load.alternate(&plan).await?;
    let loaded = process::memory(ids.server)?;
    say("quotes");
    let quotes = load.quotes(&bed, &plan).await?;
    let disk = disk::sync_loop(bed.folder(), 1_000, Duration::from_secs(2))?;

    let closed = Rounds::of("the payments", &paid)?;
    let open_per_second = (closed.per_second.median * OPEN_SHARE).max(1.0);
    say(&format!("open loop at {open_per_second:.0} payments/s"));
    let every = Duration::from_secs_f64(1.0 / open_per_second);
    let wanted = OPEN_LOOP.as_nanos().checked_div(every.as_nanos()).unwrap_or_default();
    let numbers = load.take(usize::try_from(wanted).unwrap_or(usize::MAX).min(open_at_most));
    let open = load.server.open(&payments, numbers, every).await?;

    say(&format!("{MANY_CONNECTIONS} connections"));
    load.server = Lines::connect(&place, MANY_CONNECTIONS).await?;
    let numbers = load.take(plan.payments);
    load.server.closed(&payments, numbers, ROUND_LIMIT).await?;
    let many = process::memory(ids.server)?;

    say("comparing the books");
    let agreed = ledger::check(&bed, &caller(&bed), &payments.paid()).await?;
    Ok(Outcome {
        cpu_ratio: ratio(&echoes, &paid)?,
        echo: Rounds::of("the echo", &echoes)?,
        payment: closed,
        quote: Rounds::of("the quotes", &quotes)?,
        open_per_second,
        open: all_waits([&open]),
        disk,
        idle,
        loaded,
        many,
        agreed,
        plan,
    })
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
        plan: &Plan,
    ) -> Result<(Vec<Measured>, Vec<Measured>), BenchError> {
        let echoes = plan.payments.saturating_mul(ECHOES_FOR_A_PAYMENT);
        let work = Arc::new(Echoes);
        let (mut echoed, mut paid) = (Vec::new(), Vec::new());
        for number in 0..=plan.rounds {
            let warm_up = if number == 0 { " to warm up" } else { "" };
            let measured = measure(self.ids.echo, &mut self.echo, &work, 0..echoes).await?;
            if number > 0 {
                echoed.push(measured);
            }
            let numbers = self.take(plan.payments);
            let payments = Arc::clone(&self.payments);
            let measured = measure(self.ids.server, &mut self.server, &payments, numbers).await?;
            say(&format!("round {number}{warm_up}: {:.0} payments/s", measured.round.per_second()));
            if number > 0 {
                paid.push(measured);
            }
        }
        echoed.push(measure(self.ids.echo, &mut self.echo, &work, 0..echoes).await?);
        Ok((echoed, paid))
    }

    async fn quotes(&mut self, bed: &Bed, plan: &Plan) -> Result<Vec<Measured>, BenchError> {
        let work = Arc::new(Quotes { caller: caller(bed) });
        let mut measured = Vec::new();
        for _ in 0..3 {
            let numbers = 0..plan.payments;
            measured.push(measure(self.ids.server, &mut self.server, &work, numbers).await?);
        }
        Ok(measured)
    }

    /// The numbers of the next payments. What a round leaves because its time is up is not made.
    fn take(&mut self, count: usize) -> std::ops::Range<usize> {
        let first = self.next;
        self.next = first.saturating_add(count);
        first..self.next
    }
}

async fn measure<W: Work>(
    process: u32,
    lines: &mut Lines,
    work: &Arc<W>,
    numbers: std::ops::Range<usize>,
) -> Result<Measured, BenchError> {
    let before = process::cpu_time(process)?;
    let round = lines.closed(work, numbers, ROUND_LIMIT).await?;
    let cpu = process::cpu_time(process)?.saturating_sub(before);
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
    fn nothing_measured_is_no_result() {
        assert!(ratio(&[], &[]).is_err());
        let idle = [measured(1000, 0), measured(1000, 0)];
        assert!(ratio(&idle, &[measured(100, 40)]).is_err());
        assert!(Rounds::of("the payments", &[measured(0, 10)]).is_err());
    }
}
