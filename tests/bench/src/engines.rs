//! Both engines of the store side by side: the same payments in turn, each at a server of its own.

use std::fmt;
use std::time::Duration;

use crate::disk;
use crate::engine::{Engine, Home};
use crate::error::BenchError;
use crate::figures::{Spread, Waits, us_per_call};
use crate::ledger::Agreed;
use crate::load::Pace;
use crate::measured::{Measured, Rounds, rate};
use crate::payer::{self, Payer};
use crate::report::{fine, row, spread, tail};
use crate::say;

/// How much is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Rounds of payments by either engine.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Payments of a round.
    #[arg(long, default_value_t = 4_000)]
    payments: usize,
    /// Kept-alive connections to each server.
    #[arg(long, default_value_t = 128)]
    connections: usize,
}

/// No payment of a round is begun after this, however slow the machine.
const LIMIT: Duration = Duration::from_secs(8);

/// What was measured.
pub(crate) struct Outcome {
    connections: usize,
    sqlite: Rounds,
    postgres: Rounds,
    /// CPU of the database's own processes for a payment, in microseconds.
    database_us: Spread,
    /// PostgreSQL's payments a second over SQLite's, a value for each round.
    rate: Spread,
    disk: Waits,
    agreed: [Agreed; 2],
}

/// One engine at work.
struct Side {
    payer: Payer,
    rounds: Vec<Measured>,
    /// Of the database's own processes in each of them.
    database: Vec<Duration>,
    // The last: the database must outlive the server.
    home: Home,
}

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    let mut sides =
        [Side::new(Engine::Sqlite, &plan).await?, Side::new(Engine::Postgres, &plan).await?];
    payer::rest().await;
    for number in 0..=plan.rounds {
        // In turn the one and the other first, so that a machine that slows down meets both.
        let [sqlite, postgres] = &mut sides;
        let mut turns = [(Engine::Sqlite, sqlite), (Engine::Postgres, postgres)];
        if number % 2 == 1 {
            turns.reverse();
        }
        // The first is to warm up.
        let counts = number > 0;
        for (engine, side) in turns {
            let rate = side.round(plan.payments, counts).await?;
            let what = if counts { "counts" } else { "to warm up" };
            say(&format!("round {number} {what}: {rate:.0} payments/s on {}", engine.name()));
        }
    }
    say("comparing the books");
    let [sqlite, postgres] = &sides;
    let disk = disk::sync_loop(sqlite.payer.bed.folder(), 1_000, Duration::from_secs(2))?;
    let agreed = [sqlite.payer.agreed().await?, postgres.payer.agreed().await?];
    Outcome::of(plan.connections, &sides, disk, agreed)
}

impl Side {
    async fn new(engine: Engine, plan: &Plan) -> Result<Self, BenchError> {
        let sealed = plan.payments.saturating_mul(plan.rounds.saturating_add(1));
        say(&format!("starting a server on {}, sealing {sealed} instruments", engine.name()));
        let home = Home::new(engine)?;
        let payer = Payer::new(home.bed().await?, plan.connections, sealed).await?;
        Ok(Self { payer, rounds: Vec::new(), database: Vec::new(), home })
    }

    /// One round; answers its payments a second.
    async fn round(&mut self, payments: usize, counts: bool) -> Result<f64, BenchError> {
        let before = self.home.cpu_time()?;
        let measured = self.payer.pay(payments, Pace::Closed { limit: LIMIT }).await?;
        let database = self.home.cpu_time()?.saturating_sub(before);
        let rate = measured.round.per_second();
        if counts {
            self.rounds.push(measured);
            self.database.push(database);
        }
        Ok(rate)
    }
}

impl Outcome {
    fn of(
        connections: usize,
        [sqlite, postgres]: &[Side; 2],
        disk: Waits,
        agreed: [Agreed; 2],
    ) -> Result<Self, BenchError> {
        let too_few = || BenchError::TooFew("the rounds");
        let used = postgres.database.iter().zip(&postgres.rounds);
        let database_us = used.map(|(cpu, measured)| us_per_call(*cpu, measured.round.calls()));
        Ok(Self {
            connections,
            sqlite: Rounds::of("the payments on SQLite", &sqlite.rounds)?,
            postgres: Rounds::of("the payments on PostgreSQL", &postgres.rounds)?,
            database_us: Spread::of(database_us).ok_or_else(too_few)?,
            rate: rate(&sqlite.rounds, &postgres.rounds).ok_or_else(too_few)?,
            disk,
            agreed,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "postgres_rate {}: payments a second on PostgreSQL over those on SQLite, median of the rounds\n\n\
             closed loop, {} connections to each server, rounds in turn",
            fine(self.rate),
            self.connections
        )?;
        row(f, "sqlite", &self.sqlite)?;
        row(f, "postgres", &self.postgres)?;
        writeln!(f, "  database {} µs of CPU a payment beside that", spread(self.database_us))?;
        let [p50, p99, _] = tail(&self.disk);
        writeln!(f, "\ndisk     raw fdatasync of 4 KiB: p50 {p50:.2} ms, p99 {p99:.2} ms")?;
        let [sqlite, postgres] = self.agreed.map(|agreed| agreed.operations);
        writeln!(f, "ledger   {sqlite} and {postgres} operations: the books agree\n")?;
        write!(
            f,
            "postgres_rate={:.3} sqlite_per_s={:.0} postgres_per_s={:.0} sqlite_cpu_us={:.0} \
             postgres_cpu_us={:.0} database_cpu_us={:.0} ledger=equal",
            self.rate.median,
            self.sqlite.per_second.median,
            self.postgres.per_second.median,
            self.sqlite.cpu_us.median,
            self.postgres.cpu_us.median,
            self.database_us.median
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::in_tests::measured;

    #[test]
    fn a_round_is_compared_with_the_one_beside_it() {
        // The machine is half as fast in the second round.
        let sqlite = [measured(100, 100, 30), measured(100, 200, 30)];
        let postgres = [measured(100, 125, 30), measured(100, 250, 30)];
        let share = rate(&sqlite, &postgres).unwrap();
        assert!((share.least - 0.8).abs() < 1e-9 && (share.most - 0.8).abs() < 1e-9, "{share:?}");
        assert_eq!(rate(&[], &[]), None);
    }

    #[test]
    fn the_last_line_is_for_scripts() {
        let rounds = |ms| Rounds::of("it", &[measured(100, ms, 30)]).unwrap();
        let agreed = Agreed { operations: 7, minor: 9 };
        let outcome = Outcome {
            connections: 128,
            sqlite: rounds(100),
            postgres: rounds(125),
            database_us: Spread { median: 450.0, least: 1.0, most: 1.0 },
            rate: rate(&[measured(100, 100, 30)], &[measured(100, 125, 30)]).unwrap(),
            disk: Waits::default(),
            agreed: [agreed; 2],
        };
        assert_eq!(
            outcome.to_string().lines().last().unwrap(),
            "postgres_rate=0.800 sqlite_per_s=1000 postgres_per_s=800 sqlite_cpu_us=300 \
             postgres_cpu_us=300 database_cpu_us=450 ledger=equal"
        );
    }
}
