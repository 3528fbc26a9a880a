//! Reconciliation: marks on operations, reconciled days, and tasks about institutions.

use pos_protocol::id::{OperationId, PaymentId, ShopId, TaskId};
use rusqlite::{Connection, params};

use super::rows::{Cells, corrupt, ms};
use crate::store::StoreError;
use crate::store::cells::{self, Columns as _};
use crate::store::rows::{InstitutionOperation, InstitutionTask};
use crate::store::verbs::{
    Changed, MOST_ROWS, MarkSettled, OpenInstitutionTasks, RecordRestore, RecordSettlement,
    ResolveInstitutionTask,
};

/// `SELECT` of operations `o` as [`cells::institution_operation`] reads them. A mark counts while its run is the one that
/// read its day's file to the end.
macro_rules! select_operation {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, p.shop, p.id, p.contract_number, p.order_id, o.kind, o.amount, p.currency, \
             o.state, o.moved, o.reason, o.created_at, o.ended_at, o.reference, \
             (SELECT s.day FROM settlement s WHERE s.institution = o.institution \
               AND s.day = o.settled_day AND s.run = o.settled_run), \
             (SELECT s.day FROM operation f JOIN settlement s ON s.institution = f.institution \
                 AND s.day = f.settled_day AND s.run = f.settled_run \
               WHERE f.row = (SELECT min(e.row) FROM operation e WHERE e.payment = o.payment)), \
             o.row \
             FROM operation o JOIN payment p ON p.row = o.payment ",
            $rest
        )
    };
}

const OPERATION: &str = select_operation!("WHERE o.institution = ?1 AND o.id = ?2");

/// Those behind an id, in the order of their ids.
pub(super) const OPERATIONS_AFTER: &str =
    select_operation!("WHERE o.institution = ?1 AND o.id > ?2 ORDER BY o.id LIMIT ?3");

/// The newest days.
pub(super) const SETTLEMENTS: &str = "SELECT day, from_ms, until_ms, run FROM settlement \
    WHERE institution = ?1 ORDER BY day DESC LIMIT ?2";

/// Open ones, oldest first.
pub(super) const OPEN_TASKS: &str = "SELECT id, created_at, institution, shop, payment, operation, \
    text, holds, resolved_at, note FROM institution_task WHERE resolved_at IS NULL \
    ORDER BY created_at, id LIMIT ?1";

/// Institutions with an open task that holds them.
pub(super) const HELD: &str = "SELECT DISTINCT institution FROM institution_task \
    WHERE resolved_at IS NULL AND holds = 1 ORDER BY institution";

/// One of them.
pub(super) const TASK: &str = "SELECT id, created_at, institution, shop, payment, operation, text, \
    holds, resolved_at, note FROM institution_task WHERE id = ?1";

pub(super) fn mark_settled(
    db: &Connection,
    verb: &MarkSettled,
) -> Result<Vec<InstitutionOperation>, StoreError> {
    let mut find = db.prepare_cached(OPERATION)?;
    let mut mark = db
        .prepare_cached("UPDATE operation SET settled_day = ?2, settled_run = ?3 WHERE row = ?1")?;
    let most = usize::try_from(MOST_ROWS).unwrap_or(usize::MAX);
    let mut found = Vec::with_capacity(verb.operations.len().min(most));
    for id in verb.operations.iter().take(most) {
        let mut rows = find.query((verb.institution.as_str(), id.octets()))?;
        let Some(row) = rows.next()? else { continue };
        let cells = Cells(row);
        let one = cells::institution_operation(&cells)?;
        let number = cells.number(16)?;
        if one.settled.is_none_or(|day| day == verb.day) {
            mark.execute(params![number, verb.day.number(), ms(verb.run)])?;
        }
        found.push(one);
    }
    Ok(found)
}

pub(super) fn record_settlement(
    db: &Connection,
    verb: &RecordSettlement,
) -> Result<Changed, StoreError> {
    let row = &verb.settlement;
    let kept = db
        .prepare_cached(
            "INSERT INTO settlement (institution, day, from_ms, until_ms, run) \
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM institution WHERE id = ?1) \
             ON CONFLICT DO UPDATE SET from_ms = excluded.from_ms, \
               until_ms = excluded.until_ms, run = excluded.run",
        )?
        .execute(params![
            verb.institution.as_str(),
            row.day.number(),
            ms(row.from),
            ms(row.until),
            ms(row.run),
        ])?;
    Ok(kept == 1)
}

pub(super) fn open_tasks(
    db: &Connection,
    verb: &OpenInstitutionTasks,
) -> Result<Vec<TaskId>, StoreError> {
    let of_it = verb.tasks.iter().filter(|task| task.institution == verb.institution);
    insert_tasks(db, of_it)
}

pub(super) fn record_restore(db: &Connection, verb: &RecordRestore) -> Result<u64, StoreError> {
    let (from, to) = (ms(verb.gap.from_ms), ms(verb.gap.to_ms));
    // The same backup may be restored again: the longer gap counts.
    db.prepare_cached(
        "INSERT INTO time_gap (from_ms, to_ms) VALUES (?1, ?2) \
         ON CONFLICT DO UPDATE SET to_ms = max(to_ms, excluded.to_ms)",
    )?
    .execute((from, to))?;
    insert_tasks(db, verb.tasks.iter())?;
    let mut count = db.prepare_cached("SELECT count(*) FROM time_gap")?;
    let mut rows = count.query(())?;
    Cells(rows.next()?.ok_or(corrupt("count"))?).sum(0)
}

fn insert_tasks<'t>(
    db: &Connection,
    tasks: impl Iterator<Item = &'t InstitutionTask>,
) -> Result<Vec<TaskId>, StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO institution_task \
           (institution, text, id, created_at, shop, payment, operation, holds) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 \
         WHERE EXISTS (SELECT 1 FROM institution WHERE id = ?1) ON CONFLICT DO NOTHING",
    )?;
    let most = usize::try_from(MOST_ROWS).unwrap_or(usize::MAX);
    let mut new = Vec::new();
    for task in tasks.take(most) {
        let kept = insert.execute(params![
            task.institution.as_str(),
            task.text,
            task.id.octets(),
            ms(task.created_at),
            task.shop.as_ref().map(ShopId::octets),
            task.payment.as_ref().map(PaymentId::octets),
            task.operation.as_ref().map(OperationId::octets),
            task.holds,
        ])?;
        if kept == 1 {
            new.push(task.id);
        }
    }
    Ok(new)
}

pub(super) fn resolve_task(
    db: &Connection,
    verb: &ResolveInstitutionTask,
) -> Result<Changed, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE institution_task SET resolved_at = ?3, note = ?4 \
             WHERE institution = ?1 AND id = ?2 AND resolved_at IS NULL",
        )?
        .execute(params![verb.institution.as_str(), verb.task.octets(), ms(verb.now), verb.note])?;
    Ok(changed == 1)
}
