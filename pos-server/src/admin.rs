//! The operator's commands: defined once, run in this process or inside a running server.
//!
//! A command takes the data folder's lock and does its work itself. Where a server has the lock,
//! the command travels to it as one JSON line through a socket in the data folder, and the server
//! runs the same code. Either way the caller sees one [`Answer`] or one [`AdminError`].

mod answer;
mod backup;
mod command;
mod execute;
mod moving;
mod reconcile;
mod socket;
mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use answer::{
    Answer, Check, ContractRow, InstitutionRow, InstitutionTaskDetail, KeyRow, Mark, MovedTable,
    PosRow, ShopDetail, ShopRow, TaskDetail, TaskRow,
};
pub use backup::{backup, restore};
pub use command::{
    Command, ContractAdd, InstitutionAdd, InstitutionCheck, InstitutionCommand, InstrumentList,
    KeyCommand, PemText, PosAdd, PosCommand, Purpose, Reconcile, ReconcileDay, ReconcileStep,
    ShopAdd, ShopCommand, TaskCommand,
};
pub use execute::execute;
use execute::{Prober, institution_check};
pub use moving::move_database;
pub use reconcile::reconcile;
pub use socket::AdminSocket;
pub(crate) use table::date;

use crate::app::{App, Environment};
use crate::config::Config;
use crate::data_folder::{self, DataFolder, DataFolderError};
use crate::telemetry::logs::chain;

/// What a refused command is about, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is there already, or contradicts what is there.
    Conflict,
    /// The server failed; its log says more.
    Internal,
    /// An argument cannot be taken.
    Invalid,
    /// There is nothing under this id.
    NotFound,
    /// What the command needs cannot be reached now.
    Unavailable,
}

/// A refused command: printed to the operator as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct AdminError {
    /// What it is about.
    pub kind: Kind,
    /// What was wrong and what to do, as a sentence.
    pub message: String,
}

impl AdminError {
    /// A refusal of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How long a command waits for a server that is just starting, or for another command.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `command` on the data folder of `config`, beside a running server or without one.
///
/// # Errors
/// What the command was refused for, or why the folder could not be used.
pub async fn run(
    config: Config,
    environment: Environment,
    command: Command,
) -> Result<Answer, AdminError> {
    let (app, command) = match send_or_build(config, environment, command).await? {
        Sent::Answered(answer) => return Ok(*answer),
        Sent::Here(app, command) => (app, command),
    };
    if let Command::Institution(InstitutionCommand::Check(check)) = command {
        // It takes minutes and needs nothing of the folder but a key: a server may start meanwhile.
        let prober = Prober::of(&app);
        App::close(app).await;
        return institution_check(&prober, *check).await;
    }
    let reply = execute(&app, command).await;
    App::close(app).await;
    reply
}

/// Where a command was done, or is to be done.
enum Sent {
    /// By a running server.
    Answered(Box<Answer>),
    /// Nobody has the data folder, so it is done in this process.
    Here(Arc<App>, Command),
}

/// Sends `command` to the server that has the data folder, or takes the folder.
async fn send_or_build(
    config: Config,
    environment: Environment,
    command: Command,
) -> Result<Sent, AdminError> {
    let began = tokio::time::Instant::now();
    let folder = loop {
        let held = match DataFolder::open(&config.data_folder, data_folder::Purpose::Command) {
            Ok(folder) => break folder,
            Err(held @ DataFolderError::Held { .. }) => held,
            Err(other) => return Err(unavailable(&other)),
        };
        // A server that starts has the lock a moment before its socket, one that ends a moment
        // longer; another command never has a socket.
        match socket::call(&config.data_folder, &command).await {
            Ok(reply) => return reply.map(|answer| Sent::Answered(Box::new(answer))),
            Err(socket::CallError::NobodyListens) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(socket::CallError::NobodyListens) => return Err(unavailable(&held)),
            Err(cause) => return Err(unavailable(&cause)),
        }
    };
    let app =
        App::build(config, folder, None, environment).await.map_err(|cause| unavailable(&cause))?;
    Ok(Sent::Here(app, command))
}

fn unavailable(cause: &(dyn std::error::Error + 'static)) -> AdminError {
    AdminError::new(Kind::Unavailable, chain(cause))
}

/// Answers commands that come through `socket` until `shutdown` is asked for.
pub async fn serve(socket: AdminSocket, app: Arc<App>, shutdown: crate::shutdown::Shutdown) {
    let handler = move |command| {
        let app = Arc::clone(&app);
        async move { execute(&app, command).await }
    };
    socket.serve(handler, shutdown).await;
}
