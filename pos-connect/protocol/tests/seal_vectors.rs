//! `tests/vectors/seal.json` and `rfc9180.json`: our sealing against its own golden file, and the
//! suite against the RFC's numbers.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected stops there")]

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use pos_protocol::Timestamp;
use pos_protocol::key::PublicKey;
use pos_protocol::money::Money;
use pos_protocol::seal::{
    Binding, Envelope, Instrument, InvalidKeySet, OpenError, SealKey, SealKeySet, SealSecretKey,
    SignedSealKeySet, info, open, seal,
};
use pos_protocol::text::{base64url, fixed_from_base64url};
use pos_protocol::wire::read_body;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[path = "support/seal_vectors.rs"]
mod seal_vectors;

fn file(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");
    serde_json::from_slice(&std::fs::read(format!("{folder}{name}")).unwrap()).unwrap()
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

fn secret(value: &Value) -> SealSecretKey {
    SealSecretKey::from_octets(&fixed_from_base64url(text(value)).unwrap())
}

fn binding(value: &Value) -> Binding {
    Binding {
        institution: read(&value["institution"]),
        contract_number: read(&value["contract_number"]),
        operation: read(&value["operation"]),
        order_id: read(&value["order_id"]),
        money: Money { amount: read(&value["amount"]), currency: read(&value["currency"]) },
    }
}

#[test]
fn the_file_is_what_this_build_writes() {
    assert!(
        file("seal.json") == seal_vectors::build(),
        "sealing has changed: if it was meant, write the vectors anew and say so in the protocol"
    );
}

#[test]
fn every_sealed_case_repeats_and_opens() {
    let file = file("seal.json");
    let secret = secret(&file["seal_key"]["secret"]);
    let key = SealKey::new(secret.public(), Timestamp::from_ms(u64::MAX));
    for case in list(&file["sealed"]) {
        let binding = binding(&case["binding"]);
        let instrument = Instrument::from_json(text(&case["plaintext"]).as_bytes()).unwrap();
        let entropy = fixed_from_base64url(text(&case["entropy"])).unwrap();
        let not_after: Timestamp = read(&case["not_after_ms"]);
        let envelope: Envelope = read(&case["envelope"]);
        assert_eq!(seal(&instrument, &binding, not_after, &key, &entropy).unwrap(), envelope);
        assert_eq!(base64url(&envelope.sha256()), text(&case["sha256"]));
        assert_eq!(base64url(&binding.aad(not_after, envelope.rand())), text(&case["aad"]));
        assert_eq!(base64url(&info(&binding.institution, key.key_id)), text(&case["info"]));
        let opened = open(&envelope, &binding, &secret).unwrap();
        assert_eq!(std::str::from_utf8(&opened.to_json()).unwrap(), text(&case["plaintext"]));
    }
}

#[test]
fn what_must_not_open_does_not() {
    let file = file("seal.json");
    for case in list(&file["must_not_open"]) {
        let envelope: Envelope = read(&case["envelope"]);
        let refusal = open(&envelope, &binding(&case["binding"]), &secret(&case["secret"]));
        let found = match refusal.expect_err(text(&case["name"])) {
            OpenError::Instrument(_) => "instrument",
            OpenError::NotForThis => "not_for_this",
            OpenError::OtherKey { .. } => "other_key",
        };
        assert_eq!(found, text(&case["error"]), "{}", case["name"]);
    }
    for case in list(&file["malformed_envelopes"]) {
        let envelope = case["envelope"].to_string();
        assert!(read_body::<Envelope>(envelope.as_bytes()).is_err(), "{}", case["name"]);
    }
    for case in list(&file["refused_instruments"]) {
        let refusal = Instrument::from_json(text(&case["json"]).as_bytes()).unwrap_err();
        assert_eq!(refusal.field, text(&case["field"]), "{}", case["json"]);
    }
}

#[test]
fn key_sets_are_taken_and_refused_as_written() {
    let file = file("seal.json");
    let root: PublicKey = read(&file["root"]["public"]);
    let verify = |case: &Value, institution: &Value| {
        read::<SignedSealKeySet>(&case["signed"]).verify(
            &root,
            &read(institution),
            read(&case["now_ms"]),
            read(&case["last_seen_version"]),
        )
    };
    let good = &file["key_set"];
    let set = verify(good, &good["payload"]["institution"]).unwrap();
    assert_eq!(set, read::<SealKeySet>(&good["payload"]));
    for case in list(&file["key_set_takes"]) {
        let mut envelope = file["sealed"][0]["envelope"].clone();
        for member in ["key_id", "not_after_ms"] {
            envelope[member] = case[member].clone();
        }
        assert_eq!(set.takes(&read(&envelope)), case["is_taken"], "{case}");
    }
    for case in list(&file["refused_key_sets"]) {
        let found = match verify(case, &case["institution"]).expect_err(text(&case["name"])) {
            InvalidKeySet::BadSignature(_) => "bad_signature",
            InvalidKeySet::Expired => "expired",
            InvalidKeySet::Foreign { .. } => "foreign",
            InvalidKeySet::Keys => "keys",
            InvalidKeySet::Malformed => "malformed",
            InvalidKeySet::Older { .. } => "older",
            InvalidKeySet::Payload(_) => "payload",
        };
        assert_eq!(found, text(&case["error"]), "{}", case["name"]);
    }
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Gives out the vector's `ikmE` where the crate would draw at random.
struct Fixed(Vec<u8>);

impl TryRng for Fixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("ikmE is drawn as octets")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("ikmE is drawn as octets")
    }

    fn try_fill_bytes(&mut self, wanted: &mut [u8]) -> Result<(), Self::Error> {
        wanted.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

/// The suite, through the crate exactly as `seal` and `open` use it, gives the RFC's numbers.
#[test]
fn the_suite_is_that_of_rfc_9180_a_2() {
    let file = file("rfc9180.json");
    let (secret, public) = X25519HkdfSha256::derive_keypair(&hex(&file["ikm_r"]));
    // Compared as keys: the crate clamps what it writes, the RFC prints the octets before.
    let printed = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&hex(&file["sk_rm"])).unwrap();
    assert!(secret == printed);
    assert_eq!(public.to_bytes()[..], hex(&file["pk_rm"])[..]);
    let info = hex(&file["info"]);
    let (enc, mut sender) = hpke::setup_sender_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &public, &info, &mut Fixed(hex(&file["ikm_e"])))
    .unwrap();
    assert_eq!(enc.to_bytes()[..], hex(&file["enc"])[..]);
    let enc = Deserializable::from_bytes(&hex(&file["enc"])).unwrap();
    let mut receiver = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret,
        &enc,
        &info,
    )
    .unwrap();
    for case in list(&file["exports"]) {
        let mut value = vec![0; 32];
        sender.export(&hex(&case["context"]), &mut value).unwrap();
        assert_eq!(value, hex(&case["value"]));
    }
    let plaintext = hex(&file["pt"]);
    let mut sequence = 0;
    for case in list(&file["encryptions"]) {
        while sequence < case["sequence"].as_u64().unwrap() {
            let filler = sender.seal(b"", b"").unwrap();
            receiver.open(&filler, b"").unwrap();
            sequence += 1;
        }
        let (aad, expected) = (hex(&case["aad"]), hex(&case["ct"]));
        assert_eq!(sender.seal(&plaintext, &aad).unwrap(), expected, "sequence {sequence}");
        assert_eq!(receiver.open(&expected, &aad).unwrap(), plaintext, "sequence {sequence}");
        sequence += 1;
    }
}
