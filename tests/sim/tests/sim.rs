//! `cargo xtask sim`: plays worlds, and prints what went wrong in them and what came of it.
#![expect(
    clippy::print_stdout,
    reason = "a command for people and CI logs: standard output is its interface"
)]
#![expect(clippy::arithmetic_side_effects, reason = "the counts of a run are far from overflow")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use pos_sim::{Played, Size, play, seed_of};
use sha2::{Digest as _, Sha256};

/// Orders of one world: larger ones are no better judges, and slower.
const PAYMENTS_OF_A_WORLD: u64 = 1_000;

#[derive(Parser)]
#[command(
    about = "Plays seeded worlds of shops, server and institutions in which everything fails"
)]
struct Arguments {
    /// How many payments to play in all.
    #[arg(long, default_value_t = 100)]
    payments: u64,
    /// What decides everything.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many worlds to play at the same time.
    #[arg(long, default_value_t = 1)]
    threads: u64,
    /// Plays only this one of the seed's worlds, and prints every event of it on standard error.
    #[arg(long)]
    world: Option<u64>,
    /// What a test harness would take: the name of a test, which none here has.
    #[arg(hide = true)]
    filters: Vec<String>,
    /// The same.
    #[arg(long, hide = true)]
    nocapture: bool,
    /// The same.
    #[arg(long, hide = true)]
    test_threads: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.filters.is_empty() {
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    let worlds = arguments.payments.div_ceil(PAYMENTS_OF_A_WORLD);
    let (first, last) = arguments.world.map_or((0, worlds), |one| (one, one.saturating_add(1)));
    let next = AtomicU64::new(first);
    let played = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let world = next.fetch_add(1, Ordering::Relaxed);
                    if world >= last {
                        return;
                    }
                    let left = arguments.payments.saturating_sub(world * PAYMENTS_OF_A_WORLD);
                    let payments = left.min(PAYMENTS_OF_A_WORLD);
                    let one = one_world(&arguments, world, payments);
                    played.lock().unwrap_or_else(PoisonError::into_inner).insert(world, one);
                }
            });
        }
    });
    let played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
    tell(&played, began)
}

fn one_world(arguments: &Arguments, world: u64, payments: u64) -> Result<Played, String> {
    let seed = seed_of(arguments.seed, world);
    let folder = tempfile::tempdir().map_err(|cause| cause.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|cause| cause.to_string())?;
    let size = Size { payments, tills: 48 };
    let prints = arguments.world.is_some();
    runtime
        .block_on(play(seed, size, folder.path(), prints))
        .map_err(|cause| format!("world {world} of seed {}: {cause}", arguments.seed))
}

/// Prints what came of all worlds. Nothing may be lost, doubled, stuck or broken.
fn tell(played: &BTreeMap<u64, Result<Played, String>>, began: Instant) -> ExitCode {
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    let mut digest = Sha256::new();
    let (mut payments, mut operations, mut simulated_s) = (0, 0, 0);
    let (mut lost, mut doubled, mut stuck, mut broken, mut needs_human, mut failed) =
        (0, 0, 0, 0, 0, 0);
    for (world, one) in played {
        let one = match one {
            Ok(one) => one,
            Err(cause) => {
                println!("{cause}");
                failed += 1;
                continue;
            }
        };
        let judgement = &one.judgement;
        for finding in &judgement.findings {
            println!("world {world}: {finding}");
        }
        for (kind, count) in &one.faults {
            *faults.entry(kind).or_default() += count;
        }
        for (state, count) in &judgement.states {
            *states.entry(state).or_default() += count;
        }
        digest.update(one.digest);
        payments += one.payments;
        operations += judgement.operations;
        simulated_s += one.took.as_secs();
        lost += judgement.lost;
        doubled += judgement.doubled;
        stuck += judgement.stuck;
        broken += judgement.broken;
        needs_human += judgement.needs_human;
    }
    let took = began.elapsed().as_secs_f64();
    println!("worlds={} operations={operations} simulated_s={simulated_s}", played.len());
    let list = |all: &BTreeMap<&str, u64>| {
        all.iter().map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>().join(" ")
    };
    println!("states: {}", list(&states));
    println!("faults: {}", list(&faults));
    println!("needs_human={needs_human} broken={broken} failed={failed}");
    println!("took={took:.1} s, {:.0} payments/s", payments as f64 / took);
    let trace: String =
        digest.finalize().iter().take(16).map(|octet| format!("{octet:02x}")).collect();
    let faults: u64 = faults.values().sum();
    println!(
        "payments={payments} faults={faults} lost={lost} doubled={doubled} stuck={stuck} trace={trace}"
    );
    if lost + doubled + stuck + broken + failed == 0 && payments > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
