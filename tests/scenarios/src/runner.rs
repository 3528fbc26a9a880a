//! A runner: the program of a language that makes the calls.

use std::ffi::OsString;
use std::future::Future;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::HarnessError;

/// An answer, or what came in its place.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>>;

/// Whoever makes the calls: a program, or a double in a test.
pub trait Runner: Send {
    /// Sends one request and waits for its answer.
    fn ask<'a>(&'a mut self, request: &'a str, within: Duration) -> Asked<'a>;
}

/// A runner as a process.
#[derive(Debug)]
pub struct Program {
    command: Vec<OsString>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// A program with its arguments. It is started with the first request, and again after a crash.
    ///
    /// # Errors
    /// [`HarnessError::Program`] where there is none.
    pub fn new(command: Vec<OsString>) -> Result<Self, HarnessError> {
        if command.is_empty() {
            return Err(HarnessError::program("a runner", "has no command"));
        }
        Ok(Self { command, running: None })
    }

    fn start(&self) -> Result<Running, String> {
        let (program, arguments) = self.command.split_first().ok_or("no command")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| format!("{}: {cause}", program.display()))?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        Ok(Running { child, stdin, stdout: BufReader::new(stdout) })
    }

    async fn try_ask(&mut self, request: &str, within: Duration) -> Result<Value, String> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start()?,
        };
        let mut line = String::new();
        let exchange = async {
            running.stdin.write_all(request.as_bytes()).await?;
            running.stdin.write_all(b"\n").await?;
            running.stdin.flush().await?;
            running.stdout.read_line(&mut line).await
        };
        match timeout(within, exchange).await {
            Ok(Ok(1..)) => {}
            Ok(_) => {
                let ended = timeout(Duration::from_secs(5), running.child.wait()).await;
                let how = match ended {
                    Ok(Ok(status)) => status.to_string(),
                    Ok(Err(cause)) => cause.to_string(),
                    Err(_) => "and does not end".into(),
                };
                return Err(format!("the runner stopped answering ({how})"));
            }
            // Dropped, and so killed.
            Err(_) => return Err(format!("no answer within {} s", within.as_secs())),
        }
        let answer = serde_json::from_str(&line)
            .map_err(|cause| format!("the answer is no JSON ({cause}): {line}"));
        self.running = Some(running);
        answer
    }
}

impl Runner for Program {
    fn ask<'a>(&'a mut self, request: &'a str, within: Duration) -> Asked<'a> {
        Box::pin(self.try_ask(request, within))
    }
}
