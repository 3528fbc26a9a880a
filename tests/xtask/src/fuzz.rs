//! libFuzzer over every target, for a bounded time, beginning with the corpora of the repository.

use std::path::Path;

use crate::{child::Children, failure::Failure, parts::Figures, tool::Tool};

const FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2", installed_by: "fuzz" };

/// Seconds for each target.
const SECONDS: u32 = 60;

/// Where the targets are, and what they are called.
const TARGETS: &[(&str, &[&str])] = &[
    (
        "tests/fuzz",
        &["signature", "bodies", "envelope", "institution", "connector", "codes", "settlement"],
    ),
    ("bindings/c/fuzz", &["edge"]),
];

/// The part: runs each, and tells how often and how far it came. A find ends it, and lies in `artifacts`
/// beside the target.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    nightly(children)?;
    FUZZ.install(children)?;
    let mut figures = Vec::new();
    for (folder, names) in TARGETS {
        for name in *names {
            let printed = one(children, folder, name)?;
            figures.push(figure(name, &printed)?);
        }
    }
    Ok(figures)
}

fn nightly(children: &Children<'_>) -> Result<(), Failure> {
    if children.succeeds(&mut children.cargo(&["+nightly", "--version"])) {
        return Ok(());
    }
    let words = ["toolchain", "install", "nightly", "--profile", "minimal"];
    children.run(children.command("rustup").args(words))
}

fn one(children: &Children<'_>, folder: &str, name: &str) -> Result<String, Failure> {
    let target = children.workspace.scratch("fuzz")?;
    // What is found goes to the first folder; that of the repository is only read.
    let found = children.workspace.scratch(&format!("fuzz-found/{name}"))?;
    let kept = children.workspace.root.join(folder).join("corpus").join(name);
    // libFuzzer writes its figures to standard error.
    let mut run = children.command("sh");
    run.args(["-c", "exec \"$@\" 2>&1", "sh", "cargo", "+nightly", "fuzz", "run"]);
    // No code of ours is `unsafe`, but for the bindings, which valgrind and miri look after: without the
    // sanitizer of addresses there are twice as many runs.
    run.args(["--sanitizer", "none", "--fuzz-dir", folder, name]).arg(found);
    run.args([&kept].into_iter().filter(|kept: &&std::path::PathBuf| kept.is_dir()));
    run.args(["--", &format!("-max_total_time={SECONDS}"), "-print_final_stats=1"]);
    run.args(["-timeout=10", "-rss_limit_mb=2048"]);
    run.env("CARGO_TARGET_DIR", target).env("PATH", with_tools(children)?);
    let printed = String::from_utf8_lossy(&children.read(&mut run)?).into_owned();
    Ok(printed)
}

/// Cargo finds its subcommand by the path.
pub(crate) fn with_tools(children: &Children<'_>) -> Result<String, Failure> {
    let tools = children.workspace.scratch("tools")?.join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    Ok(format!("{}:{path}", Path::new(&tools).display()))
}

/// `signature runs=1234567 cov=890 features=1234`. A run that executed nothing showed nothing.
fn figure(name: &str, printed: &str) -> Result<String, Failure> {
    let runs =
        printed.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let runs: u64 = runs.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let done = printed.lines().rev().find(|line| line.contains("DONE"));
    let after = |word: &str| {
        let mut words = done.unwrap_or_default().split_ascii_whitespace();
        words.find(|one| *one == word)?;
        words.next()
    };
    match (after("cov:"), after("ft:")) {
        (Some(cov), Some(features)) if runs > 1_000 => {
            Ok(format!("{name} runs={runs} cov={cov} features={features} finds=0"))
        }
        _ => Err(Failure::Check(format!("the target {name} was not run: {runs} runs"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_did_not_run_has_failed() {
        let done =
            "#90000\tDONE   cov: 812 ft: 2001 corp: 97/31Kb lim: 4096 exec/s: 1500 rss: 80Mb\n";
        let stat = "stat::number_of_executed_units: 90000\n";
        let figure_of = |printed: &str| figure("bodies", printed).ok();
        let both = figure_of(&format!("{done}{stat}"));
        assert_eq!(both.as_deref(), Some("bodies runs=90000 cov=812 features=2001 finds=0"));
        for short in [done, stat, "stat::number_of_executed_units: 3\n"] {
            assert_eq!(figure_of(short), None, "{short}");
        }
    }

    #[test]
    fn every_target_of_the_repository_is_run() {
        for (folder, names) in TARGETS {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
            let programs = root.expect("the root").join(folder).join("fuzz_targets");
            let programs = std::fs::read_dir(programs).expect("the targets can be listed");
            assert_eq!(programs.count(), names.len(), "{folder}");
        }
    }
}
