//! Reading a whole database, table by table, as another engine keeps it.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;
use crate::store::cells::corrupt;
use crate::store::moving::{Cell, Column, Kind};

/// Columns that are reckoned here from what this engine keeps instead.
const RECKONED: [(&str, &str, &str); 3] = [
    ("operation", "payment", PAYMENT),
    ("open_operation", "payment", PAYMENT),
    // An operation comes behind those of its payment that were written before it, and before any that is
    // begun later: there are at most two for each version of the payment (`postgres/writes.rs`).
    (
        "operation",
        "place",
        "CASE WHEN payment IS NOT NULL THEN (SELECT count(*) + 1 FROM operation before \
           WHERE before.payment = operation.payment AND before.row <= operation.row) END",
    ),
];

const PAYMENT: &str = "(SELECT p.id FROM payment p WHERE p.row = operation.payment)";

/// Tables that are parts of another one here.
const PARTS: [(&str, &str); 1] = [(
    "open_operation",
    "operation WHERE payment IS NOT NULL AND (state < 16 OR due_at IS NOT NULL)",
)];

/// Columns that the other engine does not have in that table: row numbers, and what stands in
/// `open_operation` there.
const OTHERWISE: [(&str, &str); 4] = [
    ("operation", "due_at"),
    ("operation", "lease_owner"),
    ("operation", "row"),
    ("payment", "row"),
];

/// A database that nobody writes to, as it was when this was opened.
pub(in crate::store) struct Export {
    db: Connection,
}

impl Export {
    pub(in crate::store) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; BEGIN")?;
        Ok(Self { db })
    }

    pub(in crate::store) fn tables(&self) -> Result<Vec<String>, StoreError> {
        self.names(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> ?1 \
             ORDER BY 1",
            "sqlite_",
        )
    }

    /// Those that the other engine must have a place for.
    pub(in crate::store) fn columns(&self, table: &str) -> Result<Vec<String>, StoreError> {
        let mut names = self.names("SELECT name FROM pragma_table_info(?1)", table)?;
        names.retain(|name| !OTHERWISE.contains(&(table, name.as_str())));
        Ok(names)
    }

    /// Every row, in whatever order.
    pub(in crate::store) fn each_row(
        &self,
        table: &str,
        columns: &[Column],
        mut each: impl FnMut(Vec<Cell>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let value = |column: &Column| {
            let mut reckoned = RECKONED.iter();
            let found = reckoned.find(|(of, name, _)| *of == table && *name == column.name);
            found.map_or_else(|| format!("\"{}\"", column.name), |(.., value)| (*value).into())
        };
        let values: Vec<_> = columns.iter().map(value).collect();
        let part = PARTS.iter().find(|(name, _)| *name == table);
        let from = part.map_or_else(|| format!("\"{table}\""), |(_, from)| (*from).into());
        let mut statement =
            self.db.prepare(&format!("SELECT {} FROM {from}", values.join(", ")))?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let cell = |(at, column): (usize, &Column)| cell(row.get_ref(at)?, column.kind);
            each(columns.iter().enumerate().map(cell).collect::<Result<_, _>>()?)?;
        }
        Ok(())
    }

    fn names(&self, sql: &str, parameter: &str) -> Result<Vec<String>, StoreError> {
        let mut statement = self.db.prepare(sql)?;
        let names = statement.query_map([parameter], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }
}

fn cell(value: ValueRef<'_>, kind: Kind) -> Result<Cell, StoreError> {
    match (value, kind) {
        (ValueRef::Null, _) => Ok(Cell::Null),
        (ValueRef::Integer(number @ (0 | 1)), Kind::Flag) => Ok(Cell::Flag(number == 1)),
        (ValueRef::Integer(number), Kind::Number) => Ok(Cell::Number(number)),
        (ValueRef::Blob(octets), Kind::Octets) => Ok(Cell::Octets(octets.into())),
        (ValueRef::Text(text), Kind::Text) => {
            let text = str::from_utf8(text).map_err(|_| corrupt("text"))?;
            Ok(Cell::Text(text.into()))
        }
        (
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_),
            Kind::Flag | Kind::Number | Kind::Octets | Kind::Text,
        ) => Err(corrupt("value of another kind")),
    }
}
