//! Webhooks: what the server tells a shop's own address, in the form of Standard Webhooks 1.0 with
//! Ed25519 signatures (`v1a`).
//!
//! Three header fields go with a body: `webhook-id` (the notice's id, the same for every try),
//! `webhook-timestamp` (seconds since 1970 of this try) and `webhook-signature`, one or more
//! signatures `v1a,…` (base64) parted by blanks, over `id.timestamp.body`. While the key is being
//! changed there are two, so that a receiver who knows either believes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
use crate::key::{Claim, PublicKey, Signature};
use crate::wire::Notice;

/// The header field with the notice's id.
pub const ID: &str = "webhook-id";
/// The header field with the time of the try.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header field with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// How far the time of a try may lie from the receiver's, on either side.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The longest body that is looked at, in octets; the server's are below 4 kB.
pub const MAX_BODY: usize = 64 * 1024;

/// No more signatures than these are looked at.
const MOST_SIGNATURES: usize = 8;

const KEY_PREFIX: &str = "whpk_";
const VERSION: &str = "v1a,";

/// The public half of the key by which the server signs one shop's webhooks: written `whpk_` and 44
/// characters of base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^whpk_[A-Za-z0-9+/]{43}=$", example = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="))]
pub struct WebhookKey(pub PublicKey);

/// Why a text is not a webhook key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `whpk_` followed by 44 characters of base64, as the server wrote it")]
pub struct InvalidWebhookKey;

impl fmt::Display for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}", STANDARD.encode(self.0.octets()))
    }
}

impl FromStr for WebhookKey {
    type Err = InvalidWebhookKey;

    fn from_str(text: &str) -> Result<Self, InvalidWebhookKey> {
        let octets = text.strip_prefix(KEY_PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
        let octets: [u8; 32] =
            octets.and_then(|octets| octets.try_into().ok()).ok_or(InvalidWebhookKey)?;
        PublicKey::from_octets(&octets).map(Self).map_err(|_| InvalidWebhookKey)
    }
}

impl Serialize for WebhookKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WebhookKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Why a webhook is not to be believed: answer it with status 400 and do nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Signed, and no notice that this version can read: update the module.
    #[error("the body is signed, and is no notice that can be read")]
    Body,
    /// A header field is missing, or not in its form; or the body is too long.
    #[error("the webhook has not the form of Standard Webhooks")]
    Form,
    /// An old one that somebody sends again, or a clock that is wrong.
    #[error("the webhook's time is more than five minutes away from this clock's")]
    Time,
    /// None of its signatures is by one of the keys.
    #[error("the webhook is not signed by a key of this shop's")]
    Unsigned,
}

/// The octets that are signed.
pub fn signed_octets(id: &str, timestamp_s: u64, body: &[u8]) -> Vec<u8> {
    let mut octets = format!("{id}.{timestamp_s}.").into_bytes();
    octets.extend_from_slice(body);
    octets
}

/// The value of `webhook-signature` for these signatures; the newest key's comes first.
pub fn signature_value(signatures: &[Signature]) -> String {
    let each = signatures.iter().map(|one| format!("{VERSION}{}", STANDARD.encode(one.octets())));
    each.collect::<Vec<_>>().join(" ")
}

/// A webhook as it arrived, before anything of it is believed.
#[derive(Debug)]
pub struct Arrived<'a> {
    body: &'a [u8],
    octets: Vec<u8>,
    signatures: Vec<Signature>,
}

impl<'a> Arrived<'a> {
    /// Reads the three header fields' values and the body as received.
    ///
    /// # Errors
    /// [`WebhookError::Form`], [`WebhookError::Time`].
    pub fn read(
        id: &str,
        timestamp: &str,
        signature: &str,
        body: &'a [u8],
        now: Timestamp,
    ) -> Result<Self, WebhookError> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic());
        if !plain(id) || id.len() > 64 || id.contains('.') || body.len() > MAX_BODY {
            return Err(WebhookError::Form);
        }
        // Only as it is written by a sender: neither signs nor leading zeros.
        let seconds: u64 = timestamp.parse().map_err(|_| WebhookError::Form)?;
        if seconds.to_string() != timestamp {
            return Err(WebhookError::Form);
        }
        let time = Timestamp::from_secs(seconds);
        if now.since(time).max(time.since(now)) > TOLERANCE {
            return Err(WebhookError::Time);
        }
        // Signatures of other versions are another receiver's affair.
        let signatures = signature.split(' ').take(MOST_SIGNATURES).filter_map(|one| {
            let octets = STANDARD.decode(one.strip_prefix(VERSION)?).ok()?;
            Some(Signature::from_octets(octets.try_into().ok()?))
        });
        let signatures = signatures.collect();
        Ok(Self { body, octets: signed_octets(id, seconds, body), signatures })
    }

    /// What it says of its signatures, for whoever verifies elsewhere: that one of the keys made one
    /// of them. The first that is proved is enough.
    pub fn claims(&self, keys: &[WebhookKey]) -> Vec<Claim<()>> {
        let pairs = keys.iter().flat_map(|key| self.signatures.iter().map(|one| (key.0, *one)));
        pairs.map(|(key, one)| Claim::new(key, self.octets.clone(), one, ())).collect()
    }

    /// The notice, once one of its claims was proved.
    ///
    /// # Errors
    /// [`WebhookError::Unsigned`] where none was, [`WebhookError::Body`].
    pub fn proved(self, is_signed: bool) -> Result<Notice, WebhookError> {
        if !is_signed {
            return Err(WebhookError::Unsigned);
        }
        serde_json::from_slice(self.body).map_err(|_| WebhookError::Body)
    }

    /// The notice, if one of the keys has signed it.
    ///
    /// # Errors
    /// As [`proved`](Self::proved).
    #[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
    pub fn verify(self, keys: &[WebhookKey]) -> Result<Notice, WebhookError> {
        let is_signed = self.claims(keys).into_iter().any(|claim| claim.prove().is_ok());
        self.proved(is_signed)
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use crate::key::SigningKey;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
    const ID_: &str = "ntc_06fpc9v3r0e4k7m2n8q1s5t9wx";

    fn body() -> Vec<u8> {
        br#"{"type":"sale.done","timestamp":"2026-11-18T11:06:40.000Z","data":{"shop_id":"shp_06fpc9v3r0e4k7m2n8q1s5t9wx","sequence":2,"operation":{"operation_id":"op_06fpc9v3r0e4k7m2n8q1s5t9wx","payment_id":"pay_06fpc9v3r0e4k7m2n8q1s5t9wx","order_id":"A-1","idempotency_key":"0123456789abcdef","operation":"sale","state":"done","amount":1200,"currency":"JPY","done_amount":1200,"contract_id":"con_06fpc9v3r0e4k7m2n8q1s5t9wx","institution":"example-card","created_at_ms":1795000000000}}}"#.to_vec()
    }

    fn signed(key: &SigningKey, id: &str, at: u64, body: &[u8]) -> String {
        signature_value(&[key.sign(&signed_octets(id, at, body))])
    }

    #[test]
    fn a_webhook_of_either_key_is_believed_and_nothing_else() {
        let (old, new, other) = (
            SigningKey::from_seed(&[1; 32]),
            SigningKey::from_seed(&[2; 32]),
            SigningKey::from_seed(&[3; 32]),
        );
        let keys = [WebhookKey(new.public()), WebhookKey(old.public())];
        let body = body();
        let read = |signature: &str, body: &[u8], at: &str, id: &str| {
            Arrived::read(id, at, signature, body, NOW)
                .and_then(|arrived| arrived.verify(&keys).map(|notice| notice.data.sequence))
        };
        let at = NOW.as_secs().to_string();
        for key in [&old, &new] {
            assert_eq!(read(&signed(key, ID_, NOW.as_secs(), &body), &body, &at, ID_), Ok(2));
        }
        let good = signed(&old, ID_, NOW.as_secs(), &body);
        let foreign = signed(&other, ID_, NOW.as_secs(), &body);
        assert_eq!(read(&format!("v1,AAAA {foreign} {good}"), &body, &at, ID_), Ok(2));
        let unsigned = Err(WebhookError::Unsigned);
        assert_eq!(read(&foreign, &body, &at, ID_), unsigned);
        assert_eq!(read(&good.replace("v1a,", "v1,"), &body, &at, ID_), unsigned);
        assert_eq!(read("", &body, &at, ID_), unsigned);
        assert_eq!(read(&good, &body, &at, "ntc_06fpc9v3r0e4k7m2n8q1s5t9wy"), unsigned);
        assert_eq!(read(&good, &body, &(NOW.as_secs() + 1).to_string(), ID_), unsigned);
        let mut altered = body.clone();
        let amount = altered.windows(4).position(|four| four == b"1200").unwrap();
        altered[amount] = b'9';
        assert_eq!(read(&good, &altered, &at, ID_), unsigned);
    }

    #[test]
    fn an_old_one_and_one_without_its_form_are_refused() {
        let key = SigningKey::from_seed(&[1; 32]);
        let read = |id: &str, at: &str| {
            let seconds = at.parse().unwrap_or_default();
            let signature = signed(&key, id, seconds, b"{}");
            Arrived::read(id, at, &signature, b"{}", NOW)
                .and_then(|arrived| arrived.verify(&[WebhookKey(key.public())]).map(drop))
        };
        let at = |seconds: i64| NOW.as_secs().saturating_add_signed(seconds).to_string();
        assert_eq!(read(ID_, &at(-301)), Err(WebhookError::Time));
        assert_eq!(read(ID_, &at(301)), Err(WebhookError::Time));
        assert_eq!(read(ID_, &at(-300)), Err(WebhookError::Body));
        for wrong in ["", "+1795000000", "01795000000", "1795000000.0", "soon"] {
            assert_eq!(read(ID_, wrong), Err(WebhookError::Form), "{wrong}");
        }
        for wrong in ["", "a.b", "a b", "é", &"a".repeat(65)] {
            assert_eq!(read(wrong, &at(0)), Err(WebhookError::Form), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_written_as_standard_webhooks_write_it() {
        // The public key of RFC 8032 section 7.1, test 1.
        let text = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let key: WebhookKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(
            "whsk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse::<WebhookKey>(),
            Err(InvalidWebhookKey)
        );
        assert_eq!("whpk_AQ==".parse::<WebhookKey>(), Err(InvalidWebhookKey));
    }
}
