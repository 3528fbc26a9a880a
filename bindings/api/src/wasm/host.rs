//! What the host brings: where keys and open calls are kept, and Ed25519.

use std::sync::Arc;

use js_sys::{Promise, Uint8Array};
use pos_connect::env::{EnvironmentError, Task};
use pos_connect::keys::Seed;
use pos_connect::protocol::key::{PublicKey, Signature};
use pos_connect::{Crypto, Stores};
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use zeroize::Zeroizing;

use super::journal::HostJournal;
use super::keys::HostKeys;

#[wasm_bindgen(typescript_custom_section)]
const STORE: &str = "import type { Store } from \"../store.js\";";

// Every method gives its value or a promise of it. `npm/src/store.d.ts` says what each does.
#[wasm_bindgen]
extern "C" {
    /// The class that the package's JavaScript defines.
    #[derive(Clone)]
    #[wasm_bindgen(typescript_type = "Store")]
    pub type Host;

    #[wasm_bindgen(method, catch)]
    pub(super) fn load(this: &Host) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn replace(this: &Host, old: JsValue, new: &str) -> Result<JsValue, JsValue>;

    /// What the open calls are kept in: the same of two stores whose calls are the same.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn texts(this: &Host) -> JsValue;
    #[wasm_bindgen(method, catch)]
    pub(super) fn calls(this: &Host) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = loadCall)]
    pub(super) fn load_call(this: &Host, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = replaceCall)]
    pub(super) fn replace_call(
        this: &Host,
        key: &str,
        old: JsValue,
        new: JsValue,
    ) -> Result<JsValue, JsValue>;

    /// The conversion of every value to a text.
    #[wasm_bindgen(catch, js_name = String)]
    fn text_of(value: &JsValue) -> Result<String, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn draw(this: &Host) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn sign(
        this: &Host,
        key: Option<Box<[u8]>>,
        secret: Option<Box<[u8]>>,
        octets: &[u8],
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn verify(this: &Host, key: &[u8], octets: &[u8], signature: &[u8])
    -> Result<JsValue, JsValue>;
}

impl Host {
    /// What a connection is made of; beside others whose open calls are the same.
    pub(crate) fn stores(&self, others: Option<&Stores>) -> Stores {
        let keys = Arc::new(HostKeys(self.clone()));
        let crypto = Arc::new(HostCrypto(self.clone()));
        match others {
            Some(others) => others.sharing(keys, crypto),
            None => Stores::new(keys, Arc::new(HostJournal::new(self.clone())), crypto),
        }
    }
}

/// What the host threw, as far as it can be said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Thrown(String);

impl Thrown {
    /// What is wrong with what it gave.
    pub(super) fn because(why: &str) -> Self {
        Self(why.into())
    }

    /// For the log: a name and a message, or the text of whatever was thrown instead.
    pub(super) fn new(thrown: &JsValue) -> Self {
        Self(text_of(thrown).unwrap_or_else(|_| "something without a text was thrown".into()))
    }
}

/// How often a change is tried while others write between: far more than share a storage.
const TRIES: usize = 100;

/// Tries a change of what the host keeps until it was made, but not for ever: a host whose `replace`
/// never takes would keep the whole program busy. `once` gives none where somebody else wrote between.
pub(super) async fn tried<T, E: From<Thrown>>(
    mut once: impl AsyncFnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    for _ in 0..TRIES {
        if let Some(done) = once().await? {
            return Ok(done);
        }
    }
    Err(Thrown::because("`replace` said again and again that something else is kept").into())
}

/// What a method of the host gives in the end.
pub(super) async fn settled(given: Result<JsValue, JsValue>) -> Result<JsValue, Thrown> {
    let settled = match given {
        Ok(given) => JsFuture::from(Promise::resolve(&given)).await,
        thrown => thrown,
    };
    settled.map_err(|thrown| Thrown::new(&thrown))
}

/// A text, or none.
pub(super) fn text(given: &JsValue) -> Result<Option<String>, Thrown> {
    match given.as_string() {
        None if !(given.is_null() || given.is_undefined()) => {
            Err(Thrown::because("neither a text nor null was given"))
        }
        text => Ok(text),
    }
}

/// Reads what this module wrote.
pub(super) fn of_json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    // As octets, which is how answers come: the parser of texts is another one.
    serde_json::from_slice(text.as_bytes())
}

/// Who draws keys, signs and verifies.
pub(super) struct HostCrypto(pub(super) Host);

impl Crypto for HostCrypto {
    fn draw(&self) -> Task<'_, Result<Seed, EnvironmentError>> {
        Box::pin(async {
            let drawn = settled(self.0.draw()).await.map_err(|_| EnvironmentError::Key)?;
            let octets = Zeroizing::new(Uint8Array::new(&drawn).to_vec());
            let (public, secret) = octets.split_first_chunk::<32>().ok_or(EnvironmentError::Key)?;
            let public = PublicKey::from_octets(public).map_err(|_| EnvironmentError::Key)?;
            Ok(Seed::new(public, secret.try_into().ok().map(Zeroizing::new)))
        })
    }

    fn sign(
        &self,
        key: Option<PublicKey>,
        secret: Option<&[u8; 32]>,
        octets: &[u8],
    ) -> Task<'_, Result<Signature, EnvironmentError>> {
        let boxed = |octets: &[u8; 32]| octets.as_slice().into();
        let (key, secret) = (key.map(|key| boxed(key.octets())), secret.map(boxed));
        let asked = self.0.sign(key, secret, octets);
        Box::pin(async {
            let signature = settled(asked).await.map_err(|_| EnvironmentError::Key)?;
            let signature = Uint8Array::new(&signature).to_vec().try_into();
            signature.map(Signature::from_octets).map_err(|_| EnvironmentError::Key)
        })
    }

    fn verify(&self, key: &PublicKey, octets: &[u8], signature: &Signature) -> Task<'_, bool> {
        let asked = self.0.verify(key.octets(), octets, signature.octets());
        Box::pin(async { matches!(settled(asked).await, Ok(told) if told.is_truthy()) })
    }
}
