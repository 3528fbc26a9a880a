//! The verbs of registration, sign-in and keys.

use pos_protocol::Timestamp;
use pos_protocol::id::ShopId;
use pos_protocol::key::KeyId;
use pos_protocol::wire::KeyRole;
use rusqlite::{Connection, params};

use super::rows::{Cells, corrupt, maybe_ms, ms};
use super::writer::{Claimed, claimed};
use crate::store::StoreError;
use crate::store::cells::Columns as _;
use crate::store::codes;
use crate::store::rows::KeyRow;
use crate::store::verbs::{
    Admitted, Changed, Claim, CountLogin, EndKey, KeyChanged, OpenSession, Register, RollKey,
    SetEnrolment, TouchKey,
};

/// Code and key are spent together; the same code with the same key repeats until that key's first
/// other call (`wire.md` 3).
pub(super) fn register(db: &Connection, verb: &Register) -> Result<Admitted, StoreError> {
    settle_lapsed(db, verb.shop, verb.now)?;
    let id = verb.key.public.id();
    let standing = key(db, id)?;
    let code = spent_for(db, verb)?;
    let admitted = match &code {
        Code::Unknown => false,
        Code::Unspent => match &standing {
            None => insert_key(db, verb.shop, &verb.key, None)?,
            Some(key) => key.is_for(verb.shop, KeyRole::Module) && key.live(verb.now),
        },
        Code::SpentFor(spent) => {
            let fresh = |key: &Standing| {
                key.is_for(verb.shop, KeyRole::Module) && key.live(verb.now) && !key.used
            };
            *spent == id && standing.as_ref().is_some_and(fresh)
        }
    };
    if !admitted {
        return Ok(Admitted::No);
    }
    if matches!(code, Code::Unspent) {
        end_sessions(db, verb.shop, verb.now)?;
    }
    // A key that is registered anew begins anew, so that a lost answer can be repeated.
    db.prepare_cached("UPDATE key_record SET first_used_at = NULL WHERE id = ?1 AND shop = ?2")?
        .execute(params![id.octets(), verb.shop.octets()])?;
    db.prepare_cached("UPDATE enrolment SET spent_for = ?2 WHERE shop = ?1")?
        .execute(params![verb.shop.octets(), id.octets()])?;
    db.prepare_cached(
        "UPDATE shop SET password_hash = ?2, failures = 0, locked_until = NULL, panic_code = ?3 \
         WHERE id = ?1",
    )?
    .execute(params![verb.shop.octets(), verb.password_hash, verb.panic_code])?;
    db.prepare_cached("DELETE FROM recovery_code WHERE shop = ?1")?
        .execute(params![verb.shop.octets()])?;
    let mut code = db.prepare_cached(
        "INSERT INTO recovery_code (shop, code) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for digest in &verb.recovery_codes {
        code.execute(params![verb.shop.octets(), digest])?;
    }
    Ok(Admitted::Yes)
}

/// A changed password ends what the old one opened (`wire.md` 3).
fn end_sessions(db: &Connection, shop: ShopId, now: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE key_record SET ended_at = ?3 WHERE shop = ?1 AND role = ?2 AND ended_at IS NULL",
    )?
    .execute(params![shop.octets(), codes::of_role(KeyRole::Session), ms(now)])?;
    Ok(())
}

/// A session key is registered once; an ended key stays ended, whatever sign-in is replayed.
pub(super) fn open_session(db: &Connection, verb: &OpenSession) -> Result<Admitted, StoreError> {
    let shop = verb.key.shop;
    settle_lapsed(db, shop, verb.now)?;
    if !shop_exists(db, shop)? {
        return Ok(Admitted::No);
    }
    let admitted = match key(db, verb.key.public.id())? {
        None => insert_key(db, shop, &verb.key, None)?,
        Some(key) => key.is_for(shop, KeyRole::Session) && key.live(verb.now) && !key.used,
    };
    Ok(if admitted { Admitted::Yes } else { Admitted::No })
}

/// Answers until when the password is locked. A lock stands until its time is over, whatever is tried
/// meanwhile, and the count begins anew behind it.
pub(super) fn count_login(
    db: &Connection,
    verb: &CountLogin,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(shop) = verb.shop else {
        // The same statements and the same sync, so that nobody learns by the clock who exists.
        db.prepare_cached(
            "UPDATE shop SET failures = failures, locked_until = locked_until \
             WHERE id = (SELECT min(id) FROM shop)",
        )?
        .execute([])?;
        return Ok(None);
    };
    let mut statement =
        db.prepare_cached("SELECT failures, locked_until FROM shop WHERE id = ?1")?;
    let mut rows = statement.query(params![shop.octets()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let (failures, locked) = (Cells(row).small(0)?, Cells(row).maybe(1, Cells::instant)?);
    if let Some(until) = locked.filter(|until| verb.now < *until) {
        return Ok(Some(until));
    }
    let before = if locked.is_some() { 0 } else { failures };
    let failures = if verb.right { 0 } else { before.saturating_add(1) };
    let locked = (failures >= verb.limit).then_some(verb.lock_until);
    db.prepare_cached("UPDATE shop SET failures = ?2, locked_until = ?3 WHERE id = ?1")?
        .execute(params![shop.octets(), failures, maybe_ms(locked)])?;
    Ok(locked)
}

/// A key whose time is over is not brought back by a call that was under way.
pub(super) fn touch_key(db: &Connection, verb: &TouchKey) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE key_record SET first_used_at = coalesce(first_used_at, ?3), \
           idle_at = CASE WHEN ?4 > idle_at THEN ?4 ELSE idle_at END \
         WHERE id = ?2 AND shop = ?1 AND ended_at IS NULL \
           AND (ends_at IS NULL OR ends_at > ?3) AND (idle_at IS NULL OR idle_at > ?3)",
    )?
    .execute(params![
        verb.shop.octets(),
        verb.key.octets(),
        ms(verb.now),
        maybe_ms(verb.idle_at),
    ])?;
    Ok(())
}

/// The successor is registered and the end of the old key planned, in one.
pub(super) fn roll_key(db: &Connection, verb: &RollKey) -> Result<KeyChanged, StoreError> {
    match claimed(db, verb.shop, &verb.claim)? {
        Claimed::Same => return Ok(KeyChanged::Yes),
        Claimed::Other => return Ok(KeyChanged::KeyReused),
        Claimed::Free => {}
    }
    settle_lapsed(db, verb.shop, verb.now)?;
    let old = key(db, verb.old)?;
    let Some(old) = old.filter(|old| old.shop == verb.shop && old.live(verb.now)) else {
        return Ok(KeyChanged::NotFound);
    };
    let new = verb.new.public.id();
    let registered = match key(db, new)? {
        None => insert_key(db, verb.shop, &verb.new, Some(verb.old))?,
        Some(key) => {
            key.shop == verb.shop && key.live(verb.now) && key.successor_of == Some(verb.old)
        }
    };
    if !registered {
        return Ok(KeyChanged::Taken);
    }
    // A second roll never moves an end that was planned before.
    if old.ends_at.is_none_or(|planned| verb.old_ends_at < planned) {
        db.prepare_cached("UPDATE key_record SET ends_at = ?3 WHERE id = ?2 AND shop = ?1")?
            .execute(params![verb.shop.octets(), verb.old.octets(), ms(verb.old_ends_at)])?;
    }
    insert_claim(db, verb.shop, &verb.claim, verb.now)?;
    Ok(KeyChanged::Yes)
}

/// At once; a key that has ended already keeps the time of then.
pub(super) fn end_key(db: &Connection, verb: &EndKey) -> Result<KeyChanged, StoreError> {
    if let Some(claim) = &verb.claim {
        match claimed(db, verb.shop, claim)? {
            Claimed::Same => return Ok(KeyChanged::Yes),
            Claimed::Other => return Ok(KeyChanged::KeyReused),
            Claimed::Free => {}
        }
    }
    let found = db
        .prepare_cached(
            "UPDATE key_record SET ended_at = coalesce(ended_at, ?3) WHERE id = ?2 AND shop = ?1",
        )?
        .execute(params![verb.shop.octets(), verb.key.octets(), ms(verb.now)])?;
    if found == 0 {
        return Ok(KeyChanged::NotFound);
    }
    if let Some(claim) = &verb.claim {
        insert_claim(db, verb.shop, claim, verb.now)?;
    }
    Ok(KeyChanged::Yes)
}

/// The code before it, spent or not, counts no longer.
pub(super) fn set_enrolment(db: &Connection, verb: &SetEnrolment) -> Result<Changed, StoreError> {
    if !shop_exists(db, verb.shop)? {
        return Ok(false);
    }
    db.prepare_cached(
        "INSERT INTO enrolment (shop, enrolment_key, expires_at) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET enrolment_key = excluded.enrolment_key, \
           expires_at = excluded.expires_at, spent_for = NULL",
    )?
    .execute(params![verb.shop.octets(), verb.enrolment_key.octets(), ms(verb.expires_at)])?;
    Ok(true)
}

/// Writes down that an idempotency key is used up.
pub(super) fn insert_claim(
    db: &Connection,
    shop: ShopId,
    claim: &Claim,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO claim (shop, key, fingerprint, created_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![shop.octets(), claim.key.as_str(), claim.fingerprint, ms(now)])?;
    Ok(())
}

/// Whether there is such a shop.
pub(super) fn shop_exists(db: &Connection, shop: ShopId) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM shop WHERE id = ?1")?;
    Ok(statement.exists(params![shop.octets()])?)
}

/// Where the enrolment code of a registration stands.
enum Code {
    /// Not this shop's present code, or past its time without having been spent.
    Unknown,
    Unspent,
    SpentFor(KeyId),
}

fn spent_for(db: &Connection, verb: &Register) -> Result<Code, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT expires_at, spent_for FROM enrolment WHERE shop = ?1 AND enrolment_key = ?2",
    )?;
    let mut rows = statement.query(params![verb.shop.octets(), verb.enrolment_key.octets()])?;
    let Some(row) = rows.next()? else {
        return Ok(Code::Unknown);
    };
    let cells = Cells(row);
    Ok(match cells.maybe(1, Cells::array)? {
        Some(key) => Code::SpentFor(KeyId::from_octets(key)),
        None if verb.now < cells.instant(0)? => Code::Unspent,
        None => Code::Unknown,
    })
}

/// What the verbs ask of a key that is registered already.
struct Standing {
    shop: ShopId,
    role: KeyRole,
    ends_at: Option<Timestamp>,
    idle_at: Option<Timestamp>,
    ended: bool,
    used: bool,
    successor_of: Option<KeyId>,
}

impl Standing {
    fn is_for(&self, shop: ShopId, role: KeyRole) -> bool {
        self.shop == shop && self.role == role
    }

    fn live(&self, now: Timestamp) -> bool {
        let before = |end: Option<Timestamp>| end.is_none_or(|end| now < end);
        !self.ended && before(self.ends_at) && before(self.idle_at)
    }
}

fn key(db: &Connection, id: KeyId) -> Result<Option<Standing>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT shop, role, ends_at, idle_at, ended_at, first_used_at, successor_of \
         FROM key_record WHERE id = ?1",
    )?;
    let mut rows = statement.query(params![id.octets()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let cells = Cells(row);
    Ok(Some(Standing {
        shop: ShopId::from_octets(cells.array(0)?),
        role: codes::to_role(cells.number(1)?).ok_or(corrupt("role"))?,
        ends_at: cells.maybe(2, Cells::instant)?,
        idle_at: cells.maybe(3, Cells::instant)?,
        ended: !cells.is_null(4)?,
        used: !cells.is_null(5)?,
        successor_of: cells.maybe(6, Cells::array)?.map(KeyId::from_octets),
    }))
}

/// Whether the key was free.
fn insert_key(
    db: &Connection,
    shop: ShopId,
    key: &KeyRow,
    successor_of: Option<KeyId>,
) -> Result<bool, StoreError> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO key_record (id, shop, public, role, pos, created_at, ends_at, idle_at, \
               first_used_at, ended_at, successor_of) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.public.id().octets(),
            shop.octets(),
            key.public.octets(),
            codes::of_role(key.role),
            key.pos.as_ref().map(|pos| pos.octets()),
            ms(key.created_at),
            maybe_ms(key.ends_at),
            maybe_ms(key.idle_at),
            maybe_ms(key.first_used_at),
            maybe_ms(key.ended_at),
            successor_of.as_ref().map(|old| old.octets()),
        ])?;
    Ok(inserted == 1)
}

/// Marks keys whose planned end has come as ended, so that lists show what stands and pruning
/// finds the rest.
fn settle_lapsed(db: &Connection, shop: ShopId, now: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE key_record SET ended_at = \
           min(coalesce(ends_at, idle_at), coalesce(idle_at, ends_at)) \
         WHERE shop = ?1 AND ended_at IS NULL AND (ends_at <= ?2 OR idle_at <= ?2)",
    )?
    .execute(params![shop.octets(), ms(now)])?;
    Ok(())
}
