//! The exports. `npm/src/crypto.js` does the same by WebCrypto.

use pos_protocol::key::{PublicKey, Signature, SigningKey};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// A fresh key: its public half, then its secret octets.
#[wasm_bindgen(skip_typescript)]
pub fn draw() -> Result<Vec<u8>, JsError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let key = SigningKey::from_seed(&secret);
    Ok([*key.public().octets(), secret].concat())
}

/// The public half of these secret octets.
#[wasm_bindgen(skip_typescript, js_name = publicOf)]
pub fn public_of(secret: &[u8]) -> Result<Vec<u8>, JsError> {
    let key = SigningKey::from_seed(secret.try_into()?);
    Ok(key.public().octets().to_vec())
}

/// The signature by these secret octets.
#[wasm_bindgen(skip_typescript)]
pub fn sign(secret: &[u8], octets: &[u8]) -> Result<Vec<u8>, JsError> {
    let key = SigningKey::from_seed(secret.try_into()?);
    Ok(key.sign(octets).octets().to_vec())
}

/// Whether the key has signed the octets.
#[wasm_bindgen(skip_typescript)]
pub fn verify(key: &[u8], octets: &[u8], signature: &[u8]) -> Result<bool, JsError> {
    let key = PublicKey::from_octets(key.try_into()?)?;
    let signature = Signature::from_octets(signature.try_into()?);
    Ok(key.verify(octets, &signature).is_ok())
}
