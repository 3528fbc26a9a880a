//! `pos-testbed`: server, institutions and a registered shop on free ports of this machine, told in
//! one JSON line. Ends, with all that it started, when its standard input closes.

use std::io::Write as _;
use std::process::ExitCode;

use pos_tests::testbed::Testbed;
use pos_tests::{BedError, BedOptions};
use tokio::io::AsyncReadExt as _;

/// Shops whose enrolment code is left for the client under test.
const UNREGISTERED: usize = 5;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pos-testbed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BedError> {
    let options = BedOptions { unregistered: UNREGISTERED, ..BedOptions::default() };
    let testbed = Testbed::start(options).await?;
    say(&testbed.announcement()?.to_string())
        .map_err(|source| BedError::System { action: "writing the one line".into(), source })?;
    let mut ignored = [0; 256];
    let mut stdin = tokio::io::stdin();
    while stdin.read(&mut ignored).await.is_ok_and(|length| length > 0) {}
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
