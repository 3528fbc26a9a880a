//! The audit chain: every decision about money, keys and settings as a row that names the one before it
//! by its digest (`payments.md` 6.7).
//!
//! Each incarnation writes a chain of its own and keeps its head in memory. Its first row names where every
//! other chain ended, so that the chains of one database hang together. A row is written in the
//! transaction of what it tells; [`verify`] finds what was edited, deleted, swapped or cut off.

mod entry;
pub mod verify;

use pos_protocol::Timestamp;
use pos_protocol::id::ShopId;
use pos_protocol::sign::length_prefixed;
use sha2::{Digest as _, Sha256};

use super::rows::Incarnation;
use super::verbs::{Reply, Verb};

/// The digest that a chain begins from, with its writer.
const BEGINNING: &[u8] = b"pos-server audit 1";

/// One row of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Who wrote it.
    pub writer: Incarnation,
    /// Its place in the writer's chain, from 0.
    pub seq: u64,
    /// When, by the writer's clock.
    pub at: Timestamp,
    /// Whose it is, where it is one shop's.
    pub shop: Option<ShopId>,
    /// What was decided: JSON with ids, states and amounts.
    pub body: Box<str>,
    /// SHA-256 over the hash before it and all the rest.
    pub hash: [u8; 32],
}

/// Where a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose it is.
    pub writer: Incarnation,
    /// How many rows it has.
    pub count: u64,
    /// The hash of the last one.
    pub hash: [u8; 32],
}

/// A decision that is not yet a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    at: Timestamp,
    shop: Option<ShopId>,
    body: Box<str>,
}

impl AuditRow {
    /// What the hash must be after `before`.
    pub(super) fn expected(&self, before: &[u8; 32]) -> [u8; 32] {
        let shop: &[u8] = self.shop.as_ref().map_or(&[], |shop| shop.octets());
        Sha256::digest(length_prefixed(&[
            before,
            &self.writer,
            &self.seq.to_be_bytes(),
            &self.at.as_ms().to_be_bytes(),
            shop,
            self.body.as_bytes(),
        ]))
        .into()
    }
}

impl Head {
    /// That of a chain without rows.
    pub(super) fn begin(writer: Incarnation) -> Self {
        let hash = Sha256::digest(length_prefixed(&[BEGINNING, &writer])).into();
        Self { writer, count: 0, hash }
    }

    /// The next row, which the head then stands on.
    fn append(&mut self, entry: Entry) -> AuditRow {
        let Entry { at, shop, body } = entry;
        let mut row =
            AuditRow { writer: self.writer, seq: self.count, at, shop, body, hash: [0; 32] };
        row.hash = row.expected(&self.hash);
        self.count = self.count.saturating_add(1);
        self.hash = row.hash;
        row
    }
}

/// The chain that this process writes.
#[derive(Debug)]
pub(super) struct Chain {
    kept: Head,
}

/// Rows that are written with a group, and the head that stands once it is committed.
#[derive(Debug)]
pub(super) struct Draft {
    /// In the order of the chain.
    pub(super) rows: Vec<AuditRow>,
    head: Head,
}

impl Chain {
    /// A chain that nothing was written of yet.
    pub(super) fn begin(writer: Incarnation) -> Self {
        Self { kept: Head::begin(writer) }
    }

    /// Whether something was written of it.
    pub(super) const fn is_begun(&self) -> bool {
        self.kept.count > 0
    }

    /// The rows of a group of verbs. The first ones of a chain are led by one that names `others`, the
    /// heads of all other chains of the database.
    pub(super) fn draft<'v>(
        &self,
        done: impl Iterator<Item = (&'v Verb, &'v Reply)>,
        others: impl FnOnce() -> Result<Vec<Head>, super::StoreError>,
    ) -> Result<Draft, super::StoreError> {
        let mut entries = done.filter_map(|(verb, reply)| entry::of(verb, reply)).peekable();
        let mut draft = Draft { rows: Vec::new(), head: self.kept };
        let Some(first) = entries.peek() else { return Ok(draft) };
        if self.kept.count == 0 {
            let begins = entry::begins(first.at, &others()?);
            draft.rows.push(draft.head.append(begins));
        }
        for entry in entries {
            draft.rows.push(draft.head.append(entry));
        }
        Ok(draft)
    }

    /// The group of this draft was committed.
    pub(super) fn keep(&mut self, draft: &Draft) {
        self.kept = draft.head;
    }
}
