//! The verbs of checks, of the operator, and of pruning.

use std::time::Duration;

use pos_protocol::id::OperationId;
use pos_protocol::wire::{KeyRole, MailLanguage};

use super::access::{Claimed, claimed, lock_shop};
use super::rows::octets;
use super::session::{Cells, Failure, Session, params};
use crate::store::cells::{Columns as _, check_kept, corrupt, ms, unsigned};
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

pub(super) async fn resolve_task(
    session: &Session,
    verb: &ResolveTask,
) -> Result<Changed, Failure> {
    let changed = session
        .execute(
            "UPDATE task SET resolved_at = $3, note = $4 \
             WHERE shop = $1 AND id = $2 AND resolved_at IS NULL",
            params![
                octets(verb.shop.octets()),
                octets(verb.task.octets()),
                ms(verb.now),
                &*verb.note,
            ],
        )
        .await?;
    Ok(changed == 1)
}

pub(super) async fn begin_check(
    session: &Session,
    verb: &BeginCheck,
) -> Result<CheckBegun, Failure> {
    lock_shop(session, verb.shop).await?;
    let (shop, key) = (octets(verb.shop.octets()), verb.claim.key.as_str());
    match claimed(session, verb.shop, &verb.claim).await? {
        Claimed::Other => return Ok(CheckBegun::KeyReused),
        Claimed::Same => {
            let found = session
                .maybe_row(
                    "SELECT operation, answer, refusal, field FROM claim \
                     WHERE shop = $1 AND key = $2",
                    params![shop, key],
                )
                .await?;
            let row = found.ok_or(corrupt("claim"))?;
            let cells = Cells(&row);
            return Ok(CheckBegun::Repeat {
                operation: OperationId::from_octets(cells.array(0)?),
                kept: check_kept(&cells, 1)?,
            });
        }
        Claimed::Free => {}
    }
    session
        .execute(
            "INSERT INTO claim (shop, key, fingerprint, created_at, operation) \
             VALUES ($1, $2, $3, $4, $5)",
            params![
                shop,
                key,
                octets(&verb.claim.fingerprint),
                ms(verb.now),
                octets(verb.operation.octets()),
            ],
        )
        .await?;
    Ok(CheckBegun::New)
}

/// What was kept first stays.
pub(super) async fn finish_check(session: &Session, verb: &FinishCheck) -> Result<(), Failure> {
    let (shop, key) = (octets(verb.shop.octets()), verb.key.as_str());
    let Some(kept) = &verb.kept else {
        return session
            .execute(
                "DELETE FROM claim WHERE shop = $1 AND key = $2 AND operation IS NOT NULL \
                   AND answer IS NULL AND refusal IS NULL",
                params![shop, key],
            )
            .await
            .map(drop);
    };
    let (answer, refusal, field) = match kept {
        CheckKept::Answer(body) => (Some(&**body), None, None),
        CheckKept::Refusal { code, field } => (None, Some(code.wire()), field.as_deref()),
    };
    session
        .execute(
            "UPDATE claim SET answer = $3, refusal = $4, field = $5 \
             WHERE shop = $1 AND key = $2 AND operation IS NOT NULL \
               AND answer IS NULL AND refusal IS NULL",
            params![shop, key, answer, refusal, field],
        )
        .await
        .map(drop)
}

pub(super) async fn add_institution(
    session: &Session,
    verb: &AddInstitution,
) -> Result<Changed, Failure> {
    let row = &verb.institution;
    let added = session
        .execute(
            "INSERT INTO institution (id, name, name_ja, url, ca_pem, verify_key, seal_root, \
               seal_key_version, capabilities, enabled) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
            params![
                row.id.as_str(),
                &*row.name,
                &*row.name_ja,
                &*row.url,
                row.ca_pem.as_deref(),
                octets(row.verify_key.octets()),
                octets(row.seal_root.octets()),
                unsigned(row.seal_key_version)?,
                &*row.capabilities,
                row.enabled,
            ],
        )
        .await?;
    Ok(added == 1)
}

pub(super) async fn set_institution_enabled(
    session: &Session,
    verb: &SetInstitutionEnabled,
) -> Result<Changed, Failure> {
    let found = session
        .execute(
            "UPDATE institution SET enabled = $2 WHERE id = $1",
            params![verb.institution.as_str(), verb.enabled],
        )
        .await?;
    Ok(found == 1)
}

pub(super) async fn record_test(session: &Session, verb: &RecordTest) -> Result<Changed, Failure> {
    let found = session
        .execute(
            "UPDATE institution SET enabled = true, name = $2, name_ja = $3, capabilities = $4, \
               seal_key_version = greatest(seal_key_version, $5) WHERE id = $1",
            params![
                verb.institution.as_str(),
                &*verb.name,
                &*verb.name_ja,
                &*verb.capabilities,
                unsigned(verb.seal_key_version)?,
            ],
        )
        .await?;
    Ok(found == 1)
}

/// Never lowered: an older key set is never taken again.
pub(super) async fn raise_seal_key_version(
    session: &Session,
    verb: &RaiseSealKeyVersion,
) -> Result<Changed, Failure> {
    let found = session
        .execute(
            "UPDATE institution SET seal_key_version = greatest(seal_key_version, $2) WHERE id = $1",
            params![verb.institution.as_str(), unsigned(verb.version)?],
        )
        .await?;
    Ok(found == 1)
}

pub(super) async fn add_shop(session: &Session, row: &ShopRow) -> Result<Changed, Failure> {
    let added = session
        .execute(
            "INSERT INTO shop (id, name, email, user_id, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
            params![
                octets(row.id.octets()),
                &*row.name,
                row.email.as_deref(),
                octets(row.user_id.octets()),
                ms(row.created_at),
            ],
        )
        .await?;
    if added == 1 && row.email.is_some() {
        session
            .execute(
                "INSERT INTO channel (shop, channel, target, language, key_generation) \
                 VALUES ($1, $2, $3, $4, 0)",
                params![
                    octets(row.id.octets()),
                    codes::of_channel(Channel::Mail),
                    row.email.as_deref(),
                    MailLanguage::default().wire(),
                ],
            )
            .await?;
    }
    Ok(added == 1)
}

pub(super) async fn add_pos(session: &Session, verb: &AddPos) -> Result<Changed, Failure> {
    if !lock_shop(session, verb.shop).await? {
        return Ok(false);
    }
    let added = session
        .execute(
            "INSERT INTO pos (shop, id, name, purpose, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
            params![
                octets(verb.shop.octets()),
                octets(verb.pos.id.octets()),
                &*verb.pos.name,
                &*verb.pos.purpose,
                ms(verb.pos.created_at),
            ],
        )
        .await?;
    Ok(added == 1)
}

/// The POS must be this shop's.
pub(super) async fn add_contract(
    session: &Session,
    verb: &AddContract,
) -> Result<Changed, Failure> {
    let row = &verb.contract;
    let added = session
        .execute(
            "INSERT INTO contract (shop, id, pos, institution, number, enabled, created_at) \
             SELECT $1, $2, $3, $4, $5, $6, $7 \
             WHERE EXISTS (SELECT 1 FROM pos WHERE shop = $1 AND id = $3) \
               AND EXISTS (SELECT 1 FROM institution WHERE id = $4) \
             ON CONFLICT DO NOTHING",
            params![
                octets(verb.shop.octets()),
                octets(row.id.octets()),
                octets(row.pos.octets()),
                row.institution.as_str(),
                row.number.as_str(),
                row.enabled,
                ms(row.created_at),
            ],
        )
        .await?;
    Ok(added == 1)
}

pub(super) async fn set_contract_enabled(
    session: &Session,
    verb: &SetContractEnabled,
) -> Result<Changed, Failure> {
    let found = session
        .execute(
            "UPDATE contract SET enabled = $3 WHERE shop = $1 AND id = $2",
            params![octets(verb.shop.octets()), octets(verb.contract.octets()), verb.enabled],
        )
        .await?;
    Ok(found == 1)
}

/// Oldest first; what is left waits for the next call, and what another server is just removing is left
/// to it.
pub(super) async fn prune(session: &Session, verb: &Prune) -> Result<u64, Failure> {
    let horizon = ms(verb.now.minus(MEMORY));
    let envelopes = ms(verb.now.minus(NULLIFIER_MARGIN));
    let limit = i64::from(verb.limit.min(MOST_ROWS));
    let role = codes::of_role(KeyRole::Session);
    // Sessions that nobody signed out and no later sign-in settled have only their planned end.
    session
        .execute(
            "UPDATE key_record SET ended_at = least(ends_at, idle_at) \
             WHERE (shop, id) IN (SELECT shop, id FROM key_record WHERE ended_at IS NULL \
               AND ends_at IS NOT NULL AND ends_at <= $2 AND role = $1 \
               ORDER BY ends_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
            params![role, horizon, limit],
        )
        .await?;
    // The key leads with the shop, so each shop is looked at; most have nothing and cost one step.
    let nullifiers = session
        .execute(
            "DELETE FROM nullifier WHERE (shop, not_after, envelope) IN ( \
               SELECT n.shop, n.not_after, n.envelope FROM shop s CROSS JOIN LATERAL ( \
                 SELECT shop, not_after, envelope FROM nullifier \
                 WHERE shop = s.id AND not_after < $1 ORDER BY not_after LIMIT $2) n \
               LIMIT $2)",
            params![envelopes, limit],
        )
        .await?;
    let claims = session
        .execute(
            "DELETE FROM claim WHERE (shop, key) IN (SELECT shop, key FROM claim \
               WHERE created_at < $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            params![horizon, limit],
        )
        .await?;
    let sessions = session
        .execute(
            "DELETE FROM key_record WHERE (shop, id) IN (SELECT shop, id FROM key_record \
               WHERE ended_at IS NOT NULL AND ended_at < $1 AND role = $2 \
               ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
            params![horizon, role, limit],
        )
        .await?;
    let notices = session
        .execute(
            "DELETE FROM notice WHERE (shop, id, channel) IN (SELECT shop, id, channel FROM notice \
               WHERE given_up_at IS NOT NULL AND given_up_at < $1 ORDER BY given_up_at LIMIT $2 \
               FOR UPDATE SKIP LOCKED)",
            params![horizon, limit],
        )
        .await?;
    Ok([nullifiers, claims, sessions, notices].into_iter().fold(0, u64::saturating_add))
}
