//! `pos-server move-database`.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use super::answer::MovedTable;
use super::{AdminError, Answer, Kind, unavailable};
use crate::app::Environment;
use crate::audit;
use crate::config::Config;
use crate::data_folder::keys::ServerKeys;
use crate::data_folder::{self, DataFolder, Purpose, succession};
use crate::store::audit::verify::Witness;
use crate::store::moving::{self, MoveError, Table};
use crate::store::postgres::PostgresOptions;
use crate::telemetry::logs::chain;

/// Moves the embedded database of `from` to the PostgreSQL of `to`, or compares them.
///
/// # Errors
/// Why it is not moved; the server goes on where it was then.
pub async fn move_database(
    from: Config,
    to: Config,
    environment: Environment,
    check: bool,
) -> Result<Answer, AdminError> {
    // It waits for PostgreSQL, in a runtime of its own.
    let moving = tokio::task::spawn_blocking(move || here(&from, &to, &environment, check));
    moving.await.map_err(|cause| AdminError::new(Kind::Internal, cause.to_string()))?
}

fn here(
    from: &Config,
    to: &Config,
    environment: &Environment,
    check: bool,
) -> Result<Answer, AdminError> {
    let invalid = |message: &str| AdminError::new(Kind::Invalid, message);
    let file = from.database_file().ok_or_else(|| {
        invalid("the database is on PostgreSQL already: give --config the settings of before")
    })?;
    let options = to.postgres_options(environment.entropy.array()).ok_or_else(|| {
        invalid("--to-config must name the PostgreSQL to move to: database = \"postgres://…\"")
    })?;
    let folder = DataFolder::open(&from.data_folder, Purpose::Command)
        .map_err(|cause| unavailable(&cause))?;
    if !is_same(&from.data_folder, &to.data_folder) {
        return Err(invalid(
            "both settings must name the same data folder: its keys stay with the database",
        ));
    }
    if !file.exists() {
        let message = format!("there is no database {} to move", file.display());
        return Err(AdminError::new(Kind::NotFound, message));
    }
    let url = options.url.to_string();
    let lock = folder.take_database_to_move(&file, &url, check);
    let _lock = lock.map_err(|cause| unavailable(&cause))?;
    let witnesses = witnesses(from)?;
    let tables = if check {
        moving::check(&file, &options, witnesses)?
    } else {
        move_over(&file, &options, &url, witnesses)?
    };
    // It stands, also where the last word of an earlier try was lost: the old one is never moved again.
    data_folder::finish_move(&file, &url).map_err(|cause| unavailable(&MoveError::Note(cause)))?;
    Ok(Answer::Moved {
        to: url,
        compared_only: check,
        tables: tables.iter().map(moved_table).collect(),
    })
}

/// The note that it was moved comes before PostgreSQL keeps it: a crash in between leaves none of the two
/// for a server to start on, and the command is run again.
fn move_over(
    file: &Path,
    options: &PostgresOptions,
    url: &str,
    witnesses: Vec<Witness>,
) -> Result<Vec<Table>, AdminError> {
    let noted = Cell::new(false);
    let note = || {
        noted.set(true);
        data_folder::note_move(file, url)
    };
    let moved = moving::move_over(file, options, witnesses, note);
    if noted.get() && moved.as_ref().is_err_and(|error| !matches!(error, MoveError::InDoubt(_))) {
        let forgotten = data_folder::forget_move(file);
        forgotten.map_err(|cause| unavailable(&MoveError::Note(cause)))?;
    }
    Ok(moved?)
}

/// What checkpoints outside of the database saw of its audit.
fn witnesses(config: &Config) -> Result<Vec<Witness>, AdminError> {
    let keys =
        ServerKeys::read(&config.data_folder, &config.keys).map_err(|cause| unavailable(&cause))?;
    let answer_key = keys.answer.public();
    let statements =
        succession::read(&config.data_folder, &answer_key).map_err(|cause| unavailable(&cause))?;
    let mut known: Vec<_> = statements.iter().map(|statement| statement.predecessor).collect();
    known.push(answer_key);
    audit::witnesses(&config.data_folder, &known).map_err(|cause| unavailable(&cause))
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn moved_table(table: &Table) -> MovedTable {
    MovedTable {
        table: table.name.into(),
        rows: table.tally.rows,
        digest: pos_protocol::text::base64url(&table.tally.digest),
    }
}

impl From<MoveError> for AdminError {
    fn from(error: MoveError) -> Self {
        let kind = match &error {
            MoveError::Occupied => Kind::Conflict,
            MoveError::Audit { .. } | MoveError::Differs { .. } => Kind::Invalid,
            MoveError::LeftBehind { .. } => Kind::Internal,
            MoveError::InDoubt(_)
            | MoveError::Note(_)
            | MoveError::OpenSource(_)
            | MoveError::OpenTarget(_)
            | MoveError::Store(_) => Kind::Unavailable,
        };
        Self::new(kind, chain(&error))
    }
}
