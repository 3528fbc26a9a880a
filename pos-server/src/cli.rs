//! The command line: what it reads, how refusals and answers are shown, the exit codes.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use pos_protocol::key::PublicKey;

use crate::admin::{AdminError, Answer, Command, Reconcile};
use crate::app::{Environment, ServeError};
use crate::clocks::{self, TimeMarkError};
use crate::config::{self, Config, ConfigErrors};
use crate::connectors::institution_protocol::conformance::Conclusion;
use crate::crash;
use crate::data_folder::succession::{self, SuccessionFileError};
use crate::data_folder::{DataFolder, DataFolderError, Purpose, keys};
use crate::http::tls::TlsIdentity;
use crate::notices::Outbox;
use crate::telemetry::logs::chain;

/// The operator's server: keeps each shop's virtual POS and routes its payments to institutions
#[derive(Debug, Parser)]
#[command(name = "pos-server", version)]
pub struct Cli {
    /// The settings file; without one the defaults hold, see `pos-server config`
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder, whatever the settings file says
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_folder: Option<PathBuf>,
    /// Answer an operator's command with one JSON line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What the binary can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run the server; prints one JSON line with its addresses when it is ready
    Serve {
        /// For tests: die at this point (`POINT:abort`, `POINT:kill`, and `:N` for the N-th time)
        #[arg(long, hide = true)]
        crash_at: Option<crash::Plan>,
    },
    /// For tests: print the points at which the server can be made to die
    #[command(hide = true)]
    CrashPoints,
    /// Print every setting with its default and its meaning
    Config,
    /// Check the settings and the files they name, without starting anything
    CheckConfig,
    /// Print the OpenAPI 3.1 document of the calls that shops make
    Openapi,
    /// Make the next answer key, which the one in use signs for; stop the server first
    RollAnswerKey,
    /// Believe the present wall time after a wrong clock had run ahead; stop the server first
    LowerTimeMark,
    /// Make a backup of the database in a new folder, beside a running server or without one
    Backup {
        /// The folder to make
        folder: PathBuf,
    },
    /// Put a backup into a new, empty data folder
    Restore {
        /// The folder of the backup
        backup: PathBuf,
        /// The folder with the keys and `succession.json`, as they were copied
        #[arg(long, value_name = "FOLDER")]
        keys: PathBuf,
    },
    /// Move the embedded database to PostgreSQL, and compare them; stop the server first
    MoveDatabase {
        /// Settings that name the new database, with the same data folder
        #[arg(long, value_name = "FILE")]
        to_config: PathBuf,
        /// Only compare a database that was moved with the one it was moved to, before a server starts there
        #[arg(long)]
        check: bool,
    },
    /// Compare a day with an institution's settlement file; ends with 1 when they differ
    Reconcile(Reconcile),
    /// One of the operator's commands.
    #[command(flatten)]
    Command(Command),
}

/// Why the binary ends with a code that is not 0.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A command was refused.
    #[error("{0}")]
    Command(AdminError),
    /// The settings were refused.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Another process holds the data folder, or it cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// A command did what it should and found a fault, which it has shown.
    #[error("the check failed")]
    Finding,
    /// A command found no fault, but could not look everywhere; it has shown what it lacks.
    #[error("the check is incomplete")]
    Incomplete,
    /// Standard output is gone, or the system refused something of the kind.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server did not start, or stopped itself.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The time mark was not lowered.
    #[error(transparent)]
    TimeMark(#[from] TimeMarkError),
    /// The answer key was not rolled.
    #[error(transparent)]
    Succession(#[from] SuccessionFileError),
}

impl Failure {
    /// 2 for what the operator wrote (as for arguments), 3 for a check that is incomplete, 1 for
    /// everything else.
    pub fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Incomplete => 3,
            Self::Command(_)
            | Self::DataFolder(_)
            | Self::Finding
            | Self::Io(_)
            | Self::Serve(_)
            | Self::Succession(_)
            | Self::TimeMark(_) => 1,
        }
    }
}

impl Cli {
    /// The settings that this command line names.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn settings(&self) -> Result<Config, ConfigErrors> {
        config::load(self.config.as_deref(), self.data_folder.as_deref())
    }

    /// The settings of another file, with the data folder that this command line names.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn other_settings(&self, file: &Path) -> Result<Config, ConfigErrors> {
        config::load(Some(file), self.data_folder.as_deref())
    }

    /// Shows what a command answered or was refused for, as `--json` asks.
    ///
    /// # Errors
    /// The refusal itself, and a conformance run that found a fault or is incomplete.
    pub fn show(&self, reply: Result<Answer, AdminError>) -> Result<(), Failure> {
        match (&reply, self.json) {
            (Ok(answer), true) => {
                print_line(&serde_json::to_string(answer).map_err(io::Error::from)?)?
            }
            (Ok(answer), false) => print(&answer.text())?,
            (Err(error), true) => {
                print_line(&serde_json::json!({ "error": error }).to_string())?;
            }
            (Err(_), false) => {}
        }
        let answer = reply.map_err(Failure::Command)?;
        match answer.conclusion() {
            None | Some(Conclusion::Kept) => Ok(()),
            Some(Conclusion::Broken) => Err(Failure::Finding),
            Some(Conclusion::Incomplete) => Err(Failure::Incomplete),
        }
    }
}

/// Checks the settings, and the files that they name, as far as this can be done without starting.
///
/// # Errors
/// Everything that is wrong.
pub fn check_config(cli: &Cli) -> Result<(), Failure> {
    let config = cli.settings()?;
    let mut errors = Vec::new();
    let mut refuse = |setting: &str, problem: String| {
        errors.push(config::refusal(cli.config.as_deref(), setting, problem));
    };
    if let Some((_, certificate, key)) = config.tls_address()
        && let Err(cause) = TlsIdentity::load(certificate, key)
    {
        let setting = if cause.is_about(key) { "tls.key" } else { "tls.certificate" };
        refuse(setting, cause.to_string());
    }
    for (setting, cause) in keys::check_named(&config) {
        refuse(setting, cause.to_string());
    }
    // The mail transport keeps its connections in a runtime, and opens none yet.
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let _inside = runtime.enter();
    if let Err(cause) = Outbox::new(&config) {
        refuse(cause.setting(), chain(&cause));
    }
    if errors.is_empty() {
        Ok(print("the settings are good\n")?)
    } else {
        Err(ConfigErrors(errors).into())
    }
}

/// Makes the next answer key. Gives its public half.
///
/// # Errors
/// A server that runs on the data folder, or a file that is not as it should be.
pub fn roll_answer_key(config: &Config, environment: &Environment) -> Result<PublicKey, Failure> {
    let folder = DataFolder::open(&config.data_folder, Purpose::Command)?;
    let (entropy, now) = (environment.entropy.as_ref(), environment.clock.now());
    Ok(succession::roll(&folder, &config.keys, entropy, now)?)
}

/// Takes the present wall time as right.
///
/// # Errors
/// A server that runs on the data folder, or a file that cannot be written.
pub fn lower_time_mark(cli: &Cli) -> Result<(), Failure> {
    let (config, environment) = (cli.settings()?, environment()?);
    let folder = DataFolder::open(&config.data_folder, Purpose::Command)?;
    Ok(clocks::lower_mark(&folder, environment.clock.now())?)
}

/// The machine's own clocks and random generator.
///
/// # Errors
/// The machine gives no random octets.
pub fn environment() -> Result<Environment, Failure> {
    Ok(Environment::of_the_system().map_err(ServeError::Start)?)
}

/// Writes to standard output, at once.
///
/// # Errors
/// Standard output is closed.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// As [`print()`], with a line feed after it.
///
/// # Errors
/// Standard output is closed.
pub fn print_line(text: &str) -> io::Result<()> {
    print(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The path of every command: `institution add`, `serve`.
    fn commands() -> Vec<String> {
        let cli = Cli::command();
        let mut paths = Vec::new();
        for command in cli.get_subcommands() {
            let name = command.get_name();
            let below: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
            if below.is_empty() {
                paths.push(name.to_owned());
            }
            paths.extend(below.into_iter().map(|inner| format!("{name} {inner}")));
        }
        paths
    }

    #[test]
    fn the_operators_page_tells_of_every_command_and_of_no_other() {
        const PAGE: &str = include_str!("../../docs/OPERATIONS.md");
        let commands = commands();
        assert!(commands.len() >= 20, "{commands:?}");
        for command in &commands {
            let line = format!("pos-server {command}");
            let told = PAGE.match_indices(&line).any(|(at, _)| {
                !PAGE[at + line.len()..].starts_with(|c: char| c == '-' || c.is_alphanumeric())
            });
            assert!(told, "OPERATIONS.md does not tell of `{line}`");
        }
        for line in PAGE.lines().filter_map(|line| line.strip_prefix("pos-server ")) {
            let known = commands.iter().any(|command| {
                let rest = line.strip_prefix(command.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            });
            assert!(known, "OPERATIONS.md tells of `pos-server {line}`, which is no command");
        }
    }

    #[test]
    fn options_may_stand_on_either_side_of_the_command() {
        for line in [
            "pos-server --json --data-folder d task list",
            "pos-server task list --json --data-folder d",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.json && matches!(cli.action, Action::Command(Command::Task(_))), "{line}");
            assert_eq!(cli.settings().unwrap().data_folder, PathBuf::from("d"));
        }
    }
}
