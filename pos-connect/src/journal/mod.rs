//! The journal of payments under way: what was sent and may have arrived survives a restart
//! (`docs/PROTOCOL.md`, idempotency).

#[cfg(not(target_arch = "wasm32"))]
mod file;
mod memory;

use pos_protocol::Timestamp;
use pos_protocol::id::{IdempotencyKey, OrderId, PaymentId, ShopId};
use pos_protocol::money::{Amount, Currency};
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

    /// Removes an entry whose outcome is final, if these are all its attempts
    /// ([`Entry::beyond`]): an outcome that was judged by some of them is none while others are under
    /// way. It may be gone already. Looking and removing are one step.
    ///
    /// # Errors
    /// [`JournalError`]; the entry stays and is asked for again after the next start.
    fn finish(
        &self,
        key: IdempotencyKey,
        attempts: Vec<Attempt>,
    ) -> Task<'_, Result<Finished, JournalError>>;

    /// The entry under a key.
    ///
    /// # Errors
    /// [`JournalError`]: there is or may be one, and it cannot be read.
    fn get(&self, key: IdempotencyKey) -> Task<'_, Result<Option<Known>, JournalError>>;

    /// Every entry, in no order. One that cannot be read does not hide the others.
    ///
    /// # Errors
    /// [`JournalError`] when not even their number is known.
    fn entries(&self) -> Task<'_, Result<Entries, JournalError>>;

    /// Removes an entry, readable or not, because a person has decided so. It may be gone already.
    ///
    /// # Errors
    /// [`JournalError`]; the entry may still be there.
    fn remove(&self, key: IdempotencyKey) -> Task<'_, Result<(), JournalError>>;
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
    Known(Known),
}

/// An entry that was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// As it stands in the journal.
    pub entry: Entry,
    /// Whether this process entered it. One of an earlier life is only asked for, never sent.
    pub ours: bool,
}

/// What [`Journal::finish`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// The entry is not there (any more).
    Removed,
    /// Somebody has noted other attempts, and it stays.
    Grown(Entry),
}

/// What [`Journal::entries`] found.
#[derive(Debug, Default)]
pub struct Entries {
    /// The entries that can be read.
    pub readable: Vec<Entry>,
    /// Those that cannot.
    pub unreadable: Vec<UnreadableEntry>,
}

/// An entry that cannot be read. The server can still be asked by its key.
#[derive(Debug)]
pub struct UnreadableEntry {
    /// Its key, where at least that is known.
    pub key: Option<IdempotencyKey>,
    /// What was wrong.
    pub cause: JournalError,
}

/// Who made a call, and at which server: nobody else is told the truth about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The name that calls to the server are signed for.
    pub authority: String,
    /// The shop.
    pub shop_id: ShopId,
}

/// One payment call under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Names the call; ask by it.
    pub key: IdempotencyKey,
    /// Who made it, and where.
    pub owner: Owner,
    /// What it moves, by its name on the wire: as text, so that the entry of a newer version can
    /// still be asked for.
    pub operation: String,
    /// The order, for a sale or authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The payment, for a capture, void or refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// How much, but for a void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Of what, but for a void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// SHA-256 over path and body.
    pub digest: Digest,
    /// Every attempt, oldest first.
    pub attempts: Vec<Attempt>,
}

impl Entry {
    /// The attempts that are not among these; of two that are alike, one is enough for one.
    pub fn beyond(&self, known: &[Attempt]) -> Vec<Attempt> {
        let mut known = known.to_vec();
        let mut is_new = |attempt: &&Attempt| {
            let found = known.iter().position(|other| other == *attempt);
            found.map(|at| known.swap_remove(at)).is_none()
        };
        self.attempts.iter().filter(|attempt| is_new(attempt)).copied().collect()
    }
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
