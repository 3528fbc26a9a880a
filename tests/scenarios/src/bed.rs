//! The test bed as a process, by the server's clock that a scenario asks for.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pos_tests::line::{Place, Request};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::HarnessError;
use crate::flow::ServerClock;

/// How long a bed may take to come up on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A running bed. It ends, with all that it started, when this is dropped.
#[derive(Debug)]
pub struct Bed {
    /// The one line that it prints.
    pub told: Value,
    control: Place,
    _child: Child,
}

impl Bed {
    /// Starts `pos-testbed`.
    ///
    /// # Errors
    /// [`HarnessError::Program`] when it does not come up.
    pub async fn start(program: &Path, clock: ServerClock) -> Result<Self, HarnessError> {
        let failed = |cause: String| HarnessError::program(program.display(), cause);
        let mut command = by_clock(program, clock);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|cause| failed(cause.to_string()))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("has no output".into()))?;
        let mut line = String::new();
        let read = timeout(START_LIMIT, BufReader::new(stdout).read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return Err(failed("did not say where it is".into()));
        }
        let told: Value = serde_json::from_str(&line).map_err(|cause| failed(cause.to_string()))?;
        let url = told["control_url"].as_str().unwrap_or_default();
        let control = Place::new(url, "")?;
        Ok(Self { told, control, _child: child })
    }

    /// A call of the control address, such as `POST /faults`.
    ///
    /// # Errors
    /// [`HarnessError::Bed`] with what it answered.
    pub async fn control(&self, call: &str, body: &Value) -> Result<Value, HarnessError> {
        let (method, target) = call.split_once(' ').unwrap_or(("GET", call));
        let mut request = Request { method: method.into(), ..Request::post(target, body) };
        if body.is_null() {
            request.body = Vec::new();
        }
        Ok(self.control.json(&request).await?)
    }
}

/// The program, for a clock that is off under `libfaketime` (Debian's package `faketime`), which all
/// that it starts inherits. Only the wall clock is off: nobody's time-outs are. Not by the wrapper of that
/// package: it leaves a semaphore behind when it is killed, and a later process of the same number does
/// not start then.
fn by_clock(program: &Path, clock: ServerClock) -> Command {
    let offset = match clock {
        ServerClock::Right => return Command::new(program),
        ServerClock::AnHourAhead => "+1h",
        ServerClock::AnHourBehind => "-1h",
    };
    let library =
        format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    // Where it is missing the linker would go on without, and the clock be right.
    assert!(Path::new(&library).exists(), "{library} is missing: install the package faketime");
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library);
    command.env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}
