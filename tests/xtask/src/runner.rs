//! Runs parts one after another, tells their times, and stops at the first that fails.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{
    child::Children,
    failure::Failure,
    parts::{Figures, Part},
    workspace::Workspace,
};

/// A part that has run this many times its budget hangs, or might as well.
const LIMIT_IN_BUDGETS: u64 = 3;

/// A run that has taken this many times its budgets together, in halves, is ended: three. A busy machine
/// is no reason to end one that gets on.
const WHOLE_LIMIT_IN_HALF_BUDGETS: u64 = 3;

/// The whole run has a limit, too: a part that takes longer than its own lives on what the others left.
/// A part that is run alone has its own limit only.
fn limit(part: &Part, chosen: &[&Part], taken: Duration) -> Duration {
    let alone = Duration::from_secs(LIMIT_IN_BUDGETS.saturating_mul(part.budget_s));
    if chosen.len() == 1 {
        return alone;
    }
    let budgets: u64 = chosen.iter().map(|part| part.budget_s).sum();
    let whole = Duration::from_secs(budgets.saturating_mul(WHOLE_LIMIT_IN_HALF_BUDGETS) / 2);
    alone.min(whole.saturating_sub(taken))
}

/// Which of the parts to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of them.
    All,
    /// None: name them.
    List,
    /// The one of this name.
    Only(String),
    /// Those that need nothing but cargo.
    Quick,
}

/// Runs the selected parts; the last line is `N passed, N failed`. `subcommand` is what this run is
/// called, so that a failed part can be run again by the line that is printed.
pub(crate) fn run(
    workspace: &Workspace,
    subcommand: &str,
    parts: &[Part],
    selection: &Selection,
) -> ExitCode {
    let chosen: Vec<_> = parts.iter().filter(|part| selected(part, selection)).collect();
    if *selection == Selection::List {
        for part in parts {
            println!("{:<10} {:>5}", part.name, budget(part));
        }
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        let names: Vec<_> = parts.iter().map(|part| part.name).collect();
        return report(&Failure::Check(format!("no such part; there are: {}", names.join(", "))));
    }
    let mut rows = Vec::new();
    let mut failed: usize = 0;
    for part in &chosen {
        println!("\n==> {} (budget {})", part.name, budget(part));
        let started = Instant::now();
        let limit = limit(part, &chosen, rows.iter().map(|row: &Row<'_>| row.taken).sum());
        let result = (part.run)(&Children::within(limit, workspace));
        let row = Row { part, taken: started.elapsed(), result };
        println!("<== {}", row.line());
        failed = usize::from(row.result.is_err());
        rows.push(row);
        if failed > 0 {
            break;
        }
    }
    summarise(&rows, &chosen, subcommand);
    println!("\n{} passed, {failed} failed", rows.len().saturating_sub(failed));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a failure that is not a part's own.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    println!("failed: {failure}");
    ExitCode::FAILURE
}

/// One part that has run.
struct Row<'a> {
    part: &'a Part,
    taken: Duration,
    result: Result<Figures, Failure>,
}

impl Row<'_> {
    fn line(&self) -> String {
        let over = self.taken > Duration::from_secs(self.part.budget_s);
        let outcome = if self.result.is_ok() { "passed" } else { "FAILED" };
        format!(
            "{:<10} {outcome}  {:>7} of {}{}",
            self.part.name,
            clock(self.taken),
            budget(self.part),
            if over { "  OVER BUDGET" } else { "" }
        )
    }
}

fn budget(part: &Part) -> String {
    clock(Duration::from_secs(part.budget_s))
}

fn selected(part: &Part, selection: &Selection) -> bool {
    match selection {
        Selection::All => true,
        Selection::List => false,
        Selection::Only(name) => part.name == name,
        Selection::Quick => part.quick,
    }
}

fn summarise(rows: &[Row<'_>], chosen: &[&Part], subcommand: &str) {
    println!("\nSummary");
    for row in rows {
        println!("  {}", row.line());
        for figure in row.result.iter().flatten() {
            println!("               {figure}");
        }
    }
    for part in chosen.iter().skip(rows.len()) {
        println!("  {:<10} not run", part.name);
    }
    println!("  {:<10} {:>15}", "in all", clock(rows.iter().map(|row| row.taken).sum()));
    if let Some(Row { part, result: Err(failure), .. }) = rows.last() {
        println!("\nThe part {} failed: {failure}", part.name);
        println!("Run it alone: cargo xtask {subcommand} --only {}", part.name);
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &'static str, quick: bool) -> Part {
        Part { name, budget_s: 60, quick, run: |_| Ok(Vec::new()) }
    }

    fn row(part: &Part, seconds: u64, result: Result<Figures, Failure>) -> String {
        Row { part, taken: Duration::from_secs(seconds), result }.line()
    }

    #[test]
    fn a_row_tells_time_budget_and_outcome() {
        let fmt = part("fmt", true);
        assert_eq!(row(&fmt, 59, Ok(Vec::new())), "fmt        passed     0:59 of 1:00");
        let failure = Failure::Check("unformatted".to_owned());
        assert_eq!(row(&fmt, 7, Err(failure)), "fmt        FAILED     0:07 of 1:00");
        let late = row(&fmt, 3661, Ok(Vec::new()));
        assert_eq!(late, "fmt        passed    61:01 of 1:00  OVER BUDGET");
    }

    #[test]
    fn the_whole_has_a_deadline_and_a_part_its_limit() {
        let minutes = Duration::from_mins;
        let (short, long) = (part("fmt", true), Part { budget_s: 240, ..part("wasm", true) });
        let both = [&short, &long];
        assert_eq!(limit(&short, &both, minutes(0)), minutes(3));
        assert_eq!(limit(&long, &both, minutes(0)), Duration::from_secs(450));
        assert_eq!(limit(&long, &both, minutes(3)), Duration::from_secs(270));
        assert_eq!(limit(&long, &both, minutes(9)), minutes(0));
        assert_eq!(limit(&long, &[&long], minutes(9)), minutes(12));
    }

    #[test]
    fn selections_choose_parts() {
        let (fmt, wasm) = (part("fmt", true), part("wasm", false));
        assert!(selected(&fmt, &Selection::Quick) && !selected(&wasm, &Selection::Quick));
        let only = Selection::Only("wasm".to_owned());
        assert!(!selected(&fmt, &only) && selected(&wasm, &only));
        assert!(selected(&fmt, &Selection::All) && selected(&wasm, &Selection::All));
    }

    #[test]
    fn a_failed_part_stops_the_run() {
        let workspace = Workspace { root: std::env::temp_dir(), target: std::env::temp_dir() };
        let fails = |_: &Children<'_>| Err(Failure::Check("on purpose".to_owned()));
        let never = |_: &Children<'_>| -> Result<Figures, Failure> { panic!("was run") };
        let parts = [
            Part { run: fails, ..part("first", true) },
            Part { run: never, ..part("second", true) },
        ];
        let code = run(&workspace, "test", &parts, &Selection::All);
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
    }
}
