//! Forward-only migrations, built into the binary. Several servers may start at once: the row of version
//! 0 is locked while one of them migrates, and the others find it done.

use sha2::{Digest as _, Sha256};
use tokio_postgres::error::SqlState;

use super::OpenError;
use super::rows::octets;
use super::session::{Cells, Failure, Session, params};
use crate::store::cells::Columns as _;

/// Every migration in the order of application; the version is the place in the list, from 1. A
/// released file is never edited: its digest is kept in every database that it was applied to.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_first.sql"),
    include_str!("../../../migrations/postgres/0002_notices.sql"),
    include_str!("../../../migrations/postgres/0003_settlement.sql"),
    include_str!("../../../migrations/postgres/0004_notice_leases.sql"),
];

/// What the row of version 0 holds, so that another program's table of this name is known as such.
const OURS: &[u8] = b"pos-server on PostgreSQL";

/// Brings the schema up to this release's. With `begun`, there must be one already.
///
/// # Errors
/// [`OpenError`] for a database that is newer, altered, missing or not ours: nothing is changed in it then.
pub(super) async fn migrate(session: &Session, begun: bool) -> Result<(), OpenError> {
    apply(session, begun, MIGRATIONS).await
}

/// Makes everything, inside the caller's transaction.
pub(super) async fn make(session: &Session) -> Result<(), OpenError> {
    // Nobody else may have made it in the meantime: it fails where the table is there.
    session.run(&begin_with("CREATE TABLE")).await?;
    apply_in_transaction(session, MIGRATIONS).await
}

/// Whether the database has been begun.
pub(super) async fn is_begun(session: &Session) -> Result<bool, OpenError> {
    let row = session
        .maybe_row(
            "SELECT current_schema()::text, to_regclass('schema_migration') IS NOT NULL, \
               (SELECT count(*) FROM information_schema.tables \
                WHERE table_schema = current_schema())",
            params![],
        )
        .await?;
    let row = row.ok_or(OpenError::NoSchema)?;
    let cells = Cells(&row);
    if cells.is_null(0)? {
        return Err(OpenError::NoSchema);
    }
    let begun = cells.flag(1)?;
    if !begun && cells.number(2)? > 0 {
        return Err(OpenError::NotOurs);
    }
    Ok(begun)
}

async fn apply(session: &Session, begun: bool, migrations: &[&str]) -> Result<(), OpenError> {
    if !is_begun(session).await? {
        if begun {
            return Err(OpenError::Gone);
        }
        begin(session).await?;
    }
    session.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
    let done = apply_in_transaction(session, migrations).await;
    session.run(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    done
}

/// Table and mark come in one, so that nobody ever sees the one without the other.
fn begin_with(create: &str) -> String {
    format!(
        "{create} schema_migration (version bigint NOT NULL PRIMARY KEY, sha256 bytea NOT NULL); \
         INSERT INTO schema_migration (version, sha256) VALUES (0, '\\x{}') ON CONFLICT DO NOTHING",
        hex(&ours())
    )
}

async fn begin(session: &Session) -> Result<(), OpenError> {
    let made = session.run(&begin_with("CREATE TABLE IF NOT EXISTS")).await;
    match made {
        // Another server made it at the same moment.
        Ok(()) | Err(Failure::Raced(_)) => Ok(()),
        Err(Failure::Verb(error)) if is_duplicate(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn ours() -> [u8; 32] {
    Sha256::digest(OURS).into()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn is_duplicate(error: &crate::store::StoreError) -> bool {
    let crate::store::StoreError::Engine { cause } = error else { return false };
    cause
        .downcast_ref::<tokio_postgres::Error>()
        .and_then(tokio_postgres::Error::code)
        .is_some_and(|code| *code == SqlState::DUPLICATE_TABLE)
}

async fn apply_in_transaction(session: &Session, migrations: &[&str]) -> Result<(), OpenError> {
    let mark = session
        .maybe_row("SELECT sha256 FROM schema_migration WHERE version = 0 FOR UPDATE", params![])
        .await?;
    let mark = mark.ok_or(OpenError::NotOurs)?;
    if Cells(&mark).octets(0)? != ours() {
        return Err(OpenError::NotOurs);
    }
    let applied = session
        .rows("SELECT sha256 FROM schema_migration WHERE version > 0 ORDER BY version", params![])
        .await?;
    let known = migrations.len();
    if applied.len() > known {
        return Err(OpenError::Newer { found: applied.len(), known });
    }
    for (at, migration) in migrations.iter().enumerate() {
        let version = at.saturating_add(1);
        let digest: [u8; 32] = Sha256::digest(migration).into();
        match applied.get(at) {
            Some(row) if Cells(row).octets(0)? == digest => {}
            Some(_) => return Err(OpenError::Altered { version }),
            None => {
                session.run(migration).await?;
                let version = i64::try_from(version).unwrap_or(i64::MAX);
                session
                    .execute(
                        "INSERT INTO schema_migration (version, sha256) VALUES ($1, $2)",
                        params![version, octets(&digest)],
                    )
                    .await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_were_released_are_these() {
        // A digest here is a promise to every database out there: add lines, never change one.
        let digests: Vec<String> =
            MIGRATIONS.iter().map(|one| hex(&Sha256::digest(one))[..8].to_owned()).collect();
        assert_eq!(digests, ["f50f6aa5", "3493c485", "f1999c2f", "8a7afd70"]);
    }
}
