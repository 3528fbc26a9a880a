//! The verbs of money that go one by one: refusals, leases.

use pos_protocol::id::{OperationId, PaymentId, ShopId};
use tracing::error;

use super::rows::{self, claim_under, octets, select_payment};
use super::session::{Cells, Failure, Session, params};
use crate::store::StoreError;
use crate::store::cells::{Columns as _, ms};
use crate::store::codes;
use crate::store::rows::{LeasedWork, UnderKey};
use crate::store::verbs::{HastenWork, KeepRefusal, Kept, LeaseDueWork, MOST_ROWS};

/// Kept as a row among the operations, so that the key is used up for both.
pub(super) async fn keep_refusal(session: &Session, verb: &KeepRefusal) -> Result<Kept, Failure> {
    // A management call that claims the same key holds the shop's row.
    let shop = octets(verb.shop.octets());
    session.rows("SELECT 1 FROM shop WHERE id = $1 FOR SHARE", params![shop]).await?;
    if let Some(fingerprint) = claim_under(session, verb.shop, &verb.key).await? {
        return Ok(Some(UnderKey::of_claim(fingerprint, verb.now)));
    }
    let kept = session
        .execute(
            "INSERT INTO operation (shop, key, fingerprint, state, created_at, reason, field) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            params![
                shop,
                verb.key.as_str(),
                octets(&verb.fingerprint),
                codes::REFUSED,
                ms(verb.now),
                verb.code.wire(),
                verb.field.as_deref(),
            ],
        )
        .await?;
    if kept == 1 { Ok(None) } else { rows::under_key(session, verb.shop, &verb.key).await }
}

/// Those whose time has come, the longest due first. What another server is just taking or recording is
/// passed by.
pub(super) async fn lease_due_work(
    session: &Session,
    verb: &LeaseDueWork,
) -> Result<Vec<LeasedWork>, Failure> {
    let limit = i64::from(verb.limit.min(MOST_ROWS));
    let due = session
        .rows(
            "SELECT shop, payment, id FROM open_operation \
             WHERE institution = $1 AND due_at <= $2 AND due_at IS NOT NULL \
             ORDER BY due_at, created_at, id LIMIT $3 FOR UPDATE SKIP LOCKED",
            params![verb.institution.as_str(), ms(verb.now), limit],
        )
        .await?;
    let mut taken = Vec::with_capacity(due.len());
    for row in &due {
        let cells = Cells(row);
        let of = (ShopId::from_octets(cells.array(0)?), PaymentId::from_octets(cells.array(1)?));
        taken.push((of, OperationId::from_octets(cells.array(2)?)));
    }
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let shops: Vec<&[u8]> = taken.iter().map(|((shop, _), _)| octets(shop.octets())).collect();
    let payments: Vec<&[u8]> = taken.iter().map(|((_, id), _)| octets(id.octets())).collect();
    let ids: Vec<&[u8]> = taken.iter().map(|(_, id)| octets(id.octets())).collect();
    session
        .execute(
            "UPDATE open_operation w SET lease_owner = $4, due_at = $5 \
             FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u (shop, payment, id) \
             WHERE w.shop = u.shop AND w.payment = u.payment AND w.id = u.id",
            params![shops, payments, ids, octets(&verb.owner), ms(verb.expires_at)],
        )
        .await?;
    session
        .execute(
            "UPDATE operation o SET lease_epoch = o.lease_epoch + 1 \
             FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u (shop, payment, id) \
             WHERE o.shop = u.shop AND o.payment = u.payment AND o.id = u.id \
               AND o.payment IS NOT NULL",
            params![shops, payments, ids],
        )
        .await?;
    // Only now: a payment of which two operations are taken shows both as they are leased.
    let rows = session
        .rows(
            select_payment!(
                "FROM (SELECT DISTINCT * FROM unnest($1::bytea[], $2::bytea[])) AS u (shop, id) \
                   JOIN payment p ON p.shop = u.shop AND p.id = u.id \
                   JOIN operation o ON o.shop = p.shop AND o.payment = p.id \
                 ORDER BY p.shop, p.id, o.place"
            ),
            params![shops, payments],
        )
        .await?;
    let mut found = Vec::new();
    for payment in rows::payments(&rows) {
        match payment {
            Ok(payment) => found.push(payment),
            // Failing the verb would keep every other operation from being found out.
            Err(cause @ StoreError::Corrupt { .. }) => {
                error!(cause = %cause, "an open operation cannot be read, so nobody asks about it");
            }
            Err(cause) => return Err(cause.into()),
        }
    }
    let work = taken.into_iter().filter_map(|((shop, id), operation)| {
        let payment = found.iter().find(|payment| payment.shop == shop && payment.id == id)?;
        Some(LeasedWork { payment: payment.clone(), operation })
    });
    Ok(work.collect())
}

pub(super) async fn hasten_work(session: &Session, verb: &HastenWork) -> Result<u64, Failure> {
    let owner = verb.sole_owner.as_ref().map(octets);
    session
        .execute(
            "UPDATE open_operation w SET due_at = $2 FROM (SELECT shop, payment, id \
               FROM open_operation WHERE institution = $1 AND due_at > $2 AND due_at IS NOT NULL \
                 AND (lease_owner IS NULL OR lease_owner <> $3) \
               ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED) AS u \
             WHERE w.shop = u.shop AND w.payment = u.payment AND w.id = u.id",
            params![verb.institution.as_str(), ms(verb.now), owner, i64::from(MOST_ROWS)],
        )
        .await
}
