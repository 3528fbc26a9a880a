//! What the shop database keeps, as the rest of the server sees it.

use std::fmt;
use std::str::FromStr;

use pos_protocol::id::{
    ContractId, ContractNumber, IdempotencyKey, InstitutionId, NoticeId, OperationId, OrderId,
    PaymentId, PosId, ShopId, TaskId, UserId,
};
use pos_protocol::key::{KeyId, PublicKey};
use pos_protocol::money::Amount;
use pos_protocol::payment::{Operation, OperationKind, OperationState, Payment, Sums};
use pos_protocol::wire::{KeyRole, MailLanguage, TimeGap};
use pos_protocol::{Currency, ErrorCode, Timestamp};

/// One run of one server process; a lease names it.
pub type Incarnation = [u8; 16];

/// A payment with everything that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPayment {
    /// Its id.
    pub id: PaymentId,
    /// The actor: the shop that made it.
    pub shop: ShopId,
    /// The POS whose contract pays.
    pub pos: PosId,
    /// The contract.
    pub contract: ContractId,
    /// Its number at the institution.
    pub contract_number: ContractNumber,
    /// The institution.
    pub institution: InstitutionId,
    /// The shop's order.
    pub order_id: OrderId,
    /// What the order comes to.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// What has moved so far.
    pub sums: Sums,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Grows by one with every transition; guards against two writers.
    pub version: u32,
    /// Its operations, oldest first.
    pub operations: Vec<StoredOperation>,
}

/// An operation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOperation {
    /// Its id, also at the institution.
    pub id: OperationId,
    /// The key it was made with.
    pub key: IdempotencyKey,
    /// Digest of what the call asked for; the same key with another one is a misuse.
    pub fingerprint: [u8; 32],
    /// What it moves.
    pub kind: OperationKind,
    /// How much was asked for.
    pub amount: Amount,
    /// Whether a smaller approval is welcome.
    pub allow_partial: bool,
    /// When the shop gives up, if it said so.
    pub give_up_at: Option<Timestamp>,
    /// Whether the server made it, to undo what must not stand.
    pub by_server: bool,
    /// Where it stands.
    pub state: OperationState,
    /// The institution refuses it when it arrives later than this.
    pub not_after: Timestamp,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// What the institution said about it.
    pub evidence: Evidence,
    /// How often its outcome has been asked for.
    pub inquiries: u32,
    /// Grows by one each time its lease is taken.
    pub lease_epoch: u32,
}

/// What an institution's answers left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The institution's own reference.
    pub reference: Option<Box<str>>,
    /// Names the card at the institution without being its number.
    pub card_reference: Option<Box<str>>,
    /// The institution's code, for the operator alone.
    pub raw_code: Option<Box<str>>,
}

impl StoredPayment {
    /// The part that the rules of money look at.
    pub fn model(&self) -> Payment {
        let operations = self.operations.iter().map(|one| Operation {
            id: one.id,
            kind: one.kind,
            amount: one.amount,
            state: one.state,
            allow_partial: one.allow_partial,
            give_up_at: one.give_up_at,
            by_server: one.by_server,
        });
        Payment {
            amount: self.amount,
            currency: self.currency,
            sums: self.sums,
            operations: operations.collect(),
        }
    }

    /// The operation with this id.
    pub fn operation(&self, id: OperationId) -> Option<&StoredOperation> {
        self.operations.iter().find(|one| one.id == id)
    }
}

/// A refusal that was kept under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRefusal {
    /// Digest of what the call asked for.
    pub fingerprint: [u8; 32],
    /// What it was answered.
    pub code: ErrorCode,
    /// The field that was named, if one was.
    pub field: Option<Box<str>>,
    /// When.
    pub at: Timestamp,
}

/// What stands under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnderKey {
    /// An operation of this payment.
    Operation(Box<StoredPayment>, OperationId),
    /// A refusal that time could have undone.
    Refusal(StoredRefusal),
}

impl UnderKey {
    /// What a key that a management call has says to a payment call: it is always another call's.
    pub(super) const fn of_claim(fingerprint: [u8; 32], at: Timestamp) -> Self {
        Self::Refusal(StoredRefusal {
            fingerprint,
            code: ErrorCode::IdempotencyKeyReused,
            field: None,
            at,
        })
    }

    /// The fingerprint that the key is bound to.
    pub fn fingerprint(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Operation(payment, id) => payment.operation(*id).map(|one| &one.fingerprint),
            Self::Refusal(refusal) => Some(&refusal.fingerprint),
        }
    }
}

/// An institution as the operator entered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstitutionRow {
    /// The name given by the operator.
    pub id: InstitutionId,
    /// For people.
    pub name: Box<str>,
    /// For people, in Japanese.
    pub name_ja: Box<str>,
    /// Where its protocol is spoken.
    pub url: Box<str>,
    /// PEM of the CA of its TLS certificate; none for plain HTTP on loopback.
    pub ca_pem: Option<Box<str>>,
    /// Verifies its answers.
    pub verify_key: PublicKey,
    /// Verifies its seal key sets.
    pub seal_root: PublicKey,
    /// The newest version of its seal key set that was ever taken; 0 before the first.
    pub seal_key_version: u64,
    /// What it can do, as its connection test told: JSON of `connectors::Capabilities`.
    pub capabilities: Box<str>,
    /// The operator's switch.
    pub enabled: bool,
}

/// A shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopRow {
    /// Its id: the tenant.
    pub id: ShopId,
    /// For people.
    pub name: Box<str>,
    /// Where mail goes until the shop says otherwise.
    pub email: Option<Box<str>>,
    /// With which it signs in.
    pub user_id: UserId,
    /// When it was admitted.
    pub created_at: Timestamp,
}

/// What a sign-in is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRow {
    /// The shop.
    pub shop: ShopId,
    /// PHC string of the password, once set.
    pub password_hash: Option<Box<str>>,
    /// Wrong passwords since the last right one.
    pub failures: u32,
    /// No password is looked at before this.
    pub locked_until: Option<Timestamp>,
    /// What the next registration is checked against.
    pub enrolment: Option<EnrolmentRow>,
}

/// The public half of an enrolment code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentRow {
    /// Derived from the code; the server never has the code itself.
    pub enrolment_key: PublicKey,
    /// Until when an unspent code counts.
    pub expires_at: Timestamp,
    /// The module key that it was spent for.
    pub spent_for: Option<KeyId>,
}

/// A virtual POS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PosRow {
    /// Its id.
    pub id: PosId,
    /// For people.
    pub name: Box<str>,
    /// What it is for: web, phone, event.
    pub purpose: Box<str>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A contract of a shop with an institution, on a POS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractRow {
    /// Its id.
    pub id: ContractId,
    /// The POS it is registered on.
    pub pos: PosId,
    /// The institution.
    pub institution: InstitutionId,
    /// The shop's number there.
    pub number: ContractNumber,
    /// The operator's switch.
    pub enabled: bool,
    /// When it was registered; routing prefers the oldest.
    pub created_at: Timestamp,
}

/// A registered key of a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The shop that it proves.
    pub shop: ShopId,
    /// The key; its id is derived from it.
    pub public: PublicKey,
    /// What it may do.
    pub role: KeyRole,
    /// Only this POS, where it is narrower than the shop.
    pub pos: Option<PosId>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Its planned end: a session's limit, or the overlap after a roll.
    pub ends_at: Option<Timestamp>,
    /// A session's silence limit; moved on by use.
    pub idle_at: Option<Timestamp>,
    /// Its first call other than the one that registered it.
    pub first_used_at: Option<Timestamp>,
    /// When it was revoked or signed out, if it was. An ended key stays ended.
    pub ended_at: Option<Timestamp>,
}

impl KeyRow {
    /// Whether calls by this key are taken at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        let before = |end: Option<Timestamp>| end.is_none_or(|end| now < end);
        self.ended_at.is_none() && before(self.ends_at) && before(self.idle_at)
    }
}

/// Something a person of the operator must decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// Its id.
    pub id: TaskId,
    /// When it arose.
    pub created_at: Timestamp,
    /// The shop concerned.
    pub shop: ShopId,
    /// The payment concerned.
    pub payment: PaymentId,
    /// The operation concerned.
    pub operation: OperationId,
    /// What happened, as a sentence.
    pub text: Box<str>,
    /// When it was decided, if it was.
    pub resolved_at: Option<Timestamp>,
    /// What the person said who decided it.
    pub note: Option<Box<str>>,
}

/// Something about an institution that a person of the operator must see to: a difference from its
/// settlement file, or what it could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstitutionTask {
    /// Its id.
    pub id: TaskId,
    /// When it arose.
    pub created_at: Timestamp,
    /// The institution concerned.
    pub institution: InstitutionId,
    /// The shop concerned, where one is known.
    pub shop: Option<ShopId>,
    /// The payment concerned, where one is known.
    pub payment: Option<PaymentId>,
    /// The operation concerned, which may be known to the institution alone.
    pub operation: Option<OperationId>,
    /// What happened, as a sentence. An institution has one task of a text, open or closed.
    pub text: Box<str>,
    /// Whether the institution gets nothing new while the task is open.
    pub holds: bool,
    /// When it was closed, if it was.
    pub resolved_at: Option<Timestamp>,
    /// What the person said who closed it.
    pub note: Option<Box<str>>,
}

/// A day as an institution counts them: its date, as the number YYYYMMDD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettlementDay(u32);

/// Why a text is not a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a date such as 2026-11-26")]
pub struct InvalidDay;

impl SettlementDay {
    /// The day with this number.
    ///
    /// # Errors
    /// [`InvalidDay`]: no month or no day of a month.
    pub fn from_number(number: u32) -> Result<Self, InvalidDay> {
        let (month, day) = (number / 100 % 100, number % 100);
        let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
        if is_date && number <= 99_991_231 { Ok(Self(number)) } else { Err(InvalidDay) }
    }

    /// Its number, as a database keeps it.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SettlementDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0 / 10_000, self.0 / 100 % 100, self.0 % 100)
    }
}

impl FromStr for SettlementDay {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let octets = text.as_bytes();
        let dashed = octets.len() == 10 && octets[4] == b'-' && octets[7] == b'-';
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if !dashed || digits.len() != 8 {
            return Err(InvalidDay);
        }
        Self::from_number(digits.parse().map_err(|_| InvalidDay)?)
    }
}

/// A day of an institution that was reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettlementRow {
    /// The day.
    pub day: SettlementDay,
    /// Its first moment, by the institution's clock.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// When the run began that read its file; the marks of this run count.
    pub run: Timestamp,
}

/// An operation as reconciliation looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstitutionOperation {
    /// Its id, also at the institution.
    pub id: OperationId,
    /// The shop that made its payment.
    pub shop: ShopId,
    /// The payment.
    pub payment: PaymentId,
    /// The number under which the institution keeps the shop.
    pub contract_number: ContractNumber,
    /// The shop's order.
    pub order_id: OrderId,
    /// What it moves.
    pub kind: OperationKind,
    /// How much was asked for.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// Where it stands.
    pub state: OperationState,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// The institution's own reference, where it gave one.
    pub reference: Option<Box<str>>,
    /// The reconciled day whose file names it.
    pub settled: Option<SettlementDay>,
    /// The same of the operation that began its payment.
    pub first_settled: Option<SettlementDay>,
}

/// Work whose lease was taken: find out what became of this operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedWork {
    /// The payment, its operations included.
    pub payment: StoredPayment,
    /// The operation that is due; its `lease_epoch` is the one just taken.
    pub operation: OperationId,
}

/// A way in which a shop is told what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// To a person.
    Mail,
    /// To the shop's software.
    Webhook,
}

/// Where a shop is told by one channel.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelRow {
    /// Which.
    pub channel: Channel,
    /// The address or URL.
    pub target: Box<str>,
    /// Of mail.
    pub language: MailLanguage,
    /// Which of the shop's keys signs its webhooks, from 0.
    pub key_generation: u32,
    /// Until when the key before that one signs beside it, if it does.
    pub older_key_until: Option<Timestamp>,
    /// Since when nothing goes there, because the URL answered that it has gone.
    pub disabled_at: Option<Timestamp>,
}

/// Without the target, which logs do not get.
impl fmt::Debug for ChannelRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelRow").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// A notice that is to be told now, by one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueNotice {
    /// Who is told.
    pub shop: ShopId,
    /// The same for every try and channel.
    pub id: NoticeId,
    /// How.
    pub channel: Channel,
    /// When it arose.
    pub created_at: Timestamp,
    /// JSON of a notice.
    pub body: Box<str>,
    /// Where it must go, if not to the channel's target.
    pub address: Option<Box<str>>,
    /// How often it failed.
    pub tries: u32,
    /// The channel; none where it is switched off.
    pub to: Option<ChannelRow>,
}

/// How much waits to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticeCounts {
    /// Notices, by each channel.
    pub waiting: u64,
    /// When the oldest of them arose.
    pub oldest: Option<Timestamp>,
    /// Those that were given up in the last 30 days.
    pub given_up: u64,
}

/// How many operations stand in a state, and since when the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCount {
    /// The state's name on the wire.
    pub state: &'static str,
    /// How many.
    pub count: u64,
    /// The oldest one's beginning.
    pub oldest: Timestamp,
}

/// Times that the database forgot in restores, for "nothing under this key".
pub type TimeGaps = Vec<TimeGap>;
