//! The verbs of the outbox: where a shop is told, and what waits to be told.

use pos_protocol::Timestamp;
use pos_protocol::id::ShopId;
use pos_protocol::wire::MailLanguage;
use rusqlite::{Connection, params};

use super::access::insert_claim;
use super::rows::{Cells, corrupt, ms};
use super::writer::{Claimed, claimed};
use crate::store::StoreError;
use crate::store::cells::{self, Columns as _};
use crate::store::codes;
use crate::store::rows::{Channel, DueNotice, NoticeCounts};
use crate::store::verbs::{
    Changed, Delivered, DisableWebhook, HastenNotices, LeaseNotices, MOST_ROWS, NewNotice,
    NoticesSet, RecordDeliveries, SetNotices,
};

/// One row for each channel by which the shop wants to be told.
pub(super) fn insert(
    db: &Connection,
    shop: ShopId,
    notices: &[NewNotice],
    now: Timestamp,
) -> Result<(), StoreError> {
    for notice in notices {
        db.prepare_cached(
            "INSERT INTO notice (shop, id, channel, created_at, body, tries, due_at) \
             SELECT ?1, ?2, channel, ?3, ?4, 0, ?3 FROM channel \
             WHERE shop = ?1 AND target IS NOT NULL AND disabled_at IS NULL \
               AND (channel <> ?5 OR ?6)",
        )?
        .execute(params![
            shop.octets(),
            notice.id.octets(),
            ms(now),
            notice.body,
            codes::of_channel(Channel::Mail),
            notice.is_mailed,
        ])?;
    }
    Ok(())
}

/// The address of mail that goes nowhere else any more is told of the change.
pub(super) fn set_notices(db: &Connection, verb: &SetNotices) -> Result<NoticesSet, StoreError> {
    match claimed(db, verb.shop, &verb.claim)? {
        Claimed::Same => return Ok(NoticesSet::Yes),
        Claimed::Other => return Ok(NoticesSet::KeyReused),
        Claimed::Free => {}
    }
    let mail = codes::of_channel(Channel::Mail);
    let address = verb.mail.as_ref().map(|mail| &mail.address);
    db.prepare_cached(
        "INSERT INTO notice (shop, id, channel, created_at, body, address, tries, due_at) \
         SELECT ?1, ?2, channel, ?3, ?4, target, 0, ?3 FROM channel \
         WHERE shop = ?1 AND channel = ?5 AND target <> coalesce(?6, '') AND ?7",
    )?
    .execute(params![
        verb.shop.octets(),
        verb.told.id.octets(),
        ms(verb.now),
        verb.told.body,
        mail,
        address,
        verb.told.is_mailed,
    ])?;
    let language = verb.mail.as_ref().map_or_else(MailLanguage::default, |mail| mail.language);
    set_channel(db)?.execute(params![
        verb.shop.octets(),
        mail,
        address,
        language.wire(),
        false,
        ms(verb.older_key_until),
    ])?;
    let webhook = verb.webhook.as_ref();
    set_channel(db)?.execute(params![
        verb.shop.octets(),
        codes::of_channel(Channel::Webhook),
        webhook.map(|webhook| &webhook.url),
        MailLanguage::default().wire(),
        webhook.is_some_and(|webhook| webhook.new_key),
        ms(verb.older_key_until),
    ])?;
    insert_claim(db, verb.shop, &verb.claim, verb.now)?;
    Ok(NoticesSet::Yes)
}

/// Sets a channel, and its next key where that is asked for. One that never was there and is not
/// wanted gets a row too, which says so.
fn set_channel(db: &Connection) -> Result<rusqlite::CachedStatement<'_>, StoreError> {
    Ok(db.prepare_cached(
        "INSERT INTO channel (shop, channel, target, language, key_generation) \
         VALUES (?1, ?2, ?3, ?4, 0) \
         ON CONFLICT DO UPDATE SET target = excluded.target, language = excluded.language, \
           disabled_at = NULL, key_generation = key_generation + ?5, \
           older_key_until = CASE WHEN ?5 THEN ?6 ELSE older_key_until END",
    )?)
}

pub(super) fn disable_webhook(
    db: &Connection,
    verb: &DisableWebhook,
) -> Result<Changed, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE channel SET disabled_at = ?4 \
             WHERE shop = ?1 AND channel = ?2 AND target = ?3 AND disabled_at IS NULL",
        )?
        .execute(params![
            verb.shop.octets(),
            codes::of_channel(Channel::Webhook),
            verb.url,
            ms(verb.now),
        ])?;
    Ok(changed == 1)
}

/// The longest due come first.
pub(super) fn lease_notices(
    db: &Connection,
    verb: &LeaseNotices,
) -> Result<Vec<DueNotice>, StoreError> {
    let mut due = db.prepare_cached(
        "SELECT n.shop, n.id, n.channel, n.created_at, n.body, n.address, n.tries, \
           c.target, c.language, c.key_generation, c.older_key_until, c.disabled_at \
         FROM notice n LEFT JOIN channel c ON c.shop = n.shop AND c.channel = n.channel \
         WHERE n.due_at <= ?1 ORDER BY n.due_at, n.id LIMIT ?2",
    )?;
    let mut rows = due.query(params![ms(verb.now), verb.limit.min(MOST_ROWS)])?;
    let (mut keys, mut found) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let cells = Cells(row);
        keys.push((cells.octets(0)?.to_vec(), cells.octets(1)?.to_vec(), cells.number(2)?));
        found.extend(cells::due_notice(&cells)?);
    }
    let mut lease = db.prepare_cached(
        "UPDATE notice SET due_at = ?4, lease_owner = ?5 \
         WHERE shop = ?1 AND id = ?2 AND channel = ?3",
    )?;
    for (shop, id, channel) in keys {
        lease.execute(params![shop, id, channel, ms(verb.expires_at), verb.owner])?;
    }
    Ok(found)
}

/// At the start alone, so the few that wait are looked through without an index.
pub(super) fn hasten_notices(db: &Connection, verb: &HastenNotices) -> Result<u64, StoreError> {
    let hastened = db
        .prepare_cached(
            "UPDATE notice SET due_at = ?2, lease_owner = NULL \
             WHERE (shop, id, channel) IN (SELECT shop, id, channel FROM notice \
               WHERE due_at IS NOT NULL AND lease_owner <> ?1 LIMIT ?3)",
        )?
        .execute(params![verb.sole_owner, ms(verb.now), MOST_ROWS])?;
    Ok(u64::try_from(hastened).unwrap_or(u64::MAX))
}

pub(super) fn record_deliveries(
    db: &Connection,
    verb: &RecordDeliveries,
) -> Result<(), StoreError> {
    for delivery in verb.deliveries.iter().take(usize::try_from(MOST_ROWS).unwrap_or(usize::MAX)) {
        let (shop, id) = (delivery.shop.octets(), delivery.id.octets());
        let channel = codes::of_channel(delivery.channel);
        match &delivery.came_to {
            Delivered::Yes => db
                .prepare_cached("DELETE FROM notice WHERE shop = ?1 AND id = ?2 AND channel = ?3")?
                .execute(params![shop, id, channel])?,
            Delivered::Again { due_at, cause } => {
                retry(db)?.execute(params![shop, id, channel, ms(*due_at), 1, cause])?
            }
            Delivered::Later { due_at } => {
                retry(db)?.execute(params![shop, id, channel, ms(*due_at), 0, None::<&str>])?
            }
            Delivered::Never { cause } => db
                .prepare_cached(
                    "UPDATE notice SET due_at = NULL, given_up_at = ?4, cause = ?5 \
                     WHERE shop = ?1 AND id = ?2 AND channel = ?3",
                )?
                .execute(params![shop, id, channel, ms(verb.now), cause])?,
        };
    }
    Ok(())
}

fn retry(db: &Connection) -> Result<rusqlite::CachedStatement<'_>, StoreError> {
    Ok(db.prepare_cached(
        "UPDATE notice SET due_at = ?4, tries = tries + ?5, cause = coalesce(?6, cause), \
           lease_owner = NULL \
         WHERE shop = ?1 AND id = ?2 AND channel = ?3 AND due_at IS NOT NULL",
    )?)
}

/// What waits, and what was given up.
pub(super) fn counts(db: &Connection) -> Result<NoticeCounts, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT (SELECT count(*) FROM notice WHERE due_at IS NOT NULL), \
           (SELECT min(created_at) FROM notice WHERE due_at IS NOT NULL), \
           (SELECT count(*) FROM notice WHERE given_up_at IS NOT NULL)",
    )?;
    let mut rows = statement.query(())?;
    let cells = Cells(rows.next()?.ok_or(corrupt("count"))?);
    cells::notice_counts(&cells)
}
