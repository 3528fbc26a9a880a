//! The journal of payments under way: what was sent and may have arrived survives a restart
//! (`docs/PROTOCOL.md`, idempotency).

#[cfg(not(target_arch = "wasm32"))]
mod file;
mod memory;

use pos_protocol::Timestamp;
use pos_protocol::id::{IdempotencyKey, OrderId, PaymentId};
use pos_protocol::payment::OperationKind;
use pos_protocol::text::{base64url, fixed_from_base64url};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(not(target_arch = "wasm32"))]
pub use file::FileJournal;
pub use memory::MemoryJournal;

use crate::env::{Shared, Task};
#[cfg(not(target_arch = "wasm32"))]
use crate::files::FileError;

/// Keeps an entry for every payment call from before its first octet leaves until its outcome is
/// final. Each verb has reached the lasting store when it returns.
pub trait Journal: Shared {
    /// Enters a call with its first attempt, unless its key is there already.
    ///
    /// # Errors
    /// [`JournalError`]; the call is not sent then.
    fn begin(&self, entry: Entry) -> Task<'_, Result<Begun, JournalError>>;

    /// Adds an attempt to an entry.
    ///
    /// # Errors
    /// [`JournalError`]; the attempt is not sent then.
    fn attempt(&self, key: IdempotencyKey, attempt: Attempt) -> Task<'_, Result<(), JournalError>>;

    /// Removes an entry, which may be gone already: its outcome is final.
    ///
    /// # Errors
    /// [`JournalError`]; the entry stays and is asked for again after the next start.
    fn finish(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>>;

    /// Every entry, in no order.
    ///
    /// # Errors
    /// [`JournalError`].
    fn entries(&self) -> Task<'_, Result<Vec<Entry>, JournalError>>;
}

/// Why a journal failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file is not usable.
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    File(#[from] FileError),
    /// The host's own journal failed.
    #[error("the host's journal failed")]
    Host(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no entry under the key: another caller has seen its outcome.
    #[error("the journal has no entry under this key")]
    NoEntry,
}

/// What [`Journal::begin`] found.
#[derive(Clone, Debug)]
pub enum Begun {
    /// The key was free and is entered now.
    New,
    /// The key is there.
    Known {
        /// As it stands in the journal.
        entry: Entry,
        /// Whether this process entered it. One of an earlier life is only asked for, never sent.
        ours: bool,
    },
}

/// One payment call under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Names the call; ask by it.
    pub key: IdempotencyKey,
    /// What it moves.
    pub operation: OperationKind,
    /// The order, for a sale or authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The payment, for a capture, void or refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// SHA-256 over path and body.
    pub digest: Digest,
    /// Every attempt, oldest first.
    pub attempts: Vec<Attempt>,
}

/// One sending of a call, by the server's clock as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it was signed.
    pub created_ms: Timestamp,
    /// Until when the server takes it.
    pub expires_ms: Timestamp,
}

/// A SHA-256, in JSON base64url without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url(&self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fixed_from_base64url(&String::deserialize(deserializer)?)
            .map(Self)
            .ok_or_else(|| D::Error::custom("must be 32 octets in base64url without padding"))
    }
}
