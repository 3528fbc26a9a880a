//! What a binding costs: a shop in another language beside one in Rust, the same payments in turn, at
//! the same server.

pub(crate) mod pool;
mod rust;
mod shop;

use std::ffi::OsString;
use std::fmt;
use std::time::{Duration, Instant};

use pos_tests::Bed;
use pos_tests::BedOptions;

use crate::calls::{INSTITUTION, bodies};
use crate::error::BenchError;
use crate::figures::{Spread, us_per_call};
use crate::process;
use shop::{Shop, Start};

pub(crate) use rust::run as run_rust;

/// Which shop, and how much of it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// How the figures name it.
    name: String,
    /// Rounds, each of some payments by either shop.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Payments of a round.
    #[arg(long, default_value_t = 60)]
    payments: usize,
    /// The shop's program: `language/shop.rs` says what it reads and prints.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Calls of a round that do nothing but cross.
const TRIVIAL: usize = 2_000;

/// What was measured; each value the median of the rounds.
pub(crate) struct Outcome {
    name: String,
    /// Microseconds of a call that does nothing but cross, in the language and in Rust.
    trivial_us: [Spread; 2],
    /// Milliseconds of a payment, in the language and in Rust.
    payment_ms: [Spread; 2],
    /// Of a payment's time, what it takes longer than in Rust.
    cost: Spread,
    /// Payments a second over Rust's.
    rate: Spread,
    /// Microseconds of a processor for a payment, in the language and in Rust.
    cpu_us: [Spread; 2],
}

/// Does everything.
pub(crate) async fn run(plan: Plan) -> Result<Outcome, BenchError> {
    let bed = Bed::start(&BedOptions::default()).await?;
    let each = plan.payments.saturating_mul(plan.rounds.saturating_add(1));
    let this = std::env::current_exe().map_err(BenchError::system("finding this program"))?;
    let rust = [this.into(), "rust-shop".into()];
    let mut shops = [
        Shop::start(&plan.command, &start(&bed, &plan.name, each)?).await?,
        Shop::start(&rust, &start(&bed, "rust", each)?).await?,
    ];
    let mut rounds = Vec::new();
    for number in 0..=plan.rounds {
        let mut round = Round::default();
        // In turn the one and the other first, so that a machine that slows down meets both.
        let mut turns: Vec<_> = shops.iter_mut().zip(&mut round.shops).collect();
        if number % 2 == 1 {
            turns.reverse();
        }
        for (shop, took) in turns {
            let (began, before) = (Instant::now(), process::cpu_time(shop.id()?)?);
            took.payments_ns = shop.pay(plan.payments).await?;
            took.whole = began.elapsed();
            took.cpu = process::cpu_time(shop.id()?)?.since(&before).ok();
            took.trivial_ns = shop.trivial(TRIVIAL).await?;
        }
        // The first is to warm up.
        if number > 0 {
            rounds.push(round);
        }
    }
    for shop in shops {
        shop.end().await?;
    }
    check_books(&bed, each.saturating_mul(2)).await?;
    Outcome::of(plan.name, &rounds).ok_or(BenchError::TooFew("the rounds"))
}

/// So many payments moved money, each once, and nothing else did.
async fn check_books(bed: &Bed, payments: usize) -> Result<(), BenchError> {
    let books = bed.institutions.operations(INSTITUTION).await?;
    let once = books.iter().filter(|one| one.moved > 0 && one.effects == 1).count();
    if once == payments && once == books.len() {
        return Ok(());
    }
    let told = format!("{once} of {} operations moved money once, of {payments}", books.len());
    Err(BenchError::Ledger(told))
}

/// What a shop is told at its start; its keys are in a folder of its own.
fn start(bed: &Bed, name: &str, payments: usize) -> Result<Start, BenchError> {
    let folder = bed.folder().join(format!("shop-{name}"));
    shop::write_keys(bed, &folder)?;
    let contract = bed.shop().contract(INSTITUTION)?;
    Ok(Start::new(bed, &folder, &bodies(bed, contract, payments)?))
}

/// One round of both shops: the language's, then Rust's.
#[derive(Default)]
struct Round {
    shops: [Took; 2],
}

#[derive(Default)]
struct Took {
    payments_ns: Vec<u64>,
    /// From the asking to the answer, with all that the language does between the payments.
    whole: Duration,
    /// None where a thread ended meanwhile: what it had used is not known.
    cpu: Option<Duration>,
    trivial_ns: u64,
}

impl Took {
    fn payment_ms(&self) -> f64 {
        let median = Spread::of(self.payments_ns.iter().map(|ns| *ns as f64 / 1e6));
        median.map_or(f64::NAN, |payment| payment.median)
    }

    fn cpu_us(&self) -> Option<f64> {
        Some(us_per_call(self.cpu?, self.payments_ns.len()))
    }

    fn trivial_us(&self) -> f64 {
        self.trivial_ns as f64 / 1e3 / TRIVIAL as f64
    }
}

impl Outcome {
    fn of(name: String, rounds: &[Round]) -> Option<Self> {
        let of = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        let cpu_us = |shop: usize| {
            Spread::of(rounds.iter().filter_map(|round| round.shops.get(shop)?.cpu_us()))
        };
        Some(Self {
            name,
            trivial_us: [
                of(|one| one.shops[0].trivial_us())?,
                of(|one| one.shops[1].trivial_us())?,
            ],
            payment_ms: [
                of(|one| one.shops[0].payment_ms())?,
                of(|one| one.shops[1].payment_ms())?,
            ],
            cost: of(|one| {
                let [here, rust] = [one.shops[0].payment_ms(), one.shops[1].payment_ms()];
                (here - rust) / rust
            })?,
            rate: of(|one| one.shops[1].whole.as_secs_f64() / one.shops[0].whole.as_secs_f64())?,
            cpu_us: [cpu_us(0)?, cpu_us(1)?],
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [here, rust] = &self.trivial_us;
        let [pays, rust_pays] = &self.payment_ms;
        let [cpu, rust_cpu] = &self.cpu_us;
        writeln!(
            f,
            "{}: a trivial call {:.1} µs (Rust {:.2}), a payment {:.2} ms (Rust {:.2}), {:+.1} % ({:+.1} to \
             {:+.1}), rate {:.2} of Rust's, CPU {:.0} µs (Rust {:.0})",
            self.name,
            here.median,
            rust.median,
            pays.median,
            rust_pays.median,
            self.cost.median * 100.0,
            self.cost.least * 100.0,
            self.cost.most * 100.0,
            self.rate.median,
            cpu.median,
            rust_cpu.median
        )?;
        write!(
            f,
            "language={} trivial_us={:.2} payment_cost={:.4} rate={:.3} cpu_us_per_payment={:.0} \
             ledger=equal",
            self.name, here.median, self.cost.median, self.rate.median, cpu.median
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(payment_us: u64, trivial_ns: u64) -> Took {
        let whole = Duration::from_micros(payment_us);
        let cpu = Some(Duration::from_micros(payment_us));
        Took { payments_ns: vec![payment_us.saturating_mul(1000); 3], whole, cpu, trivial_ns }
    }

    #[test]
    fn the_figures_are_the_medians_of_what_the_rounds_compare() {
        // The machine is half as fast in the second round; only its own round says what that means.
        let mut rounds = [
            Round { shops: [took(1_100, 4_000_000), took(1_000, 200_000)] },
            Round { shops: [took(2_200, 8_000_000), took(2_000, 200_000)] },
            Round { shops: [took(1_050, 4_000_000), took(1_000, 200_000)] },
        ];
        // A third of a round's for each payment; a thread that ended takes its round away.
        rounds[0].shops[0].cpu = None;
        let outcome = Outcome::of("x".into(), &rounds).unwrap().to_string();
        assert_eq!(
            outcome.lines().last().unwrap(),
            "language=x trivial_us=2.00 payment_cost=0.1000 rate=0.909 cpu_us_per_payment=542 \
             ledger=equal"
        );
    }
}
