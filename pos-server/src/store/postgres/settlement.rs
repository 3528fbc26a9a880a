//! Reconciliation: marks on operations, reconciled days, and tasks about institutions.

use pos_protocol::id::{OperationId, PaymentId, ShopId, TaskId};

use super::rows::octets;
use super::session::{Cells, Failure, Session, params};
use crate::store::cells::{self, Columns as _, corrupt, ms};
use crate::store::rows::{InstitutionOperation, InstitutionTask};
use crate::store::verbs::{
    Changed, MOST_ROWS, MarkSettled, OpenInstitutionTasks, RecordRestore, RecordSettlement,
    ResolveInstitutionTask,
};

/// `SELECT` of operations `o` as [`cells::institution_operation`] reads them. A mark counts while its run
/// is the one that read its day's file to the end.
macro_rules! select_operation {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, p.shop, p.id, p.contract_number, p.order_id, o.kind, o.amount, p.currency, \
             o.state, o.moved, o.reason, o.created_at, o.ended_at, o.reference, \
             (SELECT s.day FROM settlement s WHERE s.institution = o.institution \
               AND s.day = o.settled_day AND s.run = o.settled_run), \
             (SELECT s.day FROM (SELECT * FROM operation e WHERE e.shop = o.shop \
                 AND e.payment = o.payment AND e.payment IS NOT NULL ORDER BY e.place LIMIT 1) f \
               JOIN settlement s ON s.institution = f.institution AND s.day = f.settled_day \
                 AND s.run = f.settled_run), \
             o.key \
             FROM operation o JOIN payment p ON p.shop = o.shop AND p.id = o.payment ",
            $rest
        )
    };
}

const OPERATION: &str =
    select_operation!("WHERE o.institution = $1 AND o.id = $2 AND o.institution IS NOT NULL");

/// Those behind an id, in the order of their ids.
pub(super) const OPERATIONS_AFTER: &str = select_operation!(
    "WHERE o.institution = $1 AND o.id > $2 AND o.institution IS NOT NULL ORDER BY o.id LIMIT $3"
);

/// The newest days.
pub(super) const SETTLEMENTS: &str = "SELECT day, from_ms, until_ms, run FROM settlement \
    WHERE institution = $1 ORDER BY day DESC LIMIT $2";

/// Open ones, oldest first.
pub(super) const OPEN_TASKS: &str = "SELECT id, created_at, institution, shop, payment, operation, \
    text, holds, resolved_at, note FROM institution_task WHERE resolved_at IS NULL \
    ORDER BY created_at, id LIMIT $1";

/// Institutions with an open task that holds them.
pub(super) const HELD: &str = "SELECT DISTINCT institution FROM institution_task \
    WHERE resolved_at IS NULL AND holds ORDER BY institution";

/// One of them.
pub(super) const TASK: &str = "SELECT id, created_at, institution, shop, payment, operation, text, \
    holds, resolved_at, note FROM institution_task WHERE id = $1";

pub(super) async fn mark_settled(
    session: &Session,
    verb: &MarkSettled,
) -> Result<Vec<InstitutionOperation>, Failure> {
    let most = usize::try_from(MOST_ROWS).unwrap_or(usize::MAX);
    let mut found = Vec::with_capacity(verb.operations.len().min(most));
    for id in verb.operations.iter().take(most) {
        let params = params![verb.institution.as_str(), octets(id.octets())];
        let Some(row) = session.maybe_row(OPERATION, params).await? else { continue };
        let cells = Cells(&row);
        let one = cells::institution_operation(&cells)?;
        if one.settled.is_none_or(|day| day == verb.day) {
            session
                .execute(
                    "UPDATE operation SET settled_day = $3, settled_run = $4 \
                     WHERE shop = $1 AND key = $2",
                    params![
                        octets(one.shop.octets()),
                        cells.text(16)?,
                        i64::from(verb.day.number()),
                        ms(verb.run),
                    ],
                )
                .await?;
        }
        found.push(one);
    }
    Ok(found)
}

pub(super) async fn record_settlement(
    session: &Session,
    verb: &RecordSettlement,
) -> Result<Changed, Failure> {
    let row = &verb.settlement;
    let kept = session
        .execute(
            "INSERT INTO settlement (institution, day, from_ms, until_ms, run) \
             SELECT $1, $2, $3, $4, $5 WHERE EXISTS (SELECT 1 FROM institution WHERE id = $1) \
             ON CONFLICT (institution, day) DO UPDATE SET from_ms = excluded.from_ms, \
               until_ms = excluded.until_ms, run = excluded.run",
            params![
                verb.institution.as_str(),
                i64::from(row.day.number()),
                ms(row.from),
                ms(row.until),
                ms(row.run),
            ],
        )
        .await?;
    Ok(kept == 1)
}

pub(super) async fn open_tasks(
    session: &Session,
    verb: &OpenInstitutionTasks,
) -> Result<Vec<TaskId>, Failure> {
    let of_it = verb.tasks.iter().filter(|task| task.institution == verb.institution);
    insert_tasks(session, of_it).await
}

pub(super) async fn record_restore(
    session: &Session,
    verb: &RecordRestore,
) -> Result<u64, Failure> {
    // The same backup may be restored again: the longer gap counts.
    session
        .execute(
            "INSERT INTO time_gap (from_ms, to_ms) VALUES ($1, $2) \
             ON CONFLICT (from_ms) DO UPDATE SET to_ms = greatest(time_gap.to_ms, excluded.to_ms)",
            params![ms(verb.gap.from_ms), ms(verb.gap.to_ms)],
        )
        .await?;
    insert_tasks(session, verb.tasks.iter()).await?;
    let found = session.maybe_row("SELECT count(*) FROM time_gap", params![]).await?;
    Ok(Cells(&found.ok_or(corrupt("count"))?).sum(0)?)
}

async fn insert_tasks<'t>(
    session: &Session,
    tasks: impl Iterator<Item = &'t InstitutionTask>,
) -> Result<Vec<TaskId>, Failure> {
    let mut new = Vec::new();
    for task in tasks.take(usize::try_from(MOST_ROWS).unwrap_or(usize::MAX)) {
        let kept = session
            .execute(
                "INSERT INTO institution_task \
                   (institution, text, id, created_at, shop, payment, operation, holds) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8 \
                 WHERE EXISTS (SELECT 1 FROM institution WHERE id = $1) ON CONFLICT DO NOTHING",
                params![
                    task.institution.as_str(),
                    &*task.text,
                    octets(task.id.octets()),
                    ms(task.created_at),
                    task.shop.as_ref().map(ShopId::octets).map(octets),
                    task.payment.as_ref().map(PaymentId::octets).map(octets),
                    task.operation.as_ref().map(OperationId::octets).map(octets),
                    task.holds,
                ],
            )
            .await?;
        if kept == 1 {
            new.push(task.id);
        }
    }
    Ok(new)
}

pub(super) async fn resolve_task(
    session: &Session,
    verb: &ResolveInstitutionTask,
) -> Result<Changed, Failure> {
    let changed = session
        .execute(
            "UPDATE institution_task SET resolved_at = $3, note = $4 \
             WHERE institution = $1 AND id = $2 AND resolved_at IS NULL",
            params![
                verb.institution.as_str(),
                octets(verb.task.octets()),
                ms(verb.now),
                &*verb.note,
            ],
        )
        .await?;
    Ok(changed == 1)
}
