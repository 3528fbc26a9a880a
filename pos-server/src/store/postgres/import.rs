//! Taking a whole database in, table by table, in the transaction that makes its tables.

use std::pin::Pin;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::session::{Cells, Failure, Session, Uncommitted, params};
use super::{OpenError, PostgresOptions, audit, migrate};
use crate::store::StoreError;
use crate::store::audit::AuditRow;
use crate::store::cells::{Columns as _, corrupt};
use crate::store::moving::{Cell, Column, Kind, MoveError};
use crate::store::rows::Incarnation;

/// Rows that are read back at a time.
const NEXT: &str = "FETCH 1000 FROM moved";

/// A transaction on a database, which is rolled back unless it is kept.
pub(in crate::store) struct Import {
    session: Session,
    // The last: it turns the session's line.
    runtime: Runtime,
}

impl Import {
    /// On an empty database, whose tables are made in the transaction: nobody ever sees them empty, and
    /// no server can begin on a database that is still to be moved.
    pub(in crate::store) fn begin(options: &PostgresOptions) -> Result<Self, MoveError> {
        Self::open(options, async |session| {
            session.wait_for_disks().await.map_err(OpenError::from)?;
            match migrate::is_begun(session).await {
                Ok(false) => {}
                Ok(true) | Err(OpenError::NotOurs) => return Err(MoveError::Occupied),
                Err(other) => return Err(other.into()),
            }
            let begun = session.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await;
            begun.map_err(OpenError::from)?;
            Ok(migrate::make(session).await?)
        })
    }

    /// On a database that stands; nothing is changed in it.
    pub(in crate::store) fn look(options: &PostgresOptions) -> Result<Self, MoveError> {
        Self::open(options, async |session| {
            if !migrate::is_begun(session).await? {
                return Err(OpenError::Gone.into());
            }
            let begun = session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await;
            Ok(begun.map_err(OpenError::from)?)
        })
    }

    fn open(
        options: &PostgresOptions,
        begin: impl AsyncFnOnce(&Session) -> Result<(), MoveError>,
    ) -> Result<Self, MoveError> {
        let way = options.way().map_err(OpenError::from)?;
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(OpenError::Thread)?;
        let session = runtime.block_on(async {
            let session = Session::open(&way).await.map_err(OpenError::from)?;
            // Tables are read from end to end here, which may take longer than the database's habits allow.
            for (name, value) in [
                ("enable_seqscan", "on"),
                ("statement_timeout", "0"),
                ("idle_in_transaction_session_timeout", "0"),
            ] {
                session.set(name, value).await.map_err(OpenError::from)?;
            }
            begin(&session).await?;
            Ok::<_, MoveError>(session)
        })?;
        Ok(Self { session, runtime })
    }

    pub(in crate::store) fn tables(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.do_(async |session| {
            session
                .rows(
                    "SELECT table_name::text FROM information_schema.tables \
                     WHERE table_schema = current_schema() ORDER BY 1",
                    params![],
                )
                .await
        })?;
        rows.iter().map(|row| Ok(Cells(row).text(0)?.to_owned())).collect()
    }

    pub(in crate::store) fn columns(&self, table: &str) -> Result<Vec<Column>, StoreError> {
        let rows = self.do_(async |session| {
            session
                .rows(
                    "SELECT column_name::text, data_type::text FROM information_schema.columns \
                     WHERE table_schema = current_schema() AND table_name::text = $1 \
                     ORDER BY ordinal_position",
                    params![table],
                )
                .await
        })?;
        let column = |row| {
            let cells = Cells(row);
            let kind = match cells.text(1)? {
                "bigint" => Kind::Number,
                "boolean" => Kind::Flag,
                "bytea" => Kind::Octets,
                "text" => Kind::Text,
                _ => return Err(corrupt("column of another kind")),
            };
            Ok(Column { name: cells.text(0)?.to_owned(), kind })
        };
        rows.iter().map(column).collect()
    }

    /// Begins to fill a table.
    pub(in crate::store) fn fill<'i>(
        &'i self,
        table: &str,
        columns: &'i [Column],
    ) -> Result<Filling<'i>, StoreError> {
        let types: Vec<_> = columns.iter().map(|column| type_of(column.kind)).collect();
        let copy = format!("COPY \"{table}\" ({}) FROM STDIN BINARY", names(columns));
        let writer = self.do_(async |session| session.fill(&copy, &types).await)?;
        Ok(Filling { import: self, columns, writer: Box::pin(writer) })
    }

    /// Every row, in whatever order.
    pub(in crate::store) fn each_row(
        &self,
        table: &str,
        columns: &[Column],
        mut each: impl FnMut(&[Cell]),
    ) -> Result<(), StoreError> {
        let names = names(columns);
        let declare = format!("DECLARE moved NO SCROLL CURSOR FOR SELECT {names} FROM \"{table}\"");
        self.do_(async |session| session.run(&declare).await)?;
        loop {
            let rows = self.do_(async |session| session.rows_anew(NEXT).await)?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let cells = Cells(row);
                let read = |(at, column): (usize, &Column)| read(&cells, at, column.kind);
                let row: Vec<_> =
                    columns.iter().enumerate().map(read).collect::<Result<_, StoreError>>()?;
                each(&row);
            }
        }
        self.do_(async |session| session.run("CLOSE moved").await)
    }

    pub(in crate::store) fn audit_beginnings(&self) -> Result<Vec<AuditRow>, StoreError> {
        self.do_(async |session| audit::beginnings(session).await)
    }

    pub(in crate::store) fn audit_rows(
        &self,
        after: Option<(Incarnation, u64)>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.do_(async |session| audit::rows(session, after, limit).await)
    }

    /// Keeps everything.
    pub(in crate::store) fn keep(self) -> Result<(), MoveError> {
        match self.runtime.block_on(self.session.commit()) {
            Ok(()) => Ok(()),
            Err(Uncommitted::Refused(failure)) => Err(failure.told().into()),
            Err(Uncommitted::InDoubt(failure)) => Err(MoveError::InDoubt(failure.told())),
        }
    }

    fn do_<T>(
        &self,
        ask: impl AsyncFnOnce(&Session) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.runtime.block_on(ask(&self.session)).map_err(Failure::told)
    }
}

/// A table that is being filled.
pub(in crate::store) struct Filling<'i> {
    import: &'i Import,
    columns: &'i [Column],
    writer: Pin<Box<BinaryCopyInWriter>>,
}

impl Filling<'_> {
    pub(in crate::store) fn write(&mut self, row: &[Cell]) -> Result<(), StoreError> {
        let values: Vec<_> = row.iter().zip(self.columns).map(value).collect();
        let Self { import, writer, .. } = self;
        import.do_(async |_| Ok(writer.as_mut().write(&values).await?))
    }

    pub(in crate::store) fn finish(mut self) -> Result<(), StoreError> {
        let Self { import, writer, .. } = &mut self;
        import.do_(async |_| Ok(writer.as_mut().finish().await.map(drop)?))
    }
}

fn names(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    names.join(", ")
}

const fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Flag => Type::BOOL,
        Kind::Number => Type::INT8,
        Kind::Octets => Type::BYTEA,
        Kind::Text => Type::TEXT,
    }
}

fn value<'c>((cell, column): (&'c Cell, &Column)) -> &'c (dyn ToSql + Sync) {
    match cell {
        Cell::Flag(flag) => flag,
        Cell::Number(number) => number,
        Cell::Octets(octets) => octets,
        Cell::Text(text) => text,
        Cell::Null => match column.kind {
            Kind::Flag => &None::<bool>,
            Kind::Number => &None::<i64>,
            Kind::Octets => &None::<&[u8]>,
            Kind::Text => &None::<&str>,
        },
    }
}

fn read(cells: &Cells<'_>, at: usize, kind: Kind) -> Result<Cell, StoreError> {
    if cells.is_null(at)? {
        return Ok(Cell::Null);
    }
    Ok(match kind {
        Kind::Flag => Cell::Flag(cells.flag(at)?),
        Kind::Number => Cell::Number(cells.number(at)?),
        Kind::Octets => Cell::Octets(cells.octets(at)?.into()),
        Kind::Text => Cell::Text(cells.text(at)?.into()),
    })
}
