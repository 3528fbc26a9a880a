//! The shared flows, played to every language's package (`tests/scenarios/README.md`).

use std::ffi::OsString;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::{c, npm, php, python};
use crate::{build, child::Children, failure::Failure, parts::Figures, workspace::Workspace};

/// The page whose table a run writes.
const PAGE: &str = "docs/BINDINGS.md";

const PYTHON_RUNNER: &str = "bindings/uniffi/python/tests/runner.py";

/// Runners that play at once, each on a bed of its own: most of the time they wait for time-outs.
const AT_ONCE: usize = 3;

/// One column of the table.
struct Runner {
    /// Its name in `tests/scenarios/runners.json`.
    name: &'static str,
    /// Installs its package, as a shop would.
    install: fn(&Children<'_>) -> Result<(), Failure>,
    /// What starts it. Variables go through `env`.
    command: fn(&Workspace) -> Vec<OsString>,
}

/// A language is a line here and an entry in `runners.json`.
#[rustfmt::skip]
const RUNNERS: &[Runner] = &[
    Runner { name: "rust",            install: |_| Ok(()),                                command: rust },
    Runner { name: "python-blocking", install: |all| python::install(all).map(drop),      command: |at| python(at, &[]) },
    Runner { name: "python-async",    install: |_| Ok(()),                                command: |at| python(at, &["--async"]) },
    Runner { name: "php-ffi",         install: |all| php::install(all).map(drop),         command: |at| php(at, &[]) },
    Runner { name: "php-extension",   install: |_| Ok(()),                                command: php_extension },
    Runner { name: "c",               install: |all| c::install(all).map(drop),           command: |at| vec![c::runner(at).into()] },
    Runner { name: "node",            install: |all| npm::app(all).map(drop),             command: |at| node(at, &[]) },
    Runner { name: "chromium",        install: |_| Ok(()),                                command: |at| node(at, &["--chromium"]) },
];

fn rust(at: &Workspace) -> Vec<OsString> {
    vec![at.program("pos-scenarios-rust").into()]
}

fn python(at: &Workspace, flags: &[&str]) -> Vec<OsString> {
    let mut package = OsString::from("PYTHONPATH=");
    package.push(at.target.join("xtask/package-python"));
    let runner = at.root.join(PYTHON_RUNNER);
    let words = ["env".into(), package, "python3".into(), "-B".into(), runner.into()];
    words.into_iter().chain(flags.iter().map(Into::into)).collect()
}

fn php(at: &Workspace, flags: &[OsString]) -> Vec<OsString> {
    let mut autoload = OsString::from("POS_AUTOLOAD=");
    autoload.push(php::autoload(at));
    let runner = at.root.join("bindings/php/tests/runner.php").into();
    let words = [OsString::from("env"), autoload, "php".into()];
    words.into_iter().chain(flags.iter().cloned()).chain([runner]).collect()
}

fn php_extension(at: &Workspace) -> Vec<OsString> {
    php(at, &php::installed_extension_flags(at))
}

/// From the project that has the package installed.
fn node(at: &Workspace, flags: &[&str]) -> Vec<OsString> {
    let runner = at.target.join("xtask/npm/app/tests/runner.mjs");
    let words = [OsString::from("node"), runner.into()];
    words.into_iter().chain(flags.iter().map(Into::into)).collect()
}

/// The part: every runner, and the table as it is committed.
pub(crate) fn run(children: &Children<'_>) -> Result<Figures, Failure> {
    build::everything(children)?;
    play_all(children, false, None)
}

/// `cargo xtask scenarios`.
pub(crate) fn command(
    workspace: &Workspace,
    write: bool,
    only: Option<&str>,
) -> Result<(), Failure> {
    let children = Children::within(Duration::MAX, workspace);
    build::everything(&children)?;
    for line in play_all(&children, write, only)? {
        println!("{line}");
    }
    Ok(())
}

fn play_all(children: &Children<'_>, write: bool, only: Option<&str>) -> Result<Figures, Failure> {
    let folder = children.workspace.scratch("scenarios")?;
    let result = |runner: &Runner| folder.join(runner.name).with_extension("json");
    let chosen = RUNNERS.iter().filter(|runner| only.is_none_or(|name| name == runner.name));
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        return Err(Failure::Check("no runner is called so".to_owned()));
    }
    // All of them: one may use what another installs.
    for runner in RUNNERS {
        (runner.install)(children)?;
    }
    let waiting = Mutex::new(chosen.iter());
    let failures = Mutex::new(Vec::new());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(runner) = next() {
                    let command = (runner.command)(children.workspace);
                    if let Err(failure) = play(children, runner.name, &result(runner), &command)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(failure);
                    }
                }
            });
        }
    });
    if let Some(failure) = failures.into_inner().ok().and_then(|all| all.into_iter().next()) {
        return Err(failure);
    }
    if only.is_some() {
        return Ok(Vec::new());
    }
    let mut table = harness(children);
    table.arg("table").arg(PAGE).args(chosen.iter().map(|runner| result(runner)));
    let printed = children.read(table.args(write.then_some("--write")))?;
    Ok(String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect())
}

fn play(
    children: &Children<'_>,
    runner: &str,
    result: &Path,
    command: &[OsString],
) -> Result<(), Failure> {
    let mut harness = harness(children);
    harness.args(["run", "--runner", runner, "--result"]).arg(result).arg("--");
    children.run(harness.args(command))
}

/// Plays all flows to the package that this Python has installed. The table is not of them.
pub(crate) fn play_python(children: &Children<'_>, python: &Path) -> Result<(), Failure> {
    let folder = children.workspace.scratch("scenarios")?;
    for (runner, flags) in [("python-blocking", &[][..]), ("python-async", &["--async"])] {
        let mut words: Vec<OsString> = vec![python.into(), "-B".into()];
        words.push(children.workspace.root.join(PYTHON_RUNNER).into());
        words.extend(flags.iter().map(Into::into));
        play(children, runner, &folder.join("installed.json"), &words)?;
    }
    Ok(())
}

fn harness(children: &Children<'_>) -> std::process::Command {
    children.command(children.workspace.program("pos-scenarios"))
}
