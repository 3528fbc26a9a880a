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
    pub(crate) claimed: Option<Claimed>,
}

/// A payment as it was written down before its call.
pub(crate) struct Claimed {
    pub(crate) contract_id: String,
    pub(crate) envelope: String,
    pub(crate) idempotency_key: String,
}

pub(crate) struct Orders(Mutex<Connection>);

impl Orders {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open(path)?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS orders (id PRIMARY KEY, article, amount, state, text,
             contract_id, envelope, idempotency_key, claimed_at)",
        )?;
        Ok(Self(Mutex::new(database)))
    }

    /// Writes down a new order and gives its number.
    pub(crate) fn begin(&self, article: &str, amount: u32) -> anyhow::Result<String> {
        let id = format!("web-{}-{}", seconds()?, random()?);
        let statement = "INSERT INTO orders (id, article, amount, state) VALUES (?, ?, ?, 'new')";
        self.database().execute(statement, params![id, article, amount])?;
        Ok(id)
    }

    pub(crate) fn find(&self, id: &str) -> rusqlite::Result<Option<Stored>> {
        let statement = "SELECT * FROM orders WHERE id = ?";
        self.database().query_row(statement, [id], read).optional()
    }

    /// Those with a payment that is open.
    pub(crate) fn asking(&self) -> rusqlite::Result<Vec<Stored>> {
        let database = self.database();
        let mut statement = database.prepare("SELECT * FROM orders WHERE state = 'asking'")?;
        statement.query_map([], read)?.collect()
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
            "UPDATE orders SET state = 'asking', contract_id = ?2, envelope = ?3, idempotency_key = ?4,
             claimed_at = ?5 WHERE id = ?1 AND state = 'new' AND envelope IS NOT ?3",
            params![id, contract_id, envelope, key, seconds()?],
        )?;
        Ok((changed == 1).then_some(key))
    }

    /// Whether a payment that never began is the caller's to make: the shop was killed when it had
    /// written the payment down and not yet sent it. Not while whoever wrote it may be at it: no call
    /// takes a minute.
    pub(crate) fn claim_again(&self, key: &str) -> anyhow::Result<bool> {
        let changed = self.database().execute(
            "UPDATE orders SET claimed_at = ?2
             WHERE idempotency_key = ?1 AND state = 'asking' AND claimed_at < ?2 - 60",
            params![key, seconds()?],
        )?;
        Ok(changed == 1)
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
    let claimed = |idempotency_key| -> rusqlite::Result<Claimed> {
        let (contract_id, envelope) = (row.get("contract_id")?, row.get("envelope")?);
        Ok(Claimed { contract_id, envelope, idempotency_key })
    };
    Ok(Stored {
        id: row.get("id")?,
        article: row.get("article")?,
        amount: row.get("amount")?,
        state: row.get("state")?,
        text: row.get("text")?,
        claimed: row.get::<_, Option<_>>("idempotency_key")?.map(claimed).transpose()?,
    })
}

/// Since 1970.
fn seconds() -> anyhow::Result<i64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(since.as_secs().try_into()?)
}

fn random() -> Result<String, getrandom::Error> {
    getrandom::u32().map(|number| format!("{number:08x}"))
}
