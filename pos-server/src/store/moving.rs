//! From the embedded engine to PostgreSQL: everything, in one transaction, and compared.
//!
//! Rows travel in a form that both engines share (`Cell`). What one engine keeps that the other does not
//! is said by the side that reads it (`sqlite/export.rs`); a table or column of either that nobody takes
//! along ends the move before it begins.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;

use pos_protocol::text::base64url;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::audit::verify::{Verifier, Witness};
use super::postgres::{self, Import, PostgresOptions};
use super::sqlite::{self, Export, SqliteOptions};

/// Every table of the shop database on PostgreSQL, those that others refer to first.
const TABLES: [&str; 20] = [
    "institution",
    "shop",
    "enrolment",
    "recovery_code",
    "pos",
    "contract",
    "key_record",
    "payment",
    "operation",
    "open_operation",
    "shop_order",
    "nullifier",
    "claim",
    "task",
    "audit",
    "time_gap",
    "channel",
    "notice",
    "settlement",
    "institution_task",
];

/// What is each database's own: which migrations it has seen, and who writes to it.
const OWN: [&str; 2] = ["schema_migration", "writer"];

/// Rows of the audit that are verified at a time.
const PAGE: u32 = 5_000;

/// Why a database was not moved, or is not the one that was moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The audit has been changed.
    #[error(
        "the audit does not verify ({}): find out why before you move it (pos-server audit verify)",
        findings.join("; ")
    )]
    Audit {
        /// What is wrong, a sentence each.
        findings: Vec<String>,
    },
    /// A table does not hold the same on both sides.
    #[error(
        "the table {table} is not the same on both sides: here {source_tally}, there {target_tally}"
    )]
    Differs {
        /// Its name.
        table: &'static str,
        /// In the embedded database.
        source_tally: Tally,
        /// On PostgreSQL.
        target_tally: Tally,
    },
    /// The answer to the last word was lost.
    #[error(
        "whether PostgreSQL kept it is not known: run the command again. If it then says that the \
         database holds something already, it did: compare them with --check"
    )]
    InDoubt(#[source] StoreError),
    /// One engine has something that the other has no place for: a defect of this release.
    #[error("this release would leave {what} behind, so nothing is moved: take a newer release")]
    LeftBehind {
        /// Tables or columns.
        what: String,
    },
    /// It was not noted beside the old database that it is moved.
    #[error("it could not be noted that the database is moved: {0}")]
    Note(#[source] io::Error),
    /// There is something in the database.
    #[error(
        "the database on PostgreSQL holds something already: a database is moved into an empty one. If \
         it is the one that this was moved to, --check compares them"
    )]
    Occupied,
    /// The embedded database cannot be opened.
    #[error("the embedded database: {0}")]
    OpenSource(#[from] sqlite::OpenError),
    /// PostgreSQL cannot be used.
    #[error("the database on PostgreSQL: {0}")]
    OpenTarget(#[from] postgres::OpenError),
    /// A value cannot be read, or was refused.
    #[error("a row cannot be moved")]
    Store(#[from] StoreError),
}

/// One value, as both engines have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Flag(bool),
    Null,
    Number(i64),
    Octets(Vec<u8>),
    Text(String),
}

/// What a column holds beside NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    Number,
    Octets,
    Text,
}

/// A column of a table on PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// How many rows a table has, and the sum of their digests: it says nothing of their order, in which no
/// two engines agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub rows: u64,
    /// SHA-256 of each row, added up modulo 2^256.
    pub digest: [u8; 32],
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows {}", self.rows, base64url(&self.digest))
    }
}

impl Tally {
    fn add(&mut self, row: &[Cell]) {
        self.rows = self.rows.saturating_add(1);
        let mut carry = 0_u16;
        for (sum, octet) in self.digest.iter_mut().zip(digest_of(row)).rev() {
            let [high, low] = carry
                .saturating_add(u16::from(*sum))
                .saturating_add(u16::from(octet))
                .to_be_bytes();
            (*sum, carry) = (low, u16::from(high));
        }
    }
}

/// Each value with its kind, and with its length where that varies: no two rows have the same octets.
fn digest_of(row: &[Cell]) -> [u8; 32] {
    let mut sha = Sha256::new();
    for cell in row {
        match cell {
            Cell::Flag(flag) => sha.update([1, u8::from(*flag)]),
            Cell::Null => sha.update([0]),
            Cell::Number(number) => {
                sha.update([2]);
                sha.update(number.to_be_bytes());
            }
            Cell::Octets(octets) => {
                sha.update([3]);
                sha.update(octets.len().to_be_bytes());
                sha.update(octets);
            }
            Cell::Text(text) => {
                sha.update([4]);
                sha.update(text.len().to_be_bytes());
                sha.update(text);
            }
        }
    }
    sha.finalize().into()
}

/// A table that is the same on both sides.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub tally: Tally,
}

/// Copies a database into an empty one on PostgreSQL, in one transaction that is kept only if every table
/// reads back the same and the audit verifies there. `note` is called before it is kept. Blocks, so not
/// for a thread that answers calls.
///
/// # Errors
/// [`MoveError`]: PostgreSQL holds nothing then, but for [`MoveError::InDoubt`], where nobody knows.
pub fn move_over(
    file: &Path,
    options: &PostgresOptions,
    witnesses: Vec<Witness>,
    note: impl FnOnce() -> io::Result<()>,
) -> Result<Vec<Table>, MoveError> {
    // Brought up to this release first, and its log settled.
    drop(sqlite::open(file, SqliteOptions::default())?);
    let source = Export::open(file)?;
    let target = Import::begin(options)?;
    fit(&source, &target)?;
    let mut tables = Vec::new();
    for name in TABLES {
        let columns = target.columns(name)?;
        let mut tally = Tally::default();
        let mut filling = target.fill(name, &columns)?;
        source.each_row(name, &columns, |row| {
            tally.add(&row);
            filling.write(&row)
        })?;
        filling.finish()?;
        tables.push(Table { name, tally });
    }
    compare(&tables, &target)?;
    verify(&target, witnesses)?;
    note().map_err(MoveError::Note)?;
    target.keep()?;
    Ok(tables)
}

/// Compares a database with the one that it was moved to, and changes neither. Blocks.
///
/// # Errors
/// [`MoveError`], where they differ too.
pub fn check(
    file: &Path,
    options: &PostgresOptions,
    witnesses: Vec<Witness>,
) -> Result<Vec<Table>, MoveError> {
    let source = Export::open(file)?;
    let target = Import::look(options)?;
    fit(&source, &target)?;
    let mut tables = Vec::new();
    for name in TABLES {
        let mut tally = Tally::default();
        source.each_row(name, &target.columns(name)?, |row| {
            tally.add(&row);
            Ok(())
        })?;
        tables.push(Table { name, tally });
    }
    compare(&tables, &target)?;
    verify(&target, witnesses)?;
    Ok(tables)
}

fn compare(tables: &[Table], target: &Import) -> Result<(), MoveError> {
    for Table { name, tally } in tables {
        let mut there = Tally::default();
        target.each_row(name, &target.columns(name)?, |row| there.add(row))?;
        if there != *tally {
            let (source_tally, target_tally) = (*tally, there);
            return Err(MoveError::Differs { table: name, source_tally, target_tally });
        }
    }
    Ok(())
}

fn verify(target: &Import, witnesses: Vec<Witness>) -> Result<(), MoveError> {
    let mut verifier = Verifier::new(&target.audit_beginnings()?, witnesses);
    let mut after = None;
    loop {
        let page = target.audit_rows(after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some((last.writer, last.seq));
        page.iter().for_each(|row| verifier.read(row));
    }
    let findings: Vec<_> = verifier.finish().findings.iter().map(ToString::to_string).collect();
    if findings.is_empty() { Ok(()) } else { Err(MoveError::Audit { findings }) }
}

/// Whether each side has a place for everything of the other.
fn fit(source: &Export, target: &Import) -> Result<(), MoveError> {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let taken: BTreeSet<String> = all(&TABLES);
    let mut known = taken.clone();
    known.extend(all(&OWN));
    let mut left: Vec<String> = Vec::new();
    for name in source.tables()?.into_iter().chain(target.tables()?) {
        if !known.contains(&name) {
            left.push(name);
        }
    }
    for name in source.tables()?.into_iter().filter(|name| taken.contains(name)) {
        let there: Vec<_> = target.columns(&name)?.into_iter().map(|column| column.name).collect();
        let here = source.columns(&name)?;
        left.extend(here.iter().filter(|it| !there.contains(it)).map(|it| format!("{name}.{it}")));
    }
    if left.is_empty() { Ok(()) } else { Err(MoveError::LeftBehind { what: left.join(", ") }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_tells_rows_apart_and_not_their_order() {
        let tally = |rows: &[&[Cell]]| {
            let mut tally = Tally::default();
            rows.iter().for_each(|row| tally.add(row));
            tally
        };
        let text = |text: &str| Cell::Text(text.into());
        let (one, other) = ([text("ab"), text("c")], [text("a"), text("bc")]);
        assert_ne!(tally(&[&one]), tally(&[&other]));
        assert_eq!(tally(&[&one, &other]), tally(&[&other, &one]));
        assert_ne!(tally(&[&one, &one]), tally(&[&other, &other]));
        let kinds = [
            Cell::Null,
            Cell::Flag(false),
            Cell::Number(0),
            Cell::Octets(Vec::new()),
            Cell::Text(String::new()),
        ];
        let digests: BTreeSet<_> =
            kinds.iter().map(|cell| digest_of(std::slice::from_ref(cell))).collect();
        assert_eq!(digests.len(), kinds.len());
    }

    #[test]
    fn a_carry_goes_through_the_whole_sum() {
        let row = [Cell::Number(7)];
        let one = digest_of(&row);
        // What is missing to 2^256, so that the sum is nothing again.
        let mut missing = one.map(|octet| !octet);
        for octet in missing.iter_mut().rev() {
            let (sum, over) = octet.overflowing_add(1);
            *octet = sum;
            if !over {
                break;
            }
        }
        let mut tally = Tally { rows: 0, digest: missing };
        tally.add(&row);
        assert_eq!(tally, Tally { rows: 1, digest: [0; 32] });
    }
}
