//! The verbs of money. Each looks first and writes after: with one writer, what it saw still holds.

use pos_protocol::Timestamp;
use pos_protocol::id::{OperationId, PaymentId, ShopId};
use pos_protocol::payment::OperationState;
use rusqlite::{Connection, params};
use tracing::error;

use super::notices;
use super::rows::{self, Cells, corrupt, maybe_ms, ms, unsigned};
use super::writer::claim_under;
use crate::store::StoreError;
use crate::store::cells::Columns as _;
use crate::store::codes;
use crate::store::rows::{LeasedWork, TaskRow, UnderKey};
use crate::store::verbs::{
    BeginOperation, Begun, Follows, HastenWork, KeepRefusal, Kept, LeaseDueWork, MOST_ROWS,
    NewPayment, RecordOutcome, Recorded, Target,
};

/// Key, then signer, then what the target asks for; then everything is written.
pub(super) fn begin_operation(db: &Connection, verb: &BeginOperation) -> Result<Begun, StoreError> {
    match &verb.target {
        Target::New(new) => begin_payment(db, verb, new),
        Target::Existing { payment, version } => continue_payment(db, verb, *payment, *version),
    }
}

fn begin_payment(
    db: &Connection,
    verb: &BeginOperation,
    new: &NewPayment,
) -> Result<Begun, StoreError> {
    let mut guards = db.prepare_cached(
        "SELECT \
           EXISTS (SELECT 1 FROM operation WHERE shop = ?1 AND key = ?2), \
           EXISTS (SELECT 1 FROM claim WHERE shop = ?1 AND key = ?2), \
           EXISTS (SELECT 1 FROM key_record WHERE id = ?3 AND shop = ?1 AND ended_at IS NULL \
             AND (ends_at IS NULL OR ends_at > ?4) AND (idle_at IS NULL OR idle_at > ?4)), \
           (SELECT enabled FROM contract \
             WHERE shop = ?1 AND id = ?5 AND pos = ?6 AND institution = ?7), \
           (SELECT enabled FROM institution WHERE id = ?7), \
           EXISTS (SELECT 1 FROM nullifier \
             WHERE not_after = ?10 AND shop = ?1 AND envelope = ?8), \
           (SELECT payment FROM shop_order \
             WHERE shop = ?1 AND order_id = ?9 AND claimed = 1)",
    )?;
    let mut guards = guards.query(params![
        verb.shop.octets(),
        verb.key.as_str(),
        verb.signer.octets(),
        ms(verb.now),
        new.contract.octets(),
        new.pos.octets(),
        new.institution.as_str(),
        new.envelope,
        new.order_id.as_str(),
        ms(new.envelope_not_after),
    ])?;
    let seen = Cells(guards.next()?.ok_or(corrupt("guards"))?);
    if let Some(known) = known(db, verb, seen.flag(0)?, seen.flag(1)?)? {
        return Ok(known);
    }
    if !seen.flag(2)? {
        return Ok(Begun::SignerEnded);
    }
    if !seen.maybe(3, Cells::flag)?.unwrap_or_default() {
        return Ok(Begun::ContractDisabled);
    }
    if !seen.maybe(4, Cells::flag)?.unwrap_or_default() {
        return Ok(Begun::InstitutionDisabled);
    }
    if seen.flag(5)? {
        return Ok(Begun::EnvelopeUsed);
    }
    if let Some(holder) = seen.maybe(6, Cells::array)? {
        return Ok(Begun::OrderTaken(PaymentId::from_octets(holder)));
    }
    let row = insert_payment(db, verb, new)?;
    insert_operation(db, verb, row)?;
    claim_order(db, verb, new)?;
    follow(db, verb.shop, row, &verb.follows, verb.now)?;
    Ok(Begun::New { version: 1 })
}

fn insert_payment(
    db: &Connection,
    verb: &BeginOperation,
    new: &NewPayment,
) -> Result<i64, StoreError> {
    let mut statement = db.prepare_cached(
        "INSERT INTO payment (shop, id, version, amount, currency, authorised, captured, released, \
           refunded, created_at, pos, contract, contract_number, institution, order_id) \
         VALUES (?1, ?2, 1, ?3, ?4, 0, 0, 0, 0, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    Ok(statement.insert(params![
        verb.shop.octets(),
        new.id.octets(),
        unsigned(verb.amount.minor())?,
        new.currency.number(),
        ms(verb.now),
        new.pos.octets(),
        new.contract.octets(),
        new.contract_number.as_str(),
        new.institution.as_str(),
        new.order_id.as_str(),
    ])?)
}

fn claim_order(db: &Connection, verb: &BeginOperation, new: &NewPayment) -> Result<(), StoreError> {
    let claimed = db
        .prepare_cached(
            "INSERT INTO shop_order (shop, order_id, payment, claimed) VALUES (?1, ?2, ?3, 1) \
             ON CONFLICT DO UPDATE SET payment = excluded.payment, claimed = 1 WHERE claimed = 0",
        )?
        .execute(params![verb.shop.octets(), new.order_id.as_str(), new.id.octets(),])?;
    db.prepare_cached("INSERT INTO nullifier (shop, envelope, not_after) VALUES (?1, ?2, ?3)")?
        .execute(params![verb.shop.octets(), new.envelope, ms(new.envelope_not_after),])?;
    if claimed == 1 { Ok(()) } else { Err(corrupt("order's claim")) }
}

fn continue_payment(
    db: &Connection,
    verb: &BeginOperation,
    payment: PaymentId,
    version: u32,
) -> Result<Begun, StoreError> {
    let mut guards = db.prepare_cached(
        "SELECT \
           EXISTS (SELECT 1 FROM operation WHERE shop = ?1 AND key = ?2), \
           EXISTS (SELECT 1 FROM claim WHERE shop = ?1 AND key = ?2), \
           EXISTS (SELECT 1 FROM key_record WHERE id = ?3 AND shop = ?1 AND ended_at IS NULL \
             AND (ends_at IS NULL OR ends_at > ?4) AND (idle_at IS NULL OR idle_at > ?4)), \
           (SELECT row FROM payment WHERE shop = ?1 AND id = ?5), \
           (SELECT version FROM payment WHERE shop = ?1 AND id = ?5)",
    )?;
    let mut guards = guards.query(params![
        verb.shop.octets(),
        verb.key.as_str(),
        verb.signer.octets(),
        ms(verb.now),
        payment.octets(),
    ])?;
    let seen = Cells(guards.next()?.ok_or(corrupt("guards"))?);
    if let Some(known) = known(db, verb, seen.flag(0)?, seen.flag(1)?)? {
        return Ok(known);
    }
    if !seen.flag(2)? {
        return Ok(Begun::SignerEnded);
    }
    let Some(row) = seen.maybe(3, Cells::number)? else {
        return Ok(Begun::NotFound);
    };
    if seen.small(4)? != version {
        return Ok(Begun::Moved);
    }
    let version = version.checked_add(1).ok_or(corrupt("version"))?;
    db.prepare_cached("UPDATE payment SET version = ?2 WHERE row = ?1")?
        .execute(params![row, version])?;
    insert_operation(db, verb, row)?;
    follow(db, verb.shop, row, &verb.follows, verb.now)?;
    Ok(Begun::New { version })
}

/// What a key that was used before is answered.
fn known(
    db: &Connection,
    verb: &BeginOperation,
    operation: bool,
    claim: bool,
) -> Result<Option<Begun>, StoreError> {
    if operation {
        let under = rows::under_key(db, verb.shop, &verb.key)?.ok_or(corrupt("operation"))?;
        if let UnderKey::Operation(payment, id) = &under
            && *id == verb.operation
            && untouched(db, verb)?
        {
            // The commit was kept though its answer was lost.
            let version = payment.version;
            return Ok(Some(Begun::New { version }));
        }
        return Ok(Some(Begun::Known(under)));
    }
    if !claim {
        return Ok(None);
    }
    let fingerprint = claim_under(db, verb.shop, &verb.key)?.ok_or(corrupt("claim"))?;
    Ok(Some(Begun::Known(UnderKey::of_claim(fingerprint, verb.now))))
}

/// Whether the operation still stands as its first lease left it, so that nobody else has sent it.
fn untouched(db: &Connection, verb: &BeginOperation) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT 1 FROM operation WHERE shop = ?1 AND key = ?2 AND state = ?3 AND lease_epoch = 1 \
           AND lease_owner IS ?4",
    )?;
    Ok(statement.exists(params![
        verb.shop.octets(),
        verb.key.as_str(),
        codes::of_state(verb.begun_as()),
        verb.lease.map(|lease| lease.owner),
    ])?)
}

fn insert_operation(
    db: &Connection,
    verb: &BeginOperation,
    payment: i64,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO operation (shop, key, fingerprint, payment, id, kind, state, amount, \
           allow_partial, not_after, created_at, inquiries, lease_epoch, lease_owner, due_at, \
           give_up_at, institution) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 1, ?12, ?13, ?14, \
           (SELECT institution FROM payment WHERE row = ?4))",
    )?
    .execute(params![
        verb.shop.octets(),
        verb.key.as_str(),
        verb.fingerprint,
        payment,
        verb.operation.octets(),
        codes::of_kind(verb.kind),
        codes::of_state(verb.begun_as()),
        unsigned(verb.amount.minor())?,
        verb.allow_partial,
        ms(verb.not_after),
        ms(verb.now),
        verb.lease.map(|lease| lease.owner),
        verb.lease.map(|lease| ms(lease.expires_at)),
        maybe_ms(verb.give_up_at),
    ])?;
    Ok(())
}

/// What a step does to the payment in this row besides the operation that it is about.
fn follow(
    db: &Connection,
    shop: ShopId,
    payment: i64,
    follows: &Follows,
    now: Timestamp,
) -> Result<(), StoreError> {
    for change in &follows.changed {
        let (moved, reason) = codes::carried(change.state)?;
        let found = db
            .prepare_cached(
                "UPDATE operation SET state = ?3, moved = ?4, reason = ?5, ended_at = ?6, \
                   due_at = ?7, lease_owner = NULL WHERE payment = ?1 AND id = ?2",
            )?
            .execute(params![
                payment,
                change.operation.octets(),
                codes::of_state(change.state),
                moved,
                reason,
                maybe_ms(change.ended_at),
                maybe_ms(change.due_at),
            ])?;
        if found != 1 {
            return Err(corrupt("operation that a step changes"));
        }
    }
    notices::insert(db, shop, &follows.notices, now)?;
    let Some(own) = follows.begun else { return Ok(()) };
    db.prepare_cached(
        "INSERT INTO operation (shop, key, fingerprint, payment, id, kind, state, amount, \
           allow_partial, not_after, created_at, inquiries, lease_epoch, due_at, by_server, \
           institution) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?10, 0, 0, ?11, 1, \
           (SELECT institution FROM payment WHERE row = ?4))",
    )?
    .execute(params![
        shop.octets(),
        own.key().as_str(),
        [0_u8; 32],
        payment,
        own.id.octets(),
        codes::of_kind(own.kind),
        codes::of_state(OperationState::Sending),
        unsigned(own.amount.minor())?,
        ms(own.not_after),
        ms(now),
        ms(own.due_at),
    ])?;
    Ok(())
}

/// The operation is written only where version and lease are still the caller's; the rest follows
/// it.
pub(super) fn record_outcome(
    db: &Connection,
    verb: &RecordOutcome,
) -> Result<Recorded, StoreError> {
    let version = verb.version.checked_add(1).ok_or(corrupt("version"))?;
    let (moved, reason) = codes::carried(verb.state)?;
    let Some(payment) = row_at_version(db, verb)? else {
        return Ok(Recorded::Moved);
    };
    let found = db
        .prepare_cached(
            "UPDATE operation SET state = ?4, moved = ?5, reason = ?6, \
               reference = coalesce(?7, reference), \
               card_reference = coalesce(?8, card_reference), \
               raw_code = coalesce(?9, raw_code), \
               inquiries = ?10, ended_at = ?11, due_at = ?12, lease_owner = NULL \
             WHERE payment = ?1 AND id = ?2 AND lease_epoch = ?3",
        )?
        .execute(params![
            payment,
            verb.operation.octets(),
            verb.lease_epoch,
            codes::of_state(verb.state),
            moved,
            reason,
            verb.evidence.reference,
            verb.evidence.card_reference,
            verb.evidence.raw_code,
            verb.inquiries,
            maybe_ms(verb.ended_at),
            maybe_ms(verb.due_at),
        ])?;
    if found != 1 {
        return Ok(Recorded::Moved);
    }
    db.prepare_cached(
        "UPDATE payment SET version = ?2, authorised = ?3, captured = ?4, released = ?5, \
           refunded = ?6 WHERE row = ?1",
    )?
    .execute(params![
        payment,
        version,
        unsigned(verb.sums.authorised)?,
        unsigned(verb.sums.captured)?,
        unsigned(verb.sums.released)?,
        unsigned(verb.sums.refunded)?,
    ])?;
    if verb.frees_order {
        free_order(db, verb)?;
    }
    follow(db, verb.shop, payment, &verb.follows, verb.now)?;
    for task in &verb.tasks {
        insert_task(db, verb, task)?;
    }
    Ok(Recorded::Done { version })
}

/// The payment's row, while its version is still the caller's.
fn row_at_version(db: &Connection, verb: &RecordOutcome) -> Result<Option<i64>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT row FROM payment WHERE shop = ?1 AND id = ?2 AND version = ?3")?;
    let mut rows = statement.query((verb.shop.octets(), verb.payment.octets(), verb.version))?;
    rows.next()?.map(|row| Cells(row).number(0)).transpose()
}

/// Only while this payment still holds it: an order that another payment claimed stays claimed.
fn free_order(db: &Connection, verb: &RecordOutcome) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE shop_order SET claimed = 0 WHERE shop = ?1 \
           AND order_id = (SELECT order_id FROM payment WHERE shop = ?1 AND id = ?2) \
           AND payment = ?2 AND claimed = 1",
    )?
    .execute(params![verb.shop.octets(), verb.payment.octets()])?;
    Ok(())
}

fn insert_task(db: &Connection, verb: &RecordOutcome, task: &TaskRow) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO task (shop, id, created_at, payment, operation, text, resolved_at) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM task \
           WHERE shop = ?1 AND operation = ?5 AND text = ?6 AND resolved_at IS NULL) \
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![
        verb.shop.octets(),
        task.id.octets(),
        ms(task.created_at),
        task.payment.octets(),
        task.operation.octets(),
        task.text,
        maybe_ms(task.resolved_at),
    ])?;
    Ok(())
}

/// Kept as a row among the operations, so that the key is used up for both.
pub(super) fn keep_refusal(db: &Connection, verb: &KeepRefusal) -> Result<Kept, StoreError> {
    if let Some(fingerprint) = claim_under(db, verb.shop, &verb.key)? {
        return Ok(Some(UnderKey::of_claim(fingerprint, verb.now)));
    }
    let kept = db
        .prepare_cached(
            "INSERT INTO operation (shop, key, fingerprint, state, created_at, reason, field) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            verb.shop.octets(),
            verb.key.as_str(),
            verb.fingerprint,
            codes::REFUSED,
            ms(verb.now),
            verb.code.wire(),
            verb.field,
        ])?;
    if kept == 1 { Ok(None) } else { rows::under_key(db, verb.shop, &verb.key) }
}

/// Those whose time has come, the longest due first.
pub(super) fn lease_due_work(
    db: &Connection,
    verb: &LeaseDueWork,
) -> Result<Vec<LeasedWork>, StoreError> {
    let mut due = db.prepare_cached(
        "SELECT row FROM operation WHERE institution = ?1 AND due_at <= ?2 \
         ORDER BY due_at, row LIMIT ?3",
    )?;
    let limit = verb.limit.min(MOST_ROWS);
    let found = due
        .query_map(params![verb.institution.as_str(), ms(verb.now), limit], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut lease = db.prepare_cached(
        "UPDATE operation SET lease_owner = ?2, lease_epoch = lease_epoch + 1, due_at = ?3 \
         WHERE row = ?1",
    )?;
    for row in &found {
        lease.execute(params![row, verb.owner, ms(verb.expires_at)])?;
    }
    // Only now: a payment of which two operations are taken shows both as they are leased.
    let mut leased = Vec::with_capacity(found.len());
    for row in found {
        match leased_work(db, row) {
            Ok(work) => leased.push(work),
            // Failing the verb would keep every other operation from being found out.
            Err(cause @ StoreError::Corrupt { .. }) => {
                error!(cause = %cause, "an open operation cannot be read, so nobody asks about it");
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(leased)
}

fn leased_work(db: &Connection, row: i64) -> Result<LeasedWork, StoreError> {
    let mut statement = db.prepare_cached("SELECT payment, id FROM operation WHERE row = ?1")?;
    let mut rows = statement.query((row,))?;
    let cells = Cells(rows.next()?.ok_or(corrupt("operation"))?);
    let operation = OperationId::from_octets(cells.array(1)?);
    Ok(LeasedWork { payment: rows::payment_in_row(db, cells.number(0)?)?, operation })
}

pub(super) fn hasten_work(db: &Connection, verb: &HastenWork) -> Result<u64, StoreError> {
    let hastened = db
        .prepare_cached(
            "UPDATE operation SET due_at = ?2 WHERE row IN (SELECT row FROM operation \
               WHERE institution = ?1 AND due_at > ?2 AND (lease_owner IS NULL OR lease_owner <> ?3) \
               ORDER BY due_at LIMIT ?4)",
        )?
        .execute(params![verb.institution.as_str(), ms(verb.now), verb.sole_owner, MOST_ROWS])?;
    Ok(u64::try_from(hastened).unwrap_or(u64::MAX))
}
