//! What the server tells a shop unasked, and where.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::OperationView;
use crate::Timestamp;
use crate::id::ShopId;
use crate::webhook::WebhookKey;
use crate::word::{Open, words};

/// A language of mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MailLanguage {
    /// English.
    #[default]
    English,
    /// 日本語.
    Japanese,
}

words!(MailLanguage,
    "The language of mail; a client that does not know it leaves it as it is.",
    English "en", Japanese "ja");

/// A language as it arrived.
pub type WireMailLanguage = Open<MailLanguage>;

/// An address for mail: one `@`, at most 254 octets, no blanks, no quoted local part.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = "email", max_length = 254, example = "orders@shop.example"))]
pub struct MailAddress(Box<str>);

/// Why a text is not an address for mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address such as `orders@shop.example`, in ASCII, of at most 254 characters")]
pub struct InvalidMailAddress;

impl MailAddress {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address is a person's: logs do not get it.
impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailAddress([redacted])")
    }
}

impl FromStr for MailAddress {
    type Err = InvalidMailAddress;

    /// RFC 5321 section 4.1.2 without quoted local parts and address literals, which no shop has.
    fn from_str(text: &str) -> Result<Self, InvalidMailAddress> {
        let (local, domain) = text.split_once('@').ok_or(InvalidMailAddress)?;
        let atom = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&c);
        let dotted = |text: &str, allowed: fn(u8) -> bool| {
            text.split('.').all(|part| !part.is_empty() && part.bytes().all(allowed))
        };
        let label = |part: &str| part.len() <= 63 && !part.starts_with('-') && !part.ends_with('-');
        let is_good = text.len() <= 254
            && local.len() <= 64
            && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
            && dotted(domain, |c| c.is_ascii_alphanumeric() || c == b'-')
            && domain.split('.').all(label);
        if is_good { Ok(Self(text.into())) } else { Err(InvalidMailAddress) }
    }
}

impl Serialize for MailAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// `POST /v1/notices`: where the shop is told from now on. What is left out is told there no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetNoticesRequest {
    /// Mail when a movement of money is complete. The address that was there before is told of the
    /// change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailSettings>,
    /// Every change of an operation to an address of the shop's own software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<SetWebhook>,
}

/// Where and how mail goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MailSettings {
    /// Whom to write to.
    pub address: MailAddress,
    /// In which language.
    pub language: WireMailLanguage,
}

/// Where webhooks go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetWebhook {
    /// An `https` URL on port 443 at a public address. Setting it again, the same too, switches a
    /// webhook on that was switched off because its address answered 410.
    #[cfg_attr(
        feature = "openapi",
        schema(max_length = 500, example = "https://shop.example/pos/webhook")
    )]
    pub url: String,
    /// Signs by a new key from now on, and by the one before beside it for 24 hours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_key: bool,
}

/// `GET /v1/notices`, and the answer to setting them: where the shop is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeSettings {
    /// Where mail goes, if any does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailSettings>,
    /// Where webhooks go, if any do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookSettings>,
}

/// The shop's webhook as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookSettings {
    /// Where it goes.
    pub url: String,
    /// By which keys it is signed now, the newest first; two while the key is being changed.
    pub keys: Vec<WebhookKey>,
    /// Since when nothing is sent any more, because the address answered 410 (gone).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at_ms: Option<Timestamp>,
}

/// The body of a webhook (Standard Webhooks 1.0). Its id stands in `webhook-id`; the same id again is
/// the same notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notice {
    /// What happened: the operation and the state that it came to, as `sale.done`,
    /// `refund.declined`, `authorise.reversed`. There will be others: leave those alone.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, in RFC 3339.
    pub timestamp: String,
    /// What it is about.
    pub data: NoticeData,
}

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeData {
    /// The shop.
    pub shop_id: ShopId,
    /// Grows with every change of the payment. Notices may arrive in another order: one whose number
    /// is not larger than the last one seen of this operation is old news.
    pub sequence: u32,
    /// The operation as it then stood.
    pub operation: OperationView,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_for_mail_are_plain_ones() {
        for good in [
            "a@b.example",
            "first.last+tag@shop.example",
            "o'hara@xn--fsq.example",
            "root@localhost",
        ] {
            assert_eq!(good.parse::<MailAddress>().unwrap().as_str(), good);
        }
        let long = format!("{}@b.example", "a".repeat(65));
        for bad in [
            "",
            "a",
            "@b.example",
            "a@",
            "a@@b.example",
            "a@b@c.example",
            "a b@c.example",
            "a.@b.example",
            ".a@b.example",
            "a..b@c.example",
            "\"a\"@b.example",
            "a@[192.0.2.1]",
            "a@-b.example",
            "a@b..example",
            "a@b.example\r\nbcc: c@d.example",
            "店@b.example",
            "<a@b.example>",
            "a@b.example,c@d.example",
            &long,
        ] {
            assert_eq!(bad.parse::<MailAddress>(), Err(InvalidMailAddress), "{bad}");
        }
    }

    #[test]
    fn an_address_is_not_printed_for_a_log() {
        let settings = MailSettings {
            address: "orders@shop.example".parse().unwrap(),
            language: MailLanguage::Japanese.into(),
        };
        assert!(!format!("{settings:?}").contains("orders"));
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(json, r#"{"address":"orders@shop.example","language":"ja"}"#);
    }
}
