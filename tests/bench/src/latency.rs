//! What the server adds to an institution's answer: payments at a constant rate (open loop) at an
//! institution that takes its time, beside what the disk alone costs in the same seconds.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use crate::disk::Beside;
use crate::engine::{Engine, Home};
use crate::error::BenchError;
use crate::figures::Waits;
use crate::ledger::Agreed;
use crate::load::Pace;
use crate::measured::Rounds;
use crate::payer::{self, Payer};
use crate::report::tail;
use crate::say;

/// How much is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Payments a second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// What the institution takes for an answer.
    #[arg(long, default_value_t = 50)]
    institution_ms: u64,
    /// Kept-alive connections, more than payments under way.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// What the server keeps its payments in.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
}

/// To warm up.
const WARM_S: u32 = 5;

/// What was measured.
pub(crate) struct Outcome {
    plan: Plan,
    payment: Rounds,
    /// Without the institution's time.
    added: Waits,
    disk: Waits,
    agreed: Agreed,
}

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    let calls = |seconds: u32| {
        usize::try_from(plan.rate.saturating_mul(seconds))
            .map_err(|_| BenchError::TooFew("the run"))
    };
    let (warm, many) = (calls(WARM_S)?, calls(plan.seconds)?);
    let every =
        Duration::from_secs(1).checked_div(plan.rate).ok_or(BenchError::TooFew("the run"))?;
    let sealed = warm.saturating_add(many);
    say(&format!("starting a server on {}, sealing {sealed} instruments", plan.engine.name()));
    let home = Home::new(plan.engine)?;
    let mut payer = Payer::new(home.bed().await?, plan.connections, sealed).await?;
    let slow = json!({ "fault": "delayed_answer", "delay_ms": plan.institution_ms });
    payer.bed.institutions.add_fault(slow).await?;
    payer::rest().await;
    say(&format!("{} payments/s for {} s", plan.rate, plan.seconds));
    payer.pay(warm, Pace::Open { every }).await?;
    let disk = Beside::start(payer.bed.folder())?;
    let measured = payer.pay(many, Pace::Open { every }).await?;
    let disk = disk.end()?;
    let payment = Rounds::of("the payments", &[measured])?;
    payment.kept("the payments", plan.rate)?;
    say("comparing the books");
    let agreed = payer.agreed().await?;
    let added = payment.waits.beyond(Duration::from_millis(plan.institution_ms));
    Ok(Outcome { plan, payment, added, disk, agreed })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { rate, institution_ms, connections, engine, .. } = &self.plan;
        let [p50, p99, p999] = tail(&self.added);
        writeln!(
            f,
            "added to the institution's {institution_ms} ms, open loop, a constant {rate} payments/s on \
             {connections} connections, {} payments on {}:\n  p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms; \
             {:.0} µs of CPU a payment",
            self.added.count(),
            engine.name(),
            self.payment.cpu_us.median
        )?;
        let [sync50, sync99, sync999] = tail(&self.disk);
        writeln!(
            f,
            "raw fdatasync of 4 KiB in the same seconds, {} times:\n  p50 {sync50:.2} ms, p99 {sync99:.2} ms, \
             p99.9 {sync999:.2} ms",
            self.disk.count()
        )?;
        writeln!(f, "ledger: {} operations, the books agree\n", self.agreed.operations)?;
        write!(
            f,
            "latency_rate={rate} institution_ms={institution_ms} added_p50_ms={p50:.2} added_p99_ms={p99:.2} \
             added_p999_ms={p999:.2} fdatasync_p50_ms={sync50:.2} fdatasync_p99_ms={sync99:.2} \
             fdatasync_p999_ms={sync999:.2} ledger=equal"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Spread;

    #[test]
    fn the_institutions_time_is_taken_off() {
        let waits = Waits::of([57, 58, 59].map(Duration::from_millis));
        let one = Spread { median: 500.0, least: 500.0, most: 500.0 };
        let payment = Rounds { cpu_us: one, per_second: one, waits };
        let plan = Plan {
            rate: 500,
            seconds: 60,
            institution_ms: 50,
            connections: 256,
            engine: Engine::Sqlite,
        };
        let added = payment.waits.beyond(Duration::from_millis(50));
        let agreed = Agreed { operations: 3, minor: 3 };
        let disk = Waits::of([Duration::from_micros(1_500)]);
        let told = Outcome { plan, payment, added, disk, agreed }.to_string();
        assert_eq!(
            told.lines().last().unwrap(),
            "latency_rate=500 institution_ms=50 added_p50_ms=8.00 added_p99_ms=9.00 added_p999_ms=9.00 \
             fdatasync_p50_ms=1.50 fdatasync_p99_ms=1.50 fdatasync_p999_ms=1.50 ledger=equal"
        );
    }
}
