//! Payments and keys, as both sides of the engine read them.

use pos_protocol::id::{IdempotencyKey, OperationId, PaymentId, ShopId};
use tokio_postgres::Row;

use super::session::{Cells, Failure, Session, params};
use crate::store::StoreError;
use crate::store::cells::{self, Columns as _, corrupt};
use crate::store::rows::{StoredPayment, UnderKey};

/// `SELECT` of a payment `p` joined with one of its operations `o`, as [`payments`] reads it,
/// followed by the rest of the statement.
macro_rules! select_payment {
    ($rest:literal) => {
        concat!(
            "SELECT p.shop, p.id, p.version, p.amount, p.currency, p.authorised, p.captured, \
             p.released, p.refunded, p.created_at, p.pos, p.contract, p.contract_number, \
             p.institution, p.order_id, \
             o.id, o.key, o.fingerprint, o.kind, o.state, o.amount, o.allow_partial, o.not_after, \
             o.created_at, o.inquiries, o.lease_epoch, o.ended_at, o.moved, o.reason, o.reference, \
             o.card_reference, o.raw_code, o.give_up_at, o.by_server ",
            $rest
        )
    };
}
pub(super) use select_payment;

const FIRST_OF_OPERATION: usize = 15;

/// Octets as the driver takes them.
pub(super) fn octets<const N: usize>(octets: &[u8; N]) -> &[u8] {
    octets
}

/// Reads rows of [`select_payment`], those of one payment beside each other, operations oldest first.
/// A payment that cannot be read leaves the others alone.
pub(super) fn payments(rows: &[Row]) -> Vec<Result<StoredPayment, StoreError>> {
    let of_one = |one: &Row, other: &Row| {
        let id = |row| {
            let cells = Cells(row);
            Some((cells.array::<16>(0).ok()?, cells.array::<16>(1).ok()?))
        };
        id(one) == id(other)
    };
    rows.chunk_by(of_one).map(payment_in).collect()
}

fn payment_in(rows: &[Row]) -> Result<StoredPayment, StoreError> {
    let first = rows.first().ok_or(corrupt("payment"))?;
    let mut payment = cells::payment_alone(&Cells(first), 0)?;
    for row in rows {
        payment.operations.push(cells::operation(&Cells(row), FIRST_OF_OPERATION)?);
    }
    Ok(payment)
}

/// One payment of a shop.
pub(super) async fn payment(
    session: &Session,
    shop: ShopId,
    id: PaymentId,
) -> Result<Option<StoredPayment>, Failure> {
    let rows = session
        .rows(
            select_payment!(
                "FROM payment p JOIN operation o ON o.shop = p.shop AND o.payment = p.id \
                 WHERE p.shop = $1 AND p.id = $2 ORDER BY o.place"
            ),
            params![octets(shop.octets()), octets(id.octets())],
        )
        .await?;
    Ok(payments(&rows).pop().transpose()?)
}

/// What stands under a key in the table of operations.
pub(super) async fn under_key(
    session: &Session,
    shop: ShopId,
    key: &IdempotencyKey,
) -> Result<Option<UnderKey>, Failure> {
    let found = session
        .maybe_row(
            "SELECT payment, id, fingerprint, reason, field, created_at FROM operation \
             WHERE shop = $1 AND key = $2",
            params![octets(shop.octets()), key.as_str()],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let cells = Cells(&row);
    let Some(id) = cells.maybe(0, Cells::array)? else {
        return Ok(Some(UnderKey::Refusal(cells::refusal(&cells, 2)?)));
    };
    let operation = OperationId::from_octets(cells.array(1)?);
    let payment = payment(session, shop, PaymentId::from_octets(id)).await?;
    let payment = payment.ok_or(corrupt("payment"))?;
    Ok(Some(UnderKey::Operation(Box::new(payment), operation)))
}

/// The fingerprint of the management call or check that has this key.
pub(super) async fn claim_under(
    session: &Session,
    shop: ShopId,
    key: &IdempotencyKey,
) -> Result<Option<[u8; 32]>, Failure> {
    let found = session
        .maybe_row(
            "SELECT fingerprint FROM claim WHERE shop = $1 AND key = $2",
            params![octets(shop.octets()), key.as_str()],
        )
        .await?;
    Ok(found.map(|row| Cells(&row).array(0)).transpose()?)
}
