//! The table of what CI runs. Adding a part is a line in it and a function.

use std::fs;

use crate::{
    bench, bindings,
    build::{self, EVERYTHING, PROGRAMS},
    child::Children,
    deny,
    failure::Failure,
    fuzz, hostile, judges, mutants, package, setup, sim, sizes,
};

/// One part of the run.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What it may take on two cores from an empty target folder. Printed beside the time taken;
    /// at three times as much the part is ended and has failed.
    pub(crate) budget_s: u64,
    /// Whether it needs nothing but cargo.
    pub(crate) quick: bool,
    /// Does it, and returns the figures that the summary shows.
    pub(crate) run: fn(&Children<'_>) -> Result<Figures, Failure>,
}

/// What a part has to say in the summary: short lines such as `wasm raw 201,334 bytes`.
pub(crate) type Figures = Vec<String>;

/// The parts of `cargo xtask test`, in the order in which they run.
#[rustfmt::skip]
pub(crate) const PARTS: &[Part] = &[
    Part { name: "setup",   budget_s: 230, quick: false, run: setup::run },
    Part { name: "fmt",     budget_s: 20, quick: true,  run: fmt },
    Part { name: "clippy",  budget_s: 180, quick: true,  run: clippy },
    Part { name: "deny",    budget_s: 20, quick: false, run: deny::run },
    Part { name: "build",   budget_s: 720, quick: true, run: build },
    Part { name: "docs",    budget_s: 60, quick: false, run: docs },
    Part { name: "tests",   budget_s: 270, quick: true,  run: tests },
    Part { name: "bins",    budget_s: 60, quick: false, run: bins },
    Part { name: "load",    budget_s: 110, quick: false, run: load },
    Part { name: "sim",     budget_s: 30, quick: false, run: sim::small },
    Part { name: "judges",  budget_s: 25, quick: false, run: judges::run },
    Part { name: "openapi", budget_s: 10, quick: false, run: openapi },
    Part { name: "demo",    budget_s: 30, quick: false, run: demo },
    Part { name: "npm",     budget_s: 225, quick: false, run: bindings::npm::run },
    Part { name: "python",  budget_s: 120, quick: false, run: bindings::python::run },
    Part { name: "php",     budget_s: 80, quick: false, run: bindings::php::run },
    Part { name: "c",       budget_s: 20, quick: false, run: bindings::c::run },
    Part { name: "scenarios", budget_s: 180, quick: false, run: bindings::scenarios::run },
    Part { name: "sizes",   budget_s: 10, quick: false, run: server_sizes },
];

/// What `cargo xtask full` runs after them.
#[rustfmt::skip]
pub(crate) const LONGER: &[Part] = &[
    Part { name: "shipped", budget_s: 480, quick: false, run: shipped },
    Part { name: "package", budget_s: 1800, quick: false, run: package::run },
    Part { name: "languages", budget_s: 480, quick: false, run: bindings::speed::run },
    Part { name: "bench",   budget_s: 300, quick: false, run: bench::payments },
    Part { name: "engines", budget_s: 300, quick: false, run: bench::engines },
    Part { name: "latency", budget_s: 150, quick: false, run: bench::latency },
    Part { name: "growth",  budget_s: 1500, quick: false, run: bench::growth },
    Part { name: "besieged", budget_s: 420, quick: false, run: bench::besieged },
    Part { name: "search",  budget_s: 900, quick: false, run: search },
    Part { name: "worlds",  budget_s: 900, quick: false, run: sim::large },
    Part { name: "races",   budget_s: 120, quick: false, run: races },
    Part { name: "kills",   budget_s: 1800, quick: false, run: kills },
    Part { name: "several", budget_s: 600, quick: false, run: several },
    Part { name: "disk",    budget_s: 180, quick: false, run: disk },
    Part { name: "hostile", budget_s: 1200, quick: false, run: hostile::run },
    Part { name: "fuzz",    budget_s: 1200, quick: false, run: fuzz::run },
    Part { name: "mutants", budget_s: 90_000, quick: false, run: mutants::run },
];

fn fmt(children: &Children<'_>) -> Result<Figures, Failure> {
    children.run(&mut children.cargo(&["fmt", "--all", "--check"]))?;
    Ok(Vec::new())
}

fn clippy(children: &Children<'_>) -> Result<Figures, Failure> {
    let mut command = children.cargo(&["clippy", "--all-targets"]);
    children.run(command.args(EVERYTHING).args(["--", "-D", "warnings"]))?;
    Ok(Vec::new())
}

/// The pages, and the examples in them.
fn docs(children: &Children<'_>) -> Result<Figures, Failure> {
    // `--examples` brings in the development dependencies, as in every other part of the tests.
    let mut pages = children.cargo(&["doc", "--no-deps", "--lib", "--examples"]);
    children.run(pages.args(EVERYTHING).env("RUSTDOCFLAGS", "-D warnings"))?;
    children.run(children.cargo(&["test", "--doc"]).args(EVERYTHING))?;
    Ok(Vec::new())
}

fn build(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    Ok(Vec::new())
}

/// The programs compile without what only tests bring in, as `cargo demo` and an operator build them.
fn bins(children: &Children<'_>) -> Result<Figures, Failure> {
    children.run(children.cargo(&["check"]).args(PROGRAMS).args(EVERYTHING))?;
    Ok(Vec::new())
}

/// Every test but the examples in the pages, which are run with those.
fn tests(children: &Children<'_>) -> Result<Figures, Failure> {
    // The tests start the programs as processes of their own, and find them built.
    build::everything(children)?;
    let kinds = ["test", "--lib", "--bins", "--tests", "--examples", "--no-fail-fast"];
    children.run(children.cargo(&kinds).args(EVERYTHING))?;
    Ok(Vec::new())
}

/// 256 clients; the server killed ten times under them on each engine; two servers on one database. The
/// tests before did the same with less; here the figures are shown.
fn load(children: &Children<'_>) -> Result<Figures, Failure> {
    let told = [("POS_LOAD_KILLS", "10"), ("POS_SEVERAL_SECONDS", "10")];
    let shown = ["clients=256", "engine=Sqlite kills=10", "engine=Postgres kills=10", "seconds=10"];
    load_tests(children, "", &told, &shown)
}

/// A thousand kills on each engine.
fn kills(children: &Children<'_>) -> Result<Figures, Failure> {
    let shown = ["engine=Sqlite kills=1000", "engine=Postgres kills=1000"];
    load_tests(children, "killed_under_load", &[("POS_LOAD_KILLS", "1000")], &shown)
}

/// Five minutes at two servers on one PostgreSQL: one is killed again and again, and the database restarted
/// twice.
fn several(children: &Children<'_>) -> Result<Figures, Failure> {
    load_tests(children, "two_servers", &[("POS_SEVERAL_SECONDS", "300")], &["seconds=300"])
}

fn load_tests(
    children: &Children<'_>,
    which: &str,
    told: &[(&str, &str)],
    shown: &[&str],
) -> Result<Figures, Failure> {
    build::everything(children)?;
    let mut command = children.cargo(&["test", "--test", "load"]);
    command.args(EVERYTHING).args([which, "--", "--nocapture", "--test-threads", "1"]);
    let printed = children.read(command.envs(told.iter().copied()))?;
    load_figures(&String::from_utf8_lossy(&printed), shown)
}

/// The lines that the load tests print, one for each word of `shown`. A run without them showed nothing,
/// whatever its exit code.
fn load_figures(printed: &str, shown: &[&str]) -> Result<Figures, Failure> {
    // The harness writes on the same lines.
    let figure = |line: &str| {
        let at = line.find("load: ").or_else(|| line.find("several: "))?;
        line.get(at..).map(str::to_owned)
    };
    let figures: Vec<_> = printed.lines().filter_map(figure).collect();
    let is_shown = |what: &&str| {
        let words = format!(" {what} ");
        figures.iter().any(|line| line.contains(&words) && line.contains("ledger=equal"))
    };
    if figures.len() == shown.len() && shown.iter().all(is_shown) {
        return Ok(figures);
    }
    Err(Failure::Check(format!("the load was not shown; its figures are {figures:?}")))
}

/// The committed document is the one that the server makes.
fn openapi(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    let server = children.workspace.program("pos-server");
    let made = children.read(children.command(&server).arg("openapi"))?;
    let path = children.workspace.root.join("docs/openapi.json");
    let committed = fs::read(&path).map_err(|source| Failure::Path {
        action: "read",
        path: path.clone(),
        source,
    })?;
    if made == committed {
        return Ok(Vec::new());
    }
    let (made, committed) = (String::from_utf8_lossy(&made), String::from_utf8_lossy(&committed));
    let alike = made.lines().zip(committed.lines()).take_while(|(new, old)| new == old).count();
    Err(Failure::Check(format!(
        "docs/openapi.json is not what the server makes; they part at line {}\n  \
         to make it again: {} openapi > docs/openapi.json",
        alike.saturating_add(1),
        server.display()
    )))
}

/// The story that the README's first command tells, by the programs that the tests have seen.
fn demo(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    children.run(&mut children.cargo(&["xtask", "--built", "demo"]))?;
    Ok(Vec::new())
}

/// Those of the program that the tests have seen; `shipped` shows them of the other.
fn server_sizes(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    sizes::server(children)
}

/// The command that the README names, as it is typed, and the sizes of what it builds.
fn shipped(children: &Children<'_>) -> Result<Figures, Failure> {
    children.run(&mut children.cargo(&["demo"]))?;
    sizes::server(children)
}

/// Every way in which a payment can go, with two crashes and two faults. The tests before did the same
/// with one of each.
fn search(children: &Children<'_>) -> Result<Figures, Failure> {
    let mut command = children.cargo(&["test", "--test", "exhaustive"]);
    command.args(EVERYTHING).args(["--", "--nocapture"]).env("POS_SEARCH", "2");
    let printed = children.read(&mut command)?;
    let figures = line_of(&String::from_utf8_lossy(&printed), "search: states=")?;
    if figures.iter().any(|line| line.ends_with("crashes=2 faults=2")) {
        return Ok(figures);
    }
    Err(Failure::Check(format!("the search was shorter: {figures:?}")))
}

/// The line of figures that begins so. A run without it showed nothing, whatever its exit code; the
/// harness writes on the same lines.
fn line_of(printed: &str, beginning: &str) -> Result<Figures, Failure> {
    let shown = printed.lines().find_map(|line| line.find(beginning).map(|at| &line[at..]));
    match shown {
        Some(line) => Ok(vec![line.to_owned()]),
        None => Err(Failure::Check(format!("`{beginning}` was not shown"))),
    }
}

/// A thousand callers with one key; the tests before had two hundred.
fn races(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    let mut command = children.cargo(&["test", "--test", "e2e"]);
    command.args(EVERYTHING).args(["races::", "--", "--nocapture"]).env("POS_RACES", "1000");
    let printed = children.read(&mut command)?;
    line_of(&String::from_utf8_lossy(&printed), "races: callers=1000 charges=1 ")
}

/// Every single write of a payment fails once; the tests before failed every fourth.
fn disk(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    let mut command = children.cargo(&["test", "--test", "e2e"]);
    command.args(EVERYTHING).args(["disk::", "--", "--nocapture"]).env("POS_DISK_STEP", "1");
    let printed = children.read(&mut command)?;
    let printed = String::from_utf8_lossy(&printed);
    Ok([line_of(&printed, "disk: step=1 writes=")?, line_of(&printed, "disk: syncs=")?].concat())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let names: Vec<_> = PARTS.iter().chain(LONGER).map(|part| part.name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn a_load_that_shows_nothing_has_failed() {
        let even = "load: clients=256 calls=5120 ledger=equal loaded=33.0 MB\n";
        let killed =
            "test killed ... load: engine=Sqlite kills=10 ledger=equal settled=6.7 s\nok\n";
        let several = "several: servers=2 seconds=10 kills=7 ledger=equal\n";
        let shown = ["clients=256", "engine=Sqlite kills=10", "seconds=10"];
        let all = format!("{even}{killed}{several}");
        let figures = load_figures(&all, &shown).expect("all are shown");
        assert_eq!(figures[1], "load: engine=Sqlite kills=10 ledger=equal settled=6.7 s");
        for missing in [
            "test result: ok. 0 passed".to_owned(),
            format!("{even}{killed}"),
            format!("{even}{several}"),
            all.replace("kills=10", "kills=100"),
            all.replace("ledger=equal", "ledger=other"),
        ] {
            assert!(load_figures(&missing, &shown).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_run_that_shows_no_line_has_failed() {
        let printed = "states=7\ntest a ... races: callers=1000 charges=1 answered=7\nok\n";
        let beginning = "races: callers=1000 charges=1 ";
        assert_eq!(line_of(printed, beginning).unwrap(), [format!("{beginning}answered=7")]);
        for less in ["", "races: callers=200 charges=1 answered=7\n"] {
            assert!(line_of(less, beginning).is_err(), "{less}");
        }
    }

    #[test]
    fn the_budgets_stay_within_what_ci_allows() {
        let seconds: u64 = PARTS.iter().map(|part| part.budget_s).sum();
        assert!(seconds <= 40 * 60, "{seconds} s in all");
    }
}
