//! `pos-server reconcile`: this process reads the file, and whoever has the data folder does the steps.
//! So a running server never opens a path that a caller names, and no file is ever held whole.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use pos_protocol::Timestamp;
use pos_protocol::id::InstitutionId;

use super::command::{Command, Reconcile, ReconcileDay, ReconcileStep};
use super::{AdminError, Answer, Kind, Sent, execute, send_or_build, socket, unavailable};
use crate::app::{App, Environment};
use crate::config::Config;
use crate::connectors::settlement::SettlementFile;
use crate::connectors::{SettlementError, SettlementFormat, SettlementHead};
use crate::payments::reconcile::Tally;
use crate::store::verbs::MOST_ROWS;

/// A run makes no more tasks than this: so many mean one cause, and not so many things to decide.
const MOST_TASKS: u64 = 1_000;

/// Reads the file to its end first, so that one that is not whole changes nothing, and then compares it.
///
/// # Errors
/// What is wrong with the file, or what the run was refused for. It can be begun again.
pub async fn reconcile(
    config: Config,
    environment: Environment,
    arguments: Reconcile,
) -> Result<Answer, AdminError> {
    let Reconcile { institution_id, file } = arguments;
    let now = environment.clock.now();
    let data_folder = config.data_folder.clone();
    let asked = ReconcileStep::Format { institution_id: institution_id.clone() };
    let first = send_or_build(config, environment, Command::Reconcile(asked)).await?;
    let (worker, format) = match first {
        Sent::Answered(answer) => (Worker::Server(&data_folder), *answer),
        Sent::Here(app, command) => {
            let answer = execute(&app, command).await;
            match answer {
                Ok(answer) => (Worker::Here(app), answer),
                Err(error) => {
                    App::close(app).await;
                    return Err(error);
                }
            }
        }
    };
    let answer = match format {
        Answer::SettlementFormat { format } => {
            run(&worker, format, &institution_id, &file, now).await
        }
        other => Err(crossed(&other)),
    };
    if let Worker::Here(app) = worker {
        App::close(app).await;
    }
    answer
}

/// Who does the steps.
enum Worker<'a> {
    /// This process, which has the data folder.
    Here(Arc<App>),
    /// The server that has it.
    Server(&'a Path),
}

impl Worker<'_> {
    async fn step(&self, step: ReconcileStep) -> Result<Answer, AdminError> {
        let command = Command::Reconcile(step);
        match self {
            Self::Here(app) => execute(app, command).await,
            Self::Server(folder) => {
                socket::call(folder, &command).await.map_err(|cause| unavailable(&cause))?
            }
        }
    }
}

async fn run(
    worker: &Worker<'_>,
    format: SettlementFormat,
    institution_id: &InstitutionId,
    path: &Path,
    now: Timestamp,
) -> Result<Answer, AdminError> {
    let head = read_through(format, institution_id, path)?;
    let mut day = ReconcileDay {
        institution_id: institution_id.clone(),
        day: head.day.number(),
        from_ms: head.from,
        until_ms: head.until,
        run_ms: now,
        tasks_left: MOST_TASKS,
    };
    let mut tally = Tally::default();
    let mut lines = open(format, path)?;
    if *lines.head() != head {
        return Err(refused(path, &"it changed while it was read"));
    }
    loop {
        let next = lines.by_ref().take(MOST_ROWS as usize).collect::<Result<Vec<_>, _>>();
        let lines = next.map_err(|error| refused(path, &error))?;
        if lines.is_empty() {
            break;
        }
        let step = ReconcileStep::Lines { day: day.clone(), lines };
        let (found, _) = compared(worker.step(step).await?)?;
        note(&mut tally, &mut day, &found);
    }
    compared(worker.step(ReconcileStep::Finish { day: day.clone() }).await?)?;
    let mut after = None;
    loop {
        let step = ReconcileStep::Missing { day: day.clone(), after };
        let (found, next) = compared(worker.step(step).await?)?;
        note(&mut tally, &mut day, &found);
        after = next;
        if after.is_none() {
            break;
        }
    }
    Ok(Answer::Reconciled { institution_id: day.institution_id, day: head.day.to_string(), tally })
}

fn note(tally: &mut Tally, day: &mut ReconcileDay, found: &Tally) {
    tally.add(found);
    let told = found.differences().saturating_sub(found.untold);
    day.tasks_left = day.tasks_left.saturating_sub(told);
}

/// Reads the whole file, and compares nothing.
fn read_through(
    format: SettlementFormat,
    institution_id: &InstitutionId,
    path: &Path,
) -> Result<SettlementHead, AdminError> {
    let mut file = open(format, path)?;
    let head = file.head().clone();
    if head.institution != *institution_id {
        let wrong = format!("it is of {}, not of {institution_id}", head.institution);
        return Err(refused(path, &wrong));
    }
    match file.find_map(Result::err) {
        Some(error) => Err(refused(path, &error)),
        None => Ok(head),
    }
}

fn open(format: SettlementFormat, path: &Path) -> Result<Box<dyn SettlementFile>, AdminError> {
    let file = File::open(path).map_err(|cause| refused(path, &SettlementError::Read(cause)))?;
    format.open(BufReader::new(file)).map_err(|error| refused(path, &error))
}

fn compared(answer: Answer) -> Result<(Tally, Option<pos_protocol::id::OperationId>), AdminError> {
    match answer {
        Answer::Compared { tally, next } => Ok((tally, next)),
        other => Err(crossed(&other)),
    }
}

fn refused(path: &Path, why: &dyn std::fmt::Display) -> AdminError {
    AdminError::new(Kind::Invalid, format!("{}: {why}", path.display()))
}

fn crossed(answer: &Answer) -> AdminError {
    let message = format!("a step was answered by something else: {answer:?}");
    AdminError::new(Kind::Internal, message)
}
