//! Registration, sign-in and keys (`wire.md` 3).

use std::time::Duration;

use pos_protocol::ErrorCode;
use pos_protocol::id::PosId;
use pos_protocol::key::PublicKey;
use pos_protocol::wire::KeyRole;

use super::bed::{Bed, tell};
use crate::store::rows::{EnrolmentRow, KeyRow};
use crate::store::verbs::{
    Admitted, BeginCheck, Begun, CheckBegun, Claim, CountLogin, EndKey, KeepRefusal, KeyChanged,
    RollKey, TouchKey,
};

const MINUTE: Duration = Duration::from_secs(60);

fn key(bed: &Bed, key: PublicKey) -> KeyRow {
    let found = bed.read().key(key.id()).unwrap();
    found.expect("the key is registered")
}

fn touch(bed: &mut Bed, public: PublicKey, idle_after: Option<Duration>) {
    let verb = TouchKey {
        shop: bed.ours.shop,
        key: public.id(),
        now: bed.now,
        idle_at: idle_after.map(|span| bed.now.plus(span)),
    };
    tell!(bed, TouchKey, verb);
}

fn roll(bed: &mut Bed, old: PublicKey, new: PublicKey) -> RollKey {
    let shop = bed.ours.shop;
    RollKey {
        shop,
        claim: Claim { key: bed.idempotency_key(), fingerprint: bed.digest() },
        old: old.id(),
        old_ends_at: bed.now.plus(24 * 60 * MINUTE),
        new: bed.key_row(shop, new, KeyRole::Module),
        now: bed.now,
    }
}

fn end(bed: &mut Bed, public: PublicKey) -> EndKey {
    EndKey {
        shop: bed.ours.shop,
        claim: Some(Claim { key: bed.idempotency_key(), fingerprint: bed.digest() }),
        key: public.id(),
        now: bed.now,
    }
}

pub(in crate::store) fn an_enrolment_code_is_spent_once(bed: &mut Bed) {
    let (shop, user) = bed.shop();
    let code = bed.enrol(shop);
    let expires_at = bed.now.plus(10 * MINUTE);
    let login = bed.read().login(user).unwrap().unwrap();
    assert_eq!(
        login.enrolment,
        Some(EnrolmentRow { enrolment_key: code, expires_at, spent_for: None })
    );
    let module = bed.fresh_key();
    let mut verb = bed.registration(shop, code, module);
    verb.key.pos = Some(PosId::from_octets([5; 16]));
    assert_eq!(tell!(bed, Register, verb.clone()), Admitted::Yes);
    assert_eq!(key(bed, module), verb.key);
    let login = bed.read().login(user).unwrap().unwrap();
    assert_eq!(login.password_hash.as_deref(), Some(&*verb.password_hash));
    let spent = login.enrolment.unwrap().spent_for;
    assert_eq!(spent, Some(module.id()));
    let thief = bed.fresh_key();
    let other = bed.registration(shop, code, thief);
    assert_eq!(tell!(bed, Register, other), Admitted::No);
    assert_eq!(bed.read().key(thief.id()).unwrap(), None);
    let wrong_code = bed.fresh_key();
    let guess = bed.registration(shop, wrong_code, thief);
    assert_eq!(tell!(bed, Register, guess), Admitted::No);
    let mut elsewhere = bed.registration(bed.ours.shop, code, thief);
    elsewhere.password_hash = "$argon2id$theirs".into();
    assert_eq!(tell!(bed, Register, elsewhere), Admitted::No);
    let login = bed.read().login(bed.ours.user).unwrap().unwrap();
    assert_ne!(login.password_hash.as_deref(), Some("$argon2id$theirs"));
}

pub(in crate::store) fn a_registration_repeats_until_the_keys_first_call(bed: &mut Bed) {
    let (shop, user) = bed.shop();
    let code = bed.enrol(shop);
    let module = bed.fresh_key();
    let first = bed.registration(shop, code, module);
    assert_eq!(tell!(bed, Register, first), Admitted::Yes);
    bed.pass(60 * MINUTE); // The code has ended, the repeat has not.
    let mut again = bed.registration(shop, code, module);
    again.password_hash = "$argon2id$again".into();
    assert_eq!(tell!(bed, Register, again.clone()), Admitted::Yes);
    let login = bed.read().login(user).unwrap().unwrap();
    assert_eq!(login.password_hash.as_deref(), Some("$argon2id$again"));
    let verb = TouchKey { shop, key: module.id(), now: bed.now, idle_at: None };
    tell!(bed, TouchKey, verb);
    assert_eq!(tell!(bed, Register, again), Admitted::No);
}

pub(in crate::store) fn an_enrolment_code_ends_and_is_replaced(bed: &mut Bed) {
    let (shop, _) = bed.shop();
    let module = bed.fresh_key();
    let code = bed.enrol(shop);
    bed.pass(10 * MINUTE);
    let late = bed.registration(shop, code, module);
    assert_eq!(tell!(bed, Register, late), Admitted::No);
    let second = bed.enrol(shop);
    let old = bed.registration(shop, code, module);
    assert_eq!(tell!(bed, Register, old), Admitted::No);
    let verb = bed.registration(shop, second, module);
    assert_eq!(tell!(bed, Register, verb.clone()), Admitted::Yes);
    bed.enrol(shop);
    assert_eq!(tell!(bed, Register, verb), Admitted::No, "replaced after it was spent");
}

pub(in crate::store) fn a_lost_key_is_replaced_by_a_new_code(bed: &mut Bed) {
    let ours = bed.ours.clone();
    touch(bed, ours.signer, None);
    // The same key with a new code: a new password for a shop that still has its key.
    let code = bed.enrol(ours.shop);
    let same = bed.registration(ours.shop, code, ours.signer);
    assert_eq!(tell!(bed, Register, same.clone()), Admitted::Yes);
    assert_eq!(tell!(bed, Register, same), Admitted::Yes, "and its repeat");
    let code = bed.enrol(ours.shop);
    let new = bed.fresh_key();
    let verb = bed.registration(ours.shop, code, new);
    assert_eq!(tell!(bed, Register, verb), Admitted::Yes);
    let keys = bed.read().keys(ours.shop).unwrap();
    assert_eq!(keys.len(), 2);
    let code = bed.enrol(ours.shop);
    let foreign = bed.theirs.signer;
    let verb = bed.registration(ours.shop, code, foreign);
    assert_eq!(tell!(bed, Register, verb), Admitted::No, "another shop's key");
    let session = bed.fresh_key();
    tell!(bed, OpenSession, bed.session(ours.shop, session));
    let verb = bed.registration(ours.shop, code, session);
    assert_eq!(tell!(bed, Register, verb), Admitted::No, "a session's key");
    assert_eq!(key(bed, session).role, KeyRole::Session);
}

pub(in crate::store) fn a_session_opens_once_and_ends(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let session = bed.fresh_key();
    let verb = bed.session(ours.shop, session);
    assert_eq!(tell!(bed, OpenSession, verb.clone()), Admitted::Yes);
    assert_eq!(key(bed, session), verb.key);
    assert_eq!(tell!(bed, OpenSession, verb.clone()), Admitted::Yes, "a repeat");
    touch(bed, session, Some(15 * MINUTE));
    assert_eq!(tell!(bed, OpenSession, verb), Admitted::No, "in use");
    let module = bed.session(ours.shop, ours.signer);
    assert_eq!(tell!(bed, OpenSession, module), Admitted::No, "a module's key");
    let foreign = bed.session(bed.theirs.shop, session);
    assert_eq!(tell!(bed, OpenSession, foreign), Admitted::No);
    let silent = bed.fresh_key();
    tell!(bed, OpenSession, bed.session(ours.shop, silent));
    bed.pass(15 * MINUTE);
    let replayed = bed.session(ours.shop, silent);
    assert_eq!(tell!(bed, OpenSession, replayed), Admitted::No, "silent too long");
    let nobody = pos_protocol::id::ShopId::from_octets([5; 16]);
    let stray = bed.fresh_key();
    assert_eq!(tell!(bed, OpenSession, bed.session(nobody, stray)), Admitted::No);
}

pub(in crate::store) fn an_ended_key_stays_ended(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let session = bed.fresh_key();
    let opening = bed.session(ours.shop, session);
    tell!(bed, OpenSession, opening.clone());
    let verb = end(bed, session);
    assert_eq!(tell!(bed, EndKey, verb), KeyChanged::Yes);
    assert_eq!(tell!(bed, OpenSession, opening), Admitted::No);
    touch(bed, session, Some(60 * MINUTE));
    let ended = key(bed, session);
    assert_eq!(ended.ended_at, Some(bed.now));
    assert!(!ended.is_live(bed.now));
    assert_eq!(ended.first_used_at, None);
    let verb = end(bed, ours.signer);
    assert_eq!(tell!(bed, EndKey, verb), KeyChanged::Yes);
    let code = bed.enrol(ours.shop);
    let verb = bed.registration(ours.shop, code, ours.signer);
    assert_eq!(tell!(bed, Register, verb), Admitted::No);
    let login = bed.read().login(ours.user).unwrap().unwrap();
    assert_eq!(login.enrolment.unwrap().spent_for, None, "nor is the code spent");
    let new = bed.fresh_key();
    let verb = roll(bed, ours.signer, new);
    assert_eq!(tell!(bed, RollKey, verb), KeyChanged::NotFound);
    assert_eq!(bed.read().key(new.id()).unwrap(), None);
}

pub(in crate::store) fn wrong_passwords_lock_until_the_time_is_over(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let lock_until = bed.now.plus(15 * MINUTE);
    let count = |bed: &Bed, right| CountLogin {
        shop: Some(ours.shop),
        right,
        limit: 3,
        lock_until: bed.now.plus(15 * MINUTE),
        now: bed.now,
    };
    let login = |bed: &Bed| {
        let login = bed.read().login(ours.user).unwrap().unwrap();
        (login.failures, login.locked_until)
    };
    assert_eq!(tell!(bed, CountLogin, count(bed, false)), None);
    assert_eq!(tell!(bed, CountLogin, count(bed, false)), None);
    assert_eq!(login(bed), (2, None));
    assert_eq!(tell!(bed, CountLogin, count(bed, true)), None);
    assert_eq!(login(bed), (0, None));
    for _ in 0..2 {
        assert_eq!(tell!(bed, CountLogin, count(bed, false)), None);
    }
    assert_eq!(tell!(bed, CountLogin, count(bed, false)), Some(lock_until));
    assert_eq!(login(bed), (3, Some(lock_until)));
    bed.pass(15 * MINUTE - Duration::from_millis(1));
    for right in [false, true] {
        assert_eq!(tell!(bed, CountLogin, count(bed, right)), Some(lock_until), "right: {right}");
    }
    assert_eq!(login(bed), (3, Some(lock_until)), "nothing counts, and the lock does not grow");
    bed.pass(Duration::from_millis(1));
    assert_eq!(tell!(bed, CountLogin, count(bed, false)), None, "the count begins anew");
    assert_eq!(login(bed), (1, None));
    let nobody = CountLogin { shop: None, ..count(bed, false) };
    assert_eq!(tell!(bed, CountLogin, nobody), None);
    let other = bed.read().login(bed.theirs.user).unwrap().unwrap();
    assert_eq!((other.failures, login(bed)), (0, (1, None)));
}

pub(in crate::store) fn a_new_password_ends_the_sessions_of_the_old_one(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let (session, theirs) = (bed.fresh_key(), bed.fresh_key());
    tell!(bed, OpenSession, bed.session(ours.shop, session));
    tell!(bed, OpenSession, bed.session(bed.theirs.shop, theirs));
    let code = bed.enrol(ours.shop);
    let guess = bed.fresh_key();
    let wrong = bed.registration(ours.shop, guess, ours.signer);
    assert_eq!(tell!(bed, Register, wrong), Admitted::No);
    assert!(key(bed, session).is_live(bed.now), "a refused one ends nothing");
    let changed = bed.registration(ours.shop, code, ours.signer);
    assert_eq!(tell!(bed, Register, changed.clone()), Admitted::Yes);
    assert_eq!(key(bed, session).ended_at, Some(bed.now));
    assert!(key(bed, theirs).is_live(bed.now), "another shop's");
    let after = bed.fresh_key();
    tell!(bed, OpenSession, bed.session(ours.shop, after));
    assert_eq!(tell!(bed, Register, changed), Admitted::Yes, "the repeat of a lost answer");
    assert!(key(bed, after).is_live(bed.now), "changes nothing any more");
}

pub(in crate::store) fn a_touch_moves_the_silence_limit_of_live_keys_only(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let session = bed.fresh_key();
    tell!(bed, OpenSession, bed.session(ours.shop, session));
    bed.pass(10 * MINUTE);
    let first = bed.now;
    touch(bed, session, Some(15 * MINUTE));
    let row = key(bed, session);
    assert_eq!(row.first_used_at, Some(first));
    assert_eq!(row.idle_at, Some(first.plus(15 * MINUTE)));
    bed.pass(MINUTE);
    touch(bed, session, Some(MINUTE));
    let row = key(bed, session);
    assert_eq!(row.first_used_at, Some(first), "the first stays the first");
    assert_eq!(row.idle_at, Some(first.plus(15 * MINUTE)), "never back");
    bed.pass(14 * MINUTE);
    touch(bed, session, Some(15 * MINUTE));
    assert!(!key(bed, session).is_live(bed.now), "too late");
    touch(bed, ours.signer, None);
    let row = key(bed, ours.signer);
    assert_eq!((row.first_used_at, row.idle_at), (Some(bed.now), None));
    touch(bed, ours.signer, Some(MINUTE));
    assert_eq!(key(bed, ours.signer).idle_at, None, "a module key has none");
}

pub(in crate::store) fn a_key_rolls_to_its_successor(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let new = bed.fresh_key();
    let verb = roll(bed, ours.signer, new);
    assert_eq!(tell!(bed, RollKey, verb.clone()), KeyChanged::Yes);
    assert_eq!(key(bed, new), verb.new);
    assert_eq!(key(bed, ours.signer).ends_at, Some(verb.old_ends_at));
    bed.pass(MINUTE);
    assert_eq!(tell!(bed, RollKey, verb.clone()), KeyChanged::Yes, "a repeat");
    let mut reused = verb.clone();
    reused.claim.fingerprint = [8; 32];
    assert_eq!(tell!(bed, RollKey, reused), KeyChanged::KeyReused);
    let later = roll(bed, ours.signer, new);
    assert_eq!(tell!(bed, RollKey, later), KeyChanged::Yes, "it is so already");
    assert_eq!(
        key(bed, ours.signer).ends_at,
        Some(verb.old_ends_at),
        "the old key's end does not move away"
    );
    let third = bed.fresh_key();
    let further = roll(bed, new, third);
    assert_eq!(tell!(bed, RollKey, further), KeyChanged::Yes);
    let taken = roll(bed, ours.signer, third);
    assert_eq!(tell!(bed, RollKey, taken), KeyChanged::Taken, "another's successor");
    let foreign = bed.theirs.signer;
    let taken = roll(bed, new, foreign);
    assert_eq!(tell!(bed, RollKey, taken.clone()), KeyChanged::Taken);
    let mut after_refusal = taken;
    after_refusal.new.public = bed.fresh_key();
    let changed = tell!(bed, RollKey, after_refusal);
    assert_eq!(changed, KeyChanged::Yes, "a refusal leaves the key free");
    bed.pass(24 * 60 * MINUTE);
    let late = bed.fresh_key();
    let verb = roll(bed, ours.signer, late);
    assert_eq!(tell!(bed, RollKey, verb), KeyChanged::NotFound, "its time is over");
}

pub(in crate::store) fn a_key_ends_once(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let session = bed.fresh_key();
    tell!(bed, OpenSession, bed.session(ours.shop, session));
    let verb = end(bed, session);
    assert_eq!(tell!(bed, EndKey, verb.clone()), KeyChanged::Yes);
    let at = bed.now;
    bed.pass(MINUTE);
    assert_eq!(tell!(bed, EndKey, verb.clone()), KeyChanged::Yes, "a repeat");
    let again = end(bed, session);
    assert_eq!(tell!(bed, EndKey, again), KeyChanged::Yes, "by another call");
    assert_eq!(key(bed, session).ended_at, Some(at));
    let mut reused = verb;
    if let Some(claim) = &mut reused.claim {
        claim.fingerprint = [8; 32];
    }
    assert_eq!(tell!(bed, EndKey, reused), KeyChanged::KeyReused);
    let stranger = bed.fresh_key();
    let verb = end(bed, stranger);
    assert_eq!(tell!(bed, EndKey, verb.clone()), KeyChanged::NotFound);
    let by_operator = EndKey { claim: None, key: ours.signer.id(), ..verb };
    assert_eq!(tell!(bed, EndKey, by_operator), KeyChanged::Yes);
    assert!(!key(bed, ours.signer).is_live(bed.now));
}

pub(in crate::store) fn management_keys_and_payment_keys_are_one_space(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let sale = bed.sale(&ours);
    assert_eq!(bed.begin(&sale), Begun::New { version: 1 });
    let claim = Claim { key: sale.key.clone(), fingerprint: sale.fingerprint };
    let new = bed.fresh_key();
    let mut rolling = roll(bed, ours.signer, new);
    let free = rolling.claim.clone();
    rolling.claim = claim.clone();
    assert_eq!(tell!(bed, RollKey, rolling.clone()), KeyChanged::KeyReused);
    let mut ending = end(bed, ours.signer);
    ending.claim = Some(claim.clone());
    assert_eq!(tell!(bed, EndKey, ending), KeyChanged::KeyReused);
    let check = BeginCheck { shop: ours.shop, claim, operation: bed.operation_id(), now: bed.now };
    assert_eq!(tell!(bed, BeginCheck, check), CheckBegun::KeyReused);
    rolling.claim = free.clone();
    assert_eq!(tell!(bed, RollKey, rolling), KeyChanged::Yes);
    let refusal = KeepRefusal {
        shop: ours.shop,
        key: free.key.clone(),
        fingerprint: [1; 32],
        code: ErrorCode::Busy,
        field: None,
        now: bed.now,
    };
    let stands = tell!(bed, KeepRefusal, refusal).expect("the key is used");
    assert_eq!(stands.fingerprint(), Some(&free.fingerprint));
    let mut sale = bed.sale(&ours);
    sale.key = free.key.clone();
    let Begun::Known(under) = bed.begin(&sale) else {
        panic!("the key is used");
    };
    assert_eq!(under.fingerprint(), Some(&free.fingerprint));
    let found = bed.read().payment_of_order(ours.shop, &super::bed::new_payment(&sale).order_id);
    assert_eq!(found.unwrap(), None);
}

pub(in crate::store) fn lists_show_the_keys_that_stand(bed: &mut Bed) {
    let ours = bed.ours.clone();
    bed.pass(MINUTE);
    let (silent, signed_out) = (bed.fresh_key(), bed.fresh_key());
    tell!(bed, OpenSession, bed.session(ours.shop, silent));
    tell!(bed, OpenSession, bed.session(ours.shop, signed_out));
    let verb = end(bed, signed_out);
    tell!(bed, EndKey, verb);
    let listed = |bed: &Bed| {
        let keys = bed.read().keys(ours.shop).unwrap();
        keys.into_iter().map(|key| key.public).collect::<Vec<_>>()
    };
    assert_eq!(listed(bed), [silent, ours.signer], "newest first");
    bed.pass(15 * MINUTE);
    let present = bed.fresh_key();
    tell!(bed, OpenSession, bed.session(ours.shop, present));
    assert_eq!(listed(bed), [present, ours.signer], "the silent one has ended");
    let row = key(bed, silent);
    assert_eq!(row.ended_at, row.idle_at);
    for _ in 0..100 {
        bed.pass(Duration::from_millis(1));
        let session = bed.fresh_key();
        tell!(bed, OpenSession, bed.session(ours.shop, session));
    }
    assert_eq!(listed(bed).len(), 100);
}
