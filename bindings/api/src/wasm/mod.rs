//! The edge to JavaScript: what goes in and comes out, and what the host brings.
//!
//! Values cross as JSON, which the module reads and writes anyway: a second way to read a value would
//! have to be downloaded. An argument of the wrong type is a `TypeError` before anything is done.

#[cfg(feature = "wasm-connection")]
mod exports;
#[cfg(feature = "wasm-connection")]
mod host;
#[cfg(feature = "wasm-connection")]
mod journal;
#[cfg(feature = "wasm-connection")]
mod keys;
#[cfg(feature = "wasm-seal")]
mod seal;

use js_sys::{JSON, Object, TypeError};
use serde::Serialize;
use wasm_bindgen::prelude::JsValue;

#[cfg(feature = "wasm-connection")]
pub(crate) use exports::{Line, promise};
#[cfg(feature = "wasm-connection")]
pub(crate) use host::Host;

use crate::error::Error;
use crate::given::{FromJson, Json, Wrong};

/// Reads an argument.
pub(crate) fn read<T: FromJson>(name: &str, value: &JsValue) -> Result<T, JsValue> {
    let read = Json::read(&text_of(value)?).and_then(T::from_json);
    read.map_err(|wrong| refused(name, &wrong))
}

/// JSON says the same of what is left out and of what is none. It writes a half of a pair of
/// surrogates as an escape, which the reader refuses, where other ways would put another letter.
fn text_of(value: &JsValue) -> Result<String, JsValue> {
    let text: JsValue = JSON::stringify(value)?.into();
    Ok(text.as_string().unwrap_or_else(|| "null".into()))
}

#[cold]
fn refused(name: &str, wrong: &Wrong) -> JsValue {
    let (path, rule) = (wrong.path(), wrong.rule());
    let between = if path.is_empty() { "" } else { " " };
    TypeError::new(&[name, ": ", path, between, rule].concat()).into()
}

/// What a verb tells.
pub(crate) fn told<T: Serialize>(told: Result<T, Error>) -> Result<JsValue, JsValue> {
    match told {
        Ok(value) => object(&value),
        Err(error) => Err(thrown(&error)),
    }
}

fn object(value: &impl Serialize) -> Result<JsValue, JsValue> {
    JSON::parse(&super::records::json(value))
}

/// A JavaScript `Error` that carries the fields of this one.
pub(crate) fn thrown(error: &Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.to_string());
    thrown.set_name("PosError");
    match object(error) {
        Ok(fields) => Object::assign(thrown.as_ref(), &Object::from(fields)).into(),
        Err(broken) => broken,
    }
}
