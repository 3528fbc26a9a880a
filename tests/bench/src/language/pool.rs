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
    /// workers, and prints one line, a list with what each worker paid, and what it held after a tenth
    /// of that and at its end: resident memory in KiB, open files, threads.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// What a worker may grow by for each payment. Freed memory that the C library keeps in pieces is
/// less; an order, an answer or an error that is never freed is more.
const GROWTH_OCTETS: f64 = 256.0;

/// Open files or threads that may come and go.
const SPARE: u64 = 2;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Worker {
    paid: usize,
    early: Held,
    late: Held,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    kib: u64,
    files: u64,
    threads: u64,
}

impl Worker {
    /// Octets for each payment between the two looks.
    fn growth(&self) -> f64 {
        let payments = self.paid as f64 * 0.9;
        (self.late.kib as f64 - self.early.kib as f64) * 1024.0 / payments
    }

    fn is_sound(&self) -> bool {
        let has_kept = |late: u64, early: u64| early > 0 && late <= early.saturating_add(SPARE);
        self.early.kib > 0
            && self.growth() <= GROWTH_OCTETS
            && has_kept(self.late.files, self.early.files)
            && has_kept(self.late.threads, self.early.threads)
    }
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
    if paid != plan.payments || !outcome.workers.iter().all(Worker::is_sound) {
        let said = format!("{outcome}: {:?}", outcome.workers);
        return Err(BenchError::Shop { name: outcome.name, said });
    }
    Ok(outcome)
}

impl Outcome {
    /// Of the worker that grew most.
    fn growth(&self) -> f64 {
        self.workers.iter().map(Worker::growth).fold(f64::NEG_INFINITY, f64::max)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pool={} workers={} paid={} growth_octets_per_payment={:.0} ledger=equal",
            self.name,
            self.workers.len(),
            self.paid,
            self.growth()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(late: Held) -> Worker {
        Worker { paid: 1_000, early: Held { kib: 20_000, files: 9, threads: 2 }, late }
    }

    #[test]
    fn a_worker_that_grows_is_told() {
        let fine = worker(Held { kib: 20_200, files: 10, threads: 2 });
        assert!(fine.is_sound() && fine.growth() < 230.0, "{}", fine.growth());
        for late in [
            Held { kib: 20_300, files: 9, threads: 2 },
            Held { kib: 20_000, files: 12, threads: 2 },
            Held { kib: 20_000, files: 9, threads: 5 },
        ] {
            assert!(!worker(late).is_sound());
        }
        let unmeasured = Held { kib: 0, files: 0, threads: 0 };
        assert!(!Worker { early: unmeasured, ..fine }.is_sound());
    }
}
