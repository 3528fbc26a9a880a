//! What an engine below the verbs must offer. Everything here is synchronous: the server puts a
//! thread around it, the simulator calls it directly.

use std::sync::Arc;

use pos_protocol::id::{
    ContractId, IdempotencyKey, InstitutionId, OperationId, OrderId, PaymentId, PosId, ShopId,
    TaskId, UserId,
};
use pos_protocol::key::KeyId;

use super::StoreError;
use super::audit::{AuditRow, Head};
use super::rows::{
    ChannelRow, ContractRow, Incarnation, InstitutionOperation, InstitutionRow, InstitutionTask,
    KeyRow, LoginRow, NoticeCounts, OpenCount, PosRow, SettlementRow, ShopRow, StoredPayment,
    TaskRow, TimeGaps, UnderKey,
};
use super::verbs::{Reply, Verb};

/// The writing side: one at a time.
pub trait Writer: Send {
    /// Applies the verbs in order as one synced commit. Each is atomic inside the group; one that
    /// fails leaves its neighbours alone and is answered by its own error.
    ///
    /// # Errors
    /// The outer error means that nothing is known of the whole group ([`StoreError::Unknown`]), or
    /// that none of it was kept (any other).
    fn commit(&mut self, verbs: &[Verb]) -> Result<Vec<Result<Reply, StoreError>>, StoreError>;

    /// Whether nothing can be written any more after a group ended in this error.
    fn is_over(&self, error: &StoreError) -> bool {
        error.is_final()
    }
}

/// The reading side: many at a time, each sees only what was committed. Every lookup that a shop's
/// call can reach takes the shop.
pub trait Reader: Send + Sync {
    /// The key with this id, of whichever shop: this is how a call's shop is found.
    fn key(&self, id: KeyId) -> Result<Option<KeyRow>, StoreError>;
    /// All keys of a shop that have not ended, newest first, at most 100.
    fn keys(&self, shop: ShopId) -> Result<Vec<KeyRow>, StoreError>;
    /// What a sign-in is checked against.
    fn login(&self, user: UserId) -> Result<Option<LoginRow>, StoreError>;
    /// What stands under an idempotency key.
    fn under_key(&self, shop: ShopId, key: &IdempotencyKey)
    -> Result<Option<UnderKey>, StoreError>;
    /// One payment.
    fn payment(&self, shop: ShopId, id: PaymentId) -> Result<Option<StoredPayment>, StoreError>;
    /// The payment of an order: the one that holds it, else the latest.
    fn payment_of_order(
        &self,
        shop: ShopId,
        order: &OrderId,
    ) -> Result<Option<StoredPayment>, StoreError>;
    /// Payments newest first, those older than `after`, of one POS or all; at most `limit`.
    fn history(
        &self,
        shop: ShopId,
        pos: Option<PosId>,
        after: Option<PaymentId>,
        limit: u32,
    ) -> Result<Vec<StoredPayment>, StoreError>;
    /// The shop's contracts, oldest first.
    fn contracts(&self, shop: ShopId) -> Result<Vec<ContractRow>, StoreError>;
    /// One contract.
    fn contract(&self, shop: ShopId, id: ContractId) -> Result<Option<ContractRow>, StoreError>;
    /// The shop's POSes, oldest first.
    fn poses(&self, shop: ShopId) -> Result<Vec<PosRow>, StoreError>;
    /// Where the shop is told; channels that are switched off are left out.
    fn channels(&self, shop: ShopId) -> Result<Vec<ChannelRow>, StoreError>;
    /// Times lost in restores.
    fn time_gaps(&self) -> Result<TimeGaps, StoreError>;

    /// All institutions, by id. For the operator and for routing.
    fn institutions(&self) -> Result<Vec<InstitutionRow>, StoreError>;
    /// All shops, oldest first, those after `after`, at most `limit`. For the operator.
    fn shops(&self, after: Option<ShopId>, limit: u32) -> Result<Vec<ShopRow>, StoreError>;
    /// One shop. For the operator.
    fn shop(&self, id: ShopId) -> Result<Option<ShopRow>, StoreError>;
    /// The shop that a POS belongs to. For the operator.
    fn shop_of_pos(&self, id: PosId) -> Result<Option<ShopId>, StoreError>;
    /// The shop that a contract belongs to. For the operator.
    fn shop_of_contract(&self, id: ContractId) -> Result<Option<ShopId>, StoreError>;
    /// Tasks that are not resolved, oldest first, at most `limit`. For the operator.
    fn tasks(&self, limit: u32) -> Result<Vec<TaskRow>, StoreError>;
    /// Tasks about institutions that are not resolved, oldest first, at most `limit`. For the operator.
    fn institution_tasks(&self, limit: u32) -> Result<Vec<InstitutionTask>, StoreError>;
    /// One task about an institution. For the operator.
    fn institution_task(&self, id: TaskId) -> Result<Option<InstitutionTask>, StoreError>;
    /// Institutions that get nothing new until a task about them is closed.
    fn held_institutions(&self) -> Result<Vec<InstitutionId>, StoreError>;
    /// Operations of an institution behind `after`, by id and so by their beginning, at most `limit`.
    /// For the operator.
    fn operations_of(
        &self,
        institution: &InstitutionId,
        after: OperationId,
        limit: u32,
    ) -> Result<Vec<InstitutionOperation>, StoreError>;
    /// The newest reconciled days of an institution, the newest first, at most `limit`. For the operator.
    fn settlements(
        &self,
        institution: &InstitutionId,
        limit: u32,
    ) -> Result<Vec<SettlementRow>, StoreError>;
    /// How many tasks are not resolved, those about institutions too. For metrics.
    fn open_tasks(&self) -> Result<u64, StoreError>;
    /// One task. For the operator.
    fn task(&self, id: TaskId) -> Result<Option<TaskRow>, StoreError>;
    /// How much waits to be told. For metrics.
    fn notice_counts(&self) -> Result<NoticeCounts, StoreError>;
    /// Where every chain of the audit stands. For the operator.
    fn audit_heads(&self) -> Result<Vec<Head>, StoreError>;
    /// The first row of every chain that has one. For the operator.
    fn audit_beginnings(&self) -> Result<Vec<AuditRow>, StoreError>;
    /// Rows of the audit behind `after`, by writer and place, at most `limit`. For the operator.
    fn audit_rows(
        &self,
        after: Option<(Incarnation, u64)>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError>;
    /// Open operations by state. For metrics.
    fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError>;
}

/// An opened engine, ready to stand under a [`super::Store`] or under the conformance suite.
pub struct Engine {
    /// The writing side.
    pub writer: Box<dyn Writer>,
    /// For lookups by key.
    pub reader: Arc<dyn Reader>,
    /// Where those lookups are made.
    pub lookups: Lookups,
    /// The same for lists, with connections of its own, so that lists never keep lookups waiting.
    pub lists: Arc<dyn Reader>,
}

/// Where an engine's lookups are made. The server answers on few threads: none of them may wait for
/// a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookups {
    /// On the thread that asks: each takes microseconds.
    InPlace,
    /// On threads of their own, at most so many at a time: each waits for an answer from elsewhere.
    Apart(usize),
}
