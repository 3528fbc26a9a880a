//! Many payments by a pool of forked workers that was loaded before it forked: nothing may crash, hang
//! or leak.

use std::ffi::OsString;
use std::fmt;

use pos_tests::{Bed, BedOptions};
use serde::Deserialize;

use super::shop::Shop;
use super::{check_books, start};
use crate::error::BenchError;

/// Which pool, and how much of it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// How the figures name it.
    name: String,
    /// Payments of the whole pool.
    #[arg(long, default_value_t = 10_000)]
    payments: usize,
    /// The program: it reads the line that a shop reads (`language/shop.rs`), pays all orders by its
    /// workers, and prints one line, a list with what each worker paid, and its resident memory in KiB
    /// after a tenth of that and at its end.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// What a worker may have grown by, of what it held after a tenth of its payments. Freed memory that
/// the C library keeps in pieces is less; an order or an answer that is never freed is more: one of
/// 1 kB for each payment is 2 MB of a worker's 25.
const GROWTH: f64 = 0.05;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Worker {
    paid: usize,
    early_kib: u64,
    late_kib: u64,
}

/// What was seen.
pub(crate) struct Outcome {
    name: String,
    paid: usize,
    workers: Vec<Worker>,
}

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    let bed = Bed::start(&BedOptions::default()).await?;
    let mut shop = Shop::start(&plan.command, &start(&bed, &plan.name, plan.payments)?).await?;
    let workers: Vec<Worker> = shop.hear().await?;
    shop.end().await?;
    let paid = workers.iter().map(|worker| worker.paid).sum();
    check_books(&bed, plan.payments).await?;
    let outcome = Outcome { name: plan.name, paid, workers };
    if paid != plan.payments || outcome.growth() > GROWTH {
        return Err(BenchError::Shop { name: outcome.name.clone(), said: outcome.to_string() });
    }
    Ok(outcome)
}

impl Outcome {
    /// Of the workers together.
    fn growth(&self) -> f64 {
        let sum = |of: fn(&Worker) -> u64| self.workers.iter().map(of).sum::<u64>() as f64;
        let early = sum(|worker| worker.early_kib);
        (sum(|worker| worker.late_kib) - early) / early
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pool={} workers={} paid={} growth={:.4} ledger=equal",
            self.name,
            self.workers.len(),
            self.paid,
            self.growth()
        )
    }
}
