//! The readers: a bounded pool of connections that only read.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pos_protocol::id::{
    ContractId, IdempotencyKey, InstitutionId, OperationId, OrderId, PaymentId, PosId, ShopId,
    TaskId, UserId,
};
use pos_protocol::key::KeyId;
use pos_protocol::wire::TimeGap;
use rusqlite::{Connection, Params};

use super::rows::{self, Cells, corrupt, select_payment};
use super::{OpenError, SqliteOptions, audit, notices, settlement};
use crate::store::StoreError;
use crate::store::audit::{AuditRow, Head};
use crate::store::cells::{
    self, Columns, contract_row, institution_row, key_row, login_row, pos_row, shop_row, task_row,
};
use crate::store::codes;
use crate::store::engine::Reader;
use crate::store::rows::{
    ChannelRow, ContractRow, Incarnation, InstitutionOperation, InstitutionRow, InstitutionTask,
    KeyRow, LoginRow, NoticeCounts, OpenCount, PosRow, SettlementRow, ShopRow, StoredPayment,
    TaskRow, TimeGaps, UnderKey,
};
use crate::store::verbs::MOST_ROWS;

/// Connections that take turns; who finds none waits for one.
pub(super) struct SqliteReader {
    idle: Mutex<Vec<Connected>>,
    returned: Condvar,
    started: Instant,
    limit: Duration,
}

struct Connected {
    db: Connection,
    /// Milliseconds after `started` when the present read is ended.
    deadline: Arc<AtomicU64>,
}

/// Instructions of SQLite's machine between two looks at the clock: some tens of microseconds.
const OPERATIONS_PER_LOOK: i32 = 10_000;

impl SqliteReader {
    pub(super) fn open(
        path: &Path,
        count: usize,
        options: SqliteOptions,
    ) -> Result<Self, OpenError> {
        let started = Instant::now();
        let mut idle = Vec::with_capacity(count.max(1));
        for _ in 0..count.max(1) {
            let mut db = super::connect(path, options.disk)?;
            db.pragma_update(None, "query_only", true)?;
            let deadline = Arc::new(AtomicU64::new(u64::MAX));
            let end = Arc::clone(&deadline);
            let late = move || whole_ms(started.elapsed()) > end.load(Ordering::Relaxed);
            db.progress_handler(OPERATIONS_PER_LOOK, Some(late))?;
            idle.push(Connected { db, deadline });
        }
        let limit = options.read_limit;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new(), started, limit })
    }

    /// Makes every statement fail that takes more instructions.
    #[cfg(test)]
    pub(super) fn interrupt_after(&self, instructions: i32) {
        for connected in self.idle.lock().unwrap().iter_mut() {
            let stop = || true;
            connected.db.progress_handler(instructions, Some(stop)).unwrap();
        }
    }

    /// Reads on a connection of the pool, for at most the time limit.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lent = Lent::take(self);
        if let Some(connected) = &lent.connected {
            let end = self.started.elapsed().saturating_add(self.limit);
            connected.deadline.store(whole_ms(end), Ordering::Relaxed);
            read(&connected.db)
        } else {
            Err(StoreError::Crossed)
        }
    }

    fn list<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl Fn(&Cells<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.with(|db| {
            let mut statement = db.prepare_cached(statement)?;
            let mut rows = statement.query(params)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(read(&Cells(row))?);
            }
            Ok(found)
        })
    }

    fn one<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl Fn(&Cells<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.with(|db| {
            let mut statement = db.prepare_cached(statement)?;
            let mut rows = statement.query(params)?;
            rows.next()?.map(|row| read(&Cells(row))).transpose()
        })
    }
}

/// A connection on loan; goes back when dropped, also when the read panics.
struct Lent<'p> {
    pool: &'p SqliteReader,
    connected: Option<Connected>,
}

impl<'p> Lent<'p> {
    fn take(pool: &'p SqliteReader) -> Self {
        let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = pool
            .returned
            .wait_while(idle, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let connected = idle.pop();
        Self { pool, connected }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connected) = self.connected.take() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(connected);
            drop(idle);
            self.pool.returned.notify_one();
        }
    }
}

impl Reader for SqliteReader {
    fn key(&self, id: KeyId) -> Result<Option<KeyRow>, StoreError> {
        self.one(
            "SELECT shop, public, role, pos, created_at, ends_at, idle_at, first_used_at, \
               ended_at FROM key_record WHERE id = ?1",
            (id.octets(),),
            |cells| key_row(cells),
        )
    }

    fn keys(&self, shop: ShopId) -> Result<Vec<KeyRow>, StoreError> {
        self.list(
            "SELECT shop, public, role, pos, created_at, ends_at, idle_at, first_used_at, \
               ended_at FROM key_record WHERE shop = ?1 AND ended_at IS NULL \
             ORDER BY created_at DESC, id LIMIT 100",
            (shop.octets(),),
            |cells| key_row(cells),
        )
    }

    fn login(&self, user: UserId) -> Result<Option<LoginRow>, StoreError> {
        self.one(
            "SELECT s.id, s.password_hash, s.failures, s.locked_until, e.enrolment_key, \
               e.expires_at, e.spent_for \
             FROM shop s LEFT JOIN enrolment e ON e.shop = s.id WHERE s.user_id = ?1",
            (user.octets(),),
            |cells| login_row(cells),
        )
    }

    fn under_key(
        &self,
        shop: ShopId,
        key: &IdempotencyKey,
    ) -> Result<Option<UnderKey>, StoreError> {
        self.with(|db| rows::under_key(db, shop, key))
    }

    fn payment(&self, shop: ShopId, id: PaymentId) -> Result<Option<StoredPayment>, StoreError> {
        self.with(|db| rows::payment(db, shop, id))
    }

    fn payment_of_order(
        &self,
        shop: ShopId,
        order: &OrderId,
    ) -> Result<Option<StoredPayment>, StoreError> {
        self.with(|db| {
            let mut statement = db.prepare_cached(select_payment!(
                "FROM shop_order s \
                   JOIN payment p ON p.shop = s.shop AND p.id = s.payment \
                   JOIN operation o ON o.payment = p.row \
                 WHERE s.shop = ?1 AND s.order_id = ?2 ORDER BY o.row"
            ))?;
            let mut rows = statement.query((shop.octets(), order.as_str()))?;
            Ok(rows::payments(&mut rows)?.pop())
        })
    }

    fn history(
        &self,
        shop: ShopId,
        pos: Option<PosId>,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Result<Vec<StoredPayment>, StoreError> {
        self.with(|db| {
            // One transaction, so that the parts belong to one moment.
            let moment = db.unchecked_transaction()?;
            let poses = match pos {
                Some(pos) => vec![*pos.octets()],
                None => poses_with_payments(&moment, shop)?,
            };
            let rows = newest(&moment, shop, &poses, after, limit)?;
            rows.into_iter().map(|row| rows::payment_in_row(&moment, row)).collect()
        })
    }

    fn contracts(&self, shop: ShopId) -> Result<Vec<ContractRow>, StoreError> {
        self.list(
            "SELECT id, pos, institution, number, enabled, created_at FROM contract \
             WHERE shop = ?1 ORDER BY created_at, id",
            (shop.octets(),),
            |cells| contract_row(cells),
        )
    }

    fn contract(&self, shop: ShopId, id: ContractId) -> Result<Option<ContractRow>, StoreError> {
        self.one(
            "SELECT id, pos, institution, number, enabled, created_at FROM contract \
             WHERE shop = ?1 AND id = ?2",
            (shop.octets(), id.octets()),
            |cells| contract_row(cells),
        )
    }

    fn poses(&self, shop: ShopId) -> Result<Vec<PosRow>, StoreError> {
        self.list(
            "SELECT id, name, purpose, created_at FROM pos WHERE shop = ?1 \
             ORDER BY created_at, id",
            (shop.octets(),),
            |cells| pos_row(cells),
        )
    }

    fn channels(&self, shop: ShopId) -> Result<Vec<ChannelRow>, StoreError> {
        let channels = self.list(
            "SELECT channel, target, language, key_generation, older_key_until, disabled_at \
             FROM channel WHERE shop = ?1 ORDER BY channel",
            (shop.octets(),),
            |cells| {
                let channel = codes::to_channel(cells.number(0)?).ok_or(corrupt("channel"))?;
                cells::channel_row(cells, 1, channel)
            },
        )?;
        Ok(channels.into_iter().flatten().collect())
    }

    fn notice_counts(&self) -> Result<NoticeCounts, StoreError> {
        self.with(notices::counts)
    }

    fn time_gaps(&self) -> Result<TimeGaps, StoreError> {
        self.list("SELECT from_ms, to_ms FROM time_gap ORDER BY from_ms", (), |cells| {
            Ok(TimeGap { from_ms: cells.instant(0)?, to_ms: cells.instant(1)? })
        })
    }

    fn institutions(&self) -> Result<Vec<InstitutionRow>, StoreError> {
        self.list(
            "SELECT id, name, name_ja, url, ca_pem, verify_key, seal_root, seal_key_version, \
               capabilities, enabled FROM institution ORDER BY id",
            (),
            |cells| institution_row(cells),
        )
    }

    fn shops(&self, after: Option<ShopId>, limit: u32) -> Result<Vec<ShopRow>, StoreError> {
        let after = after.as_ref().map_or(&[][..], |after| &after.octets()[..]);
        self.list(
            "SELECT id, name, email, user_id, created_at FROM shop WHERE id > ?1 \
             ORDER BY id LIMIT ?2",
            (after, limit),
            |cells| shop_row(cells),
        )
    }

    fn shop(&self, id: ShopId) -> Result<Option<ShopRow>, StoreError> {
        self.one(
            "SELECT id, name, email, user_id, created_at FROM shop WHERE id = ?1",
            (id.octets(),),
            |cells| shop_row(cells),
        )
    }

    fn shop_of_pos(&self, id: PosId) -> Result<Option<ShopId>, StoreError> {
        self.one("SELECT shop FROM pos WHERE id = ?1", (id.octets(),), |cells| {
            cells.array(0).map(ShopId::from_octets)
        })
    }

    fn shop_of_contract(&self, id: ContractId) -> Result<Option<ShopId>, StoreError> {
        self.one("SELECT shop FROM contract WHERE id = ?1", (id.octets(),), |cells| {
            cells.array(0).map(ShopId::from_octets)
        })
    }

    fn tasks(&self, limit: u32) -> Result<Vec<TaskRow>, StoreError> {
        self.list(
            "SELECT id, created_at, shop, payment, operation, text, resolved_at, note FROM task \
             WHERE resolved_at IS NULL ORDER BY created_at, id LIMIT ?1",
            (limit,),
            |cells| task_row(cells),
        )
    }

    fn institution_tasks(&self, limit: u32) -> Result<Vec<InstitutionTask>, StoreError> {
        self.list(settlement::OPEN_TASKS, (limit,), |cells| cells::institution_task(cells))
    }

    fn institution_task(&self, id: TaskId) -> Result<Option<InstitutionTask>, StoreError> {
        self.one(settlement::TASK, (id.octets(),), |cells| cells::institution_task(cells))
    }

    fn held_institutions(&self) -> Result<Vec<InstitutionId>, StoreError> {
        self.list(settlement::HELD, (), |cells| cells.named(0))
    }

    fn operations_of(
        &self,
        institution: &InstitutionId,
        after: OperationId,
        limit: u32,
    ) -> Result<Vec<InstitutionOperation>, StoreError> {
        let limit = limit.min(MOST_ROWS);
        let params = (institution.as_str(), after.octets(), limit);
        self.list(settlement::OPERATIONS_AFTER, params, |cells| cells::institution_operation(cells))
    }

    fn settlements(
        &self,
        institution: &InstitutionId,
        limit: u32,
    ) -> Result<Vec<SettlementRow>, StoreError> {
        self.list(settlement::SETTLEMENTS, (institution.as_str(), limit), |cells| {
            cells::settlement_row(cells)
        })
    }

    fn open_tasks(&self) -> Result<u64, StoreError> {
        let counted = self.one(
            "SELECT (SELECT count(*) FROM task WHERE resolved_at IS NULL) \
               + (SELECT count(*) FROM institution_task WHERE resolved_at IS NULL)",
            (),
            |cells| cells.sum(0),
        );
        Ok(counted?.unwrap_or_default())
    }

    fn task(&self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        self.one(
            "SELECT id, created_at, shop, payment, operation, text, resolved_at, note FROM task \
             WHERE id = ?1",
            (id.octets(),),
            |cells| task_row(cells),
        )
    }

    fn audit_heads(&self) -> Result<Vec<Head>, StoreError> {
        self.with(audit::heads)
    }

    fn audit_beginnings(&self) -> Result<Vec<AuditRow>, StoreError> {
        self.with(audit::beginnings)
    }

    fn audit_rows(
        &self,
        after: Option<(Incarnation, u64)>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.with(|db| audit::rows(db, after, limit))
    }

    fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        // Both halves have a partial index, so that the ended ones are never looked at.
        let counts = self.list(
            "SELECT state, count(*), min(created_at) FROM operation \
               WHERE due_at IS NOT NULL AND state < 16 GROUP BY state \
             UNION ALL SELECT state, count(*), min(created_at) FROM operation \
               WHERE due_at IS NULL AND state < 16 GROUP BY state",
            (),
            |cells| cells::open_count(cells),
        )?;
        Ok(cells::merged(counts))
    }
}

/// The POSes that payments of this shop were made on, each found by one step in the index.
fn poses_with_payments(db: &Connection, shop: ShopId) -> Result<Vec<[u8; 16]>, StoreError> {
    let mut next =
        db.prepare_cached("SELECT min(pos) FROM payment WHERE shop = ?1 AND pos > ?2")?;
    let mut found: Vec<[u8; 16]> = Vec::new();
    loop {
        let last = found.last().map_or(&[][..], |last| &last[..]);
        let mut rows = next.query((shop.octets(), last))?;
        let row = rows.next()?.ok_or(corrupt("payment"))?;
        match Cells(row).maybe(0, Cells::array)? {
            Some(pos) => found.push(pos),
            None => return Ok(found),
        }
    }
}

/// Rows of the newest payments of these POSes that are older than `after`, newest first.
fn newest(
    db: &Connection,
    shop: ShopId,
    poses: &[[u8; 16]],
    after: Option<PaymentId>,
    limit: u32,
) -> Result<Vec<i64>, StoreError> {
    // Seventeen octets lie behind every id.
    let end: &[u8] = &[0xff; 17];
    let before = after.as_ref().map_or(end, |after| &after.octets()[..]);
    let mut statement = db.prepare_cached(
        "SELECT id, row FROM payment WHERE shop = ?1 AND pos = ?2 AND id < ?3 \
         ORDER BY id DESC LIMIT ?4",
    )?;
    let mut found: Vec<([u8; 16], i64)> = Vec::new();
    for pos in poses {
        let mut rows = statement.query((shop.octets(), pos, before, limit))?;
        while let Some(row) = rows.next()? {
            let cells = Cells(row);
            found.push((cells.array(0)?, cells.number(1)?));
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found.into_iter().map(|(_, row)| row).collect())
}

fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
