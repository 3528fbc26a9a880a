//! What can go wrong between a verb and its answer.

/// Why the store did not answer a verb or a read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or does not take writes; nothing was kept. It comes back.
    #[error("the database cannot be reached")]
    Away {
        /// What the way there said.
        #[source]
        cause: std::sync::Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The database has forgotten commits that were acknowledged: it was restored from a backup, or a
    /// standby was promoted that had not received them.
    #[error("the database has lost commits that were acknowledged: what follows is a restore")]
    Behind,
    /// A row holds what this build cannot read.
    #[error("the database holds a {what} that this release cannot read")]
    Corrupt {
        /// The column.
        what: &'static str,
    },
    /// An answer of another kind came back: a defect of this program.
    #[error("the answer to a verb was of another kind")]
    Crossed,
    /// The engine refused; nothing of the verb was kept.
    #[error("the database refused: {cause}")]
    Engine {
        /// What it said.
        #[source]
        cause: std::sync::Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The queue is full; nothing was kept.
    #[error("too much is waiting to be written")]
    Full,
    /// The store has stopped taking writes, because a sync failed or it was closed. Nothing of the
    /// verb was kept.
    #[error("the store has stopped taking writes")]
    Stopped,
    /// The commit itself failed: whether the verb was kept is not known. Never a refusal.
    #[error("the commit failed: whether it was kept is not known")]
    Unknown {
        /// What the engine said.
        #[source]
        cause: std::sync::Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the engine can take no more verbs after this.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Behind | Self::Stopped | Self::Unknown { .. })
    }
}
