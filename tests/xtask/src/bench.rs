//! The benchmarks of `docs/PERFORMANCE.md`, held to their goals.

use std::env;

use crate::{build, child::Children, failure::Failure, parts::Figures};

/// What a figure must come to.
#[derive(Clone, Copy, Debug)]
enum Goal {
    Most(f64),
    Least(f64),
}

/// CPU of a payment over CPU of an echo.
const CPU_RATIO: (&str, Goal) = ("cpu_ratio", Goal::Most(8.7));

/// Payments a second on PostgreSQL over those on SQLite.
const POSTGRES_RATE: (&str, Goal) = ("postgres_rate", Goal::Least(0.8));

/// That it was measured.
const ADDED: (&str, Goal) = ("added_p999_ms", Goal::Least(0.0));

/// Payments a second in the largest store over those in the smallest.
const GROWTH_RATE: (&str, Goal) = ("growth_rate", Goal::Least(0.8));

/// p99 of payments under siege over that in peace, and what the server's memory may grow to meanwhile.
const SIEGE_P99_RATIO: (&str, Goal) = ("siege_p99_ratio", Goal::Most(2.0));
const SIEGE_MEMORY: (&str, Goal) = ("siege_mib", Goal::Most(300.0));

/// The benchmark itself: payments beside an echo.
pub(crate) fn payments(children: &Children<'_>) -> Result<Figures, Failure> {
    measured(children, &[], &[CPU_RATIO])
}

/// Both engines of the store side by side.
pub(crate) fn engines(children: &Children<'_>) -> Result<Figures, Failure> {
    measured(children, &["engines"], &[POSTGRES_RATE])
}

/// What is added to a slow institution's answer, at a constant rate. Whatever the disk costs is in it, so
/// that it is shown beside the disk and has no goal.
pub(crate) fn latency(children: &Children<'_>) -> Result<Figures, Failure> {
    measured(children, &["latency"], &[ADDED])
}

/// Stores of three sizes; `POS_GROWTH` says how many payments the largest has.
pub(crate) fn growth(children: &Children<'_>) -> Result<Figures, Failure> {
    let payments = env::var("POS_GROWTH");
    let payments = payments.as_deref().unwrap_or("10000000");
    measured(children, &["growth", "--payments", payments], &[GROWTH_RATE])
}

/// Payments while thousands of idle connections and wrong passwords are at the server.
pub(crate) fn besieged(children: &Children<'_>) -> Result<Figures, Failure> {
    measured(children, &["besieged"], &[SIEGE_P99_RATIO, SIEGE_MEMORY])
}

/// Runs a benchmark and answers its last line.
fn measured(
    children: &Children<'_>,
    arguments: &[&str],
    goals: &[(&str, Goal)],
) -> Result<Figures, Failure> {
    build::programs(children)?;
    let mut bench = children.command(children.workspace.program("pos-bench"));
    let printed = children.read(bench.args(arguments))?;
    let printed = String::from_utf8_lossy(&printed);
    print!("{printed}");
    held(&printed, goals)
}

/// The last line, if its books agree and it comes to every goal.
fn held(printed: &str, goals: &[(&str, Goal)]) -> Result<Figures, Failure> {
    let last = printed.lines().last().unwrap_or_default();
    let figure = |wanted: &str| {
        let mut pairs = last.split_ascii_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted)?.1.parse::<f64>().ok()
    };
    let is_met = |(name, goal): &(&str, Goal)| match (figure(name), goal) {
        (Some(figure), Goal::Most(most)) => figure <= *most,
        (Some(figure), Goal::Least(least)) => figure >= *least,
        (None, _) => false,
    };
    let missed = goals.iter().filter(|goal| !is_met(goal));
    let mut missed: Vec<_> = missed.map(|goal| format!("{goal:?}")).collect();
    if !last.ends_with("ledger=equal") {
        missed.push("ledger=equal".to_owned());
    }
    if missed.is_empty() {
        return Ok(vec![last.to_owned()]);
    }
    Err(Failure::Check(format!("`{last}` misses {}", missed.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_that_misses_a_goal_has_failed() {
        let goals = [("cpu_ratio", Goal::Most(8.7)), ("rate", Goal::Least(0.8))];
        let line = |ratio: &str, rate: &str| {
            format!("table\n\ncpu_ratio={ratio} rate={rate} p99_ms=1.00 ledger=equal\n")
        };
        assert_eq!(
            held(&line("8.70", "0.800"), &goals).expect("both goals are reached"),
            ["cpu_ratio=8.70 rate=0.800 p99_ms=1.00 ledger=equal"]
        );
        for printed in [
            line("8.71", "0.800"),
            line("nan", "0.800"),
            line("1.00", "0.799"),
            "cpu_ratio=1.00 ledger=equal".into(),
            "cpu_ratio=1.00 rate=0.900 ledger=other".into(),
            String::new(),
        ] {
            assert!(held(&printed, &goals).is_err(), "{printed}");
        }
    }
}
