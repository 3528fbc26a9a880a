//! Registration, sign-in and keys.

use pos_connect::SecretText;
use pos_connect::wire::{KeyAnswer, RegistrationAnswer, SessionAnswer};
use pos_connect_macros::record;

use super::{KeyRole, ms};

/// What a registration gave. It holds secrets: show the codes once to the person in charge, and
/// keep this out of logs.
#[derive(Clone)]
#[record]
pub struct Registration {
    /// The shop that the key now belongs to.
    pub shop_id: String,
    /// The registered key.
    pub key_id: String,
    /// The shop's POSes.
    pub pos_ids: Vec<String>,
    /// Ten one-time codes for a forgotten password.
    pub recovery_codes: Vec<String>,
    /// A code that can stop all payments of the shop, and nothing else.
    pub panic_code: String,
}

impl From<RegistrationAnswer> for Registration {
    fn from(answer: RegistrationAnswer) -> Self {
        let RegistrationAnswer { shop_id, key_id, pos_ids, recovery_codes, panic_code } = answer;
        let text = |secret: &SecretText| secret.expose().to_owned();
        Self {
            shop_id: shop_id.to_string(),
            key_id: key_id.to_string(),
            pos_ids: pos_ids.iter().map(ToString::to_string).collect(),
            recovery_codes: recovery_codes.iter().map(text).collect(),
            panic_code: text(&panic_code),
        }
    }
}

/// A person's session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Session {
    /// The shop.
    pub shop_id: String,
    /// The session key's id.
    pub key_id: String,
    /// The shop's POSes.
    pub pos_ids: Vec<String>,
    /// The session ends here at the latest, in milliseconds since 1970.
    pub ends_at_ms: u64,
    /// And earlier after this much silence, in milliseconds.
    pub idle_ms: u64,
}

impl From<SessionAnswer> for Session {
    fn from(answer: SessionAnswer) -> Self {
        let SessionAnswer { shop_id, key_id, pos_ids, ends_at_ms, idle_ms } = answer;
        Self {
            shop_id: shop_id.to_string(),
            key_id: key_id.to_string(),
            pos_ids: pos_ids.iter().map(ToString::to_string).collect(),
            ends_at_ms: ms(ends_at_ms),
            idle_ms,
        }
    }
}

/// One registered key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct KeyInfo {
    /// The key.
    pub key_id: String,
    /// What it may do.
    pub role: KeyRole,
    /// When it was registered, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// When it ends, if that is known.
    pub ends_at_ms: Option<u64>,
    /// When it was revoked or signed out, if it was.
    pub ended_at_ms: Option<u64>,
}

impl From<KeyAnswer> for KeyInfo {
    fn from(answer: KeyAnswer) -> Self {
        let KeyAnswer { key_id, role, created_at_ms, ends_at_ms, ended_at_ms } = answer;
        Self {
            key_id: key_id.to_string(),
            role: role.into(),
            created_at_ms: ms(created_at_ms),
            ends_at_ms: ends_at_ms.map(ms),
            ended_at_ms: ended_at_ms.map(ms),
        }
    }
}
