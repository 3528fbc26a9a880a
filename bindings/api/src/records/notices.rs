//! Where the shop is told of what happens, and what it is told.

use pos_connect::wire::{self, MailLanguage, SetNoticesRequest, SetWebhook};
use pos_connect_macros::record;

use super::{Language, Operation, ms, read};
use crate::error::Error;

/// Where the shop is told from now on. What is left out is told there no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record(request)]
pub struct SetNotices {
    /// Whom mail goes to when a movement of money is complete.
    pub mail_address: Option<String>,
    /// The language of mail; English unless told.
    pub mail_language: Option<Language>,
    /// Where every change of an operation is posted: `https`, port 443, a public address.
    pub webhook_url: Option<String>,
    /// Signs webhooks by a new key from now on, and by the one before beside it for 24 hours.
    pub new_webhook_key: bool,
}

impl SetNotices {
    pub(crate) fn read(self) -> Result<SetNoticesRequest, Error> {
        let Self { mail_address, mail_language, webhook_url, new_webhook_key } = self;
        let language = match mail_language {
            None | Some(Language::English) => MailLanguage::English,
            Some(Language::Japanese) => MailLanguage::Japanese,
        };
        let mail = mail_address.map(|address| {
            let address = read("mail_address", &address)?;
            Ok::<_, Error>(wire::MailSettings { address, language: language.into() })
        });
        let webhook = webhook_url.map(|url| SetWebhook { url, new_key: new_webhook_key });
        Ok(SetNoticesRequest { mail: mail.transpose()?, webhook })
    }
}

/// Where the shop is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct NoticeSettings {
    /// Whom mail goes to, if to anybody.
    pub mail_address: Option<String>,
    /// In which language (`en`, `ja`).
    pub mail_language: Option<String>,
    /// Where webhooks go, if anywhere.
    pub webhook_url: Option<String>,
    /// The keys that sign them now, the newest first, as Standard Webhooks write them (`whpk_…`).
    pub webhook_keys: Vec<String>,
    /// Since when nothing is posted any more because the URL answered with status 410, in milliseconds
    /// since 1970. Setting the URL again ends that.
    pub webhook_disabled_at_ms: Option<u64>,
}

impl From<wire::NoticeSettings> for NoticeSettings {
    fn from(settings: wire::NoticeSettings) -> Self {
        let wire::NoticeSettings { mail, webhook } = settings;
        let (mail_address, mail_language) = match mail {
            None => (None, None),
            Some(wire::MailSettings { address, language }) => {
                (Some(address.to_string()), Some(language.as_str().into()))
            }
        };
        let (webhook_url, webhook_keys, webhook_disabled_at_ms) = match webhook {
            None => (None, Vec::new(), None),
            Some(wire::WebhookSettings { url, keys, disabled_at_ms }) => {
                (Some(url), keys.iter().map(ToString::to_string).collect(), disabled_at_ms.map(ms))
            }
        };
        Self { mail_address, mail_language, webhook_url, webhook_keys, webhook_disabled_at_ms }
    }
}

/// What the shop was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Notice {
    /// What happened: the operation and the state that it came to, as `sale.done`. There will be
    /// others: leave those alone.
    pub kind: String,
    /// When, in RFC 3339.
    pub timestamp: String,
    /// The shop.
    pub shop_id: String,
    /// Grows with every change of the payment: a notice whose number is not larger than the last one
    /// seen of this operation is old news.
    pub sequence: u32,
    /// The operation as it then stood.
    pub operation: Operation,
}

impl From<wire::Notice> for Notice {
    fn from(notice: wire::Notice) -> Self {
        let wire::Notice { kind, timestamp, data } = notice;
        let wire::NoticeData { shop_id, sequence, operation } = data;
        let shop_id = shop_id.to_string();
        Self { kind, timestamp, shop_id, sequence, operation: operation.into() }
    }
}
