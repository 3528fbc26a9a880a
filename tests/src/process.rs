//! Programs of the workspace as processes of their own.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::error::BedError;
use crate::folder::Folder;
use crate::raw;

/// How long a program may take to say where it listens, on a machine that has much else to do.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How much of a log is shown when something fails.
const TAIL_OCTETS: u64 = 4096;

/// Where a program of the workspace lies: beside this one. Tests run one folder further down.
///
/// # Errors
/// [`BedError::System`] when it is not there: it was not built.
pub fn program(name: &str) -> Result<PathBuf, BedError> {
    let action =
        format!("looking for {name} (build it with `cargo xtask` or `cargo build --bins`)");
    let here = env::current_exe().map_err(BedError::system(action.clone()))?;
    let folders = here.ancestors().skip(1).take(2);
    let mut candidates = folders.map(|folder| folder.join(name));
    let found = candidates.find(|path| path.is_file());
    found.ok_or_else(|| BedError::system(action)(std::io::ErrorKind::NotFound.into()))
}

/// Ports that are free now. Below those that systems hand out for outgoing connections: a client that
/// calls a server which is just down could otherwise be given the server's own port, and meet
/// itself.
///
/// # Errors
/// [`BedError::Unknown`] when there are not as many.
pub fn free_ports<const N: usize>() -> Result<[u16; N], BedError> {
    const FIRST: u16 = 10_000;
    const SPAN: u16 = 22_000;
    let mut held = Vec::new();
    for _ in 0..1_000 {
        let port = FIRST.saturating_add(u16::from_le_bytes(raw::random()) % SPAN);
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(|held| (port, held)));
        let ports = held.iter().map(|(port, _)| *port).collect::<Vec<_>>();
        if let Ok(ports) = ports.try_into() {
            return Ok(ports);
        }
    }
    Err(BedError::Unknown(format!("{N} free ports")))
}

/// A running program. Killed when it is dropped, and by the folder's guard when this process ends.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    id: u32,
    id_file: PathBuf,
    log: PathBuf,
    /// Programs that end when their standard input closes see this end of it.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts `name` with `arguments` in `folder` and reads the line in which it says where it
    /// listens. Its log goes to `<name>.log` there, behind that of an earlier run.
    ///
    /// # Errors
    /// [`BedError::Ended`] with the end of the log when it did not come up.
    pub async fn start<T: DeserializeOwned>(
        name: &str,
        arguments: &[&str],
        folder: &Folder,
    ) -> Result<(Self, T), BedError> {
        Self::start_in(name, arguments, folder, &[]).await
    }

    /// The same with these variables of its environment.
    ///
    /// # Errors
    /// [`BedError::Ended`] as before.
    pub async fn start_in<T: DeserializeOwned>(
        name: &str,
        arguments: &[&str],
        folder: &Folder,
        environment: &[(&str, OsString)],
    ) -> Result<(Self, T), BedError> {
        let log = folder.path().join(format!("{name}.log"));
        let mut options = OpenOptions::new();
        let stderr = options.create(true).append(true).open(&log);
        let mut child = Command::new(program(name)?)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.map_err(BedError::system("opening a log"))?)
            // Ctrl-C is for whoever started the bed; the bed ends the others.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(BedError::system(format!("starting {name}")))?;
        let id = child.id().unwrap_or_default();
        let id_file = folder.id_file(id);
        fs::write(&id_file, name).map_err(BedError::system("noting a process"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut process = Self { name: name.into(), child, id, id_file, log, _stdin: stdin };
        let line = process.first_line(stdout).await?;
        let announced = serde_json::from_str(&line)
            .map_err(BedError::answer(format!("what {name} announced ({})", line.trim_end())))?;
        Ok((process, announced))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Kills it as a power cut would: SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub async fn kill(mut self) -> Result<(), BedError> {
        let ended = self.child.kill().await;
        ended.map_err(BedError::system(format!("killing {}", self.name)))
    }

    /// Asks it to end as a supervisor does (SIGTERM) and waits until it has, at most `limit`.
    ///
    /// # Errors
    /// [`BedError::Ended`] when it takes longer; it is killed then.
    pub async fn end(mut self, limit: Duration) -> Result<ExitStatus, BedError> {
        self.ask_to_end().await?;
        match timeout(limit, self.child.wait()).await {
            Ok(status) => status.map_err(BedError::system(format!("waiting for {}", self.name))),
            Err(_) => Err(self.failed(format!("did not end within {} s", limit.as_secs()))),
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has died by itself, by whatever signal.
    ///
    /// # Errors
    /// [`BedError::Ended`] when it lives longer, or ended otherwise than by a signal.
    pub async fn died(mut self, limit: Duration) -> Result<(), BedError> {
        match timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.signal().is_some() => Ok(()),
            Ok(ended) => Err(self.failed(format!("ended instead of dying: {ended:?}"))),
            Err(_) => Err(self.failed(format!("did not die within {} s", limit.as_secs()))),
        }
    }

    /// Sends SIGTERM and does not wait.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub async fn ask_to_end(&self) -> Result<(), BedError> {
        // `kill` of the shell: the standard library sends no other signal than SIGKILL.
        let id = self.id.to_string();
        let sent = Command::new("/bin/sh").args(["-c", "kill -TERM \"$1\"", "kill", &id]).status();
        sent.await.map(drop).map_err(BedError::system(format!("sending SIGTERM to {}", self.name)))
    }

    /// Resident memory now, in octets, as the kernel counts it.
    ///
    /// # Errors
    /// [`BedError::System`] when the process is gone.
    pub fn resident_octets(&self) -> Result<u64, BedError> {
        self.status("VmRSS:")
    }

    /// The most that was resident since it started, in octets.
    ///
    /// # Errors
    /// [`BedError::System`] when the process is gone.
    pub fn most_resident_octets(&self) -> Result<u64, BedError> {
        self.status("VmHWM:")
    }

    /// A line of proc_pid_status(5) that counts in units of 1,024 octets.
    fn status(&self, name: &str) -> Result<u64, BedError> {
        let path = format!("/proc/{}/status", self.id);
        let status = fs::read_to_string(&path).map_err(BedError::system(path))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let kib = kib.ok_or_else(|| BedError::Unknown(format!("{name} of {}", self.name)))?;
        Ok(kib.saturating_mul(1024))
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        tail_of(&self.log)
    }

    async fn first_line(&mut self, stdout: Option<ChildStdout>) -> Result<String, BedError> {
        let Some(stdout) = stdout else { return Err(self.failed("has no standard output".into())) };
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        match timeout(START_LIMIT, stdout.read_line(&mut line)).await {
            Ok(Ok(length)) if length > 0 => {}
            Ok(_) => return Err(self.failed("ended before it listened".into())),
            Err(_) => return Err(self.failed("did not say where it listens".into())),
        }
        // A full pipe would stop a program that says more than the one line.
        tokio::spawn(async move {
            let mut rest = [0; 512];
            while stdout.read(&mut rest).await.is_ok_and(|length| length > 0) {}
        });
        Ok(line)
    }

    fn failed(&self, what: String) -> BedError {
        BedError::Ended { program: self.name.clone(), what, tail: self.tail() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Before the child is killed and its id free again: the guard must not kill a stranger.
        let _ = fs::remove_file(&self.id_file);
    }
}

pub(crate) fn tail_of(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_OCTETS)))?;
        let mut octets = Vec::new();
        file.read_to_end(&mut octets)?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    };
    read().unwrap_or_else(|cause| format!("({}: {cause})", log.display()))
}
