//! `pos-server backup` and `pos-server restore`.

use std::fs;
use std::path::{Path, PathBuf};

use super::command::Command;
use super::{AdminError, Answer, Kind, Sent, execute, send_or_build};
use crate::app::{App, Environment};
use crate::backup::{self, BackupError, Draft, Restored};
use crate::config::Config;
use crate::telemetry::logs::chain;

/// Makes a backup in a new folder, beside a running server or without one.
///
/// # Errors
/// Why there is none.
pub async fn backup(
    config: Config,
    environment: Environment,
    target: PathBuf,
) -> Result<Answer, AdminError> {
    // Before the copy, so that what is acknowledged later is known to be missing.
    let draft = Draft::begin(&config, &target, environment.clock.now())?;
    let copied = match send_or_build(config, environment, Command::Snapshot).await {
        Ok(Sent::Answered(answer)) => Ok((*answer, None)),
        Ok(Sent::Here(app, command)) => match execute(&app, command).await {
            Ok(answer) => Ok((answer, Some(app))),
            Err(error) => {
                App::close(app).await;
                Err(error)
            }
        },
        Err(error) => Err(error),
    };
    let (answer, app) = match copied {
        Ok(copied) => copied,
        Err(error) => {
            draft.abandon();
            return Err(error);
        }
    };
    let finished = match answer {
        Answer::Snapshot { path } => finish(draft, &path, target),
        other => {
            draft.abandon();
            Err(AdminError::new(Kind::Internal, format!("no copy was answered: {other:?}")))
        }
    };
    if let Some(app) = app {
        App::close(app).await;
    }
    finished
}

/// Puts a backup into a new data folder.
///
/// # Errors
/// Why it is not restored; the data folder is as empty as before.
pub fn restore(
    config: &Config,
    environment: &Environment,
    backup: &Path,
    keys: &Path,
) -> Result<Answer, AdminError> {
    let Restored { gap, restores, held } = backup::restore(config, environment, backup, keys)?;
    Ok(Answer::Restored { gap, restores, held })
}

fn finish(draft: Draft, snapshot: &Path, folder: PathBuf) -> Result<Answer, AdminError> {
    let finished = draft.finish(snapshot);
    // One that stays is removed at the next start.
    let _ = fs::remove_file(snapshot);
    let (made_at_ms, octets) = finished?;
    Ok(Answer::BackedUp { folder, made_at_ms, octets })
}

impl From<BackupError> for AdminError {
    fn from(error: BackupError) -> Self {
        let kind = match &error {
            BackupError::Exists { .. } | BackupError::NotEmpty { .. } => Kind::Conflict,
            BackupError::Damaged { .. }
            | BackupError::Elsewhere
            | BackupError::Manifest { .. }
            | BackupError::WrongKey { .. } => Kind::Invalid,
            BackupError::Clock
            | BackupError::DataFolder(_)
            | BackupError::File { .. }
            | BackupError::Key(_)
            | BackupError::Open(_)
            | BackupError::Snapshot(_)
            | BackupError::Store(_)
            | BackupError::Succession(_) => Kind::Unavailable,
        };
        Self::new(kind, chain(&error))
    }
}
