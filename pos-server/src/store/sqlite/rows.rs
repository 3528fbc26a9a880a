//! From rows to what the rest of the server sees, and what both sides of the engine read alike.

use std::str::FromStr;

use pos_protocol::id::{ContractId, IdempotencyKey, OperationId, PaymentId, PosId, ShopId};
use pos_protocol::key::PublicKey;
use pos_protocol::payment::Sums;
use pos_protocol::{Amount, Currency, ErrorCode, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Rows};

use super::codes;
use crate::store::StoreError;
use crate::store::rows::{Evidence, StoredOperation, StoredPayment, StoredRefusal, UnderKey};

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

/// A millisecond number as SQLite keeps it; what lies past the year 292 million stops there.
pub(super) fn ms(at: Timestamp) -> i64 {
    i64::try_from(at.as_ms()).unwrap_or(i64::MAX)
}

/// The same of an instant that may be missing.
pub(super) fn maybe_ms(at: Option<Timestamp>) -> Option<i64> {
    at.map(ms)
}

/// A number without sign as SQLite keeps it.
///
/// # Errors
/// [`StoreError::Corrupt`] for one that nothing here comes to.
pub(super) fn unsigned(sum: u64) -> Result<i64, StoreError> {
    i64::try_from(sum).map_err(|_| corrupt("number"))
}

/// What is said of a value that no release wrote.
pub(super) const fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt { what }
}

/// One row, read with types.
pub(super) struct Cells<'r>(pub(super) &'r Row<'r>);

impl<'r> Cells<'r> {
    fn value(&self, at: usize) -> Result<ValueRef<'r>, StoreError> {
        Ok(self.0.get_ref(at)?)
    }

    pub(super) fn is_null(&self, at: usize) -> Result<bool, StoreError> {
        Ok(self.value(at)? == ValueRef::Null)
    }

    /// `read` of the column, or `None` where it is NULL.
    pub(super) fn maybe<T>(
        &self,
        at: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.is_null(at)? { Ok(None) } else { read(self, at).map(Some) }
    }

    pub(super) fn number(&self, at: usize) -> Result<i64, StoreError> {
        match self.value(at)? {
            ValueRef::Integer(number) => Ok(number),
            _ => Err(corrupt("number")),
        }
    }

    pub(super) fn small(&self, at: usize) -> Result<u32, StoreError> {
        u32::try_from(self.number(at)?).map_err(|_| corrupt("count"))
    }

    pub(super) fn sum(&self, at: usize) -> Result<u64, StoreError> {
        u64::try_from(self.number(at)?).map_err(|_| corrupt("sum"))
    }

    pub(super) fn flag(&self, at: usize) -> Result<bool, StoreError> {
        Ok(self.number(at)? != 0)
    }

    pub(super) fn amount(&self, at: usize) -> Result<Amount, StoreError> {
        Amount::new(self.sum(at)?).map_err(|_| corrupt("amount"))
    }

    pub(super) fn instant(&self, at: usize) -> Result<Timestamp, StoreError> {
        self.sum(at).map(Timestamp::from_ms)
    }

    pub(super) fn currency(&self, at: usize) -> Result<Currency, StoreError> {
        u16::try_from(self.number(at)?)
            .ok()
            .and_then(Currency::from_number)
            .ok_or(corrupt("currency"))
    }

    pub(super) fn octets(&self, at: usize) -> Result<&'r [u8], StoreError> {
        match self.value(at)? {
            ValueRef::Blob(octets) => Ok(octets),
            _ => Err(corrupt("octets")),
        }
    }

    pub(super) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], StoreError> {
        self.octets(at)?.try_into().map_err(|_| corrupt("id"))
    }

    pub(super) fn text(&self, at: usize) -> Result<&'r str, StoreError> {
        match self.value(at)? {
            ValueRef::Text(text) => std::str::from_utf8(text).map_err(|_| corrupt("text")),
            _ => Err(corrupt("text")),
        }
    }

    pub(super) fn boxed(&self, at: usize) -> Result<Box<str>, StoreError> {
        self.text(at).map(Into::into)
    }

    /// A text with rules of its own.
    pub(super) fn named<T: FromStr>(&self, at: usize) -> Result<T, StoreError> {
        self.text(at)?.parse().map_err(|_| corrupt("name"))
    }

    pub(super) fn public_key(&self, at: usize) -> Result<PublicKey, StoreError> {
        PublicKey::from_octets(&self.array(at)?).map_err(|_| corrupt("public key"))
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
            found.push(payment_alone(&cells)?);
            last = Some(number);
        }
        if let Some(payment) = found.last_mut() {
            payment.operations.push(operation(&cells)?);
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
    Ok(Some(UnderKey::Refusal(StoredRefusal {
        fingerprint: cells.array(2)?,
        code: ErrorCode::from_wire(cells.text(3)?).ok_or(corrupt("error code"))?,
        field: cells.maybe(4, Cells::boxed)?,
        at: cells.instant(5)?,
    })))
}

fn payment_alone(cells: &Cells<'_>) -> Result<StoredPayment, StoreError> {
    Ok(StoredPayment {
        shop: ShopId::from_octets(cells.array(1)?),
        id: PaymentId::from_octets(cells.array(2)?),
        version: cells.small(3)?,
        amount: cells.amount(4)?,
        currency: cells.currency(5)?,
        sums: Sums {
            authorised: cells.sum(6)?,
            captured: cells.sum(7)?,
            released: cells.sum(8)?,
            refunded: cells.sum(9)?,
        },
        created_at: cells.instant(10)?,
        pos: PosId::from_octets(cells.array(11)?),
        contract: ContractId::from_octets(cells.array(12)?),
        contract_number: cells.named(13)?,
        institution: cells.named(14)?,
        order_id: cells.named(15)?,
        operations: Vec::with_capacity(1),
    })
}

fn operation(cells: &Cells<'_>) -> Result<StoredOperation, StoreError> {
    let at = |column: usize| FIRST_OF_OPERATION.saturating_add(column);
    let moved = cells.maybe(at(12), Cells::amount)?;
    let reason = cells.maybe(at(13), Cells::text)?;
    Ok(StoredOperation {
        id: OperationId::from_octets(cells.array(at(0))?),
        key: cells.named(at(1))?,
        fingerprint: cells.array(at(2))?,
        kind: codes::to_kind(cells.number(at(3))?).ok_or(corrupt("kind"))?,
        state: codes::to_state(cells.number(at(4))?, moved, reason).ok_or(corrupt("state"))?,
        amount: cells.amount(at(5))?,
        allow_partial: cells.flag(at(6))?,
        not_after: cells.instant(at(7))?,
        created_at: cells.instant(at(8))?,
        inquiries: cells.small(at(9))?,
        lease_epoch: cells.small(at(10))?,
        give_up_at: cells.maybe(at(17), Cells::instant)?,
        by_server: cells.maybe(at(18), Cells::flag)?.unwrap_or_default(),
        ended_at: cells.maybe(at(11), Cells::instant)?,
        evidence: Evidence {
            reference: cells.maybe(at(14), Cells::boxed)?,
            card_reference: cells.maybe(at(15), Cells::boxed)?,
            raw_code: cells.maybe(at(16), Cells::boxed)?,
        },
    })
}
