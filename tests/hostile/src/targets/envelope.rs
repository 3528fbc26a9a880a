//! Sealed instruments: the envelope's form, what is sealed, and who opens it.

use pos_protocol::Timestamp;
use pos_protocol::key::SigningKey;
use pos_protocol::money::{Currency, Money};
use pos_protocol::seal::{
    Binding, Envelope, Instrument, InvalidKeySet, OpenError, SealKey, SealSecretKey,
    SealedOperation, SignedSealKeySet, open, seal,
};
use pos_protocol::wire::read_body;

const NOT_AFTER: Timestamp = Timestamp::from_secs(1_795_000_600);

fn secret() -> SealSecretKey {
    SealSecretKey::from_octets(&[0x66; 32])
}

fn binding() -> Binding {
    Binding {
        institution: "sakura-card".parse().expect("an id"),
        contract_number: "4980012345".parse().expect("a number"),
        operation: SealedOperation::Sale,
        order_id: "order-1".parse().expect("an id"),
        money: Money::new(1_200, Currency::JPY).expect("an amount"),
    }
}

pub(super) fn envelope(octets: &[u8]) {
    if let Ok(read) = read_body::<Envelope>(octets) {
        an_envelope(&read);
    }
    if let Ok(instrument) = Instrument::from_json(octets) {
        an_instrument(&instrument);
    }
    if let Ok(signed) = serde_json::from_slice::<SignedSealKeySet>(octets) {
        a_key_set(&signed);
    }
}

/// Whatever is in it, it is carried on as it came, and opens to nobody whom it was not sealed to.
fn an_envelope(read: &Envelope) {
    let written = serde_json::to_vec(read).expect("an envelope has a JSON form");
    let again: Envelope = read_body(&written).expect("what is written can be read");
    assert_eq!((&again, again.sha256()), (read, read.sha256()));
    let own = Envelope::new(
        secret().public().id(),
        *read.enc(),
        Box::new(*read.ct()),
        *read.rand(),
        read.not_after(),
    );
    // Nobody outside could make one for this key that opens: it is not in the corpus.
    assert_eq!(open(&own, &binding(), &secret()).err(), Some(OpenError::NotForThis));
}

fn an_instrument(instrument: &Instrument) {
    let json = instrument.to_json();
    assert!(json.len() <= 512, "{} octets", json.len());
    let again = Instrument::from_json(&json).expect("what is written can be read");
    assert_eq!(*again.to_json(), *json);
    // No text that is meant for a log shows the number.
    let number = match instrument {
        Instrument::Card(card) => card.number(),
        Instrument::Account(account) => account.number(),
        Instrument::Prepaid(prepaid) => prepaid.number(),
    };
    let shown = format!("{instrument:?}");
    assert!(number.len() < 6 || !shown.contains(number), "{shown}");

    let key = SealKey::new(secret().public(), NOT_AFTER);
    let entropy = std::array::from_fn(|at| json.get(at).copied().unwrap_or_default());
    let sealed = seal(instrument, &binding(), NOT_AFTER, &key, &entropy).expect("a good key");
    let opened = open(&sealed, &binding(), &secret()).expect("sealed for this");
    assert_eq!(*opened.to_json(), *json);
    for other in others() {
        assert_eq!(
            open(&sealed, &other, &secret()).err(),
            Some(OpenError::NotForThis),
            "{other:?}"
        );
    }
    for bent in bent(&sealed, usize::from(entropy[5])) {
        assert!(open(&bent, &binding(), &secret()).is_err(), "{bent:?}");
        assert_ne!(bent.sha256(), sealed.sha256());
    }
}

/// Every other binding in one part.
fn others() -> [Binding; 6] {
    [
        Binding { institution: "sakura-cart".parse().expect("an id"), ..binding() },
        Binding { contract_number: "4980012346".parse().expect("a number"), ..binding() },
        Binding { operation: SealedOperation::Authorise, ..binding() },
        Binding { order_id: "order-2".parse().expect("an id"), ..binding() },
        Binding { money: Money::new(1_201, Currency::JPY).expect("an amount"), ..binding() },
        Binding { money: Money::new(1_200, Currency::USD).expect("an amount"), ..binding() },
    ]
}

/// Every part with one bit of another kind.
fn bent(sealed: &Envelope, at: usize) -> [Envelope; 4] {
    let make = |enc, ct, rand, not_after| {
        Envelope::new(sealed.key_id(), enc, Box::new(ct), rand, not_after)
    };
    let (mut enc, mut ct, mut rand) = (*sealed.enc(), *sealed.ct(), *sealed.rand());
    // The topmost bit of a point of X25519 is not looked at (RFC 7748 section 5), but it is hashed.
    enc[at % 32] ^= 1;
    ct[at % ct.len()] ^= 1;
    rand[at % 16] ^= 1;
    let later = Timestamp::from_ms(sealed.not_after().as_ms() + 1);
    [
        make(enc, *sealed.ct(), *sealed.rand(), sealed.not_after()),
        make(*sealed.enc(), ct, *sealed.rand(), sealed.not_after()),
        make(*sealed.enc(), *sealed.ct(), rand, sealed.not_after()),
        make(*sealed.enc(), *sealed.ct(), *sealed.rand(), later),
    ]
}

/// The root of `tests/vectors/seal.json` signs what the corpus begins with.
fn a_key_set(signed: &SignedSealKeySet) {
    let institution = binding().institution;
    let now = Timestamp::from_secs(1_795_000_000);
    let root = SigningKey::from_seed(&[0x11; 32]);
    let Ok(set) = signed.verify(&root.public(), &institution, now, 0) else { return };
    assert!((1..=16).contains(&set.keys.len()));
    assert!(set.not_after_ms > now && set.institution == institution);
    assert!(set.keys.iter().all(|key| key.key_id == key.public.id()));
    let older = signed.verify(&root.public(), &institution, now, set.version.saturating_add(1));
    assert!(set.version == u64::MAX || matches!(older, Err(InvalidKeySet::Older { .. })));
    let other = SigningKey::from_seed(&[0x56; 32]).public();
    assert!(signed.verify(&other, &institution, now, 0).is_err());
}
