//! Two shops with one contract each, and short words for the verbs.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::id::{
    ContractId, IdempotencyKey, InstitutionId, OperationId, PaymentId, PosId, ShopId, TaskId,
    UserId,
};
use pos_protocol::key::{PublicKey, SigningKey};
use pos_protocol::payment::{OperationKind, OperationState, Sums};
use pos_protocol::wire::KeyRole;
use pos_protocol::{Amount, Currency, Timestamp};

use crate::store::StoreError;
use crate::store::engine::{Engine, Reader, Writer};
use crate::store::rows::{
    ContractRow, Evidence, Incarnation, InstitutionRow, KeyRow, PosRow, ShopRow, StoredPayment,
};
use crate::store::verbs::{
    AddContract, AddInstitution, AddPos, BeginOperation, Begun, Change, Follows, Lease,
    LeaseDueWork, NewPayment, OpenSession, OwnOperation, RecordOutcome, Recorded, Register, Reply,
    SetEnrolment, Target, Verb,
};

/// When a bed begins.
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

/// An engine on an empty database, and what keeps that database in being.
pub(in crate::store) struct Opened {
    pub(in crate::store) engine: Engine,
    pub(in crate::store) keep: Box<dyn Any>,
}

/// What a case works on.
pub(in crate::store) struct Bed {
    writer: Box<dyn Writer>,
    reader: Arc<dyn Reader>,
    lists: Arc<dyn Reader>,
    counter: u64,
    /// The present time of every verb; cases move it.
    pub(in crate::store) now: Timestamp,
    pub(in crate::store) ours: Tenant,
    pub(in crate::store) theirs: Tenant,
    _keep: Box<dyn Any>,
}

/// A shop that can take payments.
#[derive(Clone)]
pub(in crate::store) struct Tenant {
    pub(in crate::store) shop: ShopId,
    pub(in crate::store) user: UserId,
    pub(in crate::store) pos: PosId,
    pub(in crate::store) contract: ContractId,
    pub(in crate::store) signer: PublicKey,
}

/// The process that begins operations unless a case says otherwise.
pub(in crate::store) const ME: Incarnation = [1; 16];

/// Another one.
pub(in crate::store) const OTHER: Incarnation = [2; 16];

/// The institution of both shops.
pub(in crate::store) const INSTITUTION: &str = "sakura-card";

/// How long after its beginning an operation's first lease runs out.
pub(in crate::store) const LEASE: Duration = Duration::from_secs(20);

/// Applies one verb, named like its variant, and answers what it answered.
macro_rules! tell {
    ($bed:expr, $name:ident, $verb:expr) => {
        match $bed.apply($crate::store::verbs::Verb::$name(Box::new($verb))) {
            Ok($crate::store::verbs::Reply::$name(out)) => out,
            other => panic!("not the answer to {}: {other:?}", stringify!($name)),
        }
    };
}
pub(in crate::store) use tell;

impl Bed {
    /// Two shops on an empty database.
    pub(in crate::store) fn new(opened: Opened) -> Self {
        let Opened { engine, keep } = opened;
        let nobody = Tenant {
            shop: ShopId::from_octets([0; 16]),
            user: UserId::from_octets([0; 16]),
            pos: PosId::from_octets([0; 16]),
            contract: ContractId::from_octets([0; 16]),
            signer: public_key(0),
        };
        let mut bed = Self {
            writer: engine.writer,
            reader: engine.reader,
            lists: engine.lists,
            counter: 0,
            now: NOW,
            ours: nobody.clone(),
            theirs: nobody,
            _keep: keep,
        };
        assert!(tell!(bed, AddInstitution, adding(institution(INSTITUTION))));
        bed.ours = bed.tenant();
        bed.theirs = bed.tenant();
        bed
    }

    /// A group that may be refused as a whole.
    pub(in crate::store) fn try_group(
        &mut self,
        verbs: &[Verb],
    ) -> Result<Vec<Result<Reply, StoreError>>, StoreError> {
        self.writer.commit(verbs)
    }

    /// A group as it is.
    pub(in crate::store) fn group(&mut self, verbs: &[Verb]) -> Vec<Result<Reply, StoreError>> {
        let replies = self.try_group(verbs).expect("the group is committed");
        assert_eq!(replies.len(), verbs.len(), "every verb has its answer");
        replies
    }

    /// A group of one.
    pub(in crate::store) fn apply(&mut self, verb: Verb) -> Result<Reply, StoreError> {
        self.group(&[verb]).remove(0)
    }

    pub(in crate::store) fn read(&self) -> &dyn Reader {
        &*self.reader
    }

    pub(in crate::store) fn lists(&self) -> &dyn Reader {
        &*self.lists
    }

    /// Moves the present time.
    pub(in crate::store) fn pass(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    /// Ten octets that were not there before, in rising order.
    pub(in crate::store) fn entropy(&mut self) -> [u8; 10] {
        self.counter += 1;
        let mut octets = [0; 10];
        octets[2..].copy_from_slice(&self.counter.to_be_bytes());
        octets
    }

    /// Thirty-two such octets.
    pub(in crate::store) fn digest(&mut self) -> [u8; 32] {
        let mut octets = [7; 32];
        octets[..10].copy_from_slice(&self.entropy());
        octets
    }

    /// A public key that was not there before.
    pub(in crate::store) fn fresh_key(&mut self) -> PublicKey {
        self.counter += 1;
        public_key(self.counter)
    }

    pub(in crate::store) fn idempotency_key(&mut self) -> IdempotencyKey {
        self.counter += 1;
        named(&format!("key-{:016}", self.counter))
    }

    pub(in crate::store) fn operation_id(&mut self) -> OperationId {
        OperationId::fresh(self.now, self.entropy())
    }

    pub(in crate::store) fn payment_id(&mut self) -> PaymentId {
        PaymentId::fresh(self.now, self.entropy())
    }

    pub(in crate::store) fn task_id(&mut self) -> TaskId {
        TaskId::fresh(self.now, self.entropy())
    }

    /// A shop with a POS, a contract and a registered module key.
    pub(in crate::store) fn tenant(&mut self) -> Tenant {
        let (shop, user) = self.shop();
        let pos = self.pos(shop);
        let contract = self.contract(shop, pos);
        let signer = self.fresh_key();
        let code = self.enrol(shop);
        let register = self.registration(shop, code, signer);
        let admitted = tell!(self, Register, register);
        assert_eq!(admitted, crate::store::verbs::Admitted::Yes);
        Tenant { shop, user, pos, contract, signer }
    }

    pub(in crate::store) fn shop(&mut self) -> (ShopId, UserId) {
        let row = ShopRow {
            id: ShopId::fresh(self.now, self.entropy()),
            name: "Yamada Books".into(),
            email: Some("till@example.com".into()),
            user_id: UserId::fresh(self.now, self.entropy()),
            created_at: self.now,
        };
        let ids = (row.id, row.user_id);
        assert!(tell!(self, AddShop, row));
        ids
    }

    pub(in crate::store) fn pos(&mut self, shop: ShopId) -> PosId {
        let pos = PosRow {
            id: PosId::fresh(self.now, self.entropy()),
            name: "Web".into(),
            purpose: "web".into(),
            created_at: self.now,
        };
        let id = pos.id;
        assert!(tell!(self, AddPos, AddPos { shop, pos }));
        id
    }

    pub(in crate::store) fn contract(&mut self, shop: ShopId, pos: PosId) -> ContractId {
        self.contract_with(INSTITUTION, shop, pos)
    }

    pub(in crate::store) fn contract_with(
        &mut self,
        institution: &str,
        shop: ShopId,
        pos: PosId,
    ) -> ContractId {
        let contract = ContractRow {
            id: ContractId::fresh(self.now, self.entropy()),
            pos,
            institution: named(institution),
            number: named("4980012345"),
            enabled: true,
            created_at: self.now,
        };
        let id = contract.id;
        assert!(tell!(self, AddContract, AddContract { shop, contract }));
        id
    }

    /// A new enrolment code of ten minutes.
    pub(in crate::store) fn enrol(&mut self, shop: ShopId) -> PublicKey {
        let enrolment_key = self.fresh_key();
        let expires_at = self.now.plus(Duration::from_secs(600));
        let verb = SetEnrolment { shop, enrolment_key, expires_at, now: self.now };
        assert!(tell!(self, SetEnrolment, verb));
        enrolment_key
    }

    pub(in crate::store) fn registration(
        &mut self,
        shop: ShopId,
        code: PublicKey,
        key: PublicKey,
    ) -> Register {
        Register {
            shop,
            enrolment_key: code,
            key: self.key_row(shop, key, KeyRole::Module),
            password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
            recovery_codes: vec![self.digest(), self.digest()],
            panic_code: self.digest(),
            now: self.now,
        }
    }

    pub(in crate::store) fn key_row(
        &self,
        shop: ShopId,
        public: PublicKey,
        role: KeyRole,
    ) -> KeyRow {
        let session = role == KeyRole::Session;
        let after = |minutes: u64| self.now.plus(Duration::from_secs(minutes * 60));
        KeyRow {
            shop,
            public,
            role,
            pos: None,
            created_at: self.now,
            ends_at: session.then(|| after(12 * 60)),
            idle_at: session.then(|| after(15)),
            first_used_at: None,
            ended_at: None,
        }
    }

    pub(in crate::store) fn session(&self, shop: ShopId, public: PublicKey) -> OpenSession {
        OpenSession { key: self.key_row(shop, public, KeyRole::Session), now: self.now }
    }

    /// A sale of 1200 yen for an order that was not there before.
    pub(in crate::store) fn sale(&mut self, tenant: &Tenant) -> BeginOperation {
        self.counter += 1;
        let order = format!("order-{}", self.counter);
        self.sale_of(tenant, &order)
    }

    pub(in crate::store) fn sale_of(&mut self, tenant: &Tenant, order: &str) -> BeginOperation {
        let new = NewPayment {
            id: self.payment_id(),
            pos: tenant.pos,
            contract: tenant.contract,
            contract_number: named("4980012345"),
            institution: named(INSTITUTION),
            order_id: named(order),
            currency: Currency::JPY,
            envelope: self.digest(),
            envelope_not_after: self.now.plus(Duration::from_secs(900)),
        };
        self.beginning(tenant, OperationKind::Sale, 1200, Target::New(new))
    }

    /// A refund of a payment as it stands.
    pub(in crate::store) fn refund(
        &mut self,
        tenant: &Tenant,
        payment: &StoredPayment,
        minor: u64,
    ) -> BeginOperation {
        let target = Target::Existing { payment: payment.id, version: payment.version };
        self.beginning(tenant, OperationKind::Refund, minor, target)
    }

    fn beginning(
        &mut self,
        tenant: &Tenant,
        kind: OperationKind,
        minor: u64,
        target: Target,
    ) -> BeginOperation {
        BeginOperation {
            shop: tenant.shop,
            signer: tenant.signer.id(),
            key: self.idempotency_key(),
            fingerprint: self.digest(),
            operation: self.operation_id(),
            kind,
            amount: amount(minor),
            allow_partial: false,
            give_up_at: None,
            not_after: self.now.plus(Duration::from_secs(10)),
            target,
            lease: Some(Lease { owner: ME, expires_at: self.now.plus(LEASE) }),
            follows: Follows::default(),
            now: self.now,
        }
    }

    pub(in crate::store) fn begin(&mut self, verb: &BeginOperation) -> Begun {
        tell!(self, BeginOperation, verb.clone())
    }

    /// Begins a sale and answers its payment as it stands then.
    pub(in crate::store) fn begun(&mut self, tenant: &Tenant) -> StoredPayment {
        let verb = self.sale(tenant);
        assert_eq!(self.begin(&verb), Begun::New { version: 1 });
        self.payment(tenant, new_payment(&verb).id)
    }

    /// A sale that was done.
    pub(in crate::store) fn paid(&mut self, tenant: &Tenant) -> StoredPayment {
        let payment = self.begun(tenant);
        let verb = self.outcome(&payment, OperationState::Done(payment.amount));
        assert_eq!(self.record(&verb), Recorded::Done { version: 2 });
        self.payment(tenant, payment.id)
    }

    /// What ends the payment's last operation in `state`, as the rules of money have it.
    pub(in crate::store) fn outcome(
        &self,
        payment: &StoredPayment,
        state: OperationState,
    ) -> RecordOutcome {
        let operation = payment.operations.last().expect("a payment has operations");
        let mut sums = payment.sums;
        if let OperationState::Done(amount) = state {
            add(&mut sums, operation.kind, amount.minor());
        }
        let frees_order = operation.kind.begins_payment()
            && matches!(
                state,
                OperationState::Declined(_) | OperationState::NotSent | OperationState::Reversed(_)
            );
        let open = state.is_open();
        RecordOutcome {
            shop: payment.shop,
            payment: payment.id,
            version: payment.version,
            sums,
            operation: operation.id,
            lease_epoch: operation.lease_epoch,
            state,
            evidence: Evidence::default(),
            inquiries: operation.inquiries,
            ended_at: (!open).then_some(self.now),
            due_at: open.then(|| self.now.plus(Duration::from_secs(1))),
            frees_order,
            tasks: Vec::new(),
            follows: Follows::default(),
            now: self.now,
        }
    }

    /// What undoes the beginning of a payment.
    pub(in crate::store) fn undoing(&mut self, payment: &StoredPayment) -> Follows {
        let first = payment.operations.first().expect("a payment has operations");
        let approved = match first.state {
            OperationState::Done(amount) => Some(amount),
            _ => None,
        };
        let reversing = Change {
            operation: first.id,
            state: OperationState::Reversing(approved),
            ended_at: None,
            due_at: None,
        };
        let reverse = OwnOperation {
            id: self.operation_id(),
            kind: OperationKind::Reverse,
            amount: first.amount,
            not_after: self.now.plus(Duration::from_secs(10)),
            due_at: self.now,
        };
        Follows { changed: vec![reversing], begun: Some(reverse), notices: Vec::new() }
    }

    pub(in crate::store) fn record(&mut self, verb: &RecordOutcome) -> Recorded {
        tell!(self, RecordOutcome, verb.clone())
    }

    pub(in crate::store) fn payment(&self, tenant: &Tenant, id: PaymentId) -> StoredPayment {
        let found = self.read().payment(tenant.shop, id).unwrap();
        found.expect("the payment is kept")
    }

    pub(in crate::store) fn lease(&self, owner: Incarnation) -> LeaseDueWork {
        LeaseDueWork {
            institution: named(INSTITUTION),
            owner,
            now: self.now,
            expires_at: self.now.plus(LEASE),
            limit: 100,
        }
    }
}

/// The new payment of a verb that has one.
pub(in crate::store) fn new_payment(verb: &BeginOperation) -> &NewPayment {
    match &verb.target {
        Target::New(new) => new,
        Target::Existing { .. } => panic!("the verb makes no payment"),
    }
}

/// Enters an institution, at the time of the bed's beginning.
pub(in crate::store) fn adding(institution: InstitutionRow) -> AddInstitution {
    AddInstitution { institution, now: NOW }
}

pub(in crate::store) fn institution(id: &str) -> InstitutionRow {
    InstitutionRow {
        id: named::<InstitutionId>(id),
        name: "Sakura Card".into(),
        name_ja: "さくらカード".into(),
        url: "https://card.example.com/".into(),
        ca_pem: None,
        verify_key: public_key(1_000_001),
        seal_root: public_key(1_000_002),
        seal_key_version: 0,
        capabilities: "{}".into(),
        enabled: true,
    }
}

pub(in crate::store) fn amount(minor: u64) -> Amount {
    Amount::new(minor).unwrap()
}

pub(in crate::store) fn named<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn public_key(number: u64) -> PublicKey {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_seed(&seed).public()
}

fn add(sums: &mut Sums, kind: OperationKind, minor: u64) {
    match kind {
        OperationKind::Sale => {
            sums.authorised += minor;
            sums.captured += minor;
        }
        OperationKind::Authorise => sums.authorised += minor,
        OperationKind::Capture => sums.captured += minor,
        OperationKind::Void => sums.released += minor,
        OperationKind::Refund => sums.refunded += minor,
        OperationKind::Reverse => {}
    }
}
