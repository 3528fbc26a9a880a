//! Accounts, entries, and what every verb of the ledger shares.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use pos_protocol::id::ContractNumber;
use pos_protocol::money::Currency;
use pos_protocol::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

/// An account that exists from the start, with what it holds.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The payer's reference.
    pub reference: String,
    /// In which currency.
    pub currency: Currency,
    /// Minor units.
    pub balance: u64,
}

/// The database of one institution, with the connection's own helpers.
pub struct Books {
    database: Connection,
    /// Rows of accounts by name and currency; accounts are never deleted.
    accounts: RefCell<HashMap<(String, u16), i64>>,
    /// The latest time that was told to anybody, in milliseconds since 1970.
    latest_ms: Cell<u64>,
}

/// Where money lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where opening balances come from: the world outside.
    Outside,
    /// What a payer can spend.
    Payer(String),
    /// What is held for authorisations of a payer.
    Held(String),
    /// What the institution owes a shop.
    Shop(String),
}

impl Place {
    fn name(&self) -> String {
        match self {
            Self::Outside => "outside".into(),
            Self::Payer(reference) => format!("payer:{reference}"),
            Self::Held(reference) => format!("held:{reference}"),
            Self::Shop(contract) => format!("shop:{contract}"),
        }
    }
}

/// A contract that the institution knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contract {
    /// The version of the shop's particulars.
    pub(super) version: u64,
}

impl Books {
    pub(super) fn begin(database: Connection, openings: &[Opening]) -> rusqlite::Result<Self> {
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        database.pragma_update(None, "foreign_keys", true)?;
        database.pragma_update(None, "wal_autocheckpoint", 8_000)?;
        database.set_prepared_statement_cache_capacity(64);
        let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            let schema = include_str!("schema.sql");
            database.execute_batch(&format!("BEGIN;{schema};PRAGMA user_version = 1;COMMIT"))?;
        }
        if version < 2 {
            let schema = include_str!("schema2.sql");
            database.execute_batch(&format!("BEGIN;{schema};PRAGMA user_version = 2;COMMIT"))?;
        }
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY CHECK (one = 1), ms INTEGER NOT NULL) STRICT;
             INSERT INTO latest VALUES (1, 0) ON CONFLICT DO NOTHING",
        )?;
        let latest = database.query_row("SELECT ms FROM latest", [], |row| row.get(0))?;
        let books = Self { database, accounts: RefCell::default(), latest_ms: Cell::new(latest) };
        let transaction = books.begin_group()?;
        for opening in openings {
            books.open_account(opening)?;
        }
        transaction.commit()?;
        Ok(books)
    }

    pub(super) fn begin_group(&self) -> rusqlite::Result<Transaction<'_>> {
        Transaction::new_unchecked(&self.database, rusqlite::TransactionBehavior::Immediate)
    }

    pub(super) fn statement(&self, sql: &str) -> rusqlite::Result<rusqlite::CachedStatement<'_>> {
        self.database.prepare_cached(sql)
    }

    pub(super) fn last_row(&self) -> i64 {
        self.database.last_insert_rowid()
    }

    /// Notes that somebody is told this time.
    pub(super) fn tell(&self, time: Timestamp) {
        self.latest_ms.set(self.latest_ms.get().max(time.as_ms()));
    }

    /// Writes the latest time that is told after this transaction: a clock that was set back while
    /// the institution was down must not say an earlier one.
    pub(super) fn keep_time(&self) -> rusqlite::Result<()> {
        let sql = "UPDATE latest SET ms = ?1 WHERE ms < ?1";
        self.statement(sql)?.execute([self.latest_ms.get()]).map(drop)
    }

    /// The latest time that was told to anybody.
    pub fn latest_time(&self) -> Timestamp {
        Timestamp::from_ms(self.latest_ms.get())
    }

    /// Takes a contract in; once known it stays.
    pub fn add_contract(&self, number: &ContractNumber) -> rusqlite::Result<()> {
        let sql = "INSERT INTO contract (number, version) VALUES (?1, 1) ON CONFLICT DO NOTHING";
        self.statement(sql)?.execute([number.as_str()]).map(drop)
    }

    /// Takes an operator's call key in: the `x` of its JWK.
    pub fn add_operator_key(&self, x: &str) -> rusqlite::Result<()> {
        let sql = "INSERT INTO operator_key (x) VALUES (?1) ON CONFLICT DO NOTHING";
        self.statement(sql)?.execute([x]).map(drop)
    }

    /// Every operator's call key.
    pub fn operator_keys(&self) -> rusqlite::Result<Vec<String>> {
        self.statement("SELECT x FROM operator_key")?.query_map([], |row| row.get(0))?.collect()
    }

    /// Takes an envelope's random octets; false when they were taken before.
    pub fn take(&self, rand: &[u8; 16]) -> rusqlite::Result<bool> {
        let sql = "INSERT INTO taken (rand) VALUES (?1) ON CONFLICT DO NOTHING";
        Ok(self.statement(sql)?.execute([rand.as_slice()])? == 1)
    }

    pub(super) fn contract(&self, number: &str) -> rusqlite::Result<Option<Contract>> {
        self.statement("SELECT version FROM contract WHERE number = ?1")?
            .query_row([number], |row| Ok(Contract { version: row.get(0)? }))
            .optional()
    }

    /// What an account holds.
    pub(super) fn balance(&self, place: &Place, currency: Currency) -> rusqlite::Result<u64> {
        let account = self.account(place, currency)?;
        self.statement("SELECT balance FROM account WHERE id = ?1")?
            .query_row([account], |row| row.get(0))
    }

    /// Moves money for `cause`. False, and nothing moved, when `from` does not hold enough; only
    /// the world outside may owe.
    pub(super) fn transfer(
        &self,
        cause: i64,
        from: &Place,
        to: &Place,
        amount: u64,
        currency: Currency,
    ) -> rusqlite::Result<bool> {
        let (giver, taker) = (self.account(from, currency)?, self.account(to, currency)?);
        let amount = i64::try_from(amount)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let least = if *from == Place::Outside { i64::MIN } else { amount };
        let sql = "UPDATE account SET balance = balance - ?2 WHERE id = ?1 AND balance >= ?3";
        if self.statement(sql)?.execute(params![giver, amount, least])? == 0 {
            return Ok(false);
        }
        let sql = "UPDATE account SET balance = balance + ?2 WHERE id = ?1";
        self.statement(sql)?.execute(params![taker, amount])?;
        let sql = "INSERT INTO entry (cause, account, amount) VALUES (?1, ?2, -?4), (?1, ?3, ?4)";
        self.statement(sql)?.execute(params![cause, giver, taker, amount])?;
        Ok(true)
    }

    fn open_account(&self, opening: &Opening) -> rusqlite::Result<()> {
        let payer = Place::Payer(opening.reference.clone());
        let account = self.account(&payer, opening.currency)?;
        let sql = "SELECT EXISTS (SELECT 1 FROM entry WHERE cause = 0 AND account = ?1)";
        let opened: bool = self.statement(sql)?.query_row([account], |row| row.get(0))?;
        if !opened && opening.balance > 0 {
            self.transfer(0, &Place::Outside, &payer, opening.balance, opening.currency)?;
        }
        Ok(())
    }

    /// The row of an account, which is made where it is not there.
    fn account(&self, place: &Place, currency: Currency) -> rusqlite::Result<i64> {
        let key = (place.name(), currency.number());
        if let Some(id) = self.accounts.borrow().get(&key) {
            return Ok(*id);
        }
        let sql = "INSERT INTO account (name, currency) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.statement(sql)?.execute(params![key.0, key.1])?;
        let sql = "SELECT id FROM account WHERE name = ?1 AND currency = ?2";
        let id = self.statement(sql)?.query_row(params![key.0, key.1], |row| row.get(0))?;
        self.accounts.borrow_mut().insert(key, id);
        Ok(id)
    }

    /// Forgets the rows of accounts: one that was made in a job that failed is gone with it.
    pub(super) fn forget_accounts(&self) {
        self.accounts.borrow_mut().clear();
    }
}
