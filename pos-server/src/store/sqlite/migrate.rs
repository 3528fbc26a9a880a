//! Forward-only migrations, built into the binary.

use rusqlite::{Connection, TransactionBehavior};
use sha2::{Digest as _, Sha256};

use super::OpenError;

/// Every migration in the order of application; the version is the place in the list, from 1. A
/// released file is never edited: its digest is kept in every database that it was applied to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_first.sql"),
    include_str!("../../../migrations/sqlite/0002_undo.sql"),
    include_str!("../../../migrations/sqlite/0003_audit.sql"),
    include_str!("../../../migrations/sqlite/0004_notices.sql"),
    include_str!("../../../migrations/sqlite/0005_settlement.sql"),
    include_str!("../../../migrations/sqlite/0006_notice_leases.sql"),
];

/// Marks a SQLite file as ours, for `file` and against opening somebody else's.
const APPLICATION_ID: i32 = 0x506f_7343; // "PosC"

/// Brings the database up to this release's schema.
///
/// # Errors
/// [`OpenError`] for a database that is newer, altered or not ours: nothing is changed in it then.
pub(super) fn migrate(db: &mut Connection) -> Result<(), OpenError> {
    apply(db, MIGRATIONS)
}

fn apply(db: &mut Connection, migrations: &[&str]) -> Result<(), OpenError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    let application: i32 = transaction.query_row("PRAGMA application_id", (), |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(OpenError::NotOurs);
    }
    if tables == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.execute_batch(
            "CREATE TABLE schema_migration (version INTEGER NOT NULL PRIMARY KEY, \
             sha256 BLOB NOT NULL) STRICT",
        )?;
    }
    let known = migrations.len();
    let applied = applied(&transaction)?;
    if applied.len() > known {
        let found = applied.len();
        return Err(OpenError::Newer { found, known });
    }
    for (at, migration) in migrations.iter().enumerate() {
        let version = at.saturating_add(1);
        let digest: [u8; 32] = Sha256::digest(migration).into();
        match applied.get(at) {
            Some(then) if *then == digest => {}
            Some(_) => return Err(OpenError::Altered { version }),
            None => {
                transaction.execute_batch(migration)?;
                let version = i64::try_from(version).unwrap_or(i64::MAX);
                transaction.execute(
                    "INSERT INTO schema_migration (version, sha256) VALUES (?1, ?2)",
                    (version, digest),
                )?;
            }
        }
    }
    Ok(transaction.commit()?)
}

/// Digests of what was applied, by version.
fn applied(db: &Connection) -> Result<Vec<[u8; 32]>, OpenError> {
    let mut statement = db.prepare("SELECT sha256 FROM schema_migration ORDER BY version")?;
    let digests = statement.query_map((), |row| row.get(0))?;
    Ok(digests.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn each_migration_is_applied_once_and_in_order() {
        let mut db = memory();
        let first = "CREATE TABLE a (x INTEGER)";
        let second = "CREATE TABLE b (x INTEGER); INSERT INTO b VALUES (1)";
        apply(&mut db, &[first]).unwrap();
        apply(&mut db, &[first]).unwrap();
        apply(&mut db, &[first, second]).unwrap();
        apply(&mut db, &[first, second]).unwrap();
        let rows: i64 = db.query_row("SELECT count(*) FROM b", (), |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
    }

    #[test]
    fn a_newer_or_an_altered_database_is_refused_and_left_alone() {
        let mut db = memory();
        let first = "CREATE TABLE a (x INTEGER)";
        apply(&mut db, &[first, "CREATE TABLE b (x INTEGER)"]).unwrap();
        let error = apply(&mut db, &[first]).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1 }), "{error}");
        let edited = "CREATE TABLE a (x TEXT)";
        let error = apply(&mut db, &[edited, "…", "CREATE TABLE c (x)"]).unwrap_err();
        assert!(matches!(error, OpenError::Altered { version: 1 }), "{error}");
        let tables: i64 = db
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'c'", (), |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 0);
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let mut db = memory();
        let error = apply(&mut db, &["CREATE TABLE a (x INTEGER); nonsense"]).unwrap_err();
        assert!(matches!(error, OpenError::Sqlite(_)), "{error}");
        apply(&mut db, &["CREATE TABLE a (x INTEGER)"]).unwrap();
    }

    #[test]
    fn the_files_that_were_released_are_these() {
        // A digest here is a promise to every database out there: add lines, never change one.
        let digests: Vec<String> = MIGRATIONS
            .iter()
            .map(|migration| {
                let digest: [u8; 32] = Sha256::digest(migration).into();
                digest[..4].iter().map(|octet| format!("{octet:02x}")).collect()
            })
            .collect();
        assert_eq!(
            digests,
            ["8dd8e1d2", "f5803363", "9eb93176", "1c9d8735", "30b72662", "c43b24ef"]
        );
    }
}
