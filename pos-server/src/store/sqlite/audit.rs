//! The rows of the audit chain.

use rusqlite::{Connection, params};

use super::rows::{Cells, ms, unsigned};
use crate::store::StoreError;
use crate::store::audit::{AuditRow, Head};
use crate::store::cells::{Columns as _, audit_row};
use crate::store::rows::Incarnation;
use pos_protocol::id::ShopId;

/// Before every writer there can be.
const NOBODY: &[u8] = &[];

pub(super) fn insert(db: &Connection, row: &AuditRow) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO audit (writer, seq, at, shop, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        row.writer,
        unsigned(row.seq)?,
        ms(row.at),
        row.shop.as_ref().map(ShopId::octets),
        row.body,
        row.hash,
    ])?;
    Ok(())
}

/// Where every chain stands. One lookup a chain, however long they are.
pub(super) fn heads(db: &Connection) -> Result<Vec<Head>, StoreError> {
    let mut last = db.prepare_cached(
        "SELECT writer, seq, at, shop, body, hash FROM audit WHERE writer = ?1 \
         ORDER BY seq DESC LIMIT 1",
    )?;
    let mut heads = Vec::new();
    for writer in writers(db)? {
        let mut rows = last.query((writer,))?;
        if let Some(row) = rows.next()? {
            let row = audit_row(&Cells(row))?;
            let count = row.seq.saturating_add(1);
            heads.push(Head { writer, count, hash: row.hash });
        }
    }
    Ok(heads)
}

/// The first row of every chain that has one.
pub(super) fn beginnings(db: &Connection) -> Result<Vec<AuditRow>, StoreError> {
    let mut first = db.prepare_cached(
        "SELECT writer, seq, at, shop, body, hash FROM audit WHERE writer = ?1 AND seq = 0",
    )?;
    let mut all = Vec::new();
    for writer in writers(db)? {
        let mut rows = first.query((writer,))?;
        if let Some(row) = rows.next()? {
            all.push(audit_row(&Cells(row))?);
        }
    }
    Ok(all)
}

/// Rows behind `after`, in the order of writer and place.
pub(super) fn rows(
    db: &Connection,
    after: Option<(Incarnation, u64)>,
    limit: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    let mut page = db.prepare_cached(
        "SELECT writer, seq, at, shop, body, hash FROM audit WHERE (writer, seq) > (?1, ?2) \
         ORDER BY writer, seq LIMIT ?3",
    )?;
    let mut found = match after {
        Some((writer, seq)) => page.query(params![writer, unsigned(seq)?, limit])?,
        None => page.query(params![NOBODY, -1, limit])?,
    };
    let mut all = Vec::new();
    while let Some(row) = found.next()? {
        all.push(audit_row(&Cells(row))?);
    }
    Ok(all)
}

fn writers(db: &Connection) -> Result<Vec<Incarnation>, StoreError> {
    let mut next =
        db.prepare_cached("SELECT writer FROM audit WHERE writer > ?1 ORDER BY writer LIMIT 1")?;
    let mut all: Vec<Incarnation> = Vec::new();
    loop {
        let mut rows = match all.last() {
            Some(writer) => next.query((writer,))?,
            None => next.query((NOBODY,))?,
        };
        match rows.next()? {
            Some(row) => all.push(Cells(row).array(0)?),
            None => return Ok(all),
        }
    }
}
