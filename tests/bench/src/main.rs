//! The benchmark (`docs/PERFORMANCE.md`): echo, server and institution as processes of their own, a
//! load beside them, figures that hold on any machine because they are ratios within one run.

mod besieged;
mod calls;
mod disk;
mod echo;
mod engine;
mod engines;
mod error;
mod figures;
mod growth;
mod language;
mod latency;
mod ledger;
mod load;
mod measured;
mod payer;
mod process;
mod report;
mod run;
mod siege;
mod stored;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::BenchError;
use run::Plan;

/// Measures what a payment costs beside a bare HTTPS call. The last line is for scripts.
#[derive(Parser)]
#[command(name = "pos-bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Subcommand)]
enum Part {
    /// Measures payments while thousands of idle connections and wrong passwords are at the server.
    Besieged(besieged::Plan),
    /// The echo, which the benchmark starts by itself.
    #[command(hide = true)]
    Echo,
    /// Measures payments on SQLite and on PostgreSQL side by side.
    Engines(engines::Plan),
    /// Measures payments and lookups in stores that hold a thousand to ten million payments.
    Growth(growth::Plan),
    /// Measures what a binding costs: a shop in another language beside one in Rust.
    Language(language::Plan),
    /// Measures what is added to a slow institution's answer, at a constant rate of payments.
    Latency(latency::Plan),
    /// Lets a pool of forked workers in another language pay many times.
    Pool(language::pool::Plan),
    /// The shop in Rust, which that starts by itself.
    #[command(hide = true)]
    RustShop,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.part {
        Some(Part::Besieged(plan)) => besieged::run(plan).await.and_then(|told| print(&told)),
        Some(Part::Echo) => echo::run().await,
        Some(Part::Engines(plan)) => engines::run(plan).await.and_then(|told| print(&told)),
        Some(Part::Growth(plan)) => growth::run(plan).await.and_then(|told| print(&told)),
        Some(Part::Language(plan)) => language::run(plan).await.and_then(|told| print(&told)),
        Some(Part::Latency(plan)) => latency::run(plan).await.and_then(|told| print(&told)),
        Some(Part::Pool(plan)) => language::pool::run(plan).await.and_then(|told| print(&told)),
        Some(Part::RustShop) => {
            // It waits by a runtime of its own.
            let ended = tokio::task::spawn_blocking(language::run_rust).await;
            ended.unwrap_or_else(|lost| {
                Err(BenchError::Shop { name: "the shop in Rust".into(), said: lost.to_string() })
            })
        }
        None => measure(arguments.plan).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(plan: Plan) -> Result<(), BenchError> {
    print(&run::run(plan).await?)
}

/// Progress, beside the result on standard output.
fn say(what: &str) {
    // Nobody may listen; the run goes on.
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}

fn print(outcome: &dyn Display) -> Result<(), BenchError> {
    writeln!(std::io::stdout(), "{outcome}").map_err(BenchError::system("printing the result"))
}
