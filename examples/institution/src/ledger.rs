//! An institution's ledger: what was asked, what became of it, and where the money is.
//!
//! One thread owns the books, or nobody but the caller. It takes all that has queued into one transaction, so that a synced
//! commit is shared, and answers only after it. The ledger is the judge of money: an answer that it
//! gave stands, also after a restart.

mod books;
mod operate;
mod report;
mod reverse;
mod settlement;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use books::{Books, Opening};
pub use operate::{Order, Refused, Sealed};
pub use report::{LedgerReport, OperationReport, Totals};
pub use settlement::SettlementDay;

/// Jobs that may wait; callers beyond wait in front of the queue.
const QUEUE: usize = 4096;

/// Jobs that share one commit.
const GROUP: usize = 512;

/// Why the ledger gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database cannot be opened.
    #[error("{} cannot be opened: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        cause: rusqlite::Error,
    },
    /// The job or the commit failed; whether anything of it stands is not known.
    #[error("the ledger could not write")]
    Failed,
}

type Reply = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(&Books) -> rusqlite::Result<Reply> + Send>;

/// The one handle on the books.
pub struct Ledger(Keeper);

/// Who does the jobs.
enum Keeper {
    Thread {
        jobs: Option<mpsc::Sender<Job>>,
        thread: Option<JoinHandle<()>>,
    },
    /// Whoever asks, one job at a time.
    Caller(Mutex<Books>),
}

impl Ledger {
    /// Opens the database, makes it where it is not there, and sees that every opening account
    /// exists.
    ///
    /// # Errors
    /// [`LedgerError::Open`].
    pub fn open(path: &Path, openings: &[Opening]) -> Result<Self, LedgerError> {
        let failed = |cause| LedgerError::Open { path: path.into(), cause };
        let books = Connection::open(path)
            .and_then(|database| Books::begin(database, openings))
            .map_err(failed)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || serve(&books, queue))
            .expect("a process that just started can start a thread");
        Ok(Self(Keeper::Thread { jobs: Some(jobs), thread: Some(thread) }))
    }

    /// Books in memory and without a thread: every job is done when it is asked for.
    ///
    /// # Errors
    /// [`LedgerError::Open`].
    pub fn in_memory(openings: &[Opening]) -> Result<Self, LedgerError> {
        let books =
            Connection::open_in_memory().and_then(|database| Books::begin(database, openings));
        let failed = |cause| LedgerError::Open { path: ":memory:".into(), cause };
        Ok(Self(Keeper::Caller(Mutex::new(books.map_err(failed)?))))
    }

    /// Does `job` on the books, and gives its result once it is on the disk.
    ///
    /// # Errors
    /// [`LedgerError::Failed`] when it could not be written.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Books) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |books| {
            let result = job(books)?;
            Ok(Box::new(move || drop(answer.send(result))))
        });
        match &self.0 {
            Keeper::Thread { jobs, .. } => {
                let jobs = jobs.as_ref().ok_or(LedgerError::Failed)?;
                jobs.send(job).await.map_err(|_| LedgerError::Failed)?;
            }
            Keeper::Caller(books) => {
                do_all(&books.lock().unwrap_or_else(PoisonError::into_inner), [job].into_iter());
            }
        }
        answered.await.map_err(|_| LedgerError::Failed)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Drop for Ledger {
    /// Waits for what has queued, so that the file is whole when the ledger is gone.
    fn drop(&mut self) {
        let Keeper::Thread { jobs, thread } = &mut self.0 else { return };
        *jobs = None;
        if let Some(thread) = thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(books: &Books, mut queue: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(GROUP);
    while queue.blocking_recv_many(&mut group, GROUP) > 0 {
        do_all(books, group.drain(..));
    }
}

/// What fails is answered by its dropped sender: not known, as the caller must take it.
fn do_all(books: &Books, jobs: impl Iterator<Item = Job>) {
    match commit(books, jobs) {
        Ok(replies) => replies.into_iter().for_each(|reply| reply()),
        Err(_) => books.forget_accounts(),
    }
}

/// All jobs in one transaction; one that fails takes nothing else with it.
fn commit(books: &Books, jobs: impl Iterator<Item = Job>) -> rusqlite::Result<Vec<Reply>> {
    let transaction = books.begin_group()?;
    let mut replies = Vec::with_capacity(GROUP);
    for job in jobs {
        transaction.execute_batch("SAVEPOINT job")?;
        match job(books) {
            Ok(reply) => replies.push(reply),
            Err(_) => {
                transaction.execute_batch("ROLLBACK TO job")?;
                books.forget_accounts();
            }
        }
        transaction.execute_batch("RELEASE job")?;
    }
    books.keep_time()?;
    transaction.commit()?;
    Ok(replies)
}

#[cfg(test)]
mod tests;
