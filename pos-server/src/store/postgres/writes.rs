//! What a wave writes: one statement a table, whatever the number of verbs.

use pos_protocol::Timestamp;
use pos_protocol::id::{OperationId, OrderId, PaymentId, ShopId};
use pos_protocol::payment::OperationState;

use super::rows::octets;
use super::session::{Failure, Session, params};
use super::wave::{SeenOperation, SeenPayment};
use crate::store::StoreError;
use crate::store::cells::{corrupt, maybe_ms, ms, unsigned};
use crate::store::codes;
use crate::store::rows::{Channel, Evidence, Incarnation, TaskRow};
use crate::store::verbs::{BeginOperation, Change, Follows, NewNotice, NewPayment, RecordOutcome};

/// A payment of a shop.
type Payment = (ShopId, PaymentId);

/// Everything that the verbs of a wave write.
#[derive(Default)]
pub(super) struct Writes<'v> {
    payments: Vec<NewRow<'v>>,
    moved: Vec<Moved>,
    operations: Vec<OperationRow<'v>>,
    changes: Vec<Changed<'v>>,
    open: Vec<OpenRow>,
    ended: Vec<(Payment, OperationId)>,
    claims: Vec<(Payment, &'v OrderId)>,
    freed: Vec<(Payment, Box<str>)>,
    envelopes: Vec<(ShopId, i64, &'v [u8; 32])>,
    tasks: Vec<(ShopId, &'v TaskRow)>,
    notices: Vec<(ShopId, &'v NewNotice, i64)>,
}

struct NewRow<'v> {
    verb: &'v BeginOperation,
    new: &'v NewPayment,
    amount: i64,
}

struct Moved {
    payment: Payment,
    version: i64,
    /// None where an operation is only begun.
    sums: Option<[i64; 4]>,
}

struct OperationRow<'v> {
    payment: Payment,
    institution: Box<str>,
    key: std::borrow::Cow<'v, str>,
    fingerprint: [u8; 32],
    place: i64,
    id: OperationId,
    kind: i64,
    state: i64,
    amount: i64,
    allow_partial: bool,
    by_server: bool,
    give_up_at: Option<i64>,
    not_after: i64,
    created_at: i64,
    lease_epoch: i64,
}

struct Changed<'v> {
    payment: Payment,
    id: OperationId,
    state: i64,
    moved: Option<i64>,
    reason: Option<&'static str>,
    evidence: Option<&'v Evidence>,
    inquiries: Option<i64>,
    ended_at: Option<i64>,
}

struct OpenRow {
    payment: Payment,
    id: OperationId,
    institution: Box<str>,
    state: i64,
    created_at: i64,
    lease_owner: Option<Incarnation>,
    due_at: Option<i64>,
}

impl<'v> Writes<'v> {
    /// Whether no verb wrote anything.
    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.changes.is_empty()
    }

    /// A payment with its first operation and its claims.
    pub(super) fn make_payment(
        &mut self,
        verb: &'v BeginOperation,
        new: &'v NewPayment,
    ) -> Result<(), StoreError> {
        let payment = (verb.shop, new.id);
        self.payments.push(NewRow { verb, new, amount: unsigned(verb.amount.minor())? });
        self.begin(verb, payment, 1, new.institution.as_str())?;
        self.claims.push((payment, &new.order_id));
        self.envelopes.push((verb.shop, ms(new.envelope_not_after), &new.envelope));
        Ok(())
    }

    /// Another operation of a payment, which then has this version.
    pub(super) fn continue_payment(
        &mut self,
        verb: &'v BeginOperation,
        id: PaymentId,
        version: u32,
        stands: &SeenPayment,
    ) -> Result<(), StoreError> {
        let payment = (verb.shop, id);
        self.moved.push(Moved { payment, version: i64::from(version), sums: None });
        self.begin(verb, payment, version, &stands.institution)
    }

    fn begin(
        &mut self,
        verb: &'v BeginOperation,
        payment: Payment,
        version: u32,
        institution: &str,
    ) -> Result<(), StoreError> {
        let state = codes::of_state(verb.begun_as());
        self.operations.push(OperationRow {
            payment,
            institution: institution.into(),
            key: verb.key.as_str().into(),
            fingerprint: verb.fingerprint,
            place: place(version, false),
            id: verb.operation,
            kind: codes::of_kind(verb.kind),
            state,
            amount: unsigned(verb.amount.minor())?,
            allow_partial: verb.allow_partial,
            by_server: false,
            give_up_at: maybe_ms(verb.give_up_at),
            not_after: ms(verb.not_after),
            created_at: ms(verb.now),
            lease_epoch: 1,
        });
        self.open.push(OpenRow {
            payment,
            id: verb.operation,
            institution: institution.into(),
            state,
            created_at: ms(verb.now),
            lease_owner: verb.lease.map(|lease| lease.owner),
            due_at: verb.lease.map(|lease| ms(lease.expires_at)),
        });
        Ok(())
    }

    /// What was learnt of an operation.
    pub(super) fn record(
        &mut self,
        verb: &'v RecordOutcome,
        version: u32,
        stands: &SeenPayment,
        operation: &SeenOperation,
    ) -> Result<(), StoreError> {
        let payment = (verb.shop, verb.payment);
        let (moved, reason) = codes::carried(verb.state)?;
        self.changes.push(Changed {
            payment,
            id: verb.operation,
            state: codes::of_state(verb.state),
            moved,
            reason,
            evidence: Some(&verb.evidence),
            inquiries: Some(i64::from(verb.inquiries)),
            ended_at: maybe_ms(verb.ended_at),
        });
        self.stand(
            (payment, verb.operation),
            verb.state,
            verb.due_at,
            &stands.institution,
            operation,
        );
        let sums = [
            unsigned(verb.sums.authorised)?,
            unsigned(verb.sums.captured)?,
            unsigned(verb.sums.released)?,
            unsigned(verb.sums.refunded)?,
        ];
        self.moved.push(Moved { payment, version: i64::from(version), sums: Some(sums) });
        if verb.frees_order {
            self.freed.push((payment, stands.order_id.clone()));
        }
        self.tasks.extend(verb.tasks.iter().map(|task| (verb.shop, task)));
        Ok(())
    }

    /// What a step does to a payment besides the operation that it is about.
    pub(super) fn follow<'s>(
        &mut self,
        payment: Payment,
        version: u32,
        institution: &str,
        follows: &'v Follows,
        now: Timestamp,
        seen: impl Fn(OperationId) -> Option<&'s SeenOperation>,
    ) -> Result<(), StoreError> {
        for change in &follows.changed {
            let one = seen(change.operation).ok_or(corrupt("operation that a step changes"))?;
            let (moved, reason) = codes::carried(change.state)?;
            let which = (payment, change.operation);
            self.change(which, change, moved, reason);
            // Where the step changes what it was about, the change is the last word.
            self.open.retain(|row| (row.payment, row.id) != which);
            self.ended.retain(|row| *row != which);
            self.stand(which, change.state, change.due_at, institution, one);
        }
        let told = follows.notices.iter().map(|notice| (payment.0, notice, ms(now)));
        self.notices.extend(told);
        let Some(own) = &follows.begun else { return Ok(()) };
        let state = codes::of_state(OperationState::Sending);
        self.operations.push(OperationRow {
            payment,
            institution: institution.into(),
            key: own.key().as_str().to_owned().into(),
            fingerprint: [0; 32],
            place: place(version, true),
            id: own.id,
            kind: codes::of_kind(own.kind),
            state,
            amount: unsigned(own.amount.minor())?,
            allow_partial: false,
            by_server: true,
            give_up_at: None,
            not_after: ms(own.not_after),
            created_at: ms(now),
            lease_epoch: 0,
        });
        self.open.push(OpenRow {
            payment,
            id: own.id,
            institution: institution.into(),
            state,
            created_at: ms(now),
            lease_owner: None,
            due_at: Some(ms(own.due_at)),
        });
        Ok(())
    }

    fn change(
        &mut self,
        (payment, id): (Payment, OperationId),
        change: &Change,
        moved: Option<i64>,
        reason: Option<&'static str>,
    ) {
        let state = codes::of_state(change.state);
        let ended_at = maybe_ms(change.ended_at);
        let same = |row: &&mut Changed<'_>| row.payment == payment && row.id == id;
        if let Some(row) = self.changes.iter_mut().rev().find(same) {
            (row.state, row.moved, row.reason, row.ended_at) = (state, moved, reason, ended_at);
            return;
        }
        let (evidence, inquiries) = (None, None);
        self.changes.push(Changed {
            payment,
            id,
            state,
            moved,
            reason,
            evidence,
            inquiries,
            ended_at,
        });
    }

    /// Nobody holds the operation any more; it stays in sight while it is open or due.
    fn stand(
        &mut self,
        (payment, id): (Payment, OperationId),
        state: OperationState,
        due_at: Option<Timestamp>,
        institution: &str,
        seen: &SeenOperation,
    ) {
        if !state.is_open() && due_at.is_none() {
            self.ended.push((payment, id));
            return;
        }
        self.open.push(OpenRow {
            payment,
            id,
            institution: institution.into(),
            state: codes::of_state(state),
            created_at: seen.created_at,
            lease_owner: None,
            due_at: maybe_ms(due_at),
        });
    }
}

/// Behind every operation of an earlier version; the server's own comes behind the one it follows from.
fn place(version: u32, own: bool) -> i64 {
    i64::from(version).saturating_mul(2).saturating_add(i64::from(own))
}

const PAYMENTS: &str = "INSERT INTO payment (shop, id, version, amount, currency, authorised, captured, \
       released, refunded, created_at, pos, contract, contract_number, institution, order_id) \
     SELECT shop, id, 1, amount, currency, 0, 0, 0, 0, created_at, pos, contract, contract_number, \
       institution, order_id \
     FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], \
       $7::bytea[], $8::text[], $9::text[], $10::text[]) \
     AS u (shop, id, amount, currency, created_at, pos, contract, contract_number, institution, \
       order_id)";
/// Under the lock of the row nothing moves it; that it did not is a condition of the write all the same
/// (`payments.md` 6.4).
const MOVED: &str = "UPDATE payment p SET version = u.version, \
       authorised = coalesce(u.authorised, p.authorised), captured = coalesce(u.captured, p.captured), \
       released = coalesce(u.released, p.released), refunded = coalesce(u.refunded, p.refunded) \
     FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
       $7::bigint[]) AS u (shop, id, version, authorised, captured, released, refunded) \
     WHERE p.shop = u.shop AND p.id = u.id AND p.version = u.version - 1";
const OPERATIONS: &str = "INSERT INTO operation (shop, payment, key, fingerprint, place, id, kind, state, \
       amount, allow_partial, by_server, give_up_at, not_after, created_at, lease_epoch, institution, inquiries) \
     SELECT *, 0 FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::bytea[], $5::bigint[], \
       $6::bytea[], $7::bigint[], $8::bigint[], $9::bigint[], $10::boolean[], $11::boolean[], \
       $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[])";
const CHANGES: &str = "UPDATE operation o SET state = u.state, moved = u.moved, reason = u.reason, \
       reference = coalesce(u.reference, o.reference), \
       card_reference = coalesce(u.card_reference, o.card_reference), \
       raw_code = coalesce(u.raw_code, o.raw_code), \
       inquiries = coalesce(u.inquiries, o.inquiries), ended_at = u.ended_at \
     FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[], \
       $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[]) \
     AS u (shop, payment, id, state, moved, reason, reference, card_reference, raw_code, inquiries, \
       ended_at) \
     WHERE o.shop = u.shop AND o.payment = u.payment AND o.id = u.id AND o.payment IS NOT NULL";
const OPEN: &str = "INSERT INTO open_operation (shop, payment, id, institution, state, created_at, \
       lease_owner, due_at) \
     SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], \
       $6::bigint[], $7::bytea[], $8::bigint[]) \
     ON CONFLICT (shop, payment, id) DO UPDATE SET state = excluded.state, \
       lease_owner = excluded.lease_owner, due_at = excluded.due_at";
const ENDED: &str = "DELETE FROM open_operation w \
     USING unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u (shop, payment, id) \
     WHERE w.shop = u.shop AND w.payment = u.payment AND w.id = u.id";
/// Only while this payment still holds it: an order that another payment claimed stays claimed.
const FREED: &str = "UPDATE shop_order s SET claimed = false \
     FROM unnest($1::bytea[], $2::bytea[], $3::text[]) AS u (shop, payment, order_id) \
     WHERE s.shop = u.shop AND s.order_id = u.order_id AND s.payment = u.payment AND s.claimed";
const CLAIMS: &str = "INSERT INTO shop_order (shop, payment, order_id, claimed) \
     SELECT *, true FROM unnest($1::bytea[], $2::bytea[], $3::text[]) \
     ON CONFLICT (shop, order_id) DO UPDATE SET payment = excluded.payment, claimed = true \
       WHERE NOT shop_order.claimed";
const ENVELOPES: &str = "INSERT INTO nullifier (shop, not_after, envelope) \
     SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])";

const NOTICES: &str = "INSERT INTO notice (shop, id, channel, created_at, body, tries, due_at) \
     SELECT u.shop, u.id, c.channel, u.now, u.body, 0, u.now \
     FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[], $5::boolean[]) \
       AS u (shop, id, now, body, mailed) \
     JOIN channel c ON c.shop = u.shop AND c.target IS NOT NULL AND c.disabled_at IS NULL \
       AND (c.channel <> $6 OR u.mailed)";

/// What is sent side by side, and so is prepared beforehand.
pub(super) const STATEMENTS: [&str; 9] =
    [PAYMENTS, MOVED, OPERATIONS, CHANGES, OPEN, ENDED, FREED, CLAIMS, ENVELOPES];

/// Writes it all, in one round trip.
///
/// # Errors
/// [`Failure`]; the transaction is then good for nothing but to be rolled back to before the wave.
pub(super) async fn write(session: &Session, writes: &Writes<'_>) -> Result<(), Failure> {
    let done = tokio::join!(
        biased;
        payments(session, &writes.payments),
        moved(session, &writes.moved),
        operations(session, &writes.operations),
        changes(session, &writes.changes),
        ended(session, &writes.ended),
        open(session, &writes.open),
        freed(session, &writes.freed),
        claims(session, &writes.claims),
        envelopes(session, &writes.envelopes),
    );
    // The first that failed says why; what came after it was not done.
    done.0?;
    if done.1? != whole(writes.moved.len()) {
        return Err(Failure::Taken("payment's version"));
    }
    done.2?;
    all_of(done.3?, writes.changes.len(), "operation that a step changes")?;
    done.4?;
    done.5?;
    done.6?;
    if done.7? != whole(writes.claims.len()) {
        return Err(Failure::Taken("order's claim"));
    }
    done.8?;
    notices(session, &writes.notices).await?;
    for (shop, task) in &writes.tasks {
        insert_task(session, *shop, task).await?;
    }
    Ok(())
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn all_of(written: u64, wanted: usize, what: &'static str) -> Result<(), Failure> {
    if written == whole(wanted) { Ok(()) } else { Err(corrupt(what).into()) }
}

async fn payments(session: &Session, rows: &[NewRow<'_>]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let shops: Vec<&[u8]> = rows.iter().map(|row| octets(row.verb.shop.octets())).collect();
    let ids: Vec<&[u8]> = rows.iter().map(|row| octets(row.new.id.octets())).collect();
    let amounts: Vec<i64> = rows.iter().map(|row| row.amount).collect();
    let currencies: Vec<i64> =
        rows.iter().map(|row| i64::from(row.new.currency.number())).collect();
    let created: Vec<i64> = rows.iter().map(|row| ms(row.verb.now)).collect();
    let poses: Vec<&[u8]> = rows.iter().map(|row| octets(row.new.pos.octets())).collect();
    let contracts: Vec<&[u8]> = rows.iter().map(|row| octets(row.new.contract.octets())).collect();
    let numbers: Vec<&str> = rows.iter().map(|row| row.new.contract_number.as_str()).collect();
    let institutions: Vec<&str> = rows.iter().map(|row| row.new.institution.as_str()).collect();
    let orders: Vec<&str> = rows.iter().map(|row| row.new.order_id.as_str()).collect();
    let params = params![
        shops,
        ids,
        amounts,
        currencies,
        created,
        poses,
        contracts,
        numbers,
        institutions,
        orders
    ];
    session.execute(PAYMENTS, params).await
}

async fn moved(session: &Session, rows: &[Moved]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (shops, ids) = of_payments(rows.iter().map(|row| &row.payment));
    let versions: Vec<i64> = rows.iter().map(|row| row.version).collect();
    let sum = |at: usize| -> Vec<Option<i64>> {
        rows.iter().map(|row| row.sums.and_then(|sums| sums.get(at).copied())).collect()
    };
    let params = params![shops, ids, versions, sum(0), sum(1), sum(2), sum(3)];
    session.execute(MOVED, params).await
}

async fn operations(session: &Session, rows: &[OperationRow<'_>]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (shops, payments) = of_payments(rows.iter().map(|row| &row.payment));
    let keys: Vec<&str> = rows.iter().map(|row| &*row.key).collect();
    let prints: Vec<&[u8]> = rows.iter().map(|row| octets(&row.fingerprint)).collect();
    let places: Vec<i64> = rows.iter().map(|row| row.place).collect();
    let ids: Vec<&[u8]> = rows.iter().map(|row| octets(row.id.octets())).collect();
    let kinds: Vec<i64> = rows.iter().map(|row| row.kind).collect();
    let states: Vec<i64> = rows.iter().map(|row| row.state).collect();
    let amounts: Vec<i64> = rows.iter().map(|row| row.amount).collect();
    let partial: Vec<bool> = rows.iter().map(|row| row.allow_partial).collect();
    let by_server: Vec<bool> = rows.iter().map(|row| row.by_server).collect();
    let give_up: Vec<Option<i64>> = rows.iter().map(|row| row.give_up_at).collect();
    let not_after: Vec<i64> = rows.iter().map(|row| row.not_after).collect();
    let created: Vec<i64> = rows.iter().map(|row| row.created_at).collect();
    let epochs: Vec<i64> = rows.iter().map(|row| row.lease_epoch).collect();
    let institutions: Vec<&str> = rows.iter().map(|row| &*row.institution).collect();
    let params = params![
        shops,
        payments,
        keys,
        prints,
        places,
        ids,
        kinds,
        states,
        amounts,
        partial,
        by_server,
        give_up,
        not_after,
        created,
        epochs,
        institutions
    ];
    session.execute(OPERATIONS, params).await
}

async fn changes(session: &Session, rows: &[Changed<'_>]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (shops, payments) = of_payments(rows.iter().map(|row| &row.payment));
    let ids: Vec<&[u8]> = rows.iter().map(|row| octets(row.id.octets())).collect();
    let states: Vec<i64> = rows.iter().map(|row| row.state).collect();
    let moved: Vec<Option<i64>> = rows.iter().map(|row| row.moved).collect();
    let reasons: Vec<Option<&str>> = rows.iter().map(|row| row.reason).collect();
    let left = |read: fn(&Evidence) -> Option<&str>| -> Vec<Option<&str>> {
        rows.iter().map(|row| row.evidence.and_then(read)).collect()
    };
    let references = left(|evidence| evidence.reference.as_deref());
    let cards = left(|evidence| evidence.card_reference.as_deref());
    let raw = left(|evidence| evidence.raw_code.as_deref());
    let inquiries: Vec<Option<i64>> = rows.iter().map(|row| row.inquiries).collect();
    let ended: Vec<Option<i64>> = rows.iter().map(|row| row.ended_at).collect();
    let params = params![
        shops, payments, ids, states, moved, reasons, references, cards, raw, inquiries, ended
    ];
    session.execute(CHANGES, params).await
}

async fn open(session: &Session, rows: &[OpenRow]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (shops, payments) = of_payments(rows.iter().map(|row| &row.payment));
    let ids: Vec<&[u8]> = rows.iter().map(|row| octets(row.id.octets())).collect();
    let institutions: Vec<&str> = rows.iter().map(|row| &*row.institution).collect();
    let states: Vec<i64> = rows.iter().map(|row| row.state).collect();
    let created: Vec<i64> = rows.iter().map(|row| row.created_at).collect();
    let owners: Vec<Option<&[u8]>> =
        rows.iter().map(|row| row.lease_owner.as_ref().map(octets)).collect();
    let due: Vec<Option<i64>> = rows.iter().map(|row| row.due_at).collect();
    let params = params![shops, payments, ids, institutions, states, created, owners, due];
    session.execute(OPEN, params).await
}

async fn ended(session: &Session, rows: &[(Payment, OperationId)]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (shops, payments) = of_payments(rows.iter().map(|(payment, _)| payment));
    let ids: Vec<&[u8]> = rows.iter().map(|(_, id)| octets(id.octets())).collect();
    session.execute(ENDED, params![shops, payments, ids]).await
}

async fn freed(session: &Session, rows: &[(Payment, Box<str>)]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (shops, payments) = of_payments(rows.iter().map(|(payment, _)| payment));
    let orders: Vec<&str> = rows.iter().map(|(_, order)| &**order).collect();
    session.execute(FREED, params![shops, payments, orders]).await
}

async fn claims(session: &Session, rows: &[(Payment, &OrderId)]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let (shops, payments) = of_payments(rows.iter().map(|(payment, _)| payment));
    let orders: Vec<&str> = rows.iter().map(|(_, order)| order.as_str()).collect();
    session.execute(CLAIMS, params![shops, payments, orders]).await
}

async fn envelopes(session: &Session, rows: &[(ShopId, i64, &[u8; 32])]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let shops: Vec<&[u8]> = rows.iter().map(|(shop, ..)| octets(shop.octets())).collect();
    let ends: Vec<i64> = rows.iter().map(|(_, end, _)| *end).collect();
    let envelopes: Vec<&[u8]> = rows.iter().map(|(.., envelope)| octets(envelope)).collect();
    session.execute(ENVELOPES, params![shops, ends, envelopes]).await
}

/// One row for each channel by which the shop wants to be told.
async fn notices(session: &Session, rows: &[(ShopId, &NewNotice, i64)]) -> Result<u64, Failure> {
    if rows.is_empty() {
        return Ok(0);
    }
    let shops: Vec<&[u8]> = rows.iter().map(|(shop, ..)| octets(shop.octets())).collect();
    let ids: Vec<&[u8]> = rows.iter().map(|(_, notice, _)| octets(notice.id.octets())).collect();
    let times: Vec<i64> = rows.iter().map(|(.., now)| *now).collect();
    let bodies: Vec<&str> = rows.iter().map(|(_, notice, _)| &*notice.body).collect();
    let mailed: Vec<bool> = rows.iter().map(|(_, notice, _)| notice.is_mailed).collect();
    let mail = codes::of_channel(Channel::Mail);
    session.execute(NOTICES, params![shops, ids, times, bodies, mailed, mail]).await
}

fn of_payments<'p>(rows: impl Iterator<Item = &'p Payment>) -> (Vec<&'p [u8]>, Vec<&'p [u8]>) {
    rows.map(|(shop, payment)| (octets(shop.octets()), octets(payment.octets()))).unzip()
}

async fn insert_task(session: &Session, shop: ShopId, task: &TaskRow) -> Result<(), Failure> {
    session
        .execute(
            "INSERT INTO task (shop, id, created_at, payment, operation, text, resolved_at) \
             SELECT $1, $2, $3, $4, $5, $6::text, $7 WHERE NOT EXISTS (SELECT 1 FROM task \
               WHERE shop = $1 AND operation = $5 AND text = $6::text AND resolved_at IS NULL) \
             ON CONFLICT DO NOTHING",
            params![
                octets(shop.octets()),
                octets(task.id.octets()),
                ms(task.created_at),
                octets(task.payment.octets()),
                octets(task.operation.octets()),
                &*task.text,
                maybe_ms(task.resolved_at),
            ],
        )
        .await
        .map(drop)
}
