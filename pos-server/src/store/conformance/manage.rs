//! What the operator enters, checks, and pruning.

use std::time::Duration;

use pos_protocol::ErrorCode;
use pos_protocol::id::{ContractId, IdempotencyKey, PosId, ShopId};
use pos_protocol::wire::KeyRole;

use super::bed::{Bed, INSTITUTION, adding, institution, named, new_payment, tell};
use crate::store::rows::{ContractRow, PosRow, ShopRow};
use crate::store::verbs::{
    AddContract, AddPos, Admitted, BeginCheck, Begun, CheckBegun, CheckKept, Claim, EndKey,
    FinishCheck, KeyChanged, Prune, RaiseSealKeyVersion, SetContractEnabled, SetEnrolment,
    SetInstitutionEnabled, Target,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(in crate::store) fn institutions_are_entered_once(bed: &mut Bed) {
    let mut other = institution("aozora-bank");
    other.name_ja = "あおぞら銀行".into();
    other.ca_pem = Some("-----BEGIN CERTIFICATE-----\n".repeat(200).into());
    other.seal_key_version = 3;
    other.capabilities = r#"{"methods":["bank:aozora"]}"#.into();
    other.enabled = false;
    assert!(tell!(bed, AddInstitution, adding(other.clone())));
    let mut again = other.clone();
    again.name = "Somebody else".into();
    assert!(!tell!(bed, AddInstitution, adding(again)));
    let all = bed.read().institutions().unwrap();
    assert_eq!(all, [other, institution(INSTITUTION)]);
}

pub(in crate::store) fn shops_and_poses_are_entered_once(bed: &mut Bed) {
    let row = ShopRow {
        id: ShopId::fresh(bed.now, bed.entropy()),
        name: "山田書店".into(),
        email: None,
        user_id: pos_protocol::id::UserId::fresh(bed.now, bed.entropy()),
        created_at: bed.now,
    };
    assert!(tell!(bed, AddShop, row.clone()));
    assert!(!tell!(bed, AddShop, row.clone()));
    let mut same_user = row.clone();
    same_user.id = ShopId::fresh(bed.now, bed.entropy());
    assert!(!tell!(bed, AddShop, same_user));
    assert_eq!(bed.read().shop(row.id).unwrap(), Some(row.clone()));
    let login = bed.read().login(row.user_id).unwrap().unwrap();
    assert_eq!((login.shop, login.failures), (row.id, 0));
    assert_eq!((login.password_hash, login.locked_until), (None, None));
    assert_eq!(login.enrolment, None);
    let page = |after, limit| {
        let found = bed.lists().shops(after, limit).unwrap();
        found.into_iter().map(|shop| shop.id).collect::<Vec<_>>()
    };
    let (ours, theirs) = (bed.ours.shop, bed.theirs.shop);
    assert_eq!(page(None, 2), [ours, theirs]);
    assert_eq!(page(Some(theirs), 2), [row.id]);
    assert_eq!(page(Some(row.id), 2), []);
    let pos = PosRow {
        id: PosId::fresh(bed.now, bed.entropy()),
        name: "電話".into(),
        purpose: "phone".into(),
        created_at: bed.now,
    };
    let add = |shop| AddPos { shop, pos: pos.clone() };
    assert!(!tell!(bed, AddPos, add(ShopId::from_octets([5; 16]))));
    assert!(tell!(bed, AddPos, add(row.id)));
    assert!(!tell!(bed, AddPos, add(row.id)));
    assert!(!tell!(bed, AddPos, add(ours)), "its id is taken");
    assert_eq!(bed.read().poses(row.id).unwrap(), std::slice::from_ref(&pos));
    assert_eq!(bed.read().shop_of_pos(pos.id).unwrap(), Some(row.id));
    let nobody = SetEnrolment {
        shop: ShopId::from_octets([5; 16]),
        enrolment_key: bed.fresh_key(),
        expires_at: bed.now,
        now: bed.now,
    };
    assert!(!tell!(bed, SetEnrolment, nobody));
}

pub(in crate::store) fn contracts_need_their_pos_and_institution(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let contract = ContractRow {
        id: ContractId::fresh(bed.now, bed.entropy()),
        pos: ours.pos,
        institution: named(INSTITUTION),
        number: named("4980099999"),
        enabled: false,
        created_at: bed.now,
    };
    let add = |contract: &ContractRow| AddContract { shop: ours.shop, contract: contract.clone() };
    let mut wrong = contract.clone();
    wrong.pos = PosId::from_octets([5; 16]);
    assert!(!tell!(bed, AddContract, add(&wrong)));
    let mut wrong = contract.clone();
    wrong.institution = named("nobody");
    assert!(!tell!(bed, AddContract, add(&wrong)));
    assert!(tell!(bed, AddContract, add(&contract)));
    let mut twice = contract.clone();
    twice.id = ContractId::fresh(bed.now, bed.entropy());
    assert!(!tell!(bed, AddContract, add(&twice)), "the same on this POS");
    twice.pos = bed.pos(ours.shop);
    assert!(tell!(bed, AddContract, add(&twice)), "another POS may");
    let found = bed.read().contracts(ours.shop).unwrap();
    let ids: Vec<_> = found.iter().map(|one| one.id).collect();
    assert_eq!(ids, [ours.contract, contract.id, twice.id]);
    let found = bed.read().contract(ours.shop, contract.id).unwrap();
    assert_eq!(found, Some(contract.clone()));
    let shop = bed.read().shop_of_contract(contract.id).unwrap();
    assert_eq!(shop, Some(ours.shop));
}

pub(in crate::store) fn switches_switch(bed: &mut Bed) {
    let ours = bed.ours.clone();
    for enabled in [false, true] {
        let verb =
            SetContractEnabled { shop: ours.shop, contract: ours.contract, enabled, now: bed.now };
        assert!(tell!(bed, SetContractEnabled, verb));
        let found = bed.read().contract(ours.shop, ours.contract).unwrap();
        assert_eq!(found.unwrap().enabled, enabled);
        let verb = SetInstitutionEnabled { institution: named(INSTITUTION), enabled, now: bed.now };
        assert!(tell!(bed, SetInstitutionEnabled, verb));
        assert_eq!(bed.read().institutions().unwrap()[0].enabled, enabled);
    }
    let verb = SetInstitutionEnabled { institution: named("nobody"), enabled: true, now: bed.now };
    assert!(!tell!(bed, SetInstitutionEnabled, verb));
    let verb = SetContractEnabled {
        shop: ours.shop,
        contract: ContractId::from_octets([5; 16]),
        enabled: true,
        now: bed.now,
    };
    assert!(!tell!(bed, SetContractEnabled, verb));
}

pub(in crate::store) fn a_seal_key_version_only_rises(bed: &mut Bed) {
    for (version, kept) in [(2, 2), (7, 7), (6, 7), (0, 7)] {
        let verb = RaiseSealKeyVersion { institution: named(INSTITUTION), version };
        assert!(tell!(bed, RaiseSealKeyVersion, verb));
        let rows = bed.read().institutions().unwrap();
        assert_eq!(rows[0].seal_key_version, kept);
    }
    let verb = RaiseSealKeyVersion { institution: named("nobody"), version: 1 };
    assert!(!tell!(bed, RaiseSealKeyVersion, verb));
}

pub(in crate::store) fn a_check_is_asked_once(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let key = bed.idempotency_key();
    let check = |bed: &mut Bed, fingerprint| BeginCheck {
        shop: ours.shop,
        claim: Claim { key: key.clone(), fingerprint },
        operation: bed.operation_id(),
        now: bed.now,
    };
    let first = check(bed, [1; 32]);
    let operation = first.operation;
    assert_eq!(tell!(bed, BeginCheck, first), CheckBegun::New);
    let again = check(bed, [1; 32]);
    let repeat = |kept: Option<&CheckKept>| CheckBegun::Repeat { operation, kept: kept.cloned() };
    assert_eq!(tell!(bed, BeginCheck, again.clone()), repeat(None));
    let other = check(bed, [2; 32]);
    assert_eq!(tell!(bed, BeginCheck, other), CheckBegun::KeyReused);
    let finish = |key: &IdempotencyKey, kept: Option<&CheckKept>| FinishCheck {
        shop: ours.shop,
        key: key.clone(),
        kept: kept.cloned(),
    };
    let first = CheckKept::Answer(b"{\"result\":\"sufficient\"}".as_slice().into());
    let second = CheckKept::Refusal { code: ErrorCode::EnvelopeUsed, field: None };
    for kept in [Some(&first), Some(&second), None] {
        tell!(bed, FinishCheck, finish(&key, kept));
        assert_eq!(tell!(bed, BeginCheck, again.clone()), repeat(Some(&first)), "the first stays");
    }
    // A key that was freed is claimed anew; a refusal is kept with its field.
    let mut freed = check(bed, [3; 32]);
    freed.claim.key = bed.idempotency_key();
    assert_eq!(tell!(bed, BeginCheck, freed.clone()), CheckBegun::New);
    tell!(bed, FinishCheck, finish(&freed.claim.key, None));
    freed.operation = bed.operation_id();
    assert_eq!(tell!(bed, BeginCheck, freed.clone()), CheckBegun::New);
    let refusal =
        CheckKept::Refusal { code: ErrorCode::EnvelopeUsed, field: Some("envelope".into()) };
    tell!(bed, FinishCheck, finish(&freed.claim.key, Some(&refusal)));
    let repeated = CheckBegun::Repeat { operation: freed.operation, kept: Some(refusal) };
    assert_eq!(tell!(bed, BeginCheck, freed), repeated);
    // A check's key is used up for everything else too.
    let mut sale = bed.sale(&ours);
    sale.key = key.clone();
    sale.fingerprint = [1; 32];
    assert!(matches!(bed.begin(&sale), Begun::Known(_)));
    let found = bed.read().under_key(ours.shop, &key).unwrap();
    assert_eq!(found, None, "there is no operation of this key");
}

pub(in crate::store) fn pruning_takes_what_has_served_its_time(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let sale = bed.sale(&ours);
    assert_eq!(bed.begin(&sale), Begun::New { version: 1 });
    let claim = Claim { key: bed.idempotency_key(), fingerprint: [1; 32] };
    let (signed_out, silent) = (bed.fresh_key(), bed.fresh_key());
    for key in [signed_out, silent] {
        let admitted = tell!(bed, OpenSession, bed.session(ours.shop, key));
        assert_eq!(admitted, Admitted::Yes);
    }
    let end =
        EndKey { shop: ours.shop, claim: Some(claim.clone()), key: signed_out.id(), now: bed.now };
    assert_eq!(tell!(bed, EndKey, end.clone()), KeyChanged::Yes);
    let rolled = bed.fresh_key();
    let roll = crate::store::verbs::RollKey {
        shop: ours.shop,
        claim: Claim { key: bed.idempotency_key(), fingerprint: [1; 32] },
        old: ours.signer.id(),
        old_ends_at: bed.now.plus(DAY),
        new: bed.key_row(ours.shop, rolled, KeyRole::Module),
        now: bed.now,
    };
    assert_eq!(tell!(bed, RollKey, roll), KeyChanged::Yes);
    let prune = |bed: &Bed, limit| Prune { now: bed.now, limit };
    assert_eq!(tell!(bed, Prune, prune(bed, 100)), 0, "all of it still serves");
    bed.pass(Duration::from_secs(900 + 3600));
    assert_eq!(tell!(bed, Prune, prune(bed, 100)), 0, "an hour of margin for clocks");
    bed.pass(Duration::from_secs(1));
    assert_eq!(tell!(bed, Prune, prune(bed, 0)), 0);
    assert_eq!(tell!(bed, Prune, prune(bed, 100)), 1, "the envelope has ended");
    let mut again = bed.sale(&ours);
    again.signer = rolled.id();
    if let Target::New(new) = &mut again.target {
        new.envelope = new_payment(&sale).envelope;
        new.envelope_not_after = new_payment(&sale).envelope_not_after;
    }
    assert_eq!(bed.begin(&again), Begun::New { version: 1 });
    bed.pass(30 * DAY);
    // Two claims, the second envelope, and the session that was signed out.
    assert_eq!(tell!(bed, Prune, prune(bed, 1)), 3);
    assert_eq!(tell!(bed, Prune, prune(bed, 1)), 1);
    assert_eq!(tell!(bed, Prune, prune(bed, 100)), 0);
    bed.pass(DAY);
    assert_eq!(tell!(bed, Prune, prune(bed, 100)), 1, "the one that fell silent");
    for key in [signed_out, silent] {
        assert_eq!(bed.read().key(key.id()).unwrap(), None);
    }
    let kept = bed.read().key(ours.signer.id()).unwrap();
    assert!(kept.is_some(), "a module key's record stays");
    assert!(bed.read().key(rolled.id()).unwrap().is_some());
    assert_eq!(bed.payment(&ours, new_payment(&sale).id).version, 1);
    assert_eq!(tell!(bed, EndKey, end), KeyChanged::NotFound);
}
