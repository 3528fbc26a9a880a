//! A shop's keys: listed, rolled, ended.

use std::time::Duration;

use pos_protocol::ErrorCode;
use pos_protocol::enrolment::key_roll_proof;
use pos_protocol::key::KeyId;
use pos_protocol::wire::{KeyAnswer, KeyList, KeyRole, RollKeyRequest};

use super::registration::module_key;
use crate::app::App;
use crate::http::v1::error::ApiError;
use crate::http::v1::identity::Shop;
use crate::store::rows::KeyRow;
use crate::store::verbs::{Claim, EndKey, KeyChanged, RollKey};

/// How long a rolled key goes on beside its successor.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// A session this young counts as stepped up: the password was just given.
const STEPPED_UP: Duration = Duration::from_secs(5 * 60);

/// The shop's keys that have not ended.
///
/// # Errors
/// A fault of the store.
pub async fn list(app: &App, shop: &Shop) -> Result<KeyList, ApiError> {
    let tenant = shop.id();
    let keys = app.store.read(move |reader| reader.keys(tenant)).await?;
    Ok(KeyList { keys: keys.iter().map(view).collect() })
}

/// Registers the successor of the module key that signed the call.
///
/// # Errors
/// `not_permitted` for a session, `invalid_field` when the new key did not prove itself or is
/// registered already.
pub async fn roll(
    app: &App,
    shop: &Shop,
    claim: Claim,
    request: RollKeyRequest,
) -> Result<KeyAnswer, ApiError> {
    if shop.role() != KeyRole::Module {
        return Err(ErrorCode::NotPermitted.into());
    }
    let proof = key_roll_proof(&shop.public(), &request.key);
    request.key.verify(&proof, &request.proof).map_err(|_| {
        let message = "The proof must be the new key's signature over old and new key.";
        ApiError::with_message(ErrorCode::InvalidField, message).field("proof")
    })?;
    let now = app.clock.now();
    let new = KeyRow { pos: shop.only_pos(), ..module_key(shop.id(), request.key, now) };
    let answer = view(&new);
    let (old, old_ends_at) = (shop.key(), now.plus(OVERLAP));
    let verb = RollKey { shop: shop.id(), claim, old, old_ends_at, new, now };
    changed(app.store.roll_key(verb).await?)?;
    // A repeat answers with the key as it was first registered.
    let kept = app.store.read(move |reader| reader.key(request.key.id())).await?;
    Ok(kept.as_ref().map_or(answer, view))
}

/// Ends a key at once. A module key may end itself; for another key a person must have signed in
/// within the last five minutes.
///
/// # Errors
/// `not_permitted`, `not_found`.
pub async fn revoke(
    app: &App,
    shop: &Shop,
    claim: Claim,
    key: KeyId,
) -> Result<KeyAnswer, ApiError> {
    let now = app.clock.now();
    let stepped_up =
        shop.role() == KeyRole::Session && now.since(shop.key_created_at()) <= STEPPED_UP;
    if key != shop.key() && !stepped_up {
        let message = "Another key can be revoked only within five minutes of signing in, or by \
                       the operator.";
        return Err(ApiError::with_message(ErrorCode::NotPermitted, message));
    }
    end(app, shop, Some(claim), key).await
}

/// Ends the session whose key signed the call; a repeat answers the same.
///
/// # Errors
/// `not_permitted` for a module key, which is revoked instead.
pub async fn sign_out(app: &App, shop: &Shop, claim: Claim) -> Result<KeyAnswer, ApiError> {
    if shop.role() != KeyRole::Session {
        return Err(ErrorCode::NotPermitted.into());
    }
    end(app, shop, Some(claim), shop.key()).await
}

async fn end(
    app: &App,
    shop: &Shop,
    claim: Option<Claim>,
    key: KeyId,
) -> Result<KeyAnswer, ApiError> {
    let verb = EndKey { shop: shop.id(), claim, key, now: app.clock.now() };
    changed(app.store.end_key(verb).await?)?;
    let kept = app.store.read(move |reader| reader.key(key)).await?;
    kept.as_ref().map(view).ok_or_else(|| ErrorCode::NotFound.into())
}

fn changed(change: KeyChanged) -> Result<(), ApiError> {
    match change {
        KeyChanged::Yes => Ok(()),
        KeyChanged::NotFound => Err(ErrorCode::NotFound.into()),
        KeyChanged::KeyReused => Err(ErrorCode::IdempotencyKeyReused.into()),
        KeyChanged::Taken => {
            let message = "This key is registered already. Make a new one.";
            Err(ApiError::with_message(ErrorCode::InvalidField, message).field("key"))
        }
    }
}

/// A key as its shop and the operator see it.
pub fn view(key: &KeyRow) -> KeyAnswer {
    KeyAnswer {
        key_id: key.public.id(),
        role: key.role.into(),
        created_at_ms: key.created_at,
        ends_at_ms: key.ends_at,
        ended_at_ms: key.ended_at,
    }
}
