//! Stores of three sizes side by side: the same payments in turn at each, and how long lookups take.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pos_tests::bed::ServerOptions;
use pos_tests::{Bed, BedOptions};

use crate::calls::{Pages, Statuses};
use crate::engine::{Engine, Home};
use crate::error::BenchError;
use crate::figures::{Spread, Waits};
use crate::ledger::Agreed;
use crate::load::Pace;
use crate::measured::{Measured, Rounds, rate};
use crate::payer::{self, Payer};
use crate::report::{fine, spread, tail};
use crate::say;
use crate::stored::{self, Place, Stored};

/// How much is measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Payments of the largest store; the others have a tenth of it, and a thousand.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    payments: u64,
    /// Rounds of payments at each.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// What the servers keep their payments in.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    engine: Engine,
}

/// Payments of the smallest store.
const SMALLEST: u64 = 1_000;

/// Of each round.
const PAYMENTS: usize = 3_000;
const CONNECTIONS: usize = 128;
const LIMIT: Duration = Duration::from_secs(8);

/// Lookups of each kind, and how far apart they are: open loop.
const PAGES: usize = 1_000;
const PAGES_EVERY: Duration = Duration::from_millis(10);
const STATUSES: usize = 2_000;
const STATUSES_EVERY: Duration = Duration::from_millis(4);

/// How long a server may take to end.
const END: Duration = Duration::from_secs(60);

/// What was measured.
pub(crate) struct Outcome {
    engine: Engine,
    sizes: Vec<Size>,
    /// Payments a second in the largest store over those in the smallest, a value for each round.
    rate: Spread,
}

/// What was measured at one size.
struct Size {
    stored: u64,
    octets: f64,
    payment: Rounds,
    page: Waits,
    status: Waits,
    agreed: Agreed,
}

/// A filled store before its server starts again.
struct Filled {
    bed: Bed,
    stored: Stored,
    /// On disk for each payment.
    octets: f64,
}

/// A store under measurement.
struct Store {
    payer: Payer,
    stored: Stored,
    octets: f64,
    rounds: Vec<Measured>,
}

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    // The last to be dropped: the database must outlive the servers.
    let home = Home::new(plan.engine)?;
    let mut filled = Vec::new();
    for count in [SMALLEST, plan.payments / 10, plan.payments] {
        say(&format!("storing {count} payments in {}", plan.engine.name()));
        filled.push(fill(&home, count).await?);
    }
    let mut stores = Vec::new();
    for Filled { bed, stored, octets } in filled {
        bed.server.restart().await?;
        let sealed = PAYMENTS.saturating_mul(plan.rounds.saturating_add(1));
        let payer = Payer::new(bed, CONNECTIONS, sealed).await?;
        stores.push(Store { payer, stored, octets, rounds: Vec::new() });
    }
    payer::rest().await;
    for number in 0..=plan.rounds {
        // In turn from the small to the large and back, so that a machine that slows down meets all.
        let mut turns: Vec<_> = stores.iter_mut().collect();
        if number % 2 == 1 {
            turns.reverse();
        }
        // The first is to warm up.
        let counts = if number > 0 { "counts" } else { "to warm up" };
        for store in turns {
            store.payer.connect(CONNECTIONS).await?;
            let measured = store.payer.pay(PAYMENTS, Pace::Closed { limit: LIMIT }).await?;
            let (rate, count) = (measured.round.per_second(), store.stored.count);
            say(&format!("round {number} {counts}: {rate:.0} payments/s with {count} stored"));
            if number > 0 {
                store.rounds.push(measured);
            }
        }
    }
    let [smallest, .., largest] = stores.as_slice() else {
        return Err(BenchError::TooFew("the stores"));
    };
    let rate = rate(&smallest.rounds, &largest.rounds).ok_or(BenchError::TooFew("the payments"))?;
    let mut sizes = Vec::new();
    for store in stores {
        sizes.push(store.looked_up().await?);
    }
    Ok(Outcome { engine: plan.engine, sizes, rate })
}

async fn fill(home: &Home, count: u64) -> Result<Filled, BenchError> {
    let server = ServerOptions { connections: 2_048, ..home.server()? };
    let database = server.database.clone();
    let bed = Bed::start(&BedOptions { server, ..BedOptions::default() }).await?;
    bed.server.end(END).await?;
    let before = octets(home, database.as_deref(), bed.folder())?;
    let stored = Stored::until_now(count);
    let place = Place::of(&bed, database.clone())?;
    let filling = tokio::task::spawn_blocking(move || place.fill(&stored));
    filling.await.map_err(|lost| BenchError::Store(lost.to_string()))??;
    let grown = octets(home, database.as_deref(), bed.folder())?.saturating_sub(before);
    Ok(Filled { bed, stored, octets: grown as f64 / count as f64 })
}

/// What a database takes on disk.
fn octets(home: &Home, database: Option<&str>, folder: &Path) -> Result<u64, BenchError> {
    if let Some(database) = database {
        return home.octets(database);
    }
    let file = stored::file(folder);
    let names = ["", "-wal"].map(|end| format!("{}{end}", file.display()));
    let sizes = names.iter().filter_map(|name| Some(fs::metadata(name).ok()?.len()));
    Ok(sizes.sum())
}

impl Store {
    /// Pages of the history and states of operations anywhere in it, and the books.
    async fn looked_up(mut self) -> Result<Size, BenchError> {
        let (stored, payer) = (self.stored, &mut self.payer);
        say(&format!("looking up with {} stored", stored.count));
        payer.connect(CONNECTIONS).await?;
        let pages = Arc::new(Pages { caller: payer.caller(), stored });
        payer.lines.run(&pages, 0..PAGES / 10, Pace::Open { every: PAGES_EVERY }).await?;
        let page = payer.lines.run(&pages, 0..PAGES, Pace::Open { every: PAGES_EVERY }).await?;
        let statuses = Arc::new(Statuses { caller: payer.caller(), stored });
        let pace = Pace::Open { every: STATUSES_EVERY };
        payer.lines.run(&statuses, 0..STATUSES / 10, pace).await?;
        let status = payer.lines.run(&statuses, 0..STATUSES, pace).await?;
        Ok(Size {
            stored: stored.count,
            octets: self.octets,
            payment: Rounds::of("the payments", &self.rounds)?,
            page: Waits::of(page.waits),
            status: Waits::of(status.waits),
            agreed: payer.agreed_behind(stored.newest()).await?,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "growth_rate {}: payments a second in the largest store over those in the smallest, median of the \
             rounds\n\nclosed loop, {CONNECTIONS} connections, {}, rounds in turn; lookups anywhere in the store, \
             open loop",
            fine(self.rate),
            self.engine.name()
        )?;
        for size in &self.sizes {
            let [page50, page99, _] = tail(&size.page);
            let [status50, status99, _] = tail(&size.status);
            writeln!(
                f,
                "  {:>9} stored: {}/s, {} µs of CPU a payment, {:.0} bytes a payment; page p50 {page50:.2} ms, \
                 p99 {page99:.2} ms; status p50 {status50:.2} ms, p99 {status99:.2} ms",
                size.stored,
                spread(size.payment.per_second),
                spread(size.payment.cpu_us),
                size.octets
            )?;
        }
        let operations = self.sizes.iter().map(|size| size.agreed.operations);
        writeln!(f, "ledger: {} operations, the books agree\n", operations.sum::<usize>())?;
        let [smallest, .., largest] = self.sizes.as_slice() else { return Ok(()) };
        let [_, page99, _] = tail(&largest.page);
        let [_, status99, _] = tail(&largest.status);
        write!(
            f,
            "growth_rate={:.3} stored={} per_s={:.0} per_s_at_{}={:.0} bytes_per_payment={:.0} \
             page_p99_ms={page99:.2} status_p99_ms={status99:.2} ledger=equal",
            self.rate.median,
            largest.stored,
            largest.payment.per_second.median,
            smallest.stored,
            smallest.payment.per_second.median,
            largest.octets
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::in_tests::measured;

    #[test]
    fn the_last_line_is_for_scripts() {
        let size = |stored, ms| Size {
            stored,
            octets: 1_234.4,
            payment: Rounds::of("it", &[measured(100, ms, 30)]).unwrap(),
            page: Waits::of([Duration::from_millis(5)]),
            status: Waits::of([Duration::from_millis(1)]),
            agreed: Agreed { operations: 7, minor: 9 },
        };
        let outcome = Outcome {
            engine: Engine::Sqlite,
            sizes: vec![size(1_000, 100), size(1_000_000, 110), size(10_000_000, 125)],
            // The machine is half as fast in the second round.
            rate: rate(
                &[measured(100, 100, 30), measured(100, 200, 30)],
                &[measured(100, 125, 30), measured(100, 250, 30)],
            )
            .unwrap(),
        };
        assert_eq!(
            outcome.to_string().lines().last().unwrap(),
            "growth_rate=0.800 stored=10000000 per_s=800 per_s_at_1000=1000 bytes_per_payment=1234 \
             page_p99_ms=5.00 status_p99_ms=1.00 ledger=equal"
        );
    }
}
