use super::*;
use crate::money::Currency;

const NOT_AFTER: Timestamp = Timestamp::from_secs(1_795_000_600);

fn secret() -> SealSecretKey {
    SealSecretKey::from_octets(&[7; 32])
}

fn key() -> SealKey {
    SealKey::new(secret().public(), Timestamp::from_secs(1_800_000_000))
}

fn binding() -> Binding {
    Binding {
        institution: "sakura-card".parse().unwrap(),
        contract_number: "4980012345".parse().unwrap(),
        operation: SealedOperation::Sale,
        order_id: "order-1".parse().unwrap(),
        money: Money::new(1_200, Currency::JPY).unwrap(),
    }
}

fn card() -> Instrument {
    Instrument::Card(
        Card::new("4111111111111111", Expiry { year: 2030, month: 12 })
            .and_then(|card| card.with_security_code("123"))
            .unwrap(),
    )
}

fn envelope() -> Envelope {
    seal(&card(), &binding(), NOT_AFTER, &key(), &[1; 48]).unwrap()
}

fn json(envelope: &Envelope) -> serde_json::Value {
    serde_json::to_value(envelope).unwrap()
}

fn refused(envelope: &Envelope, binding: &Binding) -> OpenError {
    open(envelope, binding, &secret()).expect_err("must not open")
}

#[test]
fn what_is_sealed_opens_once_more() {
    let opened = open(&envelope(), &binding(), &secret()).unwrap();
    assert_eq!(*opened.to_json(), *card().to_json());
    let travelled = serde_json::from_value(json(&envelope())).unwrap();
    assert!(open(&travelled, &binding(), &secret()).is_ok());
}

#[test]
fn other_entropy_gives_other_octets_everywhere() {
    let other = seal(&card(), &binding(), NOT_AFTER, &key(), &[2; 48]).unwrap();
    assert_ne!(other.enc(), envelope().enc());
    assert_ne!(other.ct(), envelope().ct());
    assert_ne!(other.rand(), envelope().rand());
    assert_ne!(other.sha256(), envelope().sha256());
}

#[test]
fn each_field_of_the_binding_counts() {
    let base = binding();
    let others = [
        Binding { institution: "sakura-cars".parse().unwrap(), ..base.clone() },
        Binding { contract_number: "4980012346".parse().unwrap(), ..base.clone() },
        Binding { operation: SealedOperation::Authorise, ..base.clone() },
        Binding { operation: SealedOperation::Check, ..base.clone() },
        Binding { order_id: "order-2".parse().unwrap(), ..base.clone() },
        Binding { money: Money::new(1_201, Currency::JPY).unwrap(), ..base.clone() },
        Binding { money: Money::new(1_200, Currency::USD).unwrap(), ..base.clone() },
        // A character moved from one field into its neighbour.
        Binding {
            contract_number: "498001234".parse().unwrap(),
            order_id: "5order-1".parse().unwrap(),
            ..base.clone()
        },
    ];
    for other in others {
        assert_eq!(refused(&envelope(), &other), OpenError::NotForThis, "{other:?}");
    }
}

#[test]
fn the_envelopes_own_fields_count() {
    let good = json(&envelope());
    let later = NOT_AFTER.as_ms() + 1;
    for (member, other) in [
        ("not_after_ms", later.into()),
        ("rand", crate::text::base64url(&[9; 16]).into()),
        ("enc", crate::text::base64url(&[9; 32]).into()),
        ("ct", crate::text::base64url(&[9; CIPHERTEXT_OCTETS]).into()),
    ] {
        let mut altered = good.clone();
        altered[member] = other;
        let altered: Envelope = serde_json::from_value(altered).unwrap();
        assert_eq!(refused(&altered, &binding()), OpenError::NotForThis, "{member}");
    }
}

#[test]
fn every_flipped_bit_of_enc_ct_and_rand_is_noticed() {
    let good = envelope();
    let built = |enc, ct, rand| Envelope::new(good.key_id(), enc, ct, rand, NOT_AFTER);
    let flip = |octets: &mut [u8], bit: usize| octets[bit / 8] ^= 1 << (bit % 8);
    let ct = || Box::new(*good.ct());
    // X25519 ignores the top bit of a point: the key schedule must not.
    for bit in 0..256 {
        let mut enc = *good.enc();
        flip(&mut enc, bit);
        let altered = built(enc, ct(), *good.rand());
        assert_eq!(refused(&altered, &binding()), OpenError::NotForThis, "enc bit {bit}");
    }
    for octet in 0..CIPHERTEXT_OCTETS {
        let mut altered = ct();
        flip(&mut altered[..], octet * 8 + octet % 8);
        let altered = built(*good.enc(), altered, *good.rand());
        assert_eq!(refused(&altered, &binding()), OpenError::NotForThis, "ct octet {octet}");
    }
    for bit in 0..128 {
        let mut rand = *good.rand();
        flip(&mut rand, bit);
        let altered = built(*good.enc(), ct(), rand);
        assert_eq!(refused(&altered, &binding()), OpenError::NotForThis, "rand bit {bit}");
    }
}

#[test]
fn another_key_does_not_open_it_even_under_the_same_name() {
    let other = SealSecretKey::from_octets(&[8; 32]);
    let key_id = key().key_id;
    assert_eq!(open(&envelope(), &binding(), &other).unwrap_err(), OpenError::OtherKey { key_id });
    let good = envelope();
    let renamed = Envelope::new(
        other.public().id(),
        *good.enc(),
        Box::new(*good.ct()),
        *good.rand(),
        NOT_AFTER,
    );
    assert_eq!(open(&renamed, &binding(), &other).unwrap_err(), OpenError::NotForThis);
}

#[test]
fn points_of_small_order_are_refused_on_both_sides() {
    let weak = SealKey::new(SealPublicKey::from_octets([0; 32]), NOT_AFTER);
    let refusal = seal(&card(), &binding(), NOT_AFTER, &weak, &[1; 48]);
    assert_eq!(refusal, Err(UnusableKey { key_id: weak.key_id }));
    let good = envelope();
    let ct = Box::new(*good.ct());
    let altered = Envelope::new(good.key_id(), [0; 32], ct, *good.rand(), NOT_AFTER);
    assert_eq!(refused(&altered, &binding()), OpenError::NotForThis);
}

#[test]
fn contents_that_are_no_instrument_are_named_so() {
    let rand = [3; 16];
    let seal_octets = |plaintext: &[u8; PLAINTEXT_OCTETS]| {
        let (enc, ct) =
            hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &<X25519HkdfSha256 as Kem>::PublicKey::from_bytes(key().public.octets()).unwrap(),
                &info(&binding().institution, key().key_id),
                plaintext,
                &binding().aad(NOT_AFTER, &rand),
                &mut Drawn(&[4; 32]),
            )
            .unwrap();
        let ct = ct.try_into().unwrap();
        Envelope::new(key().key_id, enc.to_bytes().0, ct, rand, NOT_AFTER)
    };
    let mut plaintext = *card().to_plaintext();
    assert!(open(&seal_octets(&plaintext), &binding(), &secret()).is_ok());
    plaintext[511] = 0;
    let error = refused(&seal_octets(&plaintext), &binding());
    assert!(matches!(error, OpenError::Instrument(InvalidInstrument { field: "instrument", .. })));
}
