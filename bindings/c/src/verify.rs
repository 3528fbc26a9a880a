//! The octets that `verify` takes have no form of their own in JSON.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pos_connect_api::json::{read, told, wrong_argument};
use pos_connect_api::{Error, verify};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    answer_key: String,
    call_signature: String,
    status: u16,
    headers: HashMap<String, Vec<String>>,
    body: String,
}

pub(crate) fn by_json(arguments: &str) -> Result<String, Error> {
    let Arguments { answer_key, call_signature, status, headers, body } =
        read("arguments", arguments)?;
    let octets = |field, text: String| {
        STANDARD.decode(text).map_err(|_| wrong_argument(field, "must be base64 with padding"))
    };
    let signature = octets("call_signature", call_signature)?;
    told(&verify(answer_key, signature, status, headers, octets("body", body)?)?)
}
