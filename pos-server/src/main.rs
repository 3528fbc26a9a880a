//! The server's binary: arguments, telemetry, signals, exit codes.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use pos_server::admin::{AdminError, Answer};
use pos_server::app::{self, Environment};
use pos_server::cli::{self, Action, Cli, Failure};
use pos_server::config::{Config, DEFAULT_FILE};
use pos_server::crash;
use pos_server::http::v1;
use pos_server::shutdown::{self, Trigger};
use pos_server::telemetry::logs::chain;
use pos_server::{admin, telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A payment allocates some 350 times (`docs/adr/0262-mimalloc-in-the-server.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.action {
        Action::Serve { crash_at } => {
            if let Some(plan) = crash_at.clone() {
                crash::plan(plan);
            }
            serve(&cli)
        }
        Action::CrashPoints => crash_points(),
        Action::Config => cli::print(DEFAULT_FILE).map_err(Failure::Io),
        Action::CheckConfig => cli::check_config(&cli),
        Action::Openapi => cli::print(&v1::document()).map_err(Failure::Io),
        Action::LowerTimeMark => cli::lower_time_mark(&cli),
        Action::RollAnswerKey => roll_answer_key(&cli),
        Action::Backup { folder } => {
            operate(&cli, |config, machine| admin::backup(config, machine, folder.clone()))
        }
        Action::Restore { backup, keys } => {
            operate(&cli, async |config, machine| admin::restore(&config, &machine, backup, keys))
        }
        Action::MoveDatabase { to_config, check } => move_database(&cli, to_config, *check),
        Action::Reconcile(arguments) => {
            operate(&cli, |config, machine| admin::reconcile(config, machine, arguments.clone()))
        }
        Action::Command(command) => {
            operate(&cli, |config, machine| admin::run(config, machine, command.clone()))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", chain(&failure));
            ExitCode::from(failure.code())
        }
    }
}

fn crash_points() -> Result<(), Failure> {
    Ok(cli::print_line(&serde_json::to_string(crash::POINTS).map_err(std::io::Error::from)?)?)
}

fn serve(cli: &Cli) -> Result<(), Failure> {
    let config = cli.settings()?;
    telemetry::logs::start(config.logs.level.into());
    let environment = cli::environment()?;
    app::runtime(&config.limits)?.block_on(async {
        let (trigger, shutdown) = shutdown::channel();
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(end_on_signal(signals, trigger));
        let announce = |announcement: &_| cli::print_line(&serde_json::to_string(announcement)?);
        Ok(app::serve(config, environment, announce, shutdown).await?)
    })
}

/// The first signal asks everything to finish; a second one does not wait for that.
async fn end_on_signal((mut terminate, mut interrupt): (Signal, Signal), trigger: Trigger) {
    let mut either = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    either().await;
    trigger.pull();
    either().await;
    std::process::exit(1);
}

fn roll_answer_key(cli: &Cli) -> Result<(), Failure> {
    let environment = cli::environment()?;
    let key = cli::roll_answer_key(&cli.settings()?, &environment)?;
    Ok(cli::print_line(&format!("answer key  {}", key.id()))?)
}

fn move_database(cli: &Cli, to_config: &Path, check: bool) -> Result<(), Failure> {
    let to = cli.other_settings(to_config)?;
    operate(cli, |from, machine| admin::move_database(from, to, machine, check))
}

/// Does what an operator asked for, and shows what came of it.
fn operate<F>(cli: &Cli, work: impl FnOnce(Config, Environment) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<Answer, AdminError>>,
{
    let config = cli.settings()?;
    // A command speaks by its answer; only what goes wrong beside it is logged.
    telemetry::logs::start(tracing::Level::WARN);
    let runtime = tokio::runtime::Runtime::new()?;
    cli.show(runtime.block_on(work(config, cli::environment()?)))
}
