//! The whole story, told line by line: real server, real institutions, a shop's real module.
//!
//! Every line that claims something was checked before it is printed, against the module's answer
//! and against the institution's own ledger. Run it with `cargo demo`; `--stay` keeps everything
//! running.

mod shop;
mod story;
mod tell;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use pos_tests::{Bed, BedOptions};

use tell::Teller;

/// Tells the story of a payment with the real programs
#[derive(Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// Keep everything running at the end, and say what to try
    #[arg(long)]
    stay: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut teller = Teller::default();
    match Box::pin(run(&arguments, &mut teller)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            teller.failed(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, teller: &mut Teller) -> Result<(), tell::Failure> {
    let began = Instant::now();
    teller.chapter("Start", "the operator's server and three institutions, processes of their own");
    let options = BedOptions { shops: 0, ..BedOptions::default() };
    let bed = teller.waiting("starting", Bed::start(&options)).await?;
    teller.line(&format!("server        {}", bed.server.address().url));
    for one in bed.institutions.all() {
        teller.line(&format!("institution   {}  {}", one.url, one.id));
    }
    story::tell(&bed, teller).await?;
    let seconds = began.elapsed().as_secs_f64();
    teller.summary(seconds);
    if arguments.stay {
        stay(&bed, teller).await?;
    }
    Ok(())
}

/// Prints what to try, and waits for the end of the terminal's input or an interrupt.
async fn stay(bed: &Bed, teller: &mut Teller) -> Result<(), tell::Failure> {
    let server = bed.server.address();
    let data = bed.folder().join("server");
    let program = pos_tests::process::program("pos-server")?;
    teller.chapter("Try", "everything keeps running; end with Ctrl-C");
    for line in [
        format!("curl {}/readyz", server.url),
        format!("curl {}/v1/openapi.json", server.url),
        format!("{} shop list --data-folder {}", program.display(), data.display()),
        format!("{} institution list --data-folder {}", program.display(), data.display()),
        format!("{} task list --data-folder {}", program.display(), data.display()),
        format!("curl {}   # faults, ledgers, test instruments", bed.institutions.control_url()),
    ] {
        teller.line(&line);
    }
    tokio::signal::ctrl_c().await.map_err(tell::Failure::Signal)
}
