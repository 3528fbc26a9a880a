//! The whole story, told line by line: real server, real institutions, a shop's real module.
//!
//! Every line that claims something was checked before it is printed, against the module's answer
//! and against the institution's own ledger. Run it with `cargo demo`; `--stay` keeps everything
//! running.

mod shop;
mod stay;
mod story;
mod tell;

use std::process::ExitCode;

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
    let mut teller = Teller::new();
    match Box::pin(run(&arguments, &mut teller)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            teller.failed(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, teller: &mut Teller) -> Result<(), tell::Failure> {
    teller.chapter("Start", "the operator's server and three institutions, processes of their own");
    let options = BedOptions { shops: 0, ..BedOptions::default() };
    let bed = Box::pin(teller.waiting("starting", Bed::start(&options))).await?;
    teller.line(&format!("server        {}", bed.server.address().url));
    for one in bed.institutions.all() {
        teller.line(&format!("institution   {}  {}", one.url, one.id));
    }
    let told = Box::pin(story::tell(&bed, teller)).await;
    if told.is_err() {
        teller.logs(&bed.logs().await);
    }
    let kit = told?;
    teller.summary();
    if arguments.stay {
        stay::stay(bed, kit, teller).await?;
    }
    Ok(())
}
