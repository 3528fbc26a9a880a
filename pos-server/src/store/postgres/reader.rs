//! The readers: a bounded pool of connections. They read from the primary, so that what was acknowledged
//! is always seen.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pos_protocol::id::{
    ContractId, IdempotencyKey, InstitutionId, OperationId, OrderId, PaymentId, PosId, ShopId,
    TaskId, UserId,
};
use pos_protocol::key::KeyId;
use pos_protocol::wire::TimeGap;
use tokio::time::timeout;

use super::rows::{octets, payments, select_payment};
use super::session::{Cells, Failure, Params, Session, params};
use super::settings::Way;
use super::{Reading, audit, notices, rows, settlement};
use crate::store::StoreError;
use crate::store::audit::{AuditRow, Head};
use crate::store::cells::{self, Columns as _};
use crate::store::codes;
use crate::store::engine::Reader;
use crate::store::rows::{
    ChannelRow, ContractRow, Incarnation, InstitutionOperation, InstitutionRow, InstitutionTask,
    KeyRow, LoginRow, NoticeCounts, OpenCount, PosRow, SettlementRow, ShopRow, StoredPayment,
    TaskRow, TimeGaps, UnderKey,
};
use crate::store::verbs::MOST_ROWS;

/// Connections that take turns; who finds none waits for one. Each is made when it is first needed.
pub(super) struct PostgresReader {
    reading: Arc<Reading>,
    way: Way,
    idle: Mutex<Vec<Option<Session>>>,
    returned: Condvar,
    limit: Duration,
}

impl PostgresReader {
    pub(super) fn new(reading: Arc<Reading>, way: Way, count: usize, limit: Duration) -> Self {
        let idle = Mutex::new((0..count.max(1)).map(|_| None).collect());
        Self { reading, way, idle, returned: Condvar::new(), limit }
    }

    /// Reads on a connection of the pool, for at most the time limit. A connection that turns out to be
    /// gone is replaced: a read can be done over.
    fn with<T>(&self, read: impl AsyncFn(&Session) -> Result<T, Failure>) -> Result<T, StoreError> {
        let mut lent = Lent::take(self);
        let Some(runtime) = self.reading.handle() else { return Err(StoreError::Stopped) };
        let turn = async {
            loop {
                let (session, fresh) = match lent.session.take() {
                    Some(session) if !session.is_closed() => (session, false),
                    _ => (self.connect().await.map_err(unreachable)?, true),
                };
                match read(&session).await {
                    Err(Failure::Lost(_)) if !fresh => {}
                    Err(failure @ Failure::Lost(_)) => return Err(failure.told()),
                    done => {
                        lent.session = Some(session);
                        return done.map_err(Failure::told);
                    }
                }
            }
        };
        let done = runtime.block_on(async { timeout(self.limit, turn).await });
        done.unwrap_or_else(|late| Err(StoreError::Away { cause: Arc::new(late) }))
    }

    async fn connect(&self) -> Result<Session, Failure> {
        let session = Session::open(&self.way).await?;
        session.set("statement_timeout", &self.limit.as_millis().to_string()).await?;
        session.set("default_transaction_read_only", "on").await?;
        Ok(session)
    }

    fn list<T>(
        &self,
        statement: &'static str,
        params: Params<'_>,
        read: impl Fn(&Cells<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.with(async |session| session.rows(statement, params).await)?;
        rows.iter().map(|row| read(&Cells(row))).collect()
    }

    fn one<T>(
        &self,
        statement: &'static str,
        params: Params<'_>,
        read: impl Fn(&Cells<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.list(statement, params, read)?.pop())
    }
}

/// A database that refuses a connection is away like one that does not answer.
fn unreachable(failure: Failure) -> StoreError {
    match failure.told() {
        StoreError::Engine { cause } => StoreError::Away { cause },
        other => other,
    }
}

/// A connection on loan; goes back when dropped, also when the read panics.
struct Lent<'p> {
    pool: &'p PostgresReader,
    session: Option<Session>,
}

impl<'p> Lent<'p> {
    fn take(pool: &'p PostgresReader) -> Self {
        let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = pool
            .returned
            .wait_while(idle, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let session = idle.pop().flatten();
        Self { pool, session }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(self.session.take());
        drop(idle);
        self.pool.returned.notify_one();
    }
}

impl Reader for PostgresReader {
    fn key(&self, id: KeyId) -> Result<Option<KeyRow>, StoreError> {
        self.one(
            "SELECT shop, public, role, pos, created_at, ends_at, idle_at, first_used_at, \
               ended_at FROM key_record WHERE id = $1",
            params![octets(id.octets())],
            |cells| cells::key_row(cells),
        )
    }

    fn keys(&self, shop: ShopId) -> Result<Vec<KeyRow>, StoreError> {
        self.list(
            "SELECT shop, public, role, pos, created_at, ends_at, idle_at, first_used_at, \
               ended_at FROM key_record WHERE shop = $1 AND ended_at IS NULL \
             ORDER BY created_at DESC, id LIMIT 100",
            params![octets(shop.octets())],
            |cells| cells::key_row(cells),
        )
    }

    fn login(&self, user: UserId) -> Result<Option<LoginRow>, StoreError> {
        self.one(
            "SELECT s.id, s.password_hash, s.failures, s.locked_until, e.enrolment_key, \
               e.expires_at, e.spent_for \
             FROM shop s LEFT JOIN enrolment e ON e.shop = s.id WHERE s.user_id = $1",
            params![octets(user.octets())],
            |cells| cells::login_row(cells),
        )
    }

    fn under_key(
        &self,
        shop: ShopId,
        key: &IdempotencyKey,
    ) -> Result<Option<UnderKey>, StoreError> {
        self.with(async |session| rows::under_key(session, shop, key).await)
    }

    fn payment(&self, shop: ShopId, id: PaymentId) -> Result<Option<StoredPayment>, StoreError> {
        self.with(async |session| rows::payment(session, shop, id).await)
    }

    fn payment_of_order(
        &self,
        shop: ShopId,
        order: &OrderId,
    ) -> Result<Option<StoredPayment>, StoreError> {
        let mut found = self.with(async |session| {
            let rows = session
                .rows(
                    select_payment!(
                        "FROM shop_order s \
                           JOIN payment p ON p.shop = s.shop AND p.id = s.payment \
                           JOIN operation o ON o.shop = p.shop AND o.payment = p.id \
                         WHERE s.shop = $1 AND s.order_id = $2 ORDER BY o.place"
                    ),
                    params![octets(shop.octets()), order.as_str()],
                )
                .await?;
            Ok(payments(&rows))
        })?;
        found.pop().transpose()
    }

    fn history(
        &self,
        shop: ShopId,
        pos: Option<PosId>,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Result<Vec<StoredPayment>, StoreError> {
        // Seventeen octets lie behind every id.
        let end: &[u8] = &[0xff; 17];
        let before = after.as_ref().map_or(end, |after| octets(after.octets()));
        let (of, limit) = (octets(shop.octets()), i64::from(limit));
        let found = self.with(async |session| {
            let rows = match &pos {
                Some(pos) => {
                    session
                        .rows(
                            select_payment!(
                                "FROM (SELECT * FROM payment WHERE shop = $1 AND id < $2 \
                                   AND pos = $4 ORDER BY id DESC LIMIT $3) p \
                                 JOIN operation o ON o.shop = p.shop AND o.payment = p.id \
                                 ORDER BY p.id DESC, o.place"
                            ),
                            params![of, before, limit, octets(pos.octets())],
                        )
                        .await?
                }
                None => {
                    session
                        .rows(
                            select_payment!(
                                "FROM (SELECT * FROM payment WHERE shop = $1 AND id < $2 \
                                   ORDER BY id DESC LIMIT $3) p \
                                 JOIN operation o ON o.shop = p.shop AND o.payment = p.id \
                                 ORDER BY p.id DESC, o.place"
                            ),
                            params![of, before, limit],
                        )
                        .await?
                }
            };
            Ok(payments(&rows))
        })?;
        found.into_iter().collect()
    }

    fn contracts(&self, shop: ShopId) -> Result<Vec<ContractRow>, StoreError> {
        self.list(
            "SELECT id, pos, institution, number, enabled, created_at FROM contract \
             WHERE shop = $1 ORDER BY created_at, id",
            params![octets(shop.octets())],
            |cells| cells::contract_row(cells),
        )
    }

    fn contract(&self, shop: ShopId, id: ContractId) -> Result<Option<ContractRow>, StoreError> {
        self.one(
            "SELECT id, pos, institution, number, enabled, created_at FROM contract \
             WHERE shop = $1 AND id = $2",
            params![octets(shop.octets()), octets(id.octets())],
            |cells| cells::contract_row(cells),
        )
    }

    fn poses(&self, shop: ShopId) -> Result<Vec<PosRow>, StoreError> {
        self.list(
            "SELECT id, name, purpose, created_at FROM pos WHERE shop = $1 \
             ORDER BY created_at, id",
            params![octets(shop.octets())],
            |cells| cells::pos_row(cells),
        )
    }

    fn time_gaps(&self) -> Result<TimeGaps, StoreError> {
        let statement = "SELECT from_ms, to_ms FROM time_gap ORDER BY from_ms";
        self.list(statement, params![], |cells| {
            Ok(TimeGap { from_ms: cells.instant(0)?, to_ms: cells.instant(1)? })
        })
    }

    fn institutions(&self) -> Result<Vec<InstitutionRow>, StoreError> {
        self.list(
            "SELECT id, name, name_ja, url, ca_pem, verify_key, seal_root, seal_key_version, \
               capabilities, enabled FROM institution ORDER BY id",
            params![],
            |cells| cells::institution_row(cells),
        )
    }

    fn shops(&self, after: Option<ShopId>, limit: u32) -> Result<Vec<ShopRow>, StoreError> {
        let after = after.as_ref().map_or(&[][..], |after| octets(after.octets()));
        self.list(
            "SELECT id, name, email, user_id, created_at FROM shop WHERE id > $1 \
             ORDER BY id LIMIT $2",
            params![after, i64::from(limit)],
            |cells| cells::shop_row(cells),
        )
    }

    fn shop(&self, id: ShopId) -> Result<Option<ShopRow>, StoreError> {
        self.one(
            "SELECT id, name, email, user_id, created_at FROM shop WHERE id = $1",
            params![octets(id.octets())],
            |cells| cells::shop_row(cells),
        )
    }

    fn shop_of_pos(&self, id: PosId) -> Result<Option<ShopId>, StoreError> {
        let statement = "SELECT shop FROM pos WHERE id = $1";
        self.one(statement, params![octets(id.octets())], |cells| {
            cells.array(0).map(ShopId::from_octets)
        })
    }

    fn shop_of_contract(&self, id: ContractId) -> Result<Option<ShopId>, StoreError> {
        let statement = "SELECT shop FROM contract WHERE id = $1";
        self.one(statement, params![octets(id.octets())], |cells| {
            cells.array(0).map(ShopId::from_octets)
        })
    }

    fn tasks(&self, limit: u32) -> Result<Vec<TaskRow>, StoreError> {
        self.list(
            "SELECT id, created_at, shop, payment, operation, text, resolved_at, note FROM task \
             WHERE resolved_at IS NULL ORDER BY created_at, id LIMIT $1",
            params![i64::from(limit)],
            |cells| cells::task_row(cells),
        )
    }

    fn channels(&self, shop: ShopId) -> Result<Vec<ChannelRow>, StoreError> {
        let channels = self.list(
            "SELECT channel, target, language, key_generation, older_key_until, disabled_at \
             FROM channel WHERE shop = $1 ORDER BY channel",
            params![octets(shop.octets())],
            |cells| {
                let channel = codes::to_channel(cells.number(0)?);
                cells::channel_row(cells, 1, channel.ok_or(cells::corrupt("channel"))?)
            },
        )?;
        Ok(channels.into_iter().flatten().collect())
    }

    fn notice_counts(&self) -> Result<NoticeCounts, StoreError> {
        self.with(async |session| notices::counts(session).await)
    }

    fn institution_tasks(&self, limit: u32) -> Result<Vec<InstitutionTask>, StoreError> {
        self.list(settlement::OPEN_TASKS, params![i64::from(limit)], |cells| {
            cells::institution_task(cells)
        })
    }

    fn institution_task(&self, id: TaskId) -> Result<Option<InstitutionTask>, StoreError> {
        self.one(settlement::TASK, params![octets(id.octets())], |cells| {
            cells::institution_task(cells)
        })
    }

    fn held_institutions(&self) -> Result<Vec<InstitutionId>, StoreError> {
        self.list(settlement::HELD, params![], |cells| cells.named(0))
    }

    fn operations_of(
        &self,
        institution: &InstitutionId,
        after: OperationId,
        limit: u32,
    ) -> Result<Vec<InstitutionOperation>, StoreError> {
        let limit = i64::from(limit.min(MOST_ROWS));
        let params = params![institution.as_str(), octets(after.octets()), limit];
        self.list(settlement::OPERATIONS_AFTER, params, |cells| cells::institution_operation(cells))
    }

    fn settlements(
        &self,
        institution: &InstitutionId,
        limit: u32,
    ) -> Result<Vec<SettlementRow>, StoreError> {
        let params = params![institution.as_str(), i64::from(limit)];
        self.list(settlement::SETTLEMENTS, params, |cells| cells::settlement_row(cells))
    }

    fn open_tasks(&self) -> Result<u64, StoreError> {
        let statement = "SELECT (SELECT count(*) FROM task WHERE resolved_at IS NULL) \
             + (SELECT count(*) FROM institution_task WHERE resolved_at IS NULL)";
        let counted = self.one(statement, params![], |cells| cells.sum(0));
        Ok(counted?.unwrap_or_default())
    }

    fn task(&self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        self.one(
            "SELECT id, created_at, shop, payment, operation, text, resolved_at, note FROM task \
             WHERE id = $1",
            params![octets(id.octets())],
            |cells| cells::task_row(cells),
        )
    }

    fn audit_heads(&self) -> Result<Vec<Head>, StoreError> {
        self.with(async |session| audit::heads(session).await)
    }

    fn audit_beginnings(&self) -> Result<Vec<AuditRow>, StoreError> {
        self.with(async |session| audit::beginnings(session).await)
    }

    fn audit_rows(
        &self,
        after: Option<(Incarnation, u64)>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        self.with(async |session| audit::rows(session, after, limit).await)
    }

    fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        let counts = self.list(
            "SELECT state, count(*), min(created_at) FROM open_operation WHERE state < 16 \
             GROUP BY state ORDER BY state",
            params![],
            |cells| cells::open_count(cells),
        )?;
        Ok(cells::merged(counts))
    }
}
