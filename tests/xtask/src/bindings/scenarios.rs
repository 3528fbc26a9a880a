//! The shared flows, played to every language's package (`tests/scenarios/README.md`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::{c, npm, php, python};
use crate::{build, child::Children, failure::Failure, parts::Figures, workspace::Workspace};

/// The page whose table a run writes.
const PAGE: &str = "docs/BINDINGS.md";

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
    let words = ["env".into(), package].into_iter();
    words.chain(python_of(at, "python3".as_ref(), flags)).collect()
}

/// With whatever package this Python finds.
fn python_of(at: &Workspace, python: &Path, flags: &[&str]) -> Vec<OsString> {
    let runner = at.root.join("bindings/uniffi/python/tests/runner.py");
    let words = [python.into(), "-B".into(), runner.into()];
    words.into_iter().chain(flags.iter().map(Into::into)).collect()
}

fn php(at: &Workspace, flags: &[OsString]) -> Vec<OsString> {
    php_of(at, &php::autoload(at), flags)
}

/// With the package of this project.
fn php_of(at: &Workspace, autoload: &Path, flags: &[OsString]) -> Vec<OsString> {
    let mut project = OsString::from("POS_AUTOLOAD=");
    project.push(autoload);
    let runner = at.root.join("bindings/php/tests/runner.php").into();
    let words = [OsString::from("env"), project, "php".into()];
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
    let plays = chosen.iter().map(|runner| Play {
        runner: runner.name,
        result: result(runner),
        command: (runner.command)(children.workspace),
    });
    play_at_once(children, &plays.collect::<Vec<_>>())?;
    if only.is_some() {
        return Ok(Vec::new());
    }
    let mut table = harness(children);
    table.arg("table").arg(PAGE).args(chosen.iter().map(|runner| result(runner)));
    let printed = children.read(table.args(write.then_some("--write")))?;
    Ok(String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect())
}

/// One runner's turn.
struct Play {
    runner: &'static str,
    result: PathBuf,
    command: Vec<OsString>,
}

fn play_at_once(children: &Children<'_>, plays: &[Play]) -> Result<(), Failure> {
    let waiting = Mutex::new(plays.iter());
    let failures = Mutex::new(Vec::new());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(play) = next() {
                    let mut harness = harness(children);
                    harness.args(["run", "--runner", play.runner, "--result"]).arg(&play.result);
                    let played = children.run(harness.arg("--").args(&play.command));
                    if let (Err(failure), Ok(mut failures)) = (played, failures.lock()) {
                        failures.push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    failures.into_iter().next().map_or(Ok(()), Err)
}

/// Plays all flows to packages as a shop has installed them; the table is not of these.
fn play_installed(
    children: &Children<'_>,
    runners: impl IntoIterator<Item = (&'static str, Vec<OsString>)>,
) -> Result<(), Failure> {
    let folder = children.workspace.scratch("scenarios-installed")?;
    let play = |(number, (runner, command)): (usize, _)| Play {
        runner,
        result: folder.join(format!("{number}.json")),
        command,
    };
    let plays: Vec<_> = runners.into_iter().enumerate().map(play).collect();
    play_at_once(children, &plays)
}

/// To the package that this Python has.
pub(crate) fn play_python(children: &Children<'_>, python: &Path) -> Result<(), Failure> {
    let command = |flags| python_of(children.workspace, python, flags);
    let (blocking, on_asyncio) = (command(&[]), command(&["--async"]));
    play_installed(children, [("python-blocking", blocking), ("python-async", on_asyncio)])
}

/// To the package of this project, over FFI and over the extension that these flags load.
pub(crate) fn play_php(
    children: &Children<'_>,
    autoload: &Path,
    flags: &[OsString],
) -> Result<(), Failure> {
    let command = |flags| php_of(children.workspace, autoload, flags);
    play_installed(children, [("php-ffi", command(&[])), ("php-extension", command(flags))])
}

/// To these programs, each linked with a library for C.
pub(crate) fn play_c(children: &Children<'_>, programs: &[PathBuf]) -> Result<(), Failure> {
    play_installed(children, programs.iter().map(|program| ("c", vec![program.into()])))
}

fn harness(children: &Children<'_>) -> std::process::Command {
    children.command(children.workspace.program("pos-scenarios"))
}
