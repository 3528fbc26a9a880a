//! The rows of the audit chain.

use super::rows::octets;
use super::session::{Cells, Failure, Session, params};
use crate::store::audit::{AuditRow, Head};
use crate::store::cells::{audit_row, ms, unsigned};
use crate::store::rows::Incarnation;

/// Before every writer there can be.
const NOBODY: &[u8] = &[];

/// One statement, whatever the number of rows.
pub(super) const INSERT: &str = "INSERT INTO audit (writer, seq, at, shop, body, hash) SELECT * \
     FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[], $5::text[], $6::bytea[])";

/// Writes the rows of one group.
pub(super) async fn insert(session: &Session, rows: &[AuditRow]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let writers: Vec<&[u8]> = rows.iter().map(|row| octets(&row.writer)).collect();
    let places: Vec<i64> = rows.iter().map(|row| unsigned(row.seq)).collect::<Result<_, _>>()?;
    let times: Vec<i64> = rows.iter().map(|row| ms(row.at)).collect();
    let shops: Vec<Option<&[u8]>> =
        rows.iter().map(|row| row.shop.as_ref().map(|shop| octets(shop.octets()))).collect();
    let bodies: Vec<&str> = rows.iter().map(|row| &*row.body).collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|row| octets(&row.hash)).collect();
    session.execute(INSERT, params![writers, places, times, shops, bodies, hashes]).await.map(drop)
}

/// Every writer that has rows, then one lookup each.
macro_rules! of_each_writer {
    ($which:literal) => {
        concat!(
            "WITH RECURSIVE known (writer) AS ( \
               (SELECT writer FROM audit ORDER BY writer LIMIT 1) \
               UNION ALL \
               SELECT (SELECT a.writer FROM audit a WHERE a.writer > known.writer \
                 ORDER BY a.writer LIMIT 1) \
               FROM known WHERE known.writer IS NOT NULL) \
             SELECT one.writer, one.seq, one.at, one.shop, one.body, one.hash FROM known \
               CROSS JOIN LATERAL (SELECT * FROM audit a WHERE a.writer = known.writer ",
            $which,
            " LIMIT 1) AS one ORDER BY one.writer"
        )
    };
}

/// Where every chain stands. One lookup a chain, however long they are.
pub(super) async fn heads(session: &Session) -> Result<Vec<Head>, Failure> {
    let rows = session.rows(of_each_writer!("ORDER BY a.seq DESC"), params![]).await?;
    let mut heads = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = audit_row(&Cells(row))?;
        let count = row.seq.saturating_add(1);
        heads.push(Head { writer: row.writer, count, hash: row.hash });
    }
    Ok(heads)
}

/// The first row of every chain that has one.
pub(super) async fn beginnings(session: &Session) -> Result<Vec<AuditRow>, Failure> {
    let rows = session.rows(of_each_writer!("AND a.seq = 0"), params![]).await?;
    Ok(rows.iter().map(|row| audit_row(&Cells(row))).collect::<Result<_, _>>()?)
}

/// Rows behind `after`, in the order of writer and place.
pub(super) async fn rows(
    session: &Session,
    after: Option<(Incarnation, u64)>,
    limit: u32,
) -> Result<Vec<AuditRow>, Failure> {
    let (writer, seq) = match &after {
        Some((writer, seq)) => (octets(writer), unsigned(*seq)?),
        None => (NOBODY, -1),
    };
    let rows = session
        .rows(
            "SELECT writer, seq, at, shop, body, hash FROM audit WHERE (writer, seq) > ($1, $2) \
             ORDER BY writer, seq LIMIT $3",
            params![writer, seq, i64::from(limit)],
        )
        .await?;
    Ok(rows.iter().map(|row| audit_row(&Cells(row))).collect::<Result<_, _>>()?)
}
