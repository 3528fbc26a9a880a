//! `pos-institution`: serves the example institutions, and makes their keys.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use pos_institution::args::{Command, Serve, Verb};
use pos_institution::house::House;
use pos_institution::keys::change_seal_key;
use pos_server::env::{Clock as _, SystemClock};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = match Command::parse().verb {
        Verb::All(serve) => run(&serve, &House::ALL),
        Verb::Card(serve) => run(&serve, &[House::Card]),
        Verb::Bank(serve) => run(&serve, &[House::Bank]),
        Verb::Prepaid(serve) => run(&serve, &[House::Prepaid]),
        Verb::Keys { data } => make_keys(&data),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pos-institution: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(serve: &Serve, houses: &[House]) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut running = pos_institution::start(serve.options(houses)).await?;
        say(&serde_json::to_string(running.announcement())?)?;
        wait_for_the_end(serve.until_stdin_closes).await?;
        running.stop().await;
        Ok::<(), Box<dyn Error>>(())
    })?;
    // A blocked read of standard input must not keep the process.
    runtime.shutdown_background();
    Ok(())
}

async fn wait_for_the_end(until_stdin_closes: bool) -> Outcome {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stdin_closed = async {
        if !until_stdin_closes {
            std::future::pending::<()>().await;
        }
        let mut ignored = [0; 256];
        let mut stdin = tokio::io::stdin();
        while stdin.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closed => {}
    }
    Ok(())
}

fn make_keys(data: &Path) -> Outcome {
    let clock = SystemClock;
    for house in House::ALL {
        let id = house.id();
        let version = change_seal_key(&data.join(id.as_str()), &id, clock.now())?;
        say(&format!("{id}: seal key set version {version}"))?;
    }
    Ok(())
}

fn say(line: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
