//! The verbs of checks, of the operator, and of pruning.

use std::time::Duration;

use pos_protocol::id::OperationId;
use pos_protocol::wire::{KeyRole, MailLanguage};
use rusqlite::{Connection, params};

use super::access::shop_exists;
use super::rows::{Cells, corrupt, ms, unsigned};
use super::writer::{Claimed, claimed};
use crate::store::StoreError;
use crate::store::cells::{Columns as _, check_kept};
use crate::store::codes;
use crate::store::rows::{Channel, ShopRow};
use crate::store::verbs::{
    AddContract, AddInstitution, AddPos, BeginCheck, Changed, CheckBegun, CheckKept, FinishCheck,
    MOST_ROWS, Prune, RaiseSealKeyVersion, RecordTest, ResolveTask, SetContractEnabled,
    SetInstitutionEnabled,
};

/// How long idempotency keys of management calls are remembered (`payments.md` 4.1), and sessions
/// after their end.
const MEMORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long past its envelope's end a nullifier stays, so that a clock that is set back brings no
/// envelope to life again.
const NULLIFIER_MARGIN: Duration = Duration::from_secs(60 * 60);

pub(super) fn resolve_task(db: &Connection, verb: &ResolveTask) -> Result<Changed, StoreError> {
    let changed = db
        .prepare_cached(
            "UPDATE task SET resolved_at = ?3, note = ?4 \
             WHERE shop = ?1 AND id = ?2 AND resolved_at IS NULL",
        )?
        .execute(params![verb.shop.octets(), verb.task.octets(), ms(verb.now), verb.note])?;
    Ok(changed == 1)
}

pub(super) fn begin_check(db: &Connection, verb: &BeginCheck) -> Result<CheckBegun, StoreError> {
    match claimed(db, verb.shop, &verb.claim)? {
        Claimed::Other => return Ok(CheckBegun::KeyReused),
        Claimed::Same => {
            let mut statement = db.prepare_cached(
                "SELECT operation, answer, refusal, field FROM claim WHERE shop = ?1 AND key = ?2",
            )?;
            let mut rows = statement.query(params![verb.shop.octets(), verb.claim.key.as_str()])?;
            let cells = Cells(rows.next()?.ok_or(corrupt("claim"))?);
            return Ok(CheckBegun::Repeat {
                operation: OperationId::from_octets(cells.array(0)?),
                kept: check_kept(&cells, 1)?,
            });
        }
        Claimed::Free => {}
    }
    db.prepare_cached(
        "INSERT INTO claim (shop, key, fingerprint, created_at, operation) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        verb.shop.octets(),
        verb.claim.key.as_str(),
        verb.claim.fingerprint,
        ms(verb.now),
        verb.operation.octets(),
    ])?;
    Ok(CheckBegun::New)
}

/// What was kept first stays.
pub(super) fn finish_check(db: &Connection, verb: &FinishCheck) -> Result<(), StoreError> {
    let Some(kept) = &verb.kept else {
        db.prepare_cached(
            "DELETE FROM claim WHERE shop = ?1 AND key = ?2 AND operation IS NOT NULL \
               AND answer IS NULL AND refusal IS NULL",
        )?
        .execute(params![verb.shop.octets(), verb.key.as_str()])?;
        return Ok(());
    };
    let (answer, refusal, field) = match kept {
        CheckKept::Answer(body) => (Some(body), None, None),
        CheckKept::Refusal { code, field } => (None, Some(code.wire()), field.as_deref()),
    };
    db.prepare_cached(
        "UPDATE claim SET answer = ?3, refusal = ?4, field = ?5 \
         WHERE shop = ?1 AND key = ?2 AND operation IS NOT NULL \
           AND answer IS NULL AND refusal IS NULL",
    )?
    .execute(params![verb.shop.octets(), verb.key.as_str(), answer, refusal, field])?;
    Ok(())
}

pub(super) fn add_institution(
    db: &Connection,
    verb: &AddInstitution,
) -> Result<Changed, StoreError> {
    let row = &verb.institution;
    let added = db
        .prepare_cached(
            "INSERT INTO institution (id, name, name_ja, url, ca_pem, verify_key, seal_root, \
               seal_key_version, capabilities, enabled) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            row.id.as_str(),
            row.name,
            row.name_ja,
            row.url,
            row.ca_pem,
            row.verify_key.octets(),
            row.seal_root.octets(),
            unsigned(row.seal_key_version)?,
            row.capabilities,
            row.enabled,
        ])?;
    Ok(added == 1)
}

pub(super) fn set_institution_enabled(
    db: &Connection,
    verb: &SetInstitutionEnabled,
) -> Result<Changed, StoreError> {
    let found = db
        .prepare_cached("UPDATE institution SET enabled = ?2 WHERE id = ?1")?
        .execute(params![verb.institution.as_str(), verb.enabled])?;
    Ok(found == 1)
}

pub(super) fn record_test(db: &Connection, verb: &RecordTest) -> Result<Changed, StoreError> {
    let found = db
        .prepare_cached(
            "UPDATE institution SET enabled = 1, name = ?2, name_ja = ?3, capabilities = ?4, \
               seal_key_version = max(seal_key_version, ?5) WHERE id = ?1",
        )?
        .execute(params![
            verb.institution.as_str(),
            verb.name,
            verb.name_ja,
            verb.capabilities,
            unsigned(verb.seal_key_version)?,
        ])?;
    Ok(found == 1)
}

/// Never lowered: an older key set is never taken again.
pub(super) fn raise_seal_key_version(
    db: &Connection,
    verb: &RaiseSealKeyVersion,
) -> Result<Changed, StoreError> {
    let found = db
        .prepare_cached(
            "UPDATE institution SET seal_key_version = max(seal_key_version, ?2) WHERE id = ?1",
        )?
        .execute(params![verb.institution.as_str(), unsigned(verb.version)?])?;
    Ok(found == 1)
}

pub(super) fn add_shop(db: &Connection, row: &ShopRow) -> Result<Changed, StoreError> {
    let added = db
        .prepare_cached(
            "INSERT INTO shop (id, name, email, user_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            row.id.octets(),
            row.name,
            row.email,
            row.user_id.octets(),
            ms(row.created_at),
        ])?;
    if added == 1 && row.email.is_some() {
        db.prepare_cached(
            "INSERT INTO channel (shop, channel, target, language, key_generation) \
             VALUES (?1, ?2, ?3, ?4, 0)",
        )?
        .execute(params![
            row.id.octets(),
            codes::of_channel(Channel::Mail),
            row.email,
            MailLanguage::default().wire(),
        ])?;
    }
    Ok(added == 1)
}

pub(super) fn add_pos(db: &Connection, verb: &AddPos) -> Result<Changed, StoreError> {
    if !shop_exists(db, verb.shop)? {
        return Ok(false);
    }
    let added = db
        .prepare_cached(
            "INSERT INTO pos (shop, id, name, purpose, created_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            verb.shop.octets(),
            verb.pos.id.octets(),
            verb.pos.name,
            verb.pos.purpose,
            ms(verb.pos.created_at),
        ])?;
    Ok(added == 1)
}

/// The POS must be this shop's.
pub(super) fn add_contract(db: &Connection, verb: &AddContract) -> Result<Changed, StoreError> {
    let row = &verb.contract;
    let added = db
        .prepare_cached(
            "INSERT INTO contract (shop, id, pos, institution, number, enabled, created_at) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
             WHERE EXISTS (SELECT 1 FROM pos WHERE shop = ?1 AND id = ?3) \
               AND EXISTS (SELECT 1 FROM institution WHERE id = ?4) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            verb.shop.octets(),
            row.id.octets(),
            row.pos.octets(),
            row.institution.as_str(),
            row.number.as_str(),
            row.enabled,
            ms(row.created_at),
        ])?;
    Ok(added == 1)
}

pub(super) fn set_contract_enabled(
    db: &Connection,
    verb: &SetContractEnabled,
) -> Result<Changed, StoreError> {
    let found = db
        .prepare_cached("UPDATE contract SET enabled = ?3 WHERE shop = ?1 AND id = ?2")?
        .execute(params![verb.shop.octets(), verb.contract.octets(), verb.enabled])?;
    Ok(found == 1)
}

/// Oldest first, by the index of each; what is left waits for the next call.
pub(super) fn prune(db: &Connection, verb: &Prune) -> Result<u64, StoreError> {
    let horizon = ms(verb.now.minus(MEMORY));
    let envelopes = ms(verb.now.minus(NULLIFIER_MARGIN));
    let limit = verb.limit.min(MOST_ROWS);
    // Sessions that nobody signed out and no later sign-in settled have only their planned end.
    db.prepare_cached(
        "UPDATE key_record SET ended_at = \
           min(coalesce(ends_at, idle_at), coalesce(idle_at, ends_at)) \
         WHERE id IN (SELECT id FROM key_record WHERE ended_at IS NULL AND ends_at <= ?2 \
           AND role = ?1 ORDER BY ends_at LIMIT ?3)",
    )?
    .execute(params![codes::of_role(KeyRole::Session), horizon, limit])?;
    let nullifiers = db
        .prepare_cached(
            "DELETE FROM nullifier WHERE (not_after, shop, envelope) IN \
               (SELECT not_after, shop, envelope FROM nullifier WHERE not_after < ?1 \
                ORDER BY not_after LIMIT ?2)",
        )?
        .execute(params![envelopes, limit])?;
    let claims = db
        .prepare_cached(
            "DELETE FROM claim WHERE (shop, key) IN (SELECT shop, key \
               FROM claim WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
        )?
        .execute(params![horizon, limit])?;
    let sessions = db
        .prepare_cached(
            "DELETE FROM key_record WHERE id IN (SELECT id FROM key_record \
               WHERE ended_at < ?1 AND role = ?2 ORDER BY ended_at LIMIT ?3)",
        )?
        .execute(params![horizon, codes::of_role(KeyRole::Session), limit])?;
    let notices = db
        .prepare_cached(
            "DELETE FROM notice WHERE (shop, id, channel) IN (SELECT shop, id, channel \
               FROM notice WHERE given_up_at < ?1 ORDER BY given_up_at LIMIT ?2)",
        )?
        .execute(params![horizon, limit])?;
    let all = [nullifiers, claims, sessions, notices];
    Ok(all
        .into_iter()
        .fold(0, |sum, one| sum.saturating_add(u64::try_from(one).unwrap_or(u64::MAX))))
}
