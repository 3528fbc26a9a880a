//! `pos-scenarios`: plays the flows to a runner, and writes the table of what they gave.
#![expect(clippy::print_stdout, reason = "a command for people and CI logs")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use pos_scenarios::HarnessError;
use pos_scenarios::flow;
use pos_scenarios::play::{Outcome, Stage};
use pos_scenarios::profile::Profile;
use pos_scenarios::runner::Program;
use pos_scenarios::table::{self, Results};

/// Plays the flows of a shop to a language's installed package.
#[derive(Parser)]
struct Arguments {
    /// The folder with `flows/` and `runners.json`.
    #[arg(long, default_value = "tests/scenarios")]
    data: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Starts a fresh bed and plays to one runner.
    Run {
        /// Its name in `runners.json`.
        #[arg(long)]
        runner: String,
        /// `pos-testbed`; the one beside this program unless told.
        #[arg(long)]
        testbed: Option<PathBuf>,
        /// Only scenarios whose name contains this.
        #[arg(long)]
        only: Option<String>,
        /// A file for what the runner did, for `table`.
        #[arg(long)]
        result: Option<PathBuf>,
        /// The runner's command.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Makes the table of all results, and compares it with the one in the page.
    Table {
        /// The page.
        page: PathBuf,
        /// The results of `run`.
        results: Vec<PathBuf>,
        /// Writes it instead.
        #[arg(long)]
        write: bool,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { data, what } = Arguments::parse();
    let done = match what {
        What::Run { runner, testbed, only, result, command } => {
            run(&data, &runner, testbed, only.as_deref(), result.as_deref(), command).await
        }
        What::Table { page, results, write } => {
            make_table(&data, &page, &results, write).map(|()| true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("pos-scenarios: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing failed.
async fn run(
    data: &Path,
    name: &str,
    testbed: Option<PathBuf>,
    only: Option<&str>,
    result: Option<&Path>,
    command: Vec<OsString>,
) -> Result<bool, HarnessError> {
    let profile = Profile::find(&data.join("runners.json"), name)?;
    let mut scenarios = flow::read(&data.join("flows"))?;
    scenarios.retain(|scenario| only.is_none_or(|part| scenario.name.contains(part)));
    let testbed = testbed.map_or_else(|| pos_tests::process::program("pos-testbed"), Ok)?;
    let mut stage = Stage::new(testbed);
    let mut runner = Program::new(command)?;
    let mut results = Results { runner: name.into(), ..Results::default() };
    let mut failed = 0_u32;
    for scenario in &scenarios {
        let began = Instant::now();
        let outcome = stage.play(scenario, &mut runner, &profile).await?;
        let took = began.elapsed().as_secs_f64();
        results.add(scenario, &outcome);
        match outcome {
            Outcome::Passed => {
                println!("{name}: passed {took:.1} s: {}", scenario.name);
            }
            Outcome::NotHere(why) => {
                println!("{name}: not here: {}: {why}", scenario.name);
            }
            Outcome::Failed(why) => {
                failed = failed.saturating_add(1);
                println!("{name}: FAILED {took:.1} s: {}: {why}", scenario.name);
            }
        }
    }
    let failures = if failed == 0 { String::new() } else { format!(", {failed} FAILED") };
    println!("{}{failures}", results.summary());
    if let Some(path) = result {
        let text = serde_json::to_string_pretty(&results).expect("texts are JSON");
        fs::write(path, text).map_err(|cause| HarnessError::Data {
            path: path.display().to_string(),
            cause: cause.to_string(),
        })?;
    }
    Ok(failed == 0 && results.has_passed())
}

fn make_table(
    data: &Path,
    page: &Path,
    results: &[PathBuf],
    write: bool,
) -> Result<(), HarnessError> {
    let profiles = Profile::all(&data.join("runners.json"))?;
    let scenarios = flow::read(&data.join("flows"))?;
    let read = |path: &PathBuf| -> Result<Results, HarnessError> {
        let wrong = |cause: String| HarnessError::Data { path: path.display().to_string(), cause };
        let text = fs::read(path).map_err(|cause| wrong(cause.to_string()))?;
        serde_json::from_slice(&text).map_err(|cause| wrong(cause.to_string()))
    };
    let results = results.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for one in &results {
        println!("{}", one.summary());
    }
    table::put(page, &table::table(&scenarios, &profiles, &results), write)
}
