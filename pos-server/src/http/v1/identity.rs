//! Who calls. These values come from a verified signature and from nowhere else: a handler that
//! takes one cannot be reached without it.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pos_protocol::id::{IdempotencyKey, PosId, ShopId};
use pos_protocol::key::{KeyId, PublicKey};
use pos_protocol::wire::{self, KeyRole};
use pos_protocol::{ErrorCode, Timestamp};
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::http::admission::Place;

/// The shop whose registered key signed the call.
#[derive(Clone, Debug)]
pub struct Shop {
    id: ShopId,
    key: KeyId,
    public: PublicKey,
    role: KeyRole,
    pos: Option<PosId>,
    key_created_at: Timestamp,
}

impl Shop {
    /// Only the layer that verified the call makes one.
    pub(super) fn verified(key: &crate::store::rows::KeyRow, id: KeyId) -> Self {
        Self {
            id: key.shop,
            key: id,
            public: key.public,
            role: key.role,
            pos: key.pos,
            key_created_at: key.created_at,
        }
    }

    /// The tenant.
    pub fn id(&self) -> ShopId {
        self.id
    }

    /// The key that signed.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// What the key may do.
    pub fn role(&self) -> KeyRole {
        self.role
    }

    /// When the key was registered; of a session, when the person signed in.
    pub fn key_created_at(&self) -> Timestamp {
        self.key_created_at
    }

    /// Whether the key's scope takes in this POS.
    pub fn may_use(&self, pos: PosId) -> bool {
        self.pos.is_none_or(|only| only == pos)
    }

    /// The one POS that the key is narrowed to, if it is.
    pub fn only_pos(&self) -> Option<PosId> {
        self.pos
    }
}

/// A caller that has shown a key and nothing else yet: for registration and sign-in.
#[derive(Clone, Copy, Debug)]
pub struct Unproven {
    key: PublicKey,
}

impl Unproven {
    pub(super) fn holder_of(key: PublicKey) -> Self {
        Self { key }
    }

    /// The key that signed the call and stands in its body.
    pub fn key(&self) -> PublicKey {
        self.key
    }
}

/// What a verified call carries beside its identity.
#[derive(Clone, Debug)]
pub struct Call {
    /// When the caller stops waiting, on the server's monotonic clock.
    pub deadline: Duration,
    /// The same as the caller wrote it, on the wall clock.
    pub expires: Timestamp,
    /// What the call holds among those that are worked on.
    pub place: Place,
    /// The body's octets.
    pub body: Bytes,
    /// `Idempotency-Key`, where the call has one.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Call {
    /// The body, read strictly.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        Ok(wire::read_body(&self.body)?)
    }

    /// The key that every mutation must have.
    ///
    /// # Errors
    /// `idempotency_key_missing`.
    pub fn mutation_key(&self) -> Result<IdempotencyKey, ApiError> {
        self.idempotency_key
            .clone()
            .ok_or_else(|| ApiError::new(ErrorCode::IdempotencyKeyMissing).field("idempotency-key"))
    }
}

macro_rules! from_extensions {
    ($($name:ident),*) => {$(
        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = super::signed::Refusal;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
                // Absent only when a route forgot the layer, or takes another kind of caller.
                let found = parts.extensions.get::<Self>().cloned();
                found.ok_or_else(|| ApiError::new(ErrorCode::NotPermitted).into())
            }
        }
    )*};
}

from_extensions!(Shop, Unproven, Call);
