//! Where a shop is told of what happens: read and set by the shop.

use pos_protocol::ErrorCode;
use pos_protocol::wire::{
    MailSettings, NoticeSettings, SetNoticesRequest, SetWebhook, WebhookSettings,
};

use crate::app::App;
use crate::http::v1::error::ApiError;
use crate::http::v1::identity::Shop;
use crate::notices;
use crate::notices::webhook::OVERLAP;
use crate::store::rows::Channel;
use crate::store::verbs::{Claim, MailTo, NoticesSet, SetNotices, WebhookTo};

/// Where the shop is told.
///
/// # Errors
/// `not_permitted` for a key that is narrowed to one POS.
pub async fn settings(app: &App, shop: &Shop) -> Result<NoticeSettings, ApiError> {
    of_the_whole_shop(shop)?;
    let tenant = shop.id();
    let channels = app.store.read(move |reader| reader.channels(tenant)).await?;
    let now = app.clock.now();
    let mut settings = NoticeSettings { mail: None, webhook: None };
    for channel in channels {
        match channel.channel {
            // An address that the operator entered in an older form is shown to nobody.
            Channel::Mail => {
                settings.mail = channel
                    .target
                    .parse()
                    .ok()
                    .map(|address| MailSettings { address, language: channel.language.into() });
            }
            Channel::Webhook => {
                settings.webhook = Some(WebhookSettings {
                    keys: app.keys.webhook_seed.public_keys(tenant, &channel, now),
                    disabled_at_ms: channel.disabled_at,
                    url: channel.target.into(),
                });
            }
        }
    }
    Ok(settings)
}

/// Sets where the shop is told, and answers with what stands then.
///
/// # Errors
/// `not_permitted` for a key that is narrowed to one POS; `invalid_field` for a URL that webhooks may
/// not go to.
pub async fn set(
    app: &App,
    shop: &Shop,
    claim: Claim,
    request: SetNoticesRequest,
) -> Result<NoticeSettings, ApiError> {
    of_the_whole_shop(shop)?;
    let now = app.clock.now();
    let verb = SetNotices {
        shop: shop.id(),
        claim,
        mail: request.mail.map(mail_to).transpose()?,
        webhook: request.webhook.map(|webhook| webhook_to(app, webhook)).transpose()?,
        older_key_until: now.plus(OVERLAP),
        told: notices::of_address_change(app, shop.id(), now),
        now,
    };
    match app.store.set_notices(verb).await? {
        NoticesSet::Yes => settings(app, shop).await,
        NoticesSet::KeyReused => Err(ErrorCode::IdempotencyKeyReused.into()),
    }
}

fn mail_to(mail: MailSettings) -> Result<MailTo, ApiError> {
    let language = mail.language.known().ok_or_else(|| {
        let message = "The language must be `en` or `ja`.";
        ApiError::with_message(ErrorCode::InvalidField, message).field("mail.language")
    })?;
    Ok(MailTo { address: mail.address.as_str().into(), language })
}

fn webhook_to(app: &App, webhook: SetWebhook) -> Result<WebhookTo, ApiError> {
    app.outbox.webhooks.url(&webhook.url).map_err(|rule| {
        let message = format!("The URL {rule}.");
        ApiError::with_message(ErrorCode::InvalidField, message).field("webhook.url")
    })?;
    Ok(WebhookTo { url: webhook.url.into(), new_key: webhook.new_key })
}

/// Notices tell of every POS of the shop.
fn of_the_whole_shop(shop: &Shop) -> Result<(), ApiError> {
    if shop.only_pos().is_some() {
        return Err(ErrorCode::NotPermitted.into());
    }
    Ok(())
}
