//! Registration, sign-in and keys.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::id::{PosId, ShopId, UserId};
use crate::key::{KeyId, PublicKey, Signature};
use crate::secret::SecretText;
use crate::succession::Statement;
use crate::word::{Open, words};

/// What a registered key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyRole {
    /// Unattended software of the shop: payments and everything it reads.
    Module,
    /// A person's session, for a few hours.
    Session,
}

words!(KeyRole,
    "What a key is for; a client that does not know the role leaves the key alone.",
    Module "module", Session "session");

/// A role as it arrived.
pub type WireKeyRole = Open<KeyRole>;

/// `POST /v1/registrations`: sets the password and registers the first module key. Signed by
/// `key` itself; `code_proof` is made with the key inside the enrolment code.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Given with the enrolment code.
    pub user_id: UserId,
    /// 15 to 128 characters, not one of the well-known ones.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "password"))]
    pub password: SecretText,
    /// The module key made by the shop's software.
    pub key: PublicKey,
    /// The enrolment key's signature over user id and module key.
    pub code_proof: Signature,
}

/// Answer to a registration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegistrationAnswer {
    /// The shop that the key now belongs to.
    pub shop_id: ShopId,
    /// The registered key.
    pub key_id: KeyId,
    /// The shop's POSes.
    pub pos_ids: Vec<PosId>,
    /// Ten one-time codes for a forgotten password. Shown once: a repeat of the registration shows
    /// fresh ones and ends these.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub recovery_codes: Vec<SecretText>,
    /// A code that can stop all payments of the shop, and nothing else.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub panic_code: SecretText,
}

/// `POST /v1/sessions`: a person signs in; `key` becomes a session key. Signed by `key` itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The shop's user id.
    pub user_id: UserId,
    /// The password set at registration.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "password"))]
    pub password: SecretText,
    /// A fresh key, made for this session alone.
    pub key: PublicKey,
}

/// Answer to a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionAnswer {
    /// The shop.
    pub shop_id: ShopId,
    /// The session key's id.
    pub key_id: KeyId,
    /// The shop's POSes.
    pub pos_ids: Vec<PosId>,
    /// The session ends here at the latest.
    pub ends_at_ms: Timestamp,
    /// And earlier after this much silence, in milliseconds.
    pub idle_ms: u64,
}

/// `POST /v1/keys/roll`: registers the successor of the module key that signs the call, which stays
/// valid for another 24 hours.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RollKeyRequest {
    /// The new module key.
    pub key: PublicKey,
    /// The new key's signature over old key and new key, so that nobody can enter a key that he does not hold.
    pub proof: Signature,
}

/// `POST /v1/keys/{key_id}/revoke`: ends a key at once. The body is `{}`; the answer is the key as
/// it then stands (`KeyAnswer`), also when it had ended before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RevokeKeyRequest {}

/// `POST /v1/sessions/end`: ends the session whose key signs the call. The body is `{}`; the answer
/// is the key as it then stands (`KeyAnswer`), also for a repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignOutRequest {}

/// One registered key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyAnswer {
    /// The key.
    pub key_id: KeyId,
    /// What it may do.
    pub role: WireKeyRole,
    /// When it was registered.
    pub created_at_ms: Timestamp,
    /// When it ends, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at_ms: Option<Timestamp>,
    /// When it was revoked or signed out, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<Timestamp>,
}

/// `GET /v1/keys`: the shop's keys that have not ended, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyList {
    /// At most 100.
    pub keys: Vec<KeyAnswer>,
}

/// `GET /v1/answer-keys`, neither signed nor needing to be: a caller believes it only as far as
/// a walk along the statements leads from the key that it has pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerKeys {
    /// The key that signs answers now.
    pub current: PublicKey,
    /// Every statement since the first answer key, oldest first; at most 64.
    pub statements: Vec<Statement>,
}
