//! The verbs of registration, sign-in and keys. Each locks the shop's row first, so that what it looked
//! at still holds when it writes, whatever other servers do.

use pos_protocol::Timestamp;
use pos_protocol::id::ShopId;
use pos_protocol::key::KeyId;
use pos_protocol::wire::KeyRole;

use super::rows::{claim_under, octets};
use super::session::{Cells, Failure, Session, params};
use crate::store::cells::{Columns as _, corrupt, maybe_ms, ms};
use crate::store::codes;
use crate::store::rows::KeyRow;
use crate::store::verbs::{
    Admitted, Changed, Claim, CountLogin, EndKey, KeyChanged, OpenSession, Register, RollKey,
    SetEnrolment, TouchKey,
};

/// Code and key are spent together; the same code with the same key repeats until that key's first
/// other call (`wire.md` 3).
pub(super) async fn register(session: &Session, verb: &Register) -> Result<Admitted, Failure> {
    lock_shop(session, verb.shop).await?;
    settle_lapsed(session, verb.shop, verb.now).await?;
    let id = verb.key.public.id();
    let standing = key(session, id).await?;
    let code = spent_for(session, verb).await?;
    let admitted = match &code {
        Code::Unknown => false,
        Code::Unspent => match &standing {
            None => insert_key(session, verb.shop, &verb.key, None).await?,
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
    let shop = octets(verb.shop.octets());
    let id = octets(id.octets());
    if matches!(code, Code::Unspent) {
        // A changed password ends what the old one opened (`wire.md` 3).
        session
            .execute(
                "UPDATE key_record SET ended_at = $3 \
                 WHERE shop = $1 AND role = $2 AND ended_at IS NULL",
                params![shop, codes::of_role(KeyRole::Session), ms(verb.now)],
            )
            .await?;
    }
    // A key that is registered anew begins anew, so that a lost answer can be repeated.
    session
        .execute(
            "UPDATE key_record SET first_used_at = NULL WHERE shop = $1 AND id = $2",
            params![shop, id],
        )
        .await?;
    session
        .execute("UPDATE enrolment SET spent_for = $2 WHERE shop = $1", params![shop, id])
        .await?;
    session
        .execute(
            "UPDATE shop SET password_hash = $2, failures = 0, locked_until = NULL, \
               panic_code = $3 WHERE id = $1",
            params![shop, &*verb.password_hash, octets(&verb.panic_code)],
        )
        .await?;
    session.execute("DELETE FROM recovery_code WHERE shop = $1", params![shop]).await?;
    let codes: Vec<&[u8]> = verb.recovery_codes.iter().map(octets).collect();
    session
        .execute(
            "INSERT INTO recovery_code (shop, code) SELECT $1::bytea, unnest($2::bytea[]) \
             ON CONFLICT DO NOTHING",
            params![shop, codes],
        )
        .await?;
    Ok(Admitted::Yes)
}

/// A session key is registered once; an ended key stays ended, whatever sign-in is replayed.
pub(super) async fn open_session(
    session: &Session,
    verb: &OpenSession,
) -> Result<Admitted, Failure> {
    let shop = verb.key.shop;
    if !lock_shop(session, shop).await? {
        return Ok(Admitted::No);
    }
    settle_lapsed(session, shop, verb.now).await?;
    let admitted = match key(session, verb.key.public.id()).await? {
        None => insert_key(session, shop, &verb.key, None).await?,
        Some(key) => key.is_for(shop, KeyRole::Session) && key.live(verb.now) && !key.used,
    };
    Ok(if admitted { Admitted::Yes } else { Admitted::No })
}

/// Answers until when the password is locked. A lock stands until its time is over, whatever is tried
/// meanwhile, and the count begins anew behind it.
pub(super) async fn count_login(
    session: &Session,
    verb: &CountLogin,
) -> Result<Option<Timestamp>, Failure> {
    let Some(shop) = &verb.shop else {
        // The same statements and the same sync, so that nobody learns by the clock who exists.
        let somebody =
            session.maybe_row("SELECT id FROM shop ORDER BY id LIMIT 1", params![]).await?;
        if let Some(row) = somebody {
            let id = Cells(&row).array::<16>(0)?;
            session
                .execute(
                    "UPDATE shop SET failures = failures, locked_until = locked_until WHERE id = $1",
                    params![octets(&id)],
                )
                .await?;
        }
        return Ok(None);
    };
    let shop = octets(shop.octets());
    let found = session
        .maybe_row(
            "SELECT failures, locked_until FROM shop WHERE id = $1 FOR NO KEY UPDATE",
            params![shop],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let cells = Cells(&row);
    let (failures, locked) = (cells.small(0)?, cells.maybe(1, Cells::instant)?);
    if let Some(until) = locked.filter(|until| verb.now < *until) {
        return Ok(Some(until));
    }
    let before = if locked.is_some() { 0 } else { failures };
    let failures = if verb.right { 0 } else { before.saturating_add(1) };
    let locked = (failures >= verb.limit).then_some(verb.lock_until);
    session
        .execute(
            "UPDATE shop SET failures = $2, locked_until = $3 WHERE id = $1",
            params![shop, i64::from(failures), maybe_ms(locked)],
        )
        .await?;
    Ok(locked)
}

/// A key whose time is over is not brought back by a call that was under way.
pub(super) async fn touch_key(session: &Session, verb: &TouchKey) -> Result<(), Failure> {
    session
        .execute(
            "UPDATE key_record SET first_used_at = coalesce(first_used_at, $3), \
               idle_at = CASE WHEN $4 > idle_at THEN $4 ELSE idle_at END \
             WHERE id = $2 AND shop = $1 AND ended_at IS NULL \
               AND (ends_at IS NULL OR ends_at > $3) AND (idle_at IS NULL OR idle_at > $3)",
            params![
                octets(verb.shop.octets()),
                octets(verb.key.octets()),
                ms(verb.now),
                maybe_ms(verb.idle_at),
            ],
        )
        .await
        .map(drop)
}

/// The successor is registered and the end of the old key planned, in one.
pub(super) async fn roll_key(session: &Session, verb: &RollKey) -> Result<KeyChanged, Failure> {
    lock_shop(session, verb.shop).await?;
    match claimed(session, verb.shop, &verb.claim).await? {
        Claimed::Same => return Ok(KeyChanged::Yes),
        Claimed::Other => return Ok(KeyChanged::KeyReused),
        Claimed::Free => {}
    }
    settle_lapsed(session, verb.shop, verb.now).await?;
    let old = key(session, verb.old).await?;
    let Some(old) = old.filter(|old| old.shop == verb.shop && old.live(verb.now)) else {
        return Ok(KeyChanged::NotFound);
    };
    let new = verb.new.public.id();
    let registered = match key(session, new).await? {
        None => insert_key(session, verb.shop, &verb.new, Some(verb.old)).await?,
        Some(key) => {
            key.shop == verb.shop && key.live(verb.now) && key.successor_of == Some(verb.old)
        }
    };
    if !registered {
        return Ok(KeyChanged::Taken);
    }
    // A second roll never moves an end that was planned before.
    if old.ends_at.is_none_or(|planned| verb.old_ends_at < planned) {
        session
            .execute(
                "UPDATE key_record SET ends_at = $3 WHERE shop = $1 AND id = $2",
                params![
                    octets(verb.shop.octets()),
                    octets(verb.old.octets()),
                    ms(verb.old_ends_at),
                ],
            )
            .await?;
    }
    insert_claim(session, verb.shop, &verb.claim, verb.now).await?;
    Ok(KeyChanged::Yes)
}

/// At once; a key that has ended already keeps the time of then.
pub(super) async fn end_key(session: &Session, verb: &EndKey) -> Result<KeyChanged, Failure> {
    lock_shop(session, verb.shop).await?;
    if let Some(claim) = &verb.claim {
        match claimed(session, verb.shop, claim).await? {
            Claimed::Same => return Ok(KeyChanged::Yes),
            Claimed::Other => return Ok(KeyChanged::KeyReused),
            Claimed::Free => {}
        }
    }
    let found = session
        .execute(
            "UPDATE key_record SET ended_at = coalesce(ended_at, $3) WHERE shop = $1 AND id = $2",
            params![octets(verb.shop.octets()), octets(verb.key.octets()), ms(verb.now)],
        )
        .await?;
    if found == 0 {
        return Ok(KeyChanged::NotFound);
    }
    if let Some(claim) = &verb.claim {
        insert_claim(session, verb.shop, claim, verb.now).await?;
    }
    Ok(KeyChanged::Yes)
}

/// The code before it, spent or not, counts no longer.
pub(super) async fn set_enrolment(
    session: &Session,
    verb: &SetEnrolment,
) -> Result<Changed, Failure> {
    if !lock_shop(session, verb.shop).await? {
        return Ok(false);
    }
    session
        .execute(
            "INSERT INTO enrolment (shop, enrolment_key, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (shop) DO UPDATE SET enrolment_key = excluded.enrolment_key, \
               expires_at = excluded.expires_at, spent_for = NULL",
            params![
                octets(verb.shop.octets()),
                octets(verb.enrolment_key.octets()),
                ms(verb.expires_at),
            ],
        )
        .await?;
    Ok(true)
}

/// Locks the shop and its standing keys, so that no other server changes them or begins an operation of the
/// shop's before this transaction ends. Answers whether there is such a shop.
pub(super) async fn lock_shop(session: &Session, shop: ShopId) -> Result<bool, Failure> {
    let shop = octets(shop.octets());
    let found =
        session.rows("SELECT 1 FROM shop WHERE id = $1 FOR NO KEY UPDATE", params![shop]).await?;
    session
        .rows(
            "SELECT 1 FROM key_record WHERE shop = $1 AND ended_at IS NULL \
             ORDER BY shop, id FOR NO KEY UPDATE",
            params![shop],
        )
        .await?;
    Ok(!found.is_empty())
}

/// What the idempotency key of a management call says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// Free so far.
    Free,
    /// Taken by the same call.
    Same,
    /// Taken by another call.
    Other,
}

/// Looks a key up among the claims and among the operations. The shop is locked.
pub(super) async fn claimed(
    session: &Session,
    shop: ShopId,
    claim: &Claim,
) -> Result<Claimed, Failure> {
    match claim_under(session, shop, &claim.key).await? {
        Some(fingerprint) if fingerprint == claim.fingerprint => return Ok(Claimed::Same),
        Some(_) => return Ok(Claimed::Other),
        None => {}
    }
    let used = session
        .rows(
            "SELECT 1 FROM operation WHERE shop = $1 AND key = $2",
            params![octets(shop.octets()), claim.key.as_str()],
        )
        .await?;
    Ok(if used.is_empty() { Claimed::Free } else { Claimed::Other })
}

/// Writes down that an idempotency key is used up.
pub(super) async fn insert_claim(
    session: &Session,
    shop: ShopId,
    claim: &Claim,
    now: Timestamp,
) -> Result<(), Failure> {
    session
        .execute(
            "INSERT INTO claim (shop, key, fingerprint, created_at) VALUES ($1, $2, $3, $4)",
            params![
                octets(shop.octets()),
                claim.key.as_str(),
                octets(&claim.fingerprint),
                ms(now),
            ],
        )
        .await
        .map(drop)
}

/// Where the enrolment code of a registration stands.
enum Code {
    /// Not this shop's present code, or past its time without having been spent.
    Unknown,
    Unspent,
    SpentFor(KeyId),
}

async fn spent_for(session: &Session, verb: &Register) -> Result<Code, Failure> {
    let found = session
        .maybe_row(
            "SELECT expires_at, spent_for FROM enrolment WHERE shop = $1 AND enrolment_key = $2",
            params![octets(verb.shop.octets()), octets(verb.enrolment_key.octets())],
        )
        .await?;
    let Some(row) = found else { return Ok(Code::Unknown) };
    let cells = Cells(&row);
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

async fn key(session: &Session, id: KeyId) -> Result<Option<Standing>, Failure> {
    let found = session
        .maybe_row(
            "SELECT shop, role, ends_at, idle_at, ended_at, first_used_at, successor_of \
             FROM key_record WHERE id = $1",
            params![octets(id.octets())],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let cells = Cells(&row);
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
async fn insert_key(
    session: &Session,
    shop: ShopId,
    key: &KeyRow,
    successor_of: Option<KeyId>,
) -> Result<bool, Failure> {
    let inserted = session
        .execute(
            "INSERT INTO key_record (id, shop, public, role, pos, created_at, ends_at, idle_at, \
               first_used_at, ended_at, successor_of) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
            params![
                octets(key.public.id().octets()),
                octets(shop.octets()),
                octets(key.public.octets()),
                codes::of_role(key.role),
                key.pos.as_ref().map(|pos| octets(pos.octets())),
                ms(key.created_at),
                maybe_ms(key.ends_at),
                maybe_ms(key.idle_at),
                maybe_ms(key.first_used_at),
                maybe_ms(key.ended_at),
                successor_of.as_ref().map(|old| octets(old.octets())),
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// Marks keys whose planned end has come as ended, so that lists show what stands and pruning
/// finds the rest.
async fn settle_lapsed(session: &Session, shop: ShopId, now: Timestamp) -> Result<(), Failure> {
    session
        .execute(
            "UPDATE key_record SET ended_at = least(ends_at, idle_at) \
             WHERE shop = $1 AND ended_at IS NULL AND (ends_at <= $2 OR idle_at <= $2)",
            params![octets(shop.octets()), ms(now)],
        )
        .await
        .map(drop)
}
