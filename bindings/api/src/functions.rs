//! What needs no connection.

#[cfg(not(target_arch = "wasm32"))]
use std::collections::HashMap;

use pos_connect::protocol::key::PublicKey;
#[cfg(not(target_arch = "wasm32"))]
use pos_connect::protocol::key::Signature;
use pos_connect::protocol::seal::InvalidKeySet;
use pos_connect::{ErrorKind, ModuleCode, SealError, SignedSealKeySet};

use crate::error::{Error, Retry};
use crate::records::{Instrument, SealBinding, json, read, read_json};

/// Seals what the shopper pays with to the institution of the binding, and gives the envelope as the
/// JSON text that an order takes. It belongs into the shopper's page, a wallet or a test: a shop's
/// server never sees an instrument.
///
/// `seal_keys` and `seal_root` come with a quote or with the methods; whoever has the root from the
/// institution itself takes that one.
///
/// # Errors
/// `FixTheRequest` naming the field of the instrument or binding; `Wait` (`seal_keys_refused`, with
/// the advice `NewQuote`) when the keys have ended: fetch them again by a quote; `GiveUp`
/// (`seal_keys_refused`) when they are not the institution's: tell the operator.
#[cfg_attr(feature = "uniffi", uniffi::export)]
pub fn seal(
    instrument: Instrument,
    binding: SealBinding,
    seal_keys: String,
    seal_root: String,
) -> Result<String, Error> {
    let (instrument, binding) = (instrument.read()?, binding.read()?);
    let keys: SignedSealKeySet = read_json("seal_keys", &seal_keys)?;
    let root: PublicKey = read("seal_root", &seal_root)?;
    let envelope = pos_connect::seal(&instrument, &binding, &keys, &root);
    envelope.map(|envelope| json(&envelope)).map_err(|cause| {
        let refused = ModuleCode::SealKeysRefused;
        match &cause {
            SealError::Environment(_) => Error::module(ModuleCode::Environment, Some(&cause)),
            SealError::KeySet(InvalidKeySet::Expired) | SealError::NoKey(_) => {
                Error::module_as(ErrorKind::Wait, refused, Some(&cause)).retried_by(Retry::NewQuote)
            }
            SealError::KeySet(_) | SealError::Unusable(_) => Error::module(refused, Some(&cause)),
        }
    })
}

/// Proves that the server gave this answer to the call with this signature, and gives the server's
/// time in milliseconds since 1970: for those who bring their own sender. `headers` holds the values
/// of each header field under its lower-case name; `status` and `body` are as received.
///
/// # Errors
/// `FixTheRequest` for a key or signature that is none; `AskForStatus` (`answer_unverified`) when
/// the answer is not to be believed: the outcome of a payment is then unknown.
#[cfg(not(target_arch = "wasm32"))]
#[cfg_attr(feature = "uniffi", uniffi::export)]
pub fn verify(
    answer_key: String,
    call_signature: Vec<u8>,
    status: u16,
    headers: HashMap<String, Vec<String>>,
    body: Vec<u8>,
) -> Result<u64, Error> {
    let key: PublicKey = read("answer_key", &answer_key)?;
    let octets: [u8; 64] = call_signature
        .try_into()
        .map_err(|_| Error::argument("call_signature", &"must be 64 octets"))?;
    let values =
        |name: &'static str| headers.get(name).into_iter().flatten().map(|value| value.as_bytes());
    pos_connect::verify(&key, &Signature::from_octets(octets), status, values, &body)
        .map(|time| time.as_ms())
        .map_err(|cause| {
            let kind = ErrorKind::AskForStatus;
            Error::module_as(kind, ModuleCode::AnswerUnverified, Some(&cause))
        })
}
