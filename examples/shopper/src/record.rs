//! What a shop has written down of an order, read and changed behind its back: in SQLite, or in a file
//! for each order.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use rusqlite::types::Value as Cell;
use serde_json::Value;

/// One order as the shop has it in its folder.
pub(crate) struct Record {
    pub(crate) folder: PathBuf,
    pub(crate) order_id: String,
}

impl Record {
    /// `new`, `asking` or `paid`.
    pub(crate) fn state(&self) -> anyhow::Result<String> {
        self.get("state")
    }

    pub(crate) fn get(&self, column: &str) -> anyhow::Result<String> {
        if let Some(orders) = self.database()? {
            let statement = format!("SELECT {column} FROM orders WHERE id = ?");
            return Ok(orders.query_row(&statement, [&self.order_id], |row| row.get(0))?);
        }
        let order: Value = serde_json::from_slice(&fs::read(self.file())?)?;
        let found = order.get(camel(column)).and_then(Value::as_str);
        found.map(str::to_owned).with_context(|| format!("no {column} in {order}"))
    }

    pub(crate) fn set(&self, columns: &[(&str, Value)]) -> anyhow::Result<()> {
        if let Some(orders) = self.database()? {
            for (column, value) in columns {
                let statement = format!("UPDATE orders SET {column} = ?2 WHERE id = ?1");
                let cell = value.as_i64().map(Cell::from);
                let text = value.as_str().unwrap_or_default();
                let cell = cell.unwrap_or_else(|| text.to_owned().into());
                let changed = orders.execute(&statement, (&self.order_id, cell))?;
                ensure!(changed == 1, "the shop has no order {}", self.order_id);
            }
            return Ok(());
        }
        let mut order: Value = serde_json::from_slice(&fs::read(self.file())?)?;
        for (column, value) in columns {
            order[camel(column)] = value.clone();
        }
        Ok(fs::write(self.file(), order.to_string())?)
    }

    fn database(&self) -> anyhow::Result<Option<rusqlite::Connection>> {
        let path = self.folder.join("orders.db");
        Ok(path.exists().then(|| rusqlite::Connection::open(path)).transpose()?)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("orders").join(&self.order_id).with_extension("json")
    }
}

/// `idempotency_key` as JavaScript has it.
fn camel(column: &str) -> String {
    let mut words = column.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(1);
        name + &initial.to_uppercase() + rest
    })
}
