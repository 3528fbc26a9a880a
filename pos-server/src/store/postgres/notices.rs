//! The verbs of the outbox: where a shop is told, and what waits to be told.

use pos_protocol::wire::MailLanguage;

use super::access::{Claimed, claimed, insert_claim, lock_shop};
use super::rows::octets;
use super::session::{Cells, Failure, Session, params};
use crate::store::cells::{self, Columns as _, ms};
use crate::store::codes;
use crate::store::rows::{Channel, DueNotice, NoticeCounts};
use crate::store::verbs::{
    Changed, Delivered, Delivery, DisableWebhook, HastenNotices, LeaseNotices, MOST_ROWS,
    NoticesSet, RecordDeliveries, SetNotices,
};

/// Sets a channel, and its next key where that is asked for. One that never was there and is not
/// wanted gets a row too, which says so.
const SET_CHANNEL: &str = "INSERT INTO channel (shop, channel, target, language, key_generation) \
     VALUES ($1, $2, $3, $4, 0) \
     ON CONFLICT (shop, channel) DO UPDATE SET target = excluded.target, \
       language = excluded.language, disabled_at = NULL, \
       key_generation = channel.key_generation + CASE WHEN $5::boolean THEN 1 ELSE 0 END, \
       older_key_until = CASE WHEN $5::boolean THEN $6::bigint ELSE channel.older_key_until END";

/// The address of mail that goes nowhere else any more is told of the change.
pub(super) async fn set_notices(
    session: &Session,
    verb: &SetNotices,
) -> Result<NoticesSet, Failure> {
    lock_shop(session, verb.shop).await?;
    match claimed(session, verb.shop, &verb.claim).await? {
        Claimed::Same => return Ok(NoticesSet::Yes),
        Claimed::Other => return Ok(NoticesSet::KeyReused),
        Claimed::Free => {}
    }
    let shop = octets(verb.shop.octets());
    let mail = codes::of_channel(Channel::Mail);
    let address = verb.mail.as_ref().map(|mail| &*mail.address);
    session
        .execute(
            "INSERT INTO notice (shop, id, channel, created_at, body, address, tries, due_at) \
             SELECT $1::bytea, $2::bytea, channel, $3::bigint, $4::text, target, 0, $3::bigint \
             FROM channel WHERE shop = $1 AND channel = $5 AND target <> coalesce($6, '') \
               AND $7::boolean",
            params![
                shop,
                octets(verb.told.id.octets()),
                ms(verb.now),
                &*verb.told.body,
                mail,
                address,
                verb.told.is_mailed,
            ],
        )
        .await?;
    let language = verb.mail.as_ref().map_or_else(MailLanguage::default, |mail| mail.language);
    let until = ms(verb.older_key_until);
    session
        .execute(SET_CHANNEL, params![shop, mail, address, language.wire(), false, until])
        .await?;
    let url = verb.webhook.as_ref().map(|webhook| &*webhook.url);
    let new_key = verb.webhook.as_ref().is_some_and(|webhook| webhook.new_key);
    let (channel, language) = (codes::of_channel(Channel::Webhook), MailLanguage::default().wire());
    session.execute(SET_CHANNEL, params![shop, channel, url, language, new_key, until]).await?;
    insert_claim(session, verb.shop, &verb.claim, verb.now).await?;
    Ok(NoticesSet::Yes)
}

pub(super) async fn disable_webhook(
    session: &Session,
    verb: &DisableWebhook,
) -> Result<Changed, Failure> {
    let changed = session
        .execute(
            "UPDATE channel SET disabled_at = $4 \
             WHERE shop = $1 AND channel = $2 AND target = $3 AND disabled_at IS NULL",
            params![
                octets(verb.shop.octets()),
                codes::of_channel(Channel::Webhook),
                &*verb.url,
                ms(verb.now),
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// The longest due come first. What another server is just taking is passed by.
pub(super) async fn lease_notices(
    session: &Session,
    verb: &LeaseNotices,
) -> Result<Vec<DueNotice>, Failure> {
    let rows = session
        .rows(
            "SELECT n.shop, n.id, n.channel, n.created_at, n.body, n.address, n.tries, \
               c.target, c.language, c.key_generation, c.older_key_until, c.disabled_at \
             FROM notice n LEFT JOIN channel c ON c.shop = n.shop AND c.channel = n.channel \
             WHERE n.due_at IS NOT NULL AND n.due_at <= $1 ORDER BY n.due_at, n.id LIMIT $2 \
             FOR UPDATE OF n SKIP LOCKED",
            params![ms(verb.now), i64::from(verb.limit.min(MOST_ROWS))],
        )
        .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let (mut shops, mut ids, mut channels) = (Vec::new(), Vec::new(), Vec::<i64>::new());
    let mut found = Vec::new();
    let rows: Vec<_> = rows.iter().map(Cells).collect();
    for cells in &rows {
        shops.push(cells.octets(0)?);
        ids.push(cells.octets(1)?);
        channels.push(cells.number(2)?);
        found.extend(cells::due_notice(cells)?);
    }
    session
        .execute(
            "UPDATE notice n SET due_at = $4, lease_owner = $5 \
             FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS u (shop, id, channel) \
             WHERE n.shop = u.shop AND n.id = u.id AND n.channel = u.channel",
            params![shops, ids, channels, ms(verb.expires_at), octets(&verb.owner)],
        )
        .await?;
    Ok(found)
}

/// Only a process that holds the database alone knows the others to be dead, so on this engine nobody
/// asks for it; the rule is the same.
pub(super) async fn hasten_notices(
    session: &Session,
    verb: &HastenNotices,
) -> Result<u64, Failure> {
    session
        .execute(
            "UPDATE notice n SET due_at = $2, lease_owner = NULL \
             FROM (SELECT shop, id, channel FROM notice \
               WHERE due_at IS NOT NULL AND lease_owner <> $1 LIMIT $3 \
               FOR UPDATE SKIP LOCKED) AS u \
             WHERE n.shop = u.shop AND n.id = u.id AND n.channel = u.channel",
            params![octets(&verb.sole_owner), ms(verb.now), i64::from(MOST_ROWS)],
        )
        .await
}

pub(super) async fn record_deliveries(
    session: &Session,
    verb: &RecordDeliveries,
) -> Result<(), Failure> {
    for delivery in verb.deliveries.iter().take(usize::try_from(MOST_ROWS).unwrap_or(usize::MAX)) {
        record_delivery(session, delivery, ms(verb.now)).await?;
    }
    Ok(())
}

async fn record_delivery(session: &Session, delivery: &Delivery, now: i64) -> Result<(), Failure> {
    let (shop, id) = (octets(delivery.shop.octets()), octets(delivery.id.octets()));
    let channel = codes::of_channel(delivery.channel);
    let (due_at, tries, cause) = match &delivery.came_to {
        Delivered::Yes => {
            return session
                .execute(
                    "DELETE FROM notice WHERE shop = $1 AND id = $2 AND channel = $3",
                    params![shop, id, channel],
                )
                .await
                .map(drop);
        }
        Delivered::Never { cause } => {
            return session
                .execute(
                    "UPDATE notice SET due_at = NULL, given_up_at = $4, cause = $5 \
                     WHERE shop = $1 AND id = $2 AND channel = $3",
                    params![shop, id, channel, now, &**cause],
                )
                .await
                .map(drop);
        }
        Delivered::Again { due_at, cause } => (ms(*due_at), 1_i64, Some(&**cause)),
        Delivered::Later { due_at } => (ms(*due_at), 0, None),
    };
    session
        .execute(
            "UPDATE notice SET due_at = $4, tries = tries + $5, cause = coalesce($6, cause), \
               lease_owner = NULL \
             WHERE shop = $1 AND id = $2 AND channel = $3 AND due_at IS NOT NULL",
            params![shop, id, channel, due_at, tries, cause],
        )
        .await
        .map(drop)
}

/// What waits, and what was given up.
pub(super) async fn counts(session: &Session) -> Result<NoticeCounts, Failure> {
    let found = session
        .maybe_row(
            "SELECT (SELECT count(*) FROM notice WHERE due_at IS NOT NULL), \
               (SELECT min(created_at) FROM notice WHERE due_at IS NOT NULL), \
               (SELECT count(*) FROM notice WHERE given_up_at IS NOT NULL)",
            params![],
        )
        .await?;
    let row = found.ok_or(cells::corrupt("count"))?;
    Ok(cells::notice_counts(&Cells(&row))?)
}
