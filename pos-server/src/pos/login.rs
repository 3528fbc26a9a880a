//! Sign-in of a person: user id and password register a session key, for a few hours.

use std::time::Duration;

use pos_protocol::ErrorCode;
use pos_protocol::key::PublicKey;
use pos_protocol::wire::{KeyRole, LoginRequest, SessionAnswer};

use crate::app::App;
use crate::http::v1::error::ApiError;
use crate::store::rows::KeyRow;
use crate::store::verbs::{Admitted, CountLogin, OpenSession};

/// A session ends after this much silence (PCI DSS 8.2.8).
pub const IDLE: Duration = Duration::from_secs(15 * 60);

/// And at the latest after this.
pub const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// So many wrong passwords in a row lock the sign-in (PCI DSS 8.3.4) …
const FAILURES: u32 = 10;

/// … for this long. Calls by module keys are not touched.
const LOCKED: Duration = Duration::from_secs(30 * 60);

/// Signs a person in; `caller`, the key that signed the call, becomes a session key.
///
/// # Errors
/// `credential_refused` for a wrong user id or password, whichever; `login_locked`; `overloaded`
/// when too many passwords wait to be looked at.
pub async fn sign_in(
    app: &App,
    caller: PublicKey,
    request: LoginRequest,
) -> Result<SessionAnswer, ApiError> {
    let refused = || ApiError::new(ErrorCode::CredentialRefused);
    if request.key != caller {
        return Err(refused());
    }
    let now = app.clock.now();
    let login = app.store.read(move |reader| reader.login(request.user_id)).await?;
    // An unknown user and a locked one cost the same hash and the same commit as a wrong password,
    // so that the time of the answer tells nothing; a lock is told to the right password as well.
    let hash = login.as_ref().and_then(|login| login.password_hash.clone());
    let right = app.passwords.verify(request.password, hash).await?;
    let shop = login.as_ref().map(|login| login.shop);
    let count = CountLogin { shop, right, limit: FAILURES, lock_until: now.plus(LOCKED), now };
    if let Some(until) = app.store.count_login(count).await? {
        return Err(locked(until.since(now)));
    }
    let login = login.filter(|_| right).ok_or_else(refused)?;
    let ends_at = now.plus(LONGEST);
    let key = KeyRow {
        shop: login.shop,
        public: request.key,
        role: KeyRole::Session,
        pos: None,
        created_at: now,
        ends_at: Some(ends_at),
        idle_at: Some(now.plus(IDLE)),
        first_used_at: None,
        ended_at: None,
    };
    match app.store.open_session(OpenSession { key, now }).await? {
        Admitted::Yes => {}
        // A replayed sign-in of a session that was ended stays ended.
        Admitted::No => return Err(refused()),
    }
    // A repeat answers with the end that the session was opened with.
    let kept = app.store.read(move |reader| reader.key(request.key.id())).await?;
    let ends_at = kept.and_then(|key| key.ends_at).unwrap_or(ends_at);
    let poses = app.store.read(move |reader| reader.poses(login.shop)).await?;
    Ok(SessionAnswer {
        shop_id: login.shop,
        key_id: request.key.id(),
        pos_ids: poses.into_iter().map(|pos| pos.id).collect(),
        ends_at_ms: ends_at,
        idle_ms: u64::try_from(IDLE.as_millis()).unwrap_or(u64::MAX),
    })
}

fn locked(left: Duration) -> ApiError {
    let after_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    ApiError::new(ErrorCode::LoginLocked).after_ms(after_ms)
}
