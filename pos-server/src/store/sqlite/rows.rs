//! From rows to what the rest of the server sees, and what both sides of the engine read alike.

use pos_protocol::id::{IdempotencyKey, OperationId, PaymentId, ShopId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Rows};

use crate::store::StoreError;
use crate::store::cells::{self, Columns};
pub(super) use crate::store::cells::{corrupt, maybe_ms, ms, unsigned};
use crate::store::rows::{StoredPayment, UnderKey};

/// `SELECT` of a payment `p` joined with one of its operations `o`, as [`payments`] reads it,
/// followed by the rest of the statement.
macro_rules! select_payment {
    ($rest:literal) => {
        concat!(
            "SELECT p.row, p.shop, p.id, p.version, p.amount, p.currency, p.authorised, \
             p.captured, p.released, p.refunded, p.created_at, p.pos, p.contract, \
             p.contract_number, p.institution, p.order_id, \
             o.id, o.key, o.fingerprint, o.kind, o.state, o.amount, o.allow_partial, o.not_after, \
             o.created_at, o.inquiries, o.lease_epoch, o.ended_at, o.moved, o.reason, o.reference, \
             o.card_reference, o.raw_code, o.give_up_at, o.by_server ",
            $rest
        )
    };
}
pub(super) use select_payment;

const FIRST_OF_OPERATION: usize = 16;

/// One row, read with types.
pub(super) struct Cells<'r>(pub(super) &'r Row<'r>);

impl Cells<'_> {
    fn value(&self, at: usize) -> Result<ValueRef<'_>, StoreError> {
        Ok(self.0.get_ref(at)?)
    }
}

impl Columns for Cells<'_> {
    fn is_null(&self, at: usize) -> Result<bool, StoreError> {
        Ok(self.value(at)? == ValueRef::Null)
    }

    fn number(&self, at: usize) -> Result<i64, StoreError> {
        match self.value(at)? {
            ValueRef::Integer(number) => Ok(number),
            _ => Err(corrupt("number")),
        }
    }

    fn flag(&self, at: usize) -> Result<bool, StoreError> {
        Ok(self.number(at)? != 0)
    }

    fn octets(&self, at: usize) -> Result<&[u8], StoreError> {
        match self.value(at)? {
            ValueRef::Blob(octets) => Ok(octets),
            _ => Err(corrupt("octets")),
        }
    }

    fn text(&self, at: usize) -> Result<&str, StoreError> {
        match self.value(at)? {
            ValueRef::Text(text) => std::str::from_utf8(text).map_err(|_| corrupt("text")),
            _ => Err(corrupt("text")),
        }
    }
}

/// Reads rows of [`PAYMENT_COLUMNS`], those of one payment beside each other, operations oldest
/// first.
pub(super) fn payments(rows: &mut Rows<'_>) -> Result<Vec<StoredPayment>, StoreError> {
    let mut found: Vec<StoredPayment> = Vec::new();
    let mut last = None;
    while let Some(row) = rows.next()? {
        let cells = Cells(row);
        let number = cells.number(0)?;
        if last != Some(number) {
            found.push(cells::payment_alone(&cells, 1)?);
            last = Some(number);
        }
        if let Some(payment) = found.last_mut() {
            payment.operations.push(cells::operation(&cells, FIRST_OF_OPERATION)?);
        }
    }
    Ok(found)
}

/// Finds one payment of a shop.
pub(super) const PAYMENT: &str = select_payment!(
    "FROM payment p JOIN operation o ON o.payment = p.row \
     WHERE p.shop = ?1 AND p.id = ?2 ORDER BY o.row"
);

/// One payment of a shop.
pub(super) fn payment(
    db: &Connection,
    shop: ShopId,
    id: PaymentId,
) -> Result<Option<StoredPayment>, StoreError> {
    let mut statement = db.prepare_cached(PAYMENT)?;
    let mut rows = statement.query((shop.octets(), id.octets()))?;
    Ok(payments(&mut rows)?.pop())
}

/// The payment in a row that was found through an operation of the same shop.
pub(super) fn payment_in_row(db: &Connection, row: i64) -> Result<StoredPayment, StoreError> {
    let mut statement = db.prepare_cached(select_payment!(
        "FROM payment p JOIN operation o ON o.payment = p.row \
         WHERE p.row = ?1 ORDER BY o.row"
    ))?;
    let mut rows = statement.query((row,))?;
    payments(&mut rows)?.pop().ok_or(corrupt("payment"))
}

/// What stands under a key in the table of operations.
pub(super) fn under_key(
    db: &Connection,
    shop: ShopId,
    key: &IdempotencyKey,
) -> Result<Option<UnderKey>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT payment, id, fingerprint, reason, field, created_at \
         FROM operation WHERE shop = ?1 AND key = ?2",
    )?;
    let mut rows = statement.query((shop.octets(), key.as_str()))?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let cells = Cells(row);
    if let Some(row) = cells.maybe(0, Cells::number)? {
        let id = cells.array(1)?;
        let payment = payment_in_row(db, row)?;
        let id = OperationId::from_octets(id);
        return Ok(Some(UnderKey::Operation(Box::new(payment), id)));
    }
    Ok(Some(UnderKey::Refusal(cells::refusal(&cells, 2)?)))
}
