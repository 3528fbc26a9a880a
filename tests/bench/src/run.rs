//! One run: what is started, in which order it is loaded, what is measured.

use std::sync::Arc;
use std::time::Duration;

use crate::calls::Quotes;
use crate::disk;
use crate::echo::{Echo, Echoes};
use crate::engine::{Engine, Home};
use crate::error::BenchError;
use crate::figures::{Spread, Waits};
use crate::ledger::Agreed;
use crate::load::{Lines, Pace};
use crate::measured::{Measured, Rounds, measure};
use crate::payer::{self, Payer};
use crate::process::{self, Memory};
use crate::say;

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
    /// What the server keeps its payments in.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    pub(crate) engine: Engine,
}

/// Seconds that a round at a constant rate lasts.
const ROUND_S: u32 = 3;

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

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    say("starting server, institution and echo");
    let home = Home::new(plan.engine)?;
    let bed = home.bed().await?;
    let echo = Echo::start().await?;

    let at_rate = usize::try_from(plan.rate.saturating_mul(ROUND_S)).unwrap_or(usize::MAX);
    // Each kind of round once more to warm up; the last of all has many connections.
    let sealed = at_rate
        .saturating_mul(plan.rounds.saturating_add(1))
        .saturating_add(CLOSED_PAYMENTS.saturating_mul(CLOSED_ROUNDS.saturating_add(2)));
    say(&format!("sealing {sealed} instruments"));
    payer::rest().await;
    let idle = process::memory(bed.server.process_id().await?)?;
    let mut load = Load {
        lines: Lines::connect(&echo.place, plan.connections).await?,
        echo: echo.process_id(),
        payer: Payer::new(bed, plan.connections, sealed).await?,
    };

    say(&format!("{} calls/s of echo and payments in turn", plan.rate));
    let every =
        Duration::from_secs(1).checked_div(plan.rate).ok_or(BenchError::TooFew("the run"))?;
    let pace = Pace::Open { every };
    let constant = load.alternate(plan.rounds, [at_rate; 2], pace).await?;
    let quote = Rounds::of("the quotes", &load.quotes(at_rate, pace).await?)?;
    for (what, rounds) in
        [("the echo", &constant.echo), ("the payments", &constant.payment), ("the quotes", &quote)]
    {
        rounds.kept(what, plan.rate)?;
    }
    say("as many as there can be");
    let pace = Pace::Closed { limit: CLOSED_LIMIT };
    let calls = [CLOSED_ECHOES, CLOSED_PAYMENTS];
    let closed = load.alternate(CLOSED_ROUNDS, calls, pace).await?;
    let mut payer = load.payer;
    let loaded = process::memory(payer.process)?;
    let disk = disk::sync_loop(payer.bed.folder(), 1_000, Duration::from_secs(2))?;
    say(&format!("{MANY_CONNECTIONS} connections"));
    payer.connect(MANY_CONNECTIONS).await?;
    payer.pay(CLOSED_PAYMENTS, pace).await?;
    let many = process::memory(payer.process)?;

    say("comparing the books");
    let agreed = payer.agreed().await?;
    Ok(Outcome { plan, at_rate: constant, closed, quote, disk, idle, loaded, many, agreed })
}

/// Who pays, and the echo beside.
struct Load {
    echo: u32,
    lines: Lines,
    payer: Payer,
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
            let measured = measure(self.echo, &mut self.lines, &work, 0..echoes, pace).await?;
            if number > 0 {
                echoed.push(measured);
            }
            let measured = self.payer.pay(payments, pace).await?;
            let counts = if number == 0 { "to warm up" } else { "counts" };
            let (rate, cpu_us) = (measured.round.per_second(), measured.cpu_us());
            say(&format!("round {number} {counts}: {rate:.0} payments/s, {cpu_us:.0} µs each"));
            if number > 0 {
                paid.push(measured);
            }
        }
        echoed.push(measure(self.echo, &mut self.lines, &work, 0..echoes, pace).await?);
        Ok(Compared {
            ratio: ratio(&echoed, &paid)?,
            echo: Rounds::of("the echo", &echoed)?,
            payment: Rounds::of("the payments", &paid)?,
        })
    }

    /// Two rounds, the first to warm up.
    async fn quotes(&mut self, calls: usize, pace: Pace) -> Result<[Measured; 1], BenchError> {
        let payer = &mut self.payer;
        let work = Arc::new(Quotes { caller: payer.caller() });
        payer.lines.run(&work, 0..calls / 4, pace).await?;
        Ok([measure(payer.process, &mut payer.lines, &work, 0..calls, pace).await?])
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::in_tests::measured;

    #[test]
    fn a_round_is_compared_with_the_echoes_around_it() {
        let echoes =
            [measured(1000, 1_000, 40), measured(1000, 1_000, 60), measured(1000, 1_000, 80)];
        let paid = [measured(100, 1_000, 40), measured(100, 1_000, 35)];
        // 400 / 50 and 350 / 70.
        let found = ratio(&echoes, &paid).unwrap();
        assert_eq!(found, Spread { median: 6.5, least: 5.0, most: 8.0 });
    }

    #[test]
    fn nothing_measured_is_no_result() {
        assert!(ratio(&[], &[]).is_err());
        let idle = [measured(1000, 1_000, 0), measured(1000, 1_000, 0)];
        assert!(ratio(&idle, &[measured(100, 1_000, 40)]).is_err());
    }
}
