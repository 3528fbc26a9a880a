//! The simulation: `cargo xtask sim --payments N --seed S`, and its two parts.

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command};

use crate::{build::EVERYTHING, child::Children, failure::Failure, parts::Figures};

/// Worlds that are played at the same time: as many as a small machine has processors.
const THREADS: &str = "2";

/// The subcommand; what follows is passed to the simulation.
pub(crate) fn subcommand() -> Command {
    let passed = Arg::new("arguments")
        .num_args(..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .value_parser(clap::value_parser!(OsString))
        .help("--payments N --seed S [--threads T] [--world W]");
    Command::new("sim")
        .about("Plays seeded worlds of shops, server and institutions in which everything fails")
        .disable_help_flag(true)
        .arg(passed)
}

/// Plays what the arguments say.
pub(crate) fn command(children: &Children<'_>, arguments: &ArgMatches) -> Result<(), Failure> {
    let passed = arguments.get_many::<OsString>("arguments").into_iter().flatten();
    children.run(simulation(children).args(passed))
}

/// The part of CI.
pub(crate) fn small(children: &Children<'_>) -> Result<Figures, Failure> {
    play(children, "4000", "1")
}

/// The part of what takes longer.
pub(crate) fn large(children: &Children<'_>) -> Result<Figures, Failure> {
    play(children, "200000", "2")
}

/// It is a test, because it stops tokio's clock: a feature that no shipped program has.
fn simulation(children: &Children<'_>) -> std::process::Command {
    let mut command = children.cargo(&["test", "--test", "sim"]);
    command.args(EVERYTHING).arg("--");
    command
}

fn play(children: &Children<'_>, payments: &str, seed: &str) -> Result<Figures, Failure> {
    let mut command = simulation(children);
    command.args(["--payments", payments, "--seed", seed, "--threads", THREADS]);
    let printed = children.read(&mut command)?;
    let printed = String::from_utf8_lossy(&printed);
    print!("{printed}");
    figures(&printed, payments)
}

/// The last line, where it says that so many payments were played and nothing came to harm. A run that
/// prints less showed nothing, whatever its exit code.
fn figures(printed: &str, payments: &str) -> Result<Figures, Failure> {
    let last = printed.lines().last().unwrap_or_default();
    let pairs: Vec<_> = last.split_ascii_whitespace().collect();
    let says = |pair: &str| pairs.contains(&pair);
    let played = says(&format!("payments={payments}"));
    if played && ["lost=0", "doubled=0", "stuck=0"].into_iter().all(says) {
        return Ok(vec![last.to_owned()]);
    }
    Err(Failure::Check(format!("`{last}`: {payments} payments, nothing lost, doubled or stuck")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_that_shows_harm_or_less_has_failed() {
        let line = "payments=40 faults=99 lost=0 doubled=0 stuck=0 trace=00ff";
        assert_eq!(figures(&format!("worlds=1\n{line}\n"), "40").expect("it is whole"), [line]);
        for (from, to) in [
            ("payments=40", "payments=39"),
            ("lost=0", "lost=1"),
            ("doubled=0", "doubled=10"),
            ("stuck=0", "stuck=2"),
            (line, ""),
        ] {
            assert!(figures(&line.replace(from, to), "40").is_err(), "{to}");
        }
    }
}
