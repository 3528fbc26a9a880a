//! What the control address reads of the books: for tests that take the ledger as the judge.

use pos_protocol::id::OperationId;
use pos_protocol::money::Currency;
use rusqlite::{OptionalExtension as _, Row};
use serde::Serialize;

use super::books::Books;

/// The books as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    /// Whether every currency's entries add up to nothing and every balance is the sum of its
    /// entries.
    pub balanced: bool,
    /// Operations that were taken in.
    pub operations: u64,
    /// Operations that moved money more than once; anything but 0 is a fault.
    pub moved_twice: u64,
    /// What was moved by operations that stand, a currency and contract each.
    pub totals: Vec<Totals>,
    /// How many operations stand in which state.
    pub states: Vec<(String, u64)>,
}

/// Sums in minor units of what stands: reversed operations count in none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The shop's number here.
    pub contract: String,
    /// The currency.
    pub currency: String,
    /// By sales and authorises.
    pub authorised: u64,
    /// By sales and captures.
    pub captured: u64,
    /// By voids.
    pub released: u64,
    /// By refunds.
    pub refunded: u64,
    /// What the shop's account holds.
    pub shop_balance: i64,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationReport {
    /// Its row; the next page begins after the last.
    pub row: i64,
    /// Its id.
    pub operation_id: OperationId,
    /// What it was to move.
    pub kind: String,
    /// The shop's number.
    pub contract: String,
    /// The shop's order.
    pub order_id: String,
    /// The currency.
    pub currency: String,
    /// What was asked for.
    pub asked: u64,
    /// What moved, 0 unless the state is `done`.
    pub moved: u64,
    /// `done`, `declined`, `pending`, `not_processed` or `reversed`.
    pub state: String,
    /// Why it was declined.
    pub reason: Option<String>,
    /// How often it moved money: 0 or 1.
    pub effects: u64,
    /// When it arrived, in milliseconds since 1970.
    pub arrived_ms: u64,
}

const OPERATION: &str = "SELECT id, operation, kind, contract, order_id, currency, asked, \
    CASE state WHEN 'done' THEN moved ELSE 0 END, state, reason, \
    (SELECT count(*) / 2 FROM entry WHERE cause = operation.id), arrived_ms FROM operation";

impl Books {
    /// The books as a whole.
    pub fn report(&self) -> rusqlite::Result<LedgerReport> {
        let one = |sql: &str| self.statement(sql)?.query_row([], |row| row.get::<_, u64>(0));
        let unbalanced = one(
            "SELECT count(*) FROM (SELECT 1 FROM entry JOIN account ON account.id = entry.account \
             GROUP BY currency HAVING sum(amount) <> 0)",
        )?;
        let strayed = one("SELECT count(*) FROM account LEFT JOIN \
             (SELECT account, sum(amount) AS total FROM entry GROUP BY account) AS sums \
             ON sums.account = account.id WHERE balance <> coalesce(total, 0)")?;
        let moved_twice = one("SELECT count(*) FROM (SELECT 1 FROM entry WHERE cause <> 0 \
             GROUP BY cause HAVING count(*) > 2)")?;
        let states = self
            .statement("SELECT state, count(*) FROM operation GROUP BY state ORDER BY state")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(LedgerReport {
            balanced: unbalanced == 0 && strayed == 0,
            operations: one("SELECT count(*) FROM operation")?,
            moved_twice,
            totals: self.totals()?,
            states,
        })
    }

    /// One operation.
    pub fn operation_report(&self, id: OperationId) -> rusqlite::Result<Option<OperationReport>> {
        self.statement(&format!("{OPERATION} WHERE operation = ?1"))?
            .query_row([id.octets().as_slice()], OperationReport::read)
            .optional()
    }

    /// Up to `limit` operations whose row comes after `after`, oldest first.
    pub fn operation_reports(
        &self,
        after: i64,
        limit: u32,
    ) -> rusqlite::Result<Vec<OperationReport>> {
        self.statement(&format!("{OPERATION} WHERE id > ?1 ORDER BY id LIMIT ?2"))?
            .query_map((after, limit), OperationReport::read)?
            .collect()
    }

    fn totals(&self) -> rusqlite::Result<Vec<Totals>> {
        let sql = "SELECT contract, currency, \
            sum(CASE WHEN kind IN ('sale', 'authorise') THEN moved ELSE 0 END), \
            sum(CASE WHEN kind IN ('sale', 'capture') THEN moved ELSE 0 END), \
            sum(CASE kind WHEN 'void' THEN moved ELSE 0 END), \
            sum(CASE kind WHEN 'refund' THEN moved ELSE 0 END), \
            coalesce((SELECT balance FROM account WHERE name = 'shop:' || contract \
                AND account.currency = operation.currency), 0) \
            FROM operation WHERE state = 'done' GROUP BY contract, currency ORDER BY 1, 2";
        self.statement(sql)?
            .query_map([], |row| {
                Ok(Totals {
                    contract: row.get(0)?,
                    currency: currency(row.get(1)?),
                    authorised: row.get(2)?,
                    captured: row.get(3)?,
                    released: row.get(4)?,
                    refunded: row.get(5)?,
                    shop_balance: row.get(6)?,
                })
            })?
            .collect()
    }
}

impl OperationReport {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row: row.get(0)?,
            operation_id: OperationId::from_octets(row.get(1)?),
            kind: row.get(2)?,
            contract: row.get(3)?,
            order_id: row.get(4)?,
            currency: currency(row.get(5)?),
            asked: row.get(6)?,
            moved: row.get(7)?,
            state: row.get(8)?,
            reason: row.get(9)?,
            effects: row.get(10)?,
            arrived_ms: row.get(11)?,
        })
    }
}

fn currency(number: u16) -> String {
    Currency::from_number(number).map_or_else(|| number.to_string(), |known| known.code().into())
}
