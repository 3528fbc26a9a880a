//! The octets that `verify` takes have no form of their own in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pos_connect_api::json::{told, wrong_argument};
use pos_connect_api::{Error, json, verify};

pub(crate) fn by_json(arguments: &str) -> Result<String, Error> {
    let (answer_key, call_signature, status, headers, body) =
        json::arguments(arguments, |given| {
            let (answer_key, call_signature) =
                (given.take("answer_key")?, given.take("call_signature")?);
            let (status, headers) = (given.take("status")?, given.take("headers")?);
            Ok((answer_key, call_signature, status, headers, given.take("body")?))
        })?;
    let octets = |field, text: String| {
        STANDARD.decode(text).map_err(|_| wrong_argument(field, "must be base64 with padding"))
    };
    let signature = octets("call_signature", call_signature)?;
    told(&verify(answer_key, signature, status, headers, octets("body", body)?)?)
}
