//! What JavaScript calls beside the verbs.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use pos_connect::protocol::key::{PublicKey, Signature};
use pos_connect::{ErrorKind, ModuleCode};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::future_to_promise;

use super::host::{Host, HostCrypto};
use super::{read, thrown, told};
use crate::connection::Connection;
use crate::error::Error;
use crate::records;
use crate::records::Config;
use crate::store::Store;

/// A shop's line to the operator's server. All verbs may run at the same time.
///
/// It speaks as one: with the key of its store from the first verb on, or as the person who signed in
/// with `login` before any other verb.
///
/// Every verb may throw an `Error` of any kind, which says what to do: `FixTheRequest` for an argument
/// that cannot be, with its `field`; `Wait` where the server is not reached; `SignInAgain` where there
/// is no key or it has ended. Only about a payment can the outcome be unknown (`AskForStatus`).
///
/// A payment that is no longer awaited, because of a time limit of the program's own or because the page or the
/// request that it belongs to has gone, may have been made all the same. Give `pay` and its like a key of your
/// own, so that you can ask: `resume` that key, or those that `in_flight` names.
#[wasm_bindgen(js_name = Connection)]
pub struct Line(Rc<Connection>);

#[wasm_bindgen(js_class = Connection)]
impl Line {
    /// A line by these settings, with the keys and open payments of this store. Nothing is sent and
    /// nothing read yet.
    #[wasm_bindgen(constructor)]
    pub fn of_js(
        #[wasm_bindgen(unchecked_param_type = "Config")] config: JsValue,
        store: Host,
    ) -> Result<Self, JsValue> {
        let config: Config = read("config", &config)?;
        let line = Connection::new(config, Store::new(&store)).map_err(|error| thrown(&error))?;
        Ok(Self(Rc::new(line)))
    }

    pub(crate) fn line(&self) -> Rc<Connection> {
        Rc::clone(&self.0)
    }
}

/// A verb under way. All are one type here: promises of each verb's own would be code of its own.
pub(crate) fn promise(verb: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> JsValue {
    let verb: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>> = Box::pin(verb);
    future_to_promise(verb).into()
}

/// Proves that the server gave this answer to the call with this signature, and gives the server's
/// time in milliseconds since 1970.
#[expect(unreachable_pub, reason = "wasm-bindgen exports what is public")]
#[wasm_bindgen(skip_typescript)]
pub fn verify(
    host: Host,
    answer_key: JsValue,
    call_signature: Vec<u8>,
    status: JsValue,
    headers: JsValue,
    body: Vec<u8>,
) -> JsValue {
    promise(async move {
        let key: String = read("answerKey", &answer_key)?;
        let status: u16 = read("status", &status)?;
        let headers: HashMap<String, Vec<String>> = read("headers", &headers)?;
        let crypto = HostCrypto(host);
        let proved = async {
            let key: PublicKey = records::read("answer_key", &key)?;
            let octets: [u8; 64] = call_signature
                .try_into()
                .map_err(|_| Error::argument("call_signature", &"must be 64 octets"))?;
            let values = |name: &'static str| {
                headers.get(name).into_iter().flatten().map(|value| value.as_bytes())
            };
            let signature = Signature::from_octets(octets);
            pos_connect::verify_by(&crypto, &key, &signature, status, values, &body)
                .await
                .map(|time| time.as_ms())
                .map_err(|cause| {
                    let kind = ErrorKind::AskForStatus;
                    Error::module_as(kind, ModuleCode::AnswerUnverified, Some(&cause))
                })
        };
        told(proved.await)
    })
}
