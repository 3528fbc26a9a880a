//! Two shops with everything that an id can name, a key for every role, and the calls.

use pos_protocol::enrolment::key_roll_proof;
use pos_protocol::id::{ContractId, IdempotencyKey, OrderId, PaymentId, PosId, UserId};
use pos_protocol::key::{KeyId, SigningKey};
use pos_protocol::seal::SealedOperation;
use pos_tests::Bed;
use pos_tests::bed::shop::{register, registration_draft};
use pos_tests::bed::{ContractKit, Enrolment, PASSWORD, PosKit, ShopKit};
use pos_tests::pay::{Footprint, Pay};
use pos_tests::raw::{self, Answer, Draft, fresh_key, fresh_order, fresh_signing_key};
use serde_json::{Value, json};

use super::rows::{Proof, Row};
use super::{Role, Whose};

const INSTITUTION: &str = "sakura-card";
const OTHER_PASSWORD: &str = "another shop's own password";
const NEW_PASSWORD: &str = "the password of a new shop";

/// One of everything that an id can name.
#[derive(Clone)]
pub(super) struct Ids {
    /// A shop that was admitted and not yet registered.
    enrolment: Enrolment,
    user_id: UserId,
    password: &'static str,
    pos_id: PosId,
    contract: ContractKit,
    payment_id: PaymentId,
    /// Of the payment.
    order_id: OrderId,
    /// Of the payment's first operation.
    operation_key: IdempotencyKey,
    /// Of a call that was no operation.
    other_key: IdempotencyKey,
    /// A registered key, and the id of another.
    key: [u8; 32],
    key_id: KeyId,
}

/// The two shops, and the keys.
pub(super) struct World {
    pub(super) bed: &'static Bed,
    shops: [ShopKit; 2],
    seeds: Vec<(Role, [u8; 32])>,
    own: Ids,
    other_pos: Ids,
    other_shop: Ids,
    nobodys: Ids,
}

impl World {
    /// Opens both shops, makes a payment on each POS, and registers and ends keys.
    pub(super) async fn new(bed: &'static Bed) -> Self {
        let shop = bed.open_shop("Matrix").await.unwrap();
        let other = open_other(bed).await;
        let own = Ids::new(bed, &shop, 0, PASSWORD).await;
        let other_pos = own.on_pos(bed, &shop, 1).await;
        let other_shop = Ids::new(bed, &other, 0, OTHER_PASSWORD).await;
        let nobodys = other_shop.nobodys();
        let (narrow, revoked) = (roll(bed, &shop.key).await.0, roll(bed, &shop.key).await.0);
        narrow_to(bed, &narrow, shop.poses[0].pos_id);
        let (session, ended) = (sign_in(bed, &own).await, sign_in(bed, &own).await);
        done(bed, &ended, &Draft::post("/v1/sessions/end", &json!({}))).await;
        let revoke = format!("/v1/keys/{}/revoke", revoked.public().id());
        done(bed, &session, &Draft::post(revoke, &json!({}))).await;
        let keys = [
            (Role::Module, &shop.key),
            (Role::OnePos, &narrow),
            (Role::Session, &session),
            (Role::Stranger, &other.key),
            (Role::Unregistered, &fresh_signing_key()),
            (Role::Revoked, &revoked),
            (Role::SignedOut, &ended),
            (Role::Unsigned, &shop.key),
        ];
        let seeds = keys.into_iter().map(|(role, key)| (role, *key.seed())).collect();
        Self { bed, shops: [shop, other], seeds, own, other_pos, other_shop, nobodys }
    }

    /// What both shops have moved so far.
    pub(super) async fn footprints(&self) -> Vec<Footprint> {
        let mut all = Vec::new();
        for shop in &self.shops {
            all.push(self.bed.footprint(shop).await.unwrap());
        }
        all
    }

    /// The key that a role signs with.
    pub(super) fn key(&self, role: Role) -> SigningKey {
        let found = self.seeds.iter().find(|(known, _)| *known == role);
        SigningKey::from_seed(&found.unwrap().1)
    }

    /// Makes anew what the calls before may have used up.
    pub(super) async fn renew(&mut self) {
        let session = sign_in(self.bed, &self.own).await;
        for (role, seed) in &mut self.seeds {
            match role {
                Role::Session => *seed = *session.seed(),
                Role::Unregistered => *seed = raw::random(),
                _ => {}
            }
        }
        let [shop, other] = &self.shops;
        self.own = self.own.on_pos(self.bed, shop, 0).await;
        self.other_pos = self.own.on_pos(self.bed, shop, 1).await;
        self.other_shop = self.other_shop.on_pos(self.bed, other, 0).await;
        self.nobodys = self.other_shop.nobodys();
    }

    /// The row's call by this role: everything is the caller's own, but `row.id` is whose.
    pub(super) fn draft(&self, row: &Row, role: Role, whose: Whose) -> Draft {
        let signer = self.key(role);
        let mine = if role == Role::Stranger { &self.other_shop } else { &self.own };
        let theirs = match whose {
            Whose::Own => &self.own,
            Whose::OtherPos => &self.other_pos,
            Whose::OtherShop => &self.other_shop,
            Whose::Nobodys => &self.nobodys,
        };
        let ids = mine.but(row, theirs, &signer);
        self.call(row.call, row.id, &ids, &signer)
    }

    fn call(&self, call: &str, id: &str, ids: &Ids, signer: &SigningKey) -> Draft {
        let (method, path) = call.split_once(' ').unwrap();
        let path = path
            .replace("{key_id}", &ids.key_id.to_string())
            .replace("{payment_id}", &ids.payment_id.to_string())
            .replace("{order_id}", ids.order_id.as_str())
            .replace("{idempotency_key}", &ids.operation_key.to_string());
        if method == "GET" {
            return Draft::get(match id {
                "pos" => format!("{path}?pos={}", ids.pos_id),
                "after" => format!("{path}?after={}", ids.payment_id),
                _ => path,
            });
        }
        let some = json!({ "amount": 1, "currency": "JPY" });
        let body = match call {
            "POST /v1/registrations" => {
                let draft = registration_draft(&ids.enrolment, NEW_PASSWORD, signer);
                return with_key(&draft, &ids.signing_key());
            }
            "POST /v1/sessions" => return with_key(&ids.sign_in(signer), &ids.signing_key()),
            "POST /v1/keys/roll" => return rolling(signer, &ids.signing_key(), &ids.other_key),
            "POST /v1/sessions/end" | "POST /v1/keys/{key_id}/revoke" => {
                return Draft::post(path, &json!({})).keyed(&ids.other_key);
            }
            "POST /v1/notices" => {
                let mail = json!({ "address": "orders@shop.example", "language": "en" });
                return Draft::post(path, &json!({ "mail": mail })).keyed(&ids.other_key);
            }
            "POST /v1/quotes" => return Draft::post(path, &self.quote(id, ids)),
            "POST /v1/checks" => {
                let body = self.instrument(SealedOperation::Check, ids);
                return Draft::post(path, &body).keyed(&ids.other_key);
            }
            "POST /v1/payments" => {
                let mut body = self.instrument(SealedOperation::Sale, ids);
                body["operation"] = json!("sale");
                body
            }
            "POST /v1/payments/{payment_id}/voids" => json!({}),
            _ => some,
        };
        Draft::post(path, &body).keyed(&ids.operation_key)
    }

    fn quote(&self, id: &str, ids: &Ids) -> Value {
        let mut body = json!({
            "order_id": ids.order_id, "method": "card:visa", "amount": 500, "currency": "JPY",
        });
        match id {
            "pos_id" => body["pos_id"] = json!(ids.pos_id),
            "contract_id" => body["contract_id"] = json!(ids.contract.contract_id),
            _ => {}
        }
        body
    }

    /// A sale's body, or with what a check has of it.
    fn instrument(&self, operation: SealedOperation, ids: &Ids) -> Value {
        let pay = Pay { operation, ..Pay::sale(INSTITUTION, "approve", 500) };
        let pay = pay.order(ids.order_id.clone());
        let envelope = pay.envelope_for(self.bed, &ids.contract).unwrap();
        json!({
            "contract_id": ids.contract.contract_id, "order_id": ids.order_id,
            "amount": 500, "currency": "JPY", "envelope": envelope,
        })
    }
}

impl Ids {
    async fn new(bed: &Bed, shop: &ShopKit, pos: usize, password: &'static str) -> Self {
        let (spare, other_key) = roll(bed, &shop.key).await;
        let (made, order_id, operation_key) = authorised(bed, shop, pos).await;
        let ids = Self {
            enrolment: bed.admit("Not yet registered").await.unwrap().0,
            user_id: shop.enrolment.user_id,
            password,
            pos_id: shop.poses[pos].pos_id,
            contract: shop.poses[pos].contracts[0].clone(),
            payment_id: made,
            order_id,
            operation_key,
            other_key,
            key: [0; 32],
            key_id: spare.public().id(),
        };
        // A session's: what software's key may become its successor is not for it.
        let key = *sign_in(bed, &ids).await.seed();
        Self { key, ..ids }
    }

    /// The same with a fresh payment on one POS of the shop, and a key that is newly used.
    async fn on_pos(&self, bed: &Bed, shop: &ShopKit, pos: usize) -> Self {
        let (payment_id, order_id, operation_key) = authorised(bed, shop, pos).await;
        let (_, other_key) = roll(bed, &shop.key).await;
        let PosKit { pos_id, contracts } = shop.poses[pos].clone();
        let contract = contracts[0].clone();
        Self { pos_id, contract, payment_id, order_id, operation_key, other_key, ..self.clone() }
    }

    /// Well-formed ids of nothing.
    fn nobodys(&self) -> Self {
        let entropy = raw::random;
        let mut enrolment = self.enrolment.clone();
        enrolment.user_id = UserId::fresh(raw::now(), entropy());
        Self {
            enrolment,
            user_id: UserId::fresh(raw::now(), entropy()),
            password: self.password,
            pos_id: PosId::fresh(raw::now(), entropy()),
            contract: ContractKit {
                contract_id: ContractId::fresh(raw::now(), entropy()),
                ..self.contract.clone()
            },
            payment_id: PaymentId::fresh(raw::now(), entropy()),
            order_id: fresh_order("nobodys"),
            operation_key: fresh_key(),
            other_key: fresh_key(),
            key: raw::random(),
            key_id: fresh_signing_key().public().id(),
        }
    }

    /// These for a call of the row, with what the call takes fresh where it must be, and `row.id` of
    /// theirs.
    fn but(&self, row: &Row, theirs: &Self, signer: &SigningKey) -> Self {
        let theirs = theirs.clone();
        let mut ids = Self {
            order_id: fresh_order("matrix"),
            operation_key: fresh_key(),
            other_key: fresh_key(),
            key: if row.proof == Proof::OfTheKey { *signer.seed() } else { raw::random() },
            ..self.clone()
        };
        match row.id {
            "" => {}
            "user_id" => {
                ids.user_id = theirs.user_id;
                ids.enrolment.user_id = theirs.enrolment.user_id;
            }
            "key" => ids.key = theirs.key,
            "key_id" => ids.key_id = theirs.key_id,
            "pos" | "pos_id" => ids.pos_id = theirs.pos_id,
            "contract_id" => ids.contract = theirs.contract,
            "order_id" => ids.order_id = theirs.order_id,
            "payment_id" | "after" => ids.payment_id = theirs.payment_id,
            "idempotency-key" | "idempotency_key" => {
                (ids.operation_key, ids.other_key) = (theirs.operation_key, theirs.other_key);
            }
            other => panic!("the table names {other}, which no call is made with"),
        }
        ids
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(&self.key)
    }

    fn sign_in(&self, key: &SigningKey) -> Draft {
        let body =
            json!({ "user_id": self.user_id, "password": self.password, "key": key.public() });
        Draft::post("/v1/sessions", &body)
    }
}

/// A shop with another password than those of the bed.
async fn open_other(bed: &Bed) -> ShopKit {
    let (enrolment, web) = bed.admit("Matrix's stranger").await.unwrap();
    let key = fresh_signing_key();
    let answer = register(&bed.server, &enrolment, OTHER_PASSWORD, &key).await.unwrap();
    let registration = serde_json::from_slice(&answer.body).unwrap();
    ShopKit { enrolment, poses: vec![web], key, registration }
}

async fn call(bed: &Bed, key: &SigningKey, draft: &Draft) -> Answer {
    let caller = bed.caller_with(SigningKey::from_seed(&key.seed()));
    caller.call(&bed.server.place().unwrap(), draft).await.unwrap()
}

async fn done(bed: &Bed, key: &SigningKey, draft: &Draft) -> Value {
    let draft = if draft.key.is_none() { draft.clone().keyed(fresh_key()) } else { draft.clone() };
    let answer = call(bed, key, &draft).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    answer.json()
}

/// 1,000 yen authorised and 400 of them captured: payment, order, and the authorisation's key.
async fn authorised(bed: &Bed, shop: &ShopKit, pos: usize) -> (PaymentId, OrderId, IdempotencyKey) {
    let pay = Pay::authorise(INSTITUTION, "approve", 1_000);
    let mut body = serde_json::to_value(pay.request(bed, shop).unwrap()).unwrap();
    let contract = &shop.poses[pos].contracts[0];
    body["contract_id"] = json!(contract.contract_id);
    body["envelope"] = json!(pay.envelope_for(bed, contract).unwrap());
    let key = fresh_key();
    let held = done(bed, &shop.key, &Draft::post("/v1/payments", &body).keyed(&key)).await;
    assert_eq!(held["state"], "done", "{held}");
    let payment_id: PaymentId = held["payment_id"].as_str().unwrap().parse().unwrap();
    let some = json!({ "amount": 400, "currency": "JPY" });
    done(bed, &shop.key, &Draft::post(format!("/v1/payments/{payment_id}/captures"), &some)).await;
    (payment_id, pay.order_id, key)
}

/// A further module key of the shop, and the key of the call that registered it.
async fn roll(bed: &Bed, old: &SigningKey) -> (SigningKey, IdempotencyKey) {
    let (new, key) = (fresh_signing_key(), fresh_key());
    done(bed, old, &rolling(old, &new, &key)).await;
    (new, key)
}

fn rolling(old: &SigningKey, new: &SigningKey, key: &IdempotencyKey) -> Draft {
    let proof = new.sign(&key_roll_proof(&old.public(), &new.public()));
    Draft::post("/v1/keys/roll", &json!({ "key": new.public(), "proof": proof })).keyed(key)
}

async fn sign_in(bed: &Bed, ids: &Ids) -> SigningKey {
    let key = fresh_signing_key();
    let answer = call(bed, &key, &ids.sign_in(&key)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    key
}

fn with_key(draft: &Draft, key: &SigningKey) -> Draft {
    let mut body: Value = serde_json::from_slice(&draft.body).unwrap();
    body["key"] = json!(key.public());
    draft.clone().octets(body.to_string())
}

/// Narrows a key to one POS in the shop database: no command does so before POSes are shared (P7).
fn narrow_to(bed: &Bed, key: &SigningKey, pos: PosId) {
    let db = rusqlite::Connection::open(bed.folder().join("data/pos.sqlite3")).unwrap();
    db.busy_timeout(pos_tests::wait::LIMIT).unwrap();
    let changed = db.execute(
        "UPDATE key_record SET pos = ?2 WHERE id = ?1",
        (key.public().id().octets(), pos.octets()),
    );
    assert_eq!(changed.unwrap(), 1);
}
