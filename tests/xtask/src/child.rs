//! Child processes: where they start, what they inherit, and how long they may run.

use std::{
    collections::HashMap,
    env,
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::{failure::Failure, workspace::Workspace};

/// What `cargo run` adds to our environment. Build scripts (ring's, for one) ask to be run again
/// when such a variable changes, so inheriting them would compile much of the tree twice.
const SET_BY_CARGO_RUN: &[&str] =
    &["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_", "OUT_DIR"];

/// Starts the children of one part and ends them when the part runs far over its budget.
pub(crate) struct Children<'a> {
    /// Where they work.
    pub(crate) workspace: &'a Workspace,
    started: Instant,
    limit: Duration,
}

impl<'a> Children<'a> {
    /// Children that together may run for `limit` from now on.
    pub(crate) fn within(limit: Duration, workspace: &'a Workspace) -> Self {
        Self { workspace, started: Instant::now(), limit }
    }

    /// `cargo` with these arguments; add more, or variables, before running it.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("cargo");
        command.args(arguments);
        command
    }

    /// Any program, started in the repository's root.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command(self.workspace, program)
    }

    /// Runs a child with its output shown as it comes. Its command line goes to standard error: the
    /// standard output of a program that is built and started belongs to that program alone.
    pub(crate) fn run(&self, command: &mut Command) -> Result<(), Failure> {
        eprintln!("+ {}", shown(command));
        let output = self.wait(command)?;
        ended_well(command, &output)
    }

    /// Runs a child and returns its standard output; standard error is shown as it comes.
    pub(crate) fn read(&self, command: &mut Command) -> Result<Vec<u8>, Failure> {
        let output = self.wait(command.stdout(Stdio::piped()))?;
        ended_well(command, &output)?;
        Ok(output.stdout)
    }

    /// Whether a child can be started and ends well; its output is dropped.
    pub(crate) fn succeeds(&self, command: &mut Command) -> bool {
        let silenced = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.wait(silenced).is_ok_and(|output| output.status.success())
    }

    /// Starts a server and waits for its first line, by which it says that it is ready. Its standard
    /// input stays open as long as the handle, and it is ended when that goes.
    pub(crate) fn start(&self, command: &mut Command) -> Result<Running, Failure> {
        eprintln!("+ {}", shown(command));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let child = child.map_err(|source| Failure::Start { command: shown(command), source })?;
        let mut running = Running { child, told: String::new() };
        let output = running.child.stdout.take();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let first = output.and_then(|output| BufReader::new(output).lines().next());
            sender.send(first.and_then(Result::ok))
        });
        match receiver.recv_timeout(self.limit.saturating_sub(self.started.elapsed())) {
            Ok(Some(first)) => {
                running.told = first;
                Ok(running)
            }
            Ok(None) | Err(_) => {
                Err(Failure::Check(format!("`{}` did not say that it is ready", shown(command))))
            }
        }
    }

    fn wait(&self, command: &mut Command) -> Result<Output, Failure> {
        let child =
            command.spawn().map_err(|source| Failure::Start { command: shown(command), source })?;
        let id = child.id();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait_with_output()));
        let remaining = self.limit.saturating_sub(self.started.elapsed());
        match receiver.recv_timeout(remaining) {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(source)) => Err(Failure::Start { command: shown(command), source }),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                end_with_descendants(id);
                let minutes = self.started.elapsed().as_secs() / 60;
                Err(Failure::TimeOut { command: shown(command), minutes })
            }
        }
    }
}

/// A server that runs until this handle goes.
pub(crate) struct Running {
    child: Child,
    told: String,
}

impl Running {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The line by which it said that it is ready.
    pub(crate) fn told(&self) -> &str {
        &self.told
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has already ended cannot be killed, and nothing is lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command in the repository's root, with the environment that every child shares.
pub(crate) fn command(workspace: &Workspace, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("CARGO_INCREMENTAL", "0");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if SET_BY_CARGO_RUN.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// The line that a person would type, without our environment.
pub(crate) fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn ended_well(command: &Command, output: &Output) -> Result<(), Failure> {
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Exit { command: shown(command), status: output.status })
}

/// Kills a child and all that it started, by id. Killing cargo alone would leave a hanging test
/// binary behind.
fn end_with_descendants(id: u32) {
    let ids = family(id, &parents());
    let arguments = ids.iter().map(u32::to_string);
    // When `kill` cannot be started nothing more can be done; the time-out is reported anyway.
    let _ = Command::new("kill").arg("-KILL").args(arguments).status();
}

/// `first` and everything below it, parents before children.
fn family(first: u32, parents: &HashMap<u32, u32>) -> Vec<u32> {
    let mut family = vec![first];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = parents.iter().filter(|&(id, of)| *of == parent && !family.contains(id));
        let children: Vec<u32> = children.map(|(&id, _)| id).collect();
        family.extend(children);
        next = next.saturating_add(1);
    }
    family
}

/// Every process with its parent, from `/proc`; empty where there is none.
fn parents() -> HashMap<u32, u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    let stats = entries.flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        Some((id, parent_in(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
    });
    stats.collect()
}

/// The fourth field of `/proc/<id>/stat` (proc(5)). The second, the name, may hold blanks and
/// parentheses, so the fields are counted from its last `)`.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children(workspace: &Workspace, limit: Duration) -> Children<'_> {
        Children::within(limit, workspace)
    }

    fn here() -> Workspace {
        Workspace { root: env::temp_dir(), target: env::temp_dir() }
    }

    #[test]
    fn the_parent_is_found_behind_an_odd_name() {
        assert_eq!(parent_in("41 (a) S 7 (b)) S 12 41 41 0 -1"), Some(12));
        assert_eq!(parent_in("41"), None);
    }

    #[test]
    fn a_family_holds_grandchildren_and_no_strangers() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (2000, 0)]);
        assert_eq!(family(2, &parents), [2, 3, 4]);
    }

    #[test]
    fn an_exit_code_is_a_failure_that_names_the_command() {
        let workspace = here();
        let children = children(&workspace, Duration::from_secs(60));
        let failure = children
            .run(children.command("sh").args(["-c", "exit 3"]))
            .expect_err("exit code 3 is no success");
        assert!(failure.to_string().starts_with("`sh -c exit 3` ended with"), "{failure}");
    }

    #[test]
    fn what_a_child_prints_can_be_read() {
        let workspace = here();
        let children = children(&workspace, Duration::from_secs(60));
        let read = children.read(children.command("echo").arg("a line")).expect("echo runs");
        assert_eq!(read, b"a line\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_server_is_ready_with_its_first_line_and_ends_with_its_handle() {
        let workspace = here();
        let children = children(&workspace, Duration::from_secs(60));
        let mut server = children.command("sh");
        server.args(["-c", "echo ready; exec tail -f /dev/null"]);
        let running = children.start(&mut server).expect("it says so");
        assert_eq!(running.told(), "ready");
        let id = running.id().to_string();
        drop(running);
        assert!(!runs_tail(&id), "the server still runs");
        let mut mute = children.command("sh");
        assert!(children.start(mute.args(["-c", "exit 0"])).is_err());
    }

    #[test]
    fn a_missing_program_is_no_success() {
        let workspace = here();
        let children = children(&workspace, Duration::from_secs(60));
        assert!(!children.succeeds(&mut children.command("no-such-program-anywhere")));
    }

    /// Ending the shell alone would leave its own child running for ever.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_over_the_limit_is_ended_with_its_own_children() {
        let workspace = here();
        let children = children(&workspace, Duration::from_millis(500));
        let note = env::temp_dir().join(format!("xtask-grandchild-{}", std::process::id()));
        let script = format!("tail -f /dev/null & echo $! > {}; wait", note.display());
        let mut command = children.command("sh");
        let failure = children.run(command.args(["-c", &script])).expect_err("it never ends");
        assert!(matches!(failure, Failure::TimeOut { .. }), "{failure}");
        let grandchild = fs::read_to_string(&note).expect("the shell noted its child");
        fs::remove_file(&note).expect("the note can be removed");
        let asked = Instant::now();
        while runs_tail(grandchild.trim()) {
            assert!(asked.elapsed() < Duration::from_secs(10), "the grandchild still runs");
            thread::yield_now();
        }
    }

    #[cfg(target_os = "linux")]
    fn runs_tail(id: &str) -> bool {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.starts_with(b"tail\0-f\0/dev/null")
    }
}
