//! The verbs: each one atomic step that writes (`payments.md` 6).
//!
//! A verb is plain data. An engine takes a batch of them and answers each: a verb is atomic within
//! its batch, and one that is refused never harms its neighbours.

use pos_protocol::id::{
    ContractId, ContractNumber, IdempotencyKey, InstitutionId, NoticeId, OperationId, OrderId,
    PaymentId, PosId, ShopId, TaskId,
};
use pos_protocol::key::{KeyId, PublicKey};
use pos_protocol::money::Amount;
use pos_protocol::payment::{OperationKind, OperationState, Sums};
use pos_protocol::wire::{MailLanguage, TimeGap};
use pos_protocol::{Currency, ErrorCode, Timestamp};

use super::rows::{
    Channel, ContractRow, DueNotice, Evidence, Incarnation, InstitutionOperation, InstitutionRow,
    InstitutionTask, KeyRow, LeasedWork, PosRow, SettlementDay, SettlementRow, ShopRow, TaskRow,
    UnderKey,
};

/// No verb reads or writes more rows than this of one kind, so that none keeps the others waiting
/// (`payments.md` 6.6). Larger limits are cut to it.
pub const MOST_ROWS: u32 = 500;

/// Writes an operation down before its first byte leaves.
#[derive(Clone, Debug)]
pub struct BeginOperation {
    /// The actor.
    pub shop: ShopId,
    /// The key that signed the call; looked at again inside the transaction.
    pub signer: KeyId,
    /// Of the call.
    pub key: IdempotencyKey,
    /// Of the call.
    pub fingerprint: [u8; 32],
    /// The operation's id at the institution, random: it recognises its own row when the answer to
    /// a commit was lost.
    pub operation: OperationId,
    /// What it moves.
    pub kind: OperationKind,
    /// How much.
    pub amount: Amount,
    /// Whether a smaller approval is welcome.
    pub allow_partial: bool,
    /// When the shop gives up, if it said so.
    pub give_up_at: Option<Timestamp>,
    /// The institution refuses it when it arrives later.
    pub not_after: Timestamp,
    /// The payment it makes or moves.
    pub target: Target,
    /// Who owns it, and until when. None for a void that waits for a reversal: nobody sends it.
    pub lease: Option<Lease>,
    /// What follows from it; nothing for a payment that it makes.
    pub follows: Follows,
    /// The present time.
    pub now: Timestamp,
}

/// What a step does to a payment besides the operation that it is about, in the same transaction.
#[derive(Clone, Debug, Default)]
pub struct Follows {
    /// Other operations that stand elsewhere now.
    pub changed: Vec<Change>,
    /// What the server begins, to undo what must not stand.
    pub begun: Option<OwnOperation>,
    /// What the shop is told, by each channel that it has.
    pub notices: Vec<NewNotice>,
}

/// Something that a shop is told.
#[derive(Clone, Debug)]
pub struct NewNotice {
    /// Its id, the same for every try and channel.
    pub id: NoticeId,
    /// Whether a person is told by mail too.
    pub is_mailed: bool,
    /// JSON of `wire::Notice`.
    pub body: Box<str>,
}

/// Another operation of the same payment, which the step moved too. Its lease ends.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The operation.
    pub operation: OperationId,
    /// Where it stands from now on.
    pub state: OperationState,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// When somebody must look again; `None` ends the work.
    pub due_at: Option<Timestamp>,
}

/// An operation of the server's own. Nobody holds it yet: whoever leases it for the first time sends
/// it. Its key is its id, so that a shop that sees it can ask for it.
#[derive(Clone, Copy, Debug)]
pub struct OwnOperation {
    /// Its id at the institution.
    pub id: OperationId,
    /// What it moves.
    pub kind: OperationKind,
    /// How much.
    pub amount: Amount,
    /// The institution refuses it when it arrives later; a reverse is sent again with a later one.
    pub not_after: Timestamp,
    /// When it is to be sent.
    pub due_at: Timestamp,
}

/// A lease as it is first taken (epoch 1).
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The process.
    pub owner: Incarnation,
    /// After this anybody may take the operation over; later than its `not_after`.
    pub expires_at: Timestamp,
}

/// The payment that an operation makes or moves.
#[derive(Clone, Debug)]
pub enum Target {
    /// A new payment, which claims its order.
    New(NewPayment),
    /// A payment that stands, as it was when the guards looked at it.
    Existing {
        /// The payment.
        payment: PaymentId,
        /// Its version then.
        version: u32,
    },
}

/// A payment to be made by its first operation.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// Its id.
    pub id: PaymentId,
    /// The POS.
    pub pos: PosId,
    /// The contract; its switch and its institution's are looked at inside the transaction.
    pub contract: ContractId,
    /// Its number at the institution.
    pub contract_number: ContractNumber,
    /// The institution.
    pub institution: InstitutionId,
    /// The order that is claimed.
    pub order_id: OrderId,
    /// In which currency; the amount is the operation's.
    pub currency: Currency,
    /// SHA-256 of the envelope: it pays once.
    pub envelope: [u8; 32],
    /// Until when the envelope could be used again: the end that is written in the envelope, and
    /// nothing reckoned from it. It is part of what the digest covers, and of the key under which
    /// the digest is looked for.
    pub envelope_not_after: Timestamp,
}

impl BeginOperation {
    /// The state that it begins in: what nobody sends waits for something else.
    pub(super) const fn begun_as(&self) -> OperationState {
        if self.lease.is_some() { OperationState::Sending } else { OperationState::Accepted }
    }
}

impl OwnOperation {
    /// The key that it stands under.
    pub fn key(&self) -> IdempotencyKey {
        self.id.to_string().parse().expect("an operation's id has the form of a key")
    }
}

/// What came of beginning an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is written down: send it. The payment's version after the step.
    New {
        /// Of the payment.
        version: u32,
    },
    /// The key was used before; whether for the same call, the fingerprint tells. A key that a
    /// management call or a check has comes as a refusal with that call's fingerprint.
    Known(UnderKey),
    /// The order has a payment that stands or may stand.
    OrderTaken(PaymentId),
    /// The envelope was used before.
    EnvelopeUsed,
    /// The signing key ended meanwhile.
    SignerEnded,
    /// The contract was switched off.
    ContractDisabled,
    /// The institution was switched off.
    InstitutionDisabled,
    /// The payment has moved since the guards looked at it: load it and look again.
    Moved,
    /// No such payment of this shop.
    NotFound,
}

/// Writes down what was learnt about an operation, before anybody is told.
#[derive(Clone, Debug)]
pub struct RecordOutcome {
    /// The actor.
    pub shop: ShopId,
    /// The payment.
    pub payment: PaymentId,
    /// Its version that `state` and `sums` were reckoned from.
    pub version: u32,
    /// Its sums from now on.
    pub sums: Sums,
    /// The operation.
    pub operation: OperationId,
    /// The lease under which it was learnt.
    pub lease_epoch: u32,
    /// Where it stands from now on.
    pub state: OperationState,
    /// What the institution left; `None` fields leave what is there.
    pub evidence: Evidence,
    /// How often its outcome has been asked for.
    pub inquiries: u32,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// When somebody must look again; `None` ends the work. The lease ends either way.
    pub due_at: Option<Timestamp>,
    /// Whether the order may be paid anew.
    pub frees_order: bool,
    /// What a person must decide. One whose operation has an open task of the same text is not kept
    /// again.
    pub tasks: Vec<TaskRow>,
    /// What follows from it.
    pub follows: Follows,
    /// The present time.
    pub now: Timestamp,
}

/// What came of recording an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is written down.
    Done {
        /// Of the payment, now.
        version: u32,
    },
    /// Version or lease have moved: load the payment and give the answer to `step` as late news.
    Moved,
}

/// Keeps a refusal under its idempotency key.
#[derive(Clone, Debug)]
pub struct KeepRefusal {
    /// The actor.
    pub shop: ShopId,
    /// Of the call.
    pub key: IdempotencyKey,
    /// Of the call.
    pub fingerprint: [u8; 32],
    /// What the call is answered.
    pub code: ErrorCode,
    /// The field that is named.
    pub field: Option<Box<str>>,
    /// The present time.
    pub now: Timestamp,
}

/// What came of keeping a refusal: `None` when it was kept, else what already stood there.
pub type Kept = Option<UnderKey>;

/// Takes operations of one institution whose lease has run out, or whose next inquiry is due. What
/// cannot be read is leased all the same and left out of the answer, so that it comes back only when
/// that lease ends and never stands in the way of the others.
#[derive(Clone, Debug)]
pub struct LeaseDueWork {
    /// The institution.
    pub institution: InstitutionId,
    /// The process that takes them.
    pub owner: Incarnation,
    /// The present time.
    pub now: Timestamp,
    /// Until when the taken ones are leased.
    pub expires_at: Timestamp,
    /// At most this many, and at most [`MOST_ROWS`]; the longest due come first.
    pub limit: u32,
}

/// Makes due at once what nobody holds and somebody must look at later: at most [`MOST_ROWS`].
#[derive(Clone, Debug)]
pub struct HastenWork {
    /// The institution.
    pub institution: InstitutionId,
    /// The process that asks, where every other incarnation is known to be dead (the data folder's
    /// lock proves it): what those hold is made due too.
    pub sole_owner: Option<Incarnation>,
    /// The present time.
    pub now: Timestamp,
}

/// Registers the first module key of a shop and spends its enrolment code.
#[derive(Clone, Debug)]
pub struct Register {
    /// The shop.
    pub shop: ShopId,
    /// The enrolment key whose proof was verified.
    pub enrolment_key: PublicKey,
    /// The module key.
    pub key: KeyRow,
    /// PHC string of the password.
    pub password_hash: Box<str>,
    /// SHA-256 of each recovery code.
    pub recovery_codes: Vec<[u8; 32]>,
    /// SHA-256 of the panic code.
    pub panic_code: [u8; 32],
    /// The present time.
    pub now: Timestamp,
}

/// What came of a registration or a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The key is registered; also for a repeat with the same key that has not been used since.
    Yes,
    /// Code spent for another key, ended or replaced; or the key has ended or is another's.
    No,
}

/// Registers a session key.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// The session key.
    pub key: KeyRow,
    /// The present time.
    pub now: Timestamp,
}

/// Counts a sign-in. Failures are counted until a right one or until the lock that they led to is
/// over; while it stands, nothing counts.
#[derive(Clone, Copy, Debug)]
pub struct CountLogin {
    /// The shop; none for a user id that nobody has, which costs as much as a wrong password.
    pub shop: Option<ShopId>,
    /// Whether the password was right; a right one sets the count back.
    pub right: bool,
    /// Lock after this many failures in a row …
    pub limit: u32,
    /// … until then.
    pub lock_until: Timestamp,
    /// The present time.
    pub now: Timestamp,
}

/// Notes that a key was used: its first call, and a session's silence limit.
#[derive(Clone, Copy, Debug)]
pub struct TouchKey {
    /// The shop.
    pub shop: ShopId,
    /// The key.
    pub key: KeyId,
    /// The present time.
    pub now: Timestamp,
    /// The session's new silence limit.
    pub idle_at: Option<Timestamp>,
}

/// Claims an idempotency key for a management call, in the same transaction as its effect.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Of the call.
    pub key: IdempotencyKey,
    /// Of the call.
    pub fingerprint: [u8; 32],
}

/// Registers the successor of a module key and plans the end of the old one.
#[derive(Clone, Debug)]
pub struct RollKey {
    /// The shop.
    pub shop: ShopId,
    /// Of the call.
    pub claim: Claim,
    /// The key that signed the call.
    pub old: KeyId,
    /// When the old key ends.
    pub old_ends_at: Timestamp,
    /// The new key.
    pub new: KeyRow,
    /// The present time.
    pub now: Timestamp,
}

/// Ends a key at once.
#[derive(Clone, Debug)]
pub struct EndKey {
    /// The shop.
    pub shop: ShopId,
    /// Of the call; none when the operator does it.
    pub claim: Option<Claim>,
    /// The key to end.
    pub key: KeyId,
    /// The present time.
    pub now: Timestamp,
}

/// What came of changing a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChanged {
    /// As asked; also when it was so already.
    Yes,
    /// No such key of this shop.
    NotFound,
    /// The idempotency key was used for another call.
    KeyReused,
    /// The new key is registered already, and not as this key's successor.
    Taken,
}

/// Claims an idempotency key for a check; what it comes to is kept later by [`FinishCheck`].
#[derive(Clone, Debug)]
pub struct BeginCheck {
    /// The actor.
    pub shop: ShopId,
    /// Of the call.
    pub claim: Claim,
    /// The name under which this process runs it, so that a repeat can wait for it.
    pub operation: OperationId,
    /// The present time.
    pub now: Timestamp,
}

/// What came of claiming a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckBegun {
    /// Ask the institution.
    New,
    /// The same call came before.
    Repeat {
        /// The name of then.
        operation: OperationId,
        /// What it came to, if it has ended.
        kept: Option<CheckKept>,
    },
    /// The key was used for another call.
    KeyReused,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKept {
    /// The body that is answered.
    Answer(Box<[u8]>),
    /// It was refused.
    Refusal {
        /// With this code.
        code: ErrorCode,
        /// The field that is named.
        field: Option<Box<str>>,
    },
}

/// Keeps what a check came to, or frees its key; what was kept first stays.
#[derive(Clone, Debug)]
pub struct FinishCheck {
    /// The actor.
    pub shop: ShopId,
    /// Of the call.
    pub key: IdempotencyKey,
    /// What is answered from now on; `None` frees the key.
    pub kept: Option<CheckKept>,
}

/// Replaces the enrolment code of a shop.
#[derive(Clone, Debug)]
pub struct SetEnrolment {
    /// The shop.
    pub shop: ShopId,
    /// The public half of the new code.
    pub enrolment_key: PublicKey,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// The present time.
    pub now: Timestamp,
}

/// Registers a POS.
#[derive(Clone, Debug)]
pub struct AddPos {
    /// The shop.
    pub shop: ShopId,
    /// The POS.
    pub pos: PosRow,
}

/// Registers a contract on a POS.
#[derive(Clone, Debug)]
pub struct AddContract {
    /// The shop.
    pub shop: ShopId,
    /// The contract.
    pub contract: ContractRow,
}

/// Switches a contract on or off.
#[derive(Clone, Copy, Debug)]
pub struct SetContractEnabled {
    /// The shop.
    pub shop: ShopId,
    /// The contract.
    pub contract: ContractId,
    /// On.
    pub enabled: bool,
    /// The present time.
    pub now: Timestamp,
}

/// Enters an institution.
#[derive(Clone, Debug)]
pub struct AddInstitution {
    /// The institution.
    pub institution: InstitutionRow,
    /// The present time.
    pub now: Timestamp,
}

/// Switches an institution on or off.
#[derive(Clone, Debug)]
pub struct SetInstitutionEnabled {
    /// The institution.
    pub institution: InstitutionId,
    /// On.
    pub enabled: bool,
    /// The present time.
    pub now: Timestamp,
}

/// Keeps what a passed connection test told of an institution, and switches it on.
#[derive(Clone, Debug)]
pub struct RecordTest {
    /// The institution.
    pub institution: InstitutionId,
    /// Its name for people.
    pub name: Box<str>,
    /// The same in Japanese.
    pub name_ja: Box<str>,
    /// What it can do: JSON of `connectors::Capabilities`.
    pub capabilities: Box<str>,
    /// The version of its seal key set; a smaller one than is kept changes nothing.
    pub seal_key_version: u64,
    /// The present time.
    pub now: Timestamp,
}

/// Notes the newest seal key set of an institution, so that an older one is never taken again.
#[derive(Clone, Debug)]
pub struct RaiseSealKeyVersion {
    /// The institution.
    pub institution: InstitutionId,
    /// The version; a smaller one than is kept changes nothing.
    pub version: u64,
}
/// Marks operations as named by an institution's settlement file, and answers them as they stood
/// before; those that are not here are left out. At most [`MOST_ROWS`]. One that a reconciled file of
/// another day names keeps that mark.
#[derive(Clone, Debug)]
pub struct MarkSettled {
    /// The institution.
    pub institution: InstitutionId,
    /// The day of the file.
    pub day: SettlementDay,
    /// The run that reads it. Its marks count once [`RecordSettlement`] names it.
    pub run: Timestamp,
    /// The operations, each once.
    pub operations: Vec<OperationId>,
}

/// Notes that a day's settlement file was read to its end; what an earlier run of that day marked counts
/// no more.
#[derive(Clone, Debug)]
pub struct RecordSettlement {
    /// The institution.
    pub institution: InstitutionId,
    /// The day, and the run that read it.
    pub settlement: SettlementRow,
    /// The present time.
    pub now: Timestamp,
}

/// Opens tasks about one institution, at most [`MOST_ROWS`]. One whose text the institution has a task
/// of, open or closed, is not kept again.
#[derive(Clone, Debug)]
pub struct OpenInstitutionTasks {
    /// The institution of all of them.
    pub institution: InstitutionId,
    /// The tasks.
    pub tasks: Vec<InstitutionTask>,
    /// The present time.
    pub now: Timestamp,
}

/// Notes that the database was restored from a backup: what was written in between is lost, and each of
/// the tasks holds its institution.
#[derive(Clone, Debug)]
pub struct RecordRestore {
    /// From the backup to the restore, both ends included.
    pub gap: TimeGap,
    /// One for each institution. At most [`MOST_ROWS`].
    pub tasks: Vec<InstitutionTask>,
    /// The present time.
    pub now: Timestamp,
}

/// Closes a task about an institution.
#[derive(Clone, Debug)]
pub struct ResolveInstitutionTask {
    /// The institution.
    pub institution: InstitutionId,
    /// The task; one that is closed already stays as it is.
    pub task: TaskId,
    /// What the person says about it.
    pub note: Box<str>,
    /// The present time.
    pub now: Timestamp,
}

/// Closes a task.
#[derive(Clone, Debug)]
pub struct ResolveTask {
    /// The shop concerned.
    pub shop: ShopId,
    /// The task; one that is closed already stays as it is.
    pub task: TaskId,
    /// What the person says about it.
    pub note: Box<str>,
    /// The present time.
    pub now: Timestamp,
}

/// Sets where a shop is told. A channel that is left out is switched off.
#[derive(Clone, Debug)]
pub struct SetNotices {
    /// The shop.
    pub shop: ShopId,
    /// Of the call.
    pub claim: Claim,
    /// Where mail goes.
    pub mail: Option<MailTo>,
    /// Where webhooks go.
    pub webhook: Option<WebhookTo>,
    /// Until when the webhook's older key signs beside a new one.
    pub older_key_until: Timestamp,
    /// What the address is told that mail went to before, where it goes there no more.
    pub told: NewNotice,
    /// The present time.
    pub now: Timestamp,
}

/// Where mail goes.
#[derive(Clone, Debug)]
pub struct MailTo {
    /// The address.
    pub address: Box<str>,
    /// In which language.
    pub language: MailLanguage,
}

/// Where webhooks go.
#[derive(Clone, Debug)]
pub struct WebhookTo {
    /// The URL.
    pub url: Box<str>,
    /// Whether they are signed by a new key from now on.
    pub new_key: bool,
}

/// What came of setting where a shop is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticesSet {
    /// As asked; also for a repeat.
    Yes,
    /// The idempotency key was used for another call.
    KeyReused,
}

/// Switches a shop's webhook off whose URL answered that it has gone, unless it has another URL by
/// now.
#[derive(Clone, Debug)]
pub struct DisableWebhook {
    /// The shop.
    pub shop: ShopId,
    /// The URL that answered.
    pub url: Box<str>,
    /// The present time.
    pub now: Timestamp,
}

/// Takes notices that are to be told now.
#[derive(Clone, Copy, Debug)]
pub struct LeaseNotices {
    /// The process that takes them.
    pub owner: Incarnation,
    /// The present time.
    pub now: Timestamp,
    /// When they are due again if nobody says what became of them.
    pub expires_at: Timestamp,
    /// At most this many, and at most [`MOST_ROWS`]; the longest due come first.
    pub limit: u32,
}

/// Makes notices due at once that a process before this one had taken: at most [`MOST_ROWS`].
#[derive(Clone, Copy, Debug)]
pub struct HastenNotices {
    /// The process that holds the database alone, so that every other one is known to be dead.
    pub sole_owner: Incarnation,
    /// The present time.
    pub now: Timestamp,
}

/// Writes down what became of notices: at most [`MOST_ROWS`].
#[derive(Clone, Debug)]
pub struct RecordDeliveries {
    /// Each.
    pub deliveries: Vec<Delivery>,
    /// The present time.
    pub now: Timestamp,
}

/// What became of a notice that was taken.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Who was to be told.
    pub shop: ShopId,
    /// The notice.
    pub id: NoticeId,
    /// How.
    pub channel: Channel,
    /// What became of it.
    pub came_to: Delivered,
}

/// What became of a try to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was told.
    Yes,
    /// It failed, and is tried again.
    Again {
        /// When.
        due_at: Timestamp,
        /// Why it failed.
        cause: Box<str>,
    },
    /// It was not tried.
    Later {
        /// When it is.
        due_at: Timestamp,
    },
    /// It is given up.
    Never {
        /// Why.
        cause: Box<str>,
    },
}

/// Removes what has served its time: notices given up 30 days ago, nullifiers an hour past their envelope's end, management claims older
/// than 30 days, sessions that ended long ago. At most `limit` rows of each.
#[derive(Clone, Copy, Debug)]
pub struct Prune {
    /// The present time.
    pub now: Timestamp,
    /// Of each kind.
    pub limit: u32,
}

/// Whether a management verb found what it was to change (or, for an addition, found room).
pub type Changed = bool;

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident($body:ty) -> $out:ty, $method:ident;)*) => {
        /// Any verb.
        #[derive(Clone, Debug)]
        pub enum Verb { $($(#[$doc])* $name(Box<$body>),)* }

        /// The answer to a verb of the same name.
        #[derive(Clone, Debug)]
        pub enum Reply { $($(#[$doc])* $name($out),)* }

        impl super::Store {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`super::StoreError`] when the store could not say; see there what it means.
                pub async fn $method(&self, verb: $body) -> Result<$out, super::StoreError> {
                    match self.commit(Verb::$name(Box::new(verb))).await? {
                        Reply::$name(out) => Ok(out),
                        _ => Err(super::StoreError::Crossed),
                    }
                }
            )*
        }
    };
}

verbs! {
    /// Writes an operation down before its first byte leaves.
    BeginOperation(BeginOperation) -> Begun, begin_operation;
    /// Writes down what was learnt, before anybody is told.
    RecordOutcome(RecordOutcome) -> Recorded, record_outcome;
    /// Keeps a refusal under its idempotency key.
    KeepRefusal(KeepRefusal) -> Kept, keep_refusal;
    /// Takes operations that somebody must look after.
    LeaseDueWork(LeaseDueWork) -> Vec<LeasedWork>, lease_due_work;
    /// Makes due at once what nobody holds; answers how many operations that were.
    HastenWork(HastenWork) -> u64, hasten_work;
    /// Registers the first module key and spends the enrolment code.
    Register(Register) -> Admitted, register;
    /// Registers a session key.
    OpenSession(OpenSession) -> Admitted, open_session;
    /// Counts a sign-in; answers until when the password is locked, if it is.
    CountLogin(CountLogin) -> Option<Timestamp>, count_login;
    /// Notes that a key was used.
    TouchKey(TouchKey) -> (), touch_key;
    /// Registers the successor of a module key.
    RollKey(RollKey) -> KeyChanged, roll_key;
    /// Ends a key at once.
    EndKey(EndKey) -> KeyChanged, end_key;
    /// Claims the idempotency key of a check.
    BeginCheck(BeginCheck) -> CheckBegun, begin_check;
    /// Keeps what a check came to.
    FinishCheck(FinishCheck) -> (), finish_check;
    /// Enters an institution; `false` when the id is taken.
    AddInstitution(AddInstitution) -> Changed, add_institution;
    /// Switches an institution on or off; `false` when there is none of this id.
    SetInstitutionEnabled(SetInstitutionEnabled) -> Changed, set_institution_enabled;
    /// Keeps what a passed connection test told and switches the institution on; `false` when there
    /// is none of this id.
    RecordTest(RecordTest) -> Changed, record_test;
    /// Notes the newest seal key set; `false` when there is no such institution.
    RaiseSealKeyVersion(RaiseSealKeyVersion) -> Changed, raise_seal_key_version;
    /// Admits a shop.
    AddShop(ShopRow) -> Changed, add_shop;
    /// Replaces the enrolment code of a shop; `false` when there is no such shop.
    SetEnrolment(SetEnrolment) -> Changed, set_enrolment;
    /// Registers a POS; `false` when there is no such shop.
    AddPos(AddPos) -> Changed, add_pos;
    /// Registers a contract; `false` when POS or institution are missing, or this POS has the same
    /// contract already.
    AddContract(AddContract) -> Changed, add_contract;
    /// Switches a contract on or off; `false` when there is none of this id.
    SetContractEnabled(SetContractEnabled) -> Changed, set_contract_enabled;
    /// Closes a task; `false` when there is none that is open.
    ResolveTask(ResolveTask) -> Changed, resolve_task;
    /// Sets where a shop is told.
    SetNotices(SetNotices) -> NoticesSet, set_notices;
    /// Switches off a webhook that has gone; `false` when it has another URL, or none, or is off.
    DisableWebhook(DisableWebhook) -> Changed, disable_webhook;
    /// Takes notices that are to be told now.
    LeaseNotices(LeaseNotices) -> Vec<DueNotice>, lease_notices;
    /// Makes due at once what the dead had taken; answers how many notices that were.
    HastenNotices(HastenNotices) -> u64, hasten_notices;
    /// Writes down what became of them.
    RecordDeliveries(RecordDeliveries) -> (), record_deliveries;
    /// Marks operations as named by a settlement file; answers them as they stood before.
    MarkSettled(MarkSettled) -> Vec<InstitutionOperation>, mark_settled;
    /// Notes that a day was reconciled; `false` when there is no such institution.
    RecordSettlement(RecordSettlement) -> Changed, record_settlement;
    /// Opens tasks about an institution; answers those that are new.
    OpenInstitutionTasks(OpenInstitutionTasks) -> Vec<TaskId>, open_institution_tasks;
    /// Notes that the database was restored; answers how many times that has been.
    RecordRestore(RecordRestore) -> u64, record_restore;
    /// Closes a task about an institution; `false` when there is none that is open.
    ResolveInstitutionTask(ResolveInstitutionTask) -> Changed, resolve_institution_task;
    /// Removes what has served its time; answers how many rows went.
    Prune(Prune) -> u64, prune;
}
