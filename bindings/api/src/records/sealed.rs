//! What goes through the shop as it is, as JSON text: an envelope, a set of seal keys.
//!
//! They are read as strictly as the server does it, by the reader of all that a host gives: a second one,
//! with errors that know the field, was 17 kB of what a page downloads.

use pos_connect::protocol::key::Signature;
use pos_connect::protocol::seal::{SUITE, SignedSealKeySet, VERSION};
use pos_connect::{Envelope, Timestamp};

use crate::given::{FromJson, Json, Wrong};

impl FromJson for Envelope {
    fn from_json(json: Json) -> Result<Self, Wrong> {
        json.fields(|fields| {
            fields.take_only("v", VERSION)?;
            fields.take_only("suite", SUITE)?;
            let (key_id, enc) = (fields.take_parsed("key_id")?, fields.take_octets("enc")?);
            let (ct, rand) = (fields.take_octets("ct")?, fields.take_octets("rand")?);
            let not_after = Timestamp::from_ms(fields.take("not_after_ms")?);
            Ok(Self::new(key_id, enc, Box::new(ct), rand, not_after))
        })
    }
}

impl FromJson for SignedSealKeySet {
    fn from_json(json: Json) -> Result<Self, Wrong> {
        json.fields(|fields| {
            let payload = fields.take("payload")?;
            let signature = Signature::from_octets(fields.take_octets("signature")?);
            // A later institution may say more.
            fields.ignore_the_rest();
            Ok(Self::new(payload, signature))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::records::read_json;

    /// Where an envelope is wrong.
    fn wrong(envelope: &Value) -> Option<String> {
        let read = read_json::<Envelope>("envelope", &envelope.to_string());
        read.err().map(|error| error.field().unwrap().to_owned())
    }

    fn vectors() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/seal.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn an_envelope_is_read_as_the_protocol_reads_it() {
        let file = vectors();
        for case in file["sealed"].as_array().unwrap() {
            let envelope = &case["envelope"];
            let read: Envelope = read_json("envelope", &envelope.to_string()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), *envelope);
        }
        let malformed = file["malformed_envelopes"].as_array().unwrap();
        assert!(malformed.len() >= 20);
        for case in malformed {
            assert!(wrong(&case["envelope"]).is_some(), "{}", case["name"]);
        }
    }

    #[test]
    fn what_is_wrong_in_an_envelope_is_named() {
        let good = &vectors()["sealed"][0]["envelope"];
        for (field, value) in [
            ("v", json!(2)),
            ("suite", json!("1")),
            ("key_id", json!("AQ")),
            ("enc", json!("AQ")),
            ("ct", good["enc"].clone()),
            ("rand", json!(null)),
            ("not_after_ms", json!(1.5)),
            ("more", json!(1)),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert_eq!(wrong(&bad), Some(format!("envelope.{field}")));
        }
        assert_eq!(wrong(&json!(["7"])).as_deref(), Some("envelope"));
    }

    #[test]
    fn a_set_of_seal_keys_may_say_more() {
        let file = vectors();
        let signed = &file["key_set"]["signed"];
        let mut more = signed.clone();
        more["more"] = json!(1);
        let read: SignedSealKeySet = read_json("seal_keys", &more.to_string()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), *signed);
        more["signature"] = json!("AQ");
        let error = read_json::<SignedSealKeySet>("seal_keys", &more.to_string()).unwrap_err();
        assert_eq!(error.field(), Some("seal_keys.signature"));
    }
}
