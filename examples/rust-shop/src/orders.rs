//! The orders, in SQLite.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::payment::Outcome;

/// One order.
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) article: String,
    /// In yen.
    pub(crate) amount: u32,
    /// `new`, `asking` or `paid`.
    pub(crate) state: String,
    pub(crate) text: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

pub(crate) struct Orders(Mutex<Connection>);

impl Orders {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open(path)?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS orders (id PRIMARY KEY, article, amount, state, text,
             contract_id, envelope, idempotency_key)",
        )?;
        Ok(Self(Mutex::new(database)))
    }

    /// Writes down a new order and gives its number.
    pub(crate) fn begin(&self, article: &str, amount: u32) -> anyhow::Result<String> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let id = format!("web-{}-{}", since.as_secs(), random()?);
        let statement = "INSERT INTO orders (id, article, amount, state) VALUES (?, ?, ?, 'new')";
        self.database().execute(statement, params![id, article, amount])?;
        Ok(id)
    }

    pub(crate) fn find(&self, id: &str) -> rusqlite::Result<Option<Stored>> {
        let statement =
            "SELECT id, article, amount, state, text, idempotency_key FROM orders WHERE id = ?";
        self.database().query_row(statement, [id], read).optional()
    }

    /// Writes down, before the call, that this envelope is being paid with, and gives the key to pay by:
    /// after a crash the same key asks what became of it. Only where the order is new, so that of two
    /// clicks one pays; and a second click brings the same envelope again, which is good for one payment.
    pub(crate) fn claim(
        &self,
        id: &str,
        contract_id: &str,
        envelope: &str,
    ) -> anyhow::Result<Option<String>> {
        let key = format!("{id}-{}", random()?);
        let changed = self.database().execute(
            "UPDATE orders SET state = 'asking', contract_id = ?2, envelope = ?3, idempotency_key = ?4
             WHERE id = ?1 AND state = 'new' AND envelope IS NOT ?3",
            params![id, contract_id, envelope, key],
        )?;
        Ok((changed == 1).then_some(key))
    }

    /// Writes down what became of the payment under this key, unless that is known already.
    pub(crate) fn settle(&self, key: &str, (state, text): Outcome) -> rusqlite::Result<()> {
        let statement = "UPDATE orders SET state = ?2, text = ?3 WHERE idempotency_key = ?1 AND state = 'asking'";
        self.database().execute(statement, params![key, state, text])?;
        Ok(())
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        // Whoever panicked here left at most a statement undone, and SQLite took that back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: row.get(0)?,
        article: row.get(1)?,
        amount: row.get(2)?,
        state: row.get(3)?,
        text: row.get(4)?,
        idempotency_key: row.get(5)?,
    })
}

fn random() -> Result<String, getrandom::Error> {
    getrandom::u32().map(|number| format!("{number:08x}"))
}
