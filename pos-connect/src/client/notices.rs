//! Where the shop is told of what happens, and what it was told.

use std::sync::Arc;
use std::time::Duration;

use pos_protocol::webhook::{Arrived, WebhookError, WebhookKey};
use pos_protocol::wire::{Notice, NoticeSettings, SetNoticesRequest, route};

use super::Connection;
use super::drive::json;
use crate::error::{Cause, Error};
use crate::exchange::{Call, Effect};

/// How long keys are used that were read.
const KEEP: Duration = Duration::from_secs(60 * 60);

/// How soon they are read again where a webhook is signed by none of them: whoever sends false ones
/// must not make this module ask all the time.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// The keys of the shop's webhooks, and when they were read.
#[derive(Clone)]
pub(super) struct ReadKeys {
    keys: Vec<WebhookKey>,
    /// By the module's own clock.
    at: Duration,
}

impl Connection {
    /// Where the shop is told of what happens, by mail and by webhook.
    ///
    /// # Errors
    /// `GiveUp` (`not_permitted`) for a key that is narrowed to one POS.
    pub async fn notices(&self) -> Result<NoticeSettings, Error> {
        let settings: NoticeSettings = self.ask(Call::get(route::NOTICES)).await?;
        self.keep_keys(&settings);
        Ok(settings)
    }

    /// Sets where the shop is told from now on; what is left out is told there no more. Gives what
    /// stands then.
    ///
    /// # Errors
    /// `FixTheRequest` (`invalid_field`) for an address or URL that cannot be, such as a URL that is
    /// not `https` on port 443 of a public address; `GiveUp` (`not_permitted`) for a key that is
    /// narrowed to one POS.
    pub async fn set_notices(&self, request: &SetNoticesRequest) -> Result<NoticeSettings, Error> {
        let effect = Effect::Repeatable(Some(self.fresh_key()?));
        let call = Call::post(route::NOTICES, json(request), effect);
        let settings: NoticeSettings = self.ask(call).await?;
        self.keep_keys(&settings);
        Ok(settings)
    }

    /// Reads a webhook that arrived at the shop's URL: the values of its header fields `webhook-id`,
    /// `webhook-timestamp` and `webhook-signature`, and its body as received. Answer it with status
    /// 200 once the notice is stored; with 400 after `webhook_unverified`; with 500 after any other
    /// error, so that it comes again.
    ///
    /// The shop's keys are read from the server and kept for an hour; one that is not known makes it
    /// read them again, once a minute at most. A notice may come twice (the same `webhook-id`), and
    /// later than one that arose after it (`sequence`): before shipping, ask the server.
    ///
    /// # Errors
    /// `FixTheRequest` (`webhook_unverified`) where it is not the server's or more than five minutes
    /// old; others as for every call, where the keys could not be read.
    pub async fn verify_webhook(
        &self,
        id: &str,
        timestamp: &str,
        signature: &str,
        body: &[u8],
    ) -> Result<Notice, Error> {
        let refused = |cause: WebhookError| self.told(Error::without_answer(Cause::Webhook(cause)));
        let now = self.server_time()?;
        let arrived = Arrived::read(id, timestamp, signature, body, now).map_err(refused)?;
        let known = self.state().webhook_keys.clone();
        let age = |read: &ReadKeys| self.uptime().saturating_sub(read.at);
        if let Some(known) = known.as_ref().filter(|known| age(known) < KEEP) {
            if self.is_signed(&arrived, &known.keys).await {
                return arrived.proved(true).map_err(refused);
            }
            if age(known) < READ_AGAIN {
                return arrived.proved(false).map_err(refused);
            }
        }
        let settings = self.notices().await?;
        let keys = settings.webhook.map(|webhook| webhook.keys).unwrap_or_default();
        let is_signed = self.is_signed(&arrived, &keys).await;
        arrived.proved(is_signed).map_err(refused)
    }

    async fn is_signed(&self, arrived: &Arrived<'_>, keys: &[WebhookKey]) -> bool {
        let signer = Arc::clone(&self.state().signer);
        for claim in arrived.claims(keys) {
            if signer.prove(claim).await.is_ok() {
                return true;
            }
        }
        false
    }

    fn keep_keys(&self, settings: &NoticeSettings) {
        let keys = settings.webhook.as_ref().map(|webhook| webhook.keys.clone());
        let at = self.uptime();
        self.state().webhook_keys = Some(ReadKeys { keys: keys.unwrap_or_default(), at });
    }
}
