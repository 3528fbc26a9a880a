//! Payments at a constant rate (open loop) while others mean harm, and without them, in turn.

use std::fmt;
use std::time::{Duration, Instant};

use pos_tests::bed::ServerOptions;
use pos_tests::{Bed, BedOptions};

use crate::error::BenchError;
use crate::figures::{Spread, Waits};
use crate::ledger::Agreed;
use crate::load::Pace;
use crate::measured::{Measured, Rounds};
use crate::payer::{self, Payer};
use crate::process::{self, Memory};
use crate::report::{fine, mib, row, tail};
use crate::say;
use crate::siege::{Came, Harm, Siege};

/// How much is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Rounds under siege, each between two of peace.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Payments a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds of a round.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    #[command(flatten)]
    harm: Harm,
}

/// Kept-alive connections of who pays.
const CONNECTIONS: usize = 64;

/// Of the connections that mean harm so many are open at the end of a round; the others are just being
/// opened anew.
const HELD: f64 = 0.9;

/// Of the sign-ins so many are answered; the others wait.
const SIGNED_IN: f64 = 0.9;

/// How long a siege may take to stand.
const STANDS_WITHIN: Duration = Duration::from_secs(60);

/// What was measured.
pub(crate) struct Outcome {
    plan: Plan,
    peace: Rounds,
    siege: Rounds,
    /// p99 under siege over that of the peace around it.
    p99_ratio: Spread,
    came: Came,
    before: Memory,
    during: u64,
    after: u64,
    agreed: Agreed,
}

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    let every =
        Duration::from_secs(1).checked_div(plan.rate).ok_or(BenchError::TooFew("the run"))?;
    let calls = usize::try_from(plan.rate.saturating_mul(plan.seconds)).unwrap_or(usize::MAX);
    let sealed = calls.saturating_mul(plan.rounds.saturating_mul(2).saturating_add(2));
    process::raise_file_limit(plan.harm.idle.saturating_mul(2).saturating_add(1_024))?;
    say(&format!("starting the server, sealing {sealed} instruments"));
    // Room for all who mean harm and all who pay: whoever serves the open network sets it so.
    let connections = u32::try_from(plan.harm.idle.saturating_add(1_024)).unwrap_or(u32::MAX);
    let server = ServerOptions { connections, ..ServerOptions::default() };
    let bed = Bed::start(&BedOptions { server, ..BedOptions::default() }).await?;
    let mut payer = Payer::new(bed, CONNECTIONS, sealed).await?;
    payer::rest().await;
    payer.pay_roughly(calls, Pace::Open { every }).await?;

    let before = process::memory(payer.process)?;
    let (mut peace, mut sieges) = (Vec::new(), Vec::new());
    let mut during = 0;
    let mut came = Came::default();
    for number in 1..=plan.rounds {
        payer.connect(CONNECTIONS).await?;
        peace.push(payer.pay_roughly(calls, Pace::Open { every }).await?);
        let siege = Siege::begin(&payer.bed, plan.harm)?;
        stands(&siege, plan.harm).await?;
        payer.connect(CONNECTIONS).await?;
        let (began, standing) = (Instant::now(), siege.came()?);
        sieges.push(payer.pay_roughly(calls, Pace::Open { every }).await?);
        during = process::memory(payer.process)?.peak;
        let now = siege.came()?;
        held(plan.harm, &standing, &now, began.elapsed())?;
        came = now;
        drop(siege);
        if let (Some(peace), Some(siege)) = (peace.last(), sieges.last()) {
            let [peace, siege] = [peace, siege].map(p99);
            say(&format!("round {number}: p99 {peace:.2} ms in peace, {siege:.2} ms under siege"));
        }
        // What was held is let go.
        payer::rest().await;
    }
    payer.connect(CONNECTIONS).await?;
    peace.push(payer.pay_roughly(calls, Pace::Open { every }).await?);
    let after = process::memory(payer.process)?.now;
    let p99_ratio = ratio(&peace, &sieges).ok_or(BenchError::TooFew("the rounds"))?;
    let peace = Rounds::of("the payments in peace", &peace)?;
    let siege = Rounds::of("the payments under siege", &sieges)?;
    for (what, rounds) in [("payments in peace", &peace), ("payments under siege", &siege)] {
        rounds.kept(what, plan.rate)?;
    }
    say("comparing the books");
    let agreed = payer.agreed().await?;
    Ok(Outcome { plan, peace, siege, p99_ratio, came, before, during, after, agreed })
}

/// Waits until all connections are open and sign-ins are answered.
async fn stands(siege: &Siege, harm: Harm) -> Result<(), BenchError> {
    let began = Instant::now();
    loop {
        let came = siege.came()?;
        let signed_in = came.refused > 0 || harm.logins == 0;
        if signed_in
            && came.open as f64 >= harm.idle as f64 * HELD
            && came.opened >= harm.idle as u64
        {
            return Ok(());
        }
        if began.elapsed() > STANDS_WITHIN {
            return Err(BenchError::Siege(format!("{came:?} after {STANDS_WITHIN:?}")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether the harm was done all the time: a siege that slackened shows nothing.
fn held(harm: Harm, from: &Came, to: &Came, took: Duration) -> Result<(), BenchError> {
    let all = |came: &Came| came.refused.saturating_add(came.overloaded);
    let signed_in = all(to).saturating_sub(all(from)) as f64;
    let wanted = f64::from(harm.logins) * took.as_secs_f64();
    if to.open as f64 >= harm.idle as f64 * HELD && signed_in >= wanted * SIGNED_IN {
        return Ok(());
    }
    let told = format!("{signed_in} sign-ins of {wanted:.0} and {} connections", to.open);
    Err(BenchError::Siege(told))
}

fn p99(measured: &Measured) -> f64 {
    Waits::of(measured.round.waits.iter().copied()).per_mille(990)
}

/// Each round under siege over the mean of the peace before and after it.
fn ratio(peace: &[Measured], sieges: &[Measured]) -> Option<Spread> {
    let ratios = peace.windows(2).zip(sieges).map(|(around, siege)| {
        let [before, after] = [&around[0], &around[1]].map(p99);
        p99(siege) / f64::midpoint(before, after)
    });
    Spread::of(ratios).filter(|spread| spread.most.is_finite())
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { rate, harm, .. } = &self.plan;
        writeln!(
            f,
            "siege_p99_ratio {}: p99 of payments under siege over that of the peace around it, median of the \
             rounds\n\nopen loop, a constant {rate} payments/s; under siege {} connections say little or nothing \
             and {} sign-ins/s come with a wrong password",
            fine(self.p99_ratio),
            harm.idle,
            harm.logins
        )?;
        row(f, "peace", &self.peace)?;
        row(f, "siege", &self.siege)?;
        let Came { opened, refused, overloaded, .. } = self.came;
        writeln!(
            f,
            "  in the last: {opened} connections were opened, {refused} passwords looked at, {overloaded} sign-ins \
             told to come again"
        )?;
        let [before, during, after] = [self.before.now, self.during, self.after].map(mib);
        writeln!(f, "memory   before {before}, under siege at most {during}, after {after}")?;
        writeln!(f, "ledger   {} operations, the books agree\n", self.agreed.operations)?;
        let [_, peace, _] = tail(&self.peace.waits);
        let [_, siege, _] = tail(&self.siege.waits);
        let [before, during, after] =
            [self.before.now, self.during, self.after].map(|octets| octets >> 20);
        write!(
            f,
            "siege_p99_ratio={:.2} peace_p99_ms={peace:.2} siege_p99_ms={siege:.2} before_mib={before} \
             siege_mib={during} after_mib={after} ledger=equal",
            self.p99_ratio.median
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Round;

    fn measured(ms: u64) -> Measured {
        let waits = vec![Duration::from_millis(ms); 100];
        Measured {
            round: Round { took: Duration::from_secs(1), waits },
            cpu: Duration::from_millis(30),
        }
    }

    #[test]
    fn a_siege_is_compared_with_the_peace_around_it() {
        let peace = [measured(10), measured(30), measured(10)];
        let found = ratio(&peace, &[measured(30), measured(40)]).unwrap();
        assert_eq!(found, Spread { median: 1.75, least: 1.5, most: 2.0 });
        assert_eq!(ratio(&[], &[]), None);
    }

    #[test]
    fn a_siege_that_slackened_is_no_result() {
        let harm = Harm { idle: 1_000, logins: 500 };
        let from = Came { open: 1_000, opened: 1_000, refused: 10, overloaded: 90 };
        let to = |open, overloaded| Came { open, refused: 60, overloaded, ..from };
        let took = Duration::from_secs(10);
        assert!(held(harm, &from, &to(980, 4_900), took).is_ok());
        assert!(held(harm, &from, &to(500, 4_900), took).is_err());
        assert!(held(harm, &from, &to(980, 2_000), took).is_err());
    }
}
