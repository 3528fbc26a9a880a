//! Takes what is due from the shop database, tells it, and writes down what became of that.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pos_protocol::id::ShopId;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::mail::{MailError, Mailer};
use super::webhook::{InvalidCa, WebhookFault, Webhooks};
use crate::app::App;
use crate::config::Config;
use crate::crash;
use crate::store::StoreError;
use crate::store::rows::{Channel, ChannelRow, DueNotice};
use crate::store::verbs::{
    Delivered, Delivery, DisableWebhook, HastenNotices, LeaseNotices, MOST_ROWS, RecordDeliveries,
};
use crate::telemetry::logs::chain;

/// When each try comes after the one before that failed: ten tries over 75 h (Standard Webhooks).
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// A notice that could not be tried as often, because its receiver was silent all the time, is given
/// up after this long.
const LONGEST: Duration = Duration::from_secs(91 * 3600);

/// How long a notice that was taken stays this process's.
const LEASE: Duration = Duration::from_secs(120);

/// How long a turn with a receiver goes on at most.
const TURN: Duration = Duration::from_secs(60);

/// Notices that are taken at a time.
const AT_A_TIME: u32 = 200;

/// Receivers that are spoken to at the same time.
const RECEIVERS: usize = 64;

/// Turns in which one receiver is spoken to at the same time.
const OF_ONE_RECEIVER: usize = 4;

/// After so many failures in a row a receiver is silent, and is tried only now and then.
const SILENT_AFTER: u32 = 3;

/// The wait for a silent receiver: the first, doubled each time, and the longest.
const FIRST_SILENCE: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(15 * 60);

/// Who is spoken to: a shop's webhook, or the mail server for all shops.
type Receiver = Option<ShopId>;

/// Why notices cannot be told by the settings.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The CA of webhooks cannot be read.
    #[error("webhooks.ca names a file that cannot be read")]
    CaFile(#[source] std::io::Error),
    /// The CA of webhooks is none.
    #[error("webhooks.ca: {0}")]
    Ca(#[from] InvalidCa),
    /// Mail.
    #[error(transparent)]
    Mail(#[from] MailError),
}

impl OutboxError {
    /// The setting at fault.
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::Ca(_) | Self::CaFile(_) => "webhooks.ca",
            Self::Mail(MailError::Ca(_)) => "mail.ca",
            Self::Mail(MailError::File { setting, .. }) => setting,
            Self::Mail(MailError::Tls(_)) => "mail.tls",
        }
    }
}

/// Whether more is due than was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is due.
    Done,
    /// Look again soon.
    More,
}

/// The ways out.
#[derive(Debug)]
pub struct Outbox {
    mailer: Option<Mailer>,
    /// For the URLs of shops.
    pub webhooks: Webhooks,
    receivers: Mutex<HashMap<Receiver, Standing>>,
}

/// What is remembered of a receiver, in memory alone.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    turns: usize,
    failures: u32,
    /// On the monotonic clock.
    silent_until: Duration,
}

impl Outbox {
    /// By these settings. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`OutboxError`] names the setting.
    pub fn new(config: &Config) -> Result<Self, OutboxError> {
        let ca = config.webhooks.ca.as_ref().map(fs::read).transpose();
        let ca = ca.map_err(OutboxError::CaFile)?;
        Ok(Self {
            mailer: Mailer::new(&config.mail)?,
            webhooks: Webhooks::new(config.webhooks.also_allow.clone(), ca.as_deref())?,
            receivers: Mutex::default(),
        })
    }

    /// Whether mail is sent at all.
    pub const fn mails(&self) -> bool {
        self.mailer.is_some()
    }

    fn receivers(&self) -> MutexGuard<'_, HashMap<Receiver, Standing>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a turn with a receiver, or says why and how long to wait.
    fn enter(&self, receiver: Receiver, now: Duration) -> Result<(), Wait> {
        let mut receivers = self.receivers();
        let standing = receivers.entry(receiver).or_default();
        if now < standing.silent_until {
            return Err(Wait::Silent(standing.silent_until.saturating_sub(now)));
        }
        // One try finds out whether a silent one is back.
        let most = if standing.failures >= SILENT_AFTER { 1 } else { OF_ONE_RECEIVER };
        if standing.turns >= most {
            return Err(Wait::Busy(Duration::from_secs(1)));
        }
        standing.turns = standing.turns.saturating_add(1);
        Ok(())
    }

    fn leave(&self, receiver: Receiver) {
        let mut receivers = self.receivers();
        if let Some(standing) = receivers.get_mut(&receiver) {
            standing.turns = standing.turns.saturating_sub(1);
            if standing.turns == 0 && standing.failures == 0 {
                receivers.remove(&receiver);
            }
        }
    }

    /// Notes whether it answered. Some where it is silent now: how long it is left alone.
    fn heard(&self, receiver: Receiver, answered: bool, now: Duration) -> Option<Wait> {
        let mut receivers = self.receivers();
        let standing = receivers.entry(receiver).or_default();
        if answered {
            standing.failures = 0;
            standing.silent_until = Duration::ZERO;
            return None;
        }
        standing.failures = standing.failures.saturating_add(1);
        if standing.failures < SILENT_AFTER {
            return None;
        }
        let doublings = standing.failures.saturating_sub(SILENT_AFTER);
        let wait = FIRST_SILENCE.saturating_mul(2_u32.saturating_pow(doublings));
        let wait = wait.min(LONGEST_SILENCE);
        standing.silent_until = now.saturating_add(wait);
        Some(Wait::Silent(wait))
    }
}

/// Why a notice is not tried now, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Others are being told.
    Busy(Duration),
    /// The receiver does not answer.
    Silent(Duration),
}

/// A turn with a receiver, until this is dropped: also when the turn panics or is cut off.
struct Entered {
    app: Arc<App>,
    receiver: Receiver,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.app.outbox.leave(self.receiver);
    }
}

/// Makes due at once what a process before this one had taken. Where others may live, only the end of
/// a lease says that its holder is dead.
///
/// # Errors
/// [`StoreError`]: what was not hastened comes when its lease ends.
pub async fn hasten(app: &App) -> Result<(), StoreError> {
    while app.database.is_some() {
        let verb = HastenNotices { sole_owner: app.incarnation, now: app.clock.now() };
        if app.store.hasten_notices(verb).await? < u64::from(MOST_ROWS) {
            break;
        }
    }
    Ok(())
}

/// Takes what is due and tells it, in tasks that go on beside this.
///
/// # Errors
/// [`StoreError`]: nothing was taken.
pub async fn turn(app: &Arc<App>, telling: &mut JoinSet<()>) -> Result<Turn, StoreError> {
    while telling.try_join_next().is_some() {}
    if telling.len() >= RECEIVERS {
        return Ok(Turn::More);
    }
    let now = app.clock.now();
    let lease =
        LeaseNotices { owner: app.incarnation, now, expires_at: now.plus(LEASE), limit: AT_A_TIME };
    let due = app.store.lease_notices(lease).await?;
    if due.is_empty() {
        return Ok(Turn::Done);
    }
    crash::point("notice.leased");
    let mut by_receiver: HashMap<Receiver, Vec<DueNotice>> = HashMap::new();
    for notice in due {
        let receiver = match notice.channel {
            Channel::Mail => None,
            Channel::Webhook => Some(notice.shop),
        };
        by_receiver.entry(receiver).or_default().push(notice);
    }
    for (receiver, notices) in by_receiver {
        match app.outbox.enter(receiver, app.clock.monotonic()) {
            Ok(()) => {
                let app = Arc::clone(app);
                let entered = Entered { app: Arc::clone(&app), receiver };
                telling.spawn(async move {
                    let deliveries = tell_all(&app, receiver, notices).await;
                    drop(entered);
                    record(&app, deliveries).await;
                });
            }
            Err(wait) => {
                let later = notices.iter().map(|notice| later(app, notice, wait)).collect();
                record(app, later).await;
            }
        }
    }
    Ok(Turn::More)
}

async fn record(app: &App, deliveries: Vec<Delivery>) {
    let verb = RecordDeliveries { deliveries, now: app.clock.now() };
    if let Err(cause) = app.store.record_deliveries(verb).await {
        // They are due again when the lease ends, and told once more under the same ids.
        warn!(cause = %chain(&cause), "what became of notices was not written down");
    }
}

/// One after the other, as they arose, until the receiver falls silent or the lease runs out.
async fn tell_all(app: &App, receiver: Receiver, notices: Vec<DueNotice>) -> Vec<Delivery> {
    let ends = app.clock.monotonic().saturating_add(TURN);
    let mut deliveries = Vec::with_capacity(notices.len());
    let mut wait = None;
    for notice in notices {
        if wait.is_none() && app.clock.monotonic() >= ends {
            wait = Some(Wait::Busy(Duration::ZERO));
        }
        if let Some(wait) = wait {
            deliveries.push(later(app, &notice, wait));
            continue;
        }
        let (came_to, heard) = tell(app, &notice).await;
        let now = app.clock.monotonic();
        match heard {
            Heard::Answered => wait = app.outbox.heard(receiver, true, now),
            Heard::Failed => wait = app.outbox.heard(receiver, false, now),
            // Whoever has gone is not told the rest: what became of the channel shows the next time.
            Heard::Gone => wait = Some(Wait::Busy(Duration::ZERO)),
            Heard::Nothing => {}
        }
        crash::point("notice.told");
        deliveries.push(delivery(&notice, came_to));
    }
    deliveries
}

/// What a try says of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// It is there.
    Answered,
    /// It failed.
    Failed,
    /// It wants no more.
    Gone,
    /// Nothing: it was not asked, or the notice was at fault.
    Nothing,
}

fn delivery(notice: &DueNotice, came_to: Delivered) -> Delivery {
    Delivery { shop: notice.shop, id: notice.id, channel: notice.channel, came_to }
}

/// Not tried now. What is too old is given up where its receiver is silent, and only there.
fn later(app: &App, notice: &DueNotice, wait: Wait) -> Delivery {
    let now = app.clock.now();
    let came_to = match wait {
        Wait::Silent(_) if now.since(notice.created_at) > LONGEST => {
            given_up(notice, "the receiver was silent for 91 hours")
        }
        // Spread over as long again, so that they do not all come back at once.
        Wait::Silent(wait) | Wait::Busy(wait) => {
            Delivered::Later { due_at: now.plus(wait.saturating_add(jitter(app, wait))) }
        }
    };
    delivery(notice, came_to)
}

/// Tells one notice.
async fn tell(app: &App, notice: &DueNotice) -> (Delivered, Heard) {
    let Some(to) = notice.to.as_ref().filter(|to| to.disabled_at.is_none()) else {
        return match (&notice.address, notice.channel) {
            // What goes to an address of its own needs no channel.
            (Some(address), Channel::Mail) => mail(app, notice, address, None).await,
            _ => (given_up(notice, "the channel was switched off"), Heard::Nothing),
        };
    };
    match notice.channel {
        Channel::Mail => {
            let address = notice.address.as_deref().unwrap_or(&to.target);
            mail(app, notice, address, Some(to)).await
        }
        Channel::Webhook => webhook(app, notice, to).await,
    }
}

async fn mail(
    app: &App,
    notice: &DueNotice,
    address: &str,
    to: Option<&ChannelRow>,
) -> (Delivered, Heard) {
    let Some(mailer) = &app.outbox.mailer else {
        return (given_up(notice, "no mail server is set any more"), Heard::Nothing);
    };
    let language = to.map(|to| to.language).unwrap_or_default();
    let sent = mailer.send(address, language, notice.id, &notice.body, notice.created_at).await;
    match sent {
        Ok(()) => (told(app, notice), Heard::Answered),
        Err(fault) if fault.is_final() => (given_up(notice, &fault.for_the_log()), Heard::Nothing),
        Err(fault) => {
            let heard = if fault.is_of_the_server() { Heard::Failed } else { Heard::Nothing };
            (again(app, notice, &fault.for_the_log()), heard)
        }
    }
}

async fn webhook(app: &App, notice: &DueNotice, to: &ChannelRow) -> (Delivered, Heard) {
    let now = app.clock.now();
    let keys = app.keys.webhook_seed.keys(notice.shop, to, now);
    match app.outbox.webhooks.post(&to.target, notice.id, &notice.body, &keys, now).await {
        Ok(()) => (told(app, notice), Heard::Answered),
        Err(WebhookFault::Gone) => {
            let verb = DisableWebhook { shop: notice.shop, url: to.target.clone(), now };
            match app.store.disable_webhook(verb).await {
                Ok(true) => {
                    info!(shop_id = %notice.shop, "a webhook's receiver has gone: it is switched off");
                    (given_up(notice, "the receiver has gone"), Heard::Gone)
                }
                // The shop has another URL by now, or another turn has switched it off: that shows the
                // next time.
                Ok(false) => (Delivered::Later { due_at: now }, Heard::Gone),
                Err(cause) => (again(app, notice, &chain(&cause)), Heard::Nothing),
            }
        }
        Err(fault @ WebhookFault::Url(_)) => (given_up(notice, &chain(&fault)), Heard::Nothing),
        Err(fault) => (again(app, notice, &chain(&fault)), Heard::Failed),
    }
}

fn told(app: &App, notice: &DueNotice) -> Delivered {
    app.metrics.notice(channel_name(notice.channel), "told");
    info!(notice_id = %notice.id, channel = channel_name(notice.channel), "a notice was told");
    Delivered::Yes
}

fn again(app: &App, notice: &DueNotice, cause: &str) -> Delivered {
    app.metrics.notice(channel_name(notice.channel), "failed");
    let Some(wait) = usize::try_from(notice.tries).ok().and_then(|tries| WAITS.get(tries)) else {
        return given_up(notice, cause);
    };
    // A fifth of the wait, so that many do not come back at once.
    let wait = wait.saturating_add(jitter(app, wait.mul_f64(0.2)));
    Delivered::Again { due_at: app.clock.now().plus(wait), cause: cut(cause) }
}

fn given_up(notice: &DueNotice, cause: &str) -> Delivered {
    let channel = channel_name(notice.channel);
    warn!(notice_id = %notice.id, shop_id = %notice.shop, channel, cause, "a notice was given up");
    Delivered::Never { cause: cut(cause) }
}

/// What a receiver's machine says is not kept in any length.
fn cut(cause: &str) -> Box<str> {
    cause.chars().take(300).collect::<String>().into()
}

/// A random part of the span.
fn jitter(app: &App, span: Duration) -> Duration {
    let part = f64::from(u16::from_be_bytes(app.entropy.array())) / 65_536.0;
    span.mul_f64(part)
}

const fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Mail => "mail",
        Channel::Webhook => "webhook",
    }
}

/// How long after its beginning a notice is tried for the last time at the earliest.
#[cfg(test)]
fn span_of_tries() -> Duration {
    WAITS.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_tries_go_over_75_hours() {
        assert_eq!(WAITS.len() + 1, 10);
        assert_eq!(span_of_tries().as_secs() / 3600, 75);
        assert!(span_of_tries() * 6 / 5 <= LONGEST, "jitter makes no notice too old");
    }

    #[test]
    fn a_silent_receiver_is_tried_now_and_then_and_keeps_nobody_waiting() {
        let config = Config::default();
        let outbox = Outbox::new(&config).unwrap();
        let (ours, theirs) =
            (Some(ShopId::from_octets([1; 16])), Some(ShopId::from_octets([2; 16])));
        let second = Duration::from_secs;
        for _ in 0..OF_ONE_RECEIVER {
            assert_eq!(outbox.enter(ours, second(0)), Ok(()));
        }
        assert!(outbox.enter(ours, second(0)).is_err(), "it has its turns");
        assert_eq!(outbox.enter(theirs, second(0)), Ok(()));
        assert_eq!(outbox.heard(ours, false, second(1)), None);
        assert_eq!(outbox.heard(ours, false, second(1)), None);
        let silent = |seconds| Some(Wait::Silent(second(seconds)));
        assert_eq!(outbox.heard(ours, false, second(1)), silent(10), "three in a row");
        for _ in 0..OF_ONE_RECEIVER {
            outbox.leave(ours);
        }
        assert_eq!(outbox.enter(ours, second(5)), Err(Wait::Silent(second(6))));
        assert_eq!(outbox.enter(ours, second(11)), Ok(()));
        assert!(outbox.enter(ours, second(11)).is_err(), "one try finds out");
        assert_eq!(outbox.heard(ours, false, second(12)), silent(20));
        outbox.leave(ours);
        assert_eq!(outbox.enter(ours, second(12)), Err(Wait::Silent(second(20))), "twice as long");
        assert_eq!(outbox.enter(ours, second(40)), Ok(()));
        assert_eq!(outbox.heard(ours, true, second(41)), None);
        outbox.leave(ours);
        for _ in 0..OF_ONE_RECEIVER {
            assert_eq!(outbox.enter(ours, second(41)), Ok(()));
        }
    }
}
