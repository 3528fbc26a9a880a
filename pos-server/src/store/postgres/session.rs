//! One connection with its prepared statements, and what a failure on it means.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, NoTls, Row, Statement};
use tracing::debug;

use super::settings::{Way, causes};
use super::tls::Verified;
use crate::store::StoreError;
use crate::store::cells::{Columns, corrupt};

/// What came of a statement that did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Two transactions stood in each other's way; this one is to be done over as a whole.
    Conflict(tokio_postgres::Error),
    /// The connection is gone, or leads to a server that takes no writes any more.
    Lost(tokio_postgres::Error),
    /// Somebody else wrote the same row first: looked at again, the verb finds it.
    Raced(tokio_postgres::Error),
    /// The same of what a write was conditional on: an order that another payment claimed first, a payment
    /// that was moved.
    Taken(&'static str),
    /// The verb's own failure.
    Verb(StoreError),
}

/// Why a commit was not answered with a yes.
pub(super) enum Uncommitted {
    /// The database said no to it: nothing of the transaction is kept, whatever it says.
    Refused(Failure),
    /// It may have been kept.
    InDoubt(Failure),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Verb(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let by_line =
                std::error::Error::source(&error).is_some_and(|cause| cause.is::<std::io::Error>());
            return if error.is_closed() || by_line {
                Self::Lost(error)
            } else {
                Self::Verb(engine(error))
            };
        };
        let code = said.code();
        let ended = matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        if ended || *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            Self::Lost(error)
        } else if *code == SqlState::T_R_SERIALIZATION_FAILURE
            || *code == SqlState::T_R_DEADLOCK_DETECTED
        {
            Self::Conflict(error)
        } else if *code == SqlState::UNIQUE_VIOLATION {
            Self::Raced(error)
        } else {
            Self::Verb(engine(error))
        }
    }
}

impl Failure {
    /// What a caller is told where nothing more can be done about it.
    pub(super) fn told(self) -> StoreError {
        match self {
            Self::Conflict(cause) | Self::Raced(cause) => engine(cause),
            Self::Taken(what) => corrupt(what),
            Self::Lost(cause) => StoreError::Away { cause: Arc::new(cause) },
            Self::Verb(error) => error,
        }
    }
}

fn engine(cause: tokio_postgres::Error) -> StoreError {
    StoreError::Engine { cause: Arc::new(cause) }
}

/// Parameters of a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &(dyn tokio_postgres::types::ToSql + Sync)),*]
    };
}
pub(super) use params;

/// Parameters as the driver takes them.
pub(super) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

/// A connection. Statements are prepared once; what is asked of it side by side is sent side by side,
/// in the order in which it was first polled.
pub(super) struct Session {
    client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

/// What every connection is told. The plans are made once and for tables as they grow: each statement of
/// the server looks rows up by their keys. A database that has no such setting goes without.
const HABITS: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

impl Session {
    /// Connects. Its line is driven by the runtime that this is called on.
    pub(super) async fn open(way: &Way) -> Result<Self, Failure> {
        let client = match &way.tls {
            Some(tls) => {
                let (client, line) = way.config.connect(Verified(Arc::clone(tls))).await?;
                drive(line);
                client
            }
            None => {
                let (client, line) = way.config.connect(NoTls).await?;
                drive(line);
                client
            }
        };
        let session = Self { client, prepared: Mutex::default() };
        for (name, value) in HABITS {
            match session.set(name, value).await {
                Err(Failure::Verb(cause)) => {
                    debug!(cause = %causes(&cause), "the database has no such setting");
                }
                other => other?,
            }
        }
        Ok(session)
    }

    /// A setting for as long as the connection lasts.
    pub(super) async fn set(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.rows("SELECT set_config($1, $2, false)", params![name, value]).await.map(drop)
    }

    /// Lets commits wait for this machine's disk and for a standby where there is one, whatever the database
    /// says of others.
    pub(super) async fn wait_for_disks(&self) -> Result<(), Failure> {
        self.run(
            "SELECT set_config('synchronous_commit', CASE \
               WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' \
               ELSE current_setting('synchronous_commit') END, false)",
        )
        .await
    }

    /// Whether nothing can be asked of it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Prepares statements that are sent side by side later.
    pub(super) async fn prepare(&self, statements: &[&'static str]) -> Result<(), Failure> {
        for statement in statements {
            self.statement(statement).await?;
        }
        Ok(())
    }

    pub(super) async fn rows(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, params).await?)
    }

    pub(super) async fn maybe_row(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Option<Row>, Failure> {
        Ok(self.rows(sql, params).await?.pop())
    }

    /// How many rows were written.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<u64, Failure> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, params).await?)
    }

    /// Rows of a statement without parameters that is not asked again and again.
    pub(super) async fn rows_anew(&self, sql: &str) -> Result<Vec<Row>, Failure> {
        Ok(self.client.query(sql, &[]).await?)
    }

    /// Begins a `COPY … FROM STDIN BINARY`.
    pub(super) async fn fill(
        &self,
        copy: &str,
        types: &[Type],
    ) -> Result<BinaryCopyInWriter, Failure> {
        Ok(BinaryCopyInWriter::new(self.client.copy_in(copy).await?, types))
    }

    /// Statements without parameters and answers.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Ends a transaction by keeping it.
    pub(super) async fn commit(&self) -> Result<(), Uncommitted> {
        let Err(error) = self.client.batch_execute("COMMIT").await else { return Ok(()) };
        // A plain error rolls back; only a database over many machines ever says that it does not know. A
        // fatal one speaks of the line, which may end after the commit, and so does all of class 08, which
        // comes from what stands before the database.
        let refused = error.as_db_error().is_some_and(|said| {
            said.parsed_severity() == Some(Severity::Error)
                && *said.code() != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
                && !said.code().code().starts_with("08")
        });
        Err(if refused {
            Uncommitted::Refused(error.into())
        } else {
            Uncommitted::InDoubt(error.into())
        })
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, Failure> {
        let known = self.lock().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drive<S, T>(line: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(cause) = line.await {
            // Whoever asks next is told by the client itself.
            debug!(cause = %causes(&cause), "a line to the database has ended");
        }
    });
}

/// One row, read with types.
pub(super) struct Cells<'r>(pub(super) &'r Row);

impl<'r> Cells<'r> {
    fn value<T: FromSql<'r>>(&self, at: usize, what: &'static str) -> Result<T, StoreError> {
        self.0.try_get(at).map_err(|_| corrupt(what))
    }
}

impl Columns for Cells<'_> {
    fn is_null(&self, at: usize) -> Result<bool, StoreError> {
        self.value::<Option<Anything>>(at, "column").map(|value| value.is_none())
    }

    fn number(&self, at: usize) -> Result<i64, StoreError> {
        self.value(at, "number")
    }

    fn flag(&self, at: usize) -> Result<bool, StoreError> {
        self.value(at, "flag")
    }

    fn octets(&self, at: usize) -> Result<&[u8], StoreError> {
        self.value(at, "octets")
    }

    fn text(&self, at: usize) -> Result<&str, StoreError> {
        self.value(at, "text")
    }
}

/// A value of which only matters whether there is one.
struct Anything;

impl FromSql<'_> for Anything {
    fn from_sql(_: &Type, _: &[u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
