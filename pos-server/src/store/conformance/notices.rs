//! Where a shop is told, and what waits to be told.

use std::time::Duration;

use pos_protocol::id::NoticeId;
use pos_protocol::payment::OperationState;
use pos_protocol::wire::MailLanguage;

use super::bed::{Bed, Tenant, tell};
use crate::store::rows::{Channel, DueNotice, Incarnation};
use crate::store::verbs::{
    Claim, Delivered, Delivery, DisableWebhook, HastenNotices, LeaseNotices, MailTo, NewNotice,
    NoticesSet, Prune, RecordDeliveries, Recorded, SetNotices, WebhookTo,
};

const URL: &str = "https://shop.example/hook";
const LEASE: Duration = Duration::from_secs(120);
const DEAD: Incarnation = [7; 16];
const ME: Incarnation = [8; 16];

fn notice(bed: &mut Bed, is_mailed: bool) -> NewNotice {
    let id = NoticeId::fresh(bed.now, bed.entropy());
    NewNotice { id, is_mailed, body: format!("{{\"type\":\"{id}\"}}").into() }
}

fn settings(bed: &mut Bed, tenant: &Tenant, mail: Option<&str>, url: Option<&str>) -> SetNotices {
    SetNotices {
        shop: tenant.shop,
        claim: Claim { key: bed.idempotency_key(), fingerprint: bed.digest() },
        mail: mail
            .map(|address| MailTo { address: address.into(), language: MailLanguage::Japanese }),
        webhook: url.map(|url| WebhookTo { url: url.into(), new_key: false }),
        older_key_until: bed.now.plus(Duration::from_secs(86_400)),
        told: notice(bed, true),
        now: bed.now,
    }
}

fn set(bed: &mut Bed, tenant: &Tenant, mail: Option<&str>, url: Option<&str>) {
    let verb = settings(bed, tenant, mail, url);
    assert_eq!(tell!(bed, SetNotices, verb), NoticesSet::Yes);
}

/// A sale that was done, of which these are told.
fn told(bed: &mut Bed, tenant: &Tenant, notices: Vec<NewNotice>) {
    let payment = bed.begun(tenant);
    let mut verb = bed.outcome(&payment, OperationState::Done(payment.amount));
    verb.follows.notices = notices;
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
}

fn lease(bed: &mut Bed) -> Vec<DueNotice> {
    lease_as(bed, ME)
}

fn lease_as(bed: &mut Bed, owner: Incarnation) -> Vec<DueNotice> {
    let verb = LeaseNotices { owner, now: bed.now, expires_at: bed.now.plus(LEASE), limit: 100 };
    tell!(bed, LeaseNotices, verb)
}

fn became(bed: &mut Bed, notice: &DueNotice, came_to: Delivered) {
    let (shop, id, channel) = (notice.shop, notice.id, notice.channel);
    let deliveries = vec![Delivery { shop, id, channel, came_to }];
    let now = bed.now;
    tell!(bed, RecordDeliveries, RecordDeliveries { deliveries, now });
}

fn shown(due: &[DueNotice]) -> Vec<(NoticeId, Channel, Option<&str>)> {
    due.iter().map(|one| (one.id, one.channel, one.to.as_ref().map(|to| &*to.target))).collect()
}

pub(in crate::store) fn a_shop_is_told_by_the_channels_that_it_has(bed: &mut Bed) {
    let (ours, theirs) = (bed.ours.clone(), bed.theirs.clone());
    let channels = bed.read().channels(ours.shop).unwrap();
    assert_eq!(channels.len(), 1, "mail goes to the address that the shop was admitted with");
    assert_eq!((channels[0].channel, &*channels[0].target), (Channel::Mail, "till@example.com"));
    assert_eq!(channels[0].language, MailLanguage::English);

    set(bed, &ours, Some("orders@example.com"), Some(URL));
    let (mailed, not_mailed) = (notice(bed, true), notice(bed, false));
    let ids = (mailed.id, not_mailed.id);
    let bodies = [mailed.body.clone(), not_mailed.body.clone()];
    // The address that was left is told; that is not what this is about.
    let left = lease(bed);
    assert_eq!(left.len(), 1);
    became(bed, &left[0], Delivered::Yes);
    told(bed, &ours, vec![mailed, not_mailed]);
    let due = lease(bed);
    let mut found = shown(&due);
    found.sort_by_key(|one| (one.0, one.1 == Channel::Webhook));
    assert_eq!(
        found,
        [
            (ids.0, Channel::Mail, Some("orders@example.com")),
            (ids.0, Channel::Webhook, Some(URL)),
            (ids.1, Channel::Webhook, Some(URL)),
        ]
    );
    for one in &due {
        assert_eq!((one.shop, one.created_at, one.tries), (ours.shop, bed.now, 0));
        assert!(bodies.contains(&one.body) && one.address.is_none());
    }
    let counts = bed.lists().notice_counts().unwrap();
    assert_eq!((counts.waiting, counts.oldest, counts.given_up), (3, Some(bed.now), 0));

    // Nobody is told where no channel is left.
    set(bed, &theirs, None, None);
    let left = lease(bed);
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].shop, left[0].to.is_none()), (theirs.shop, true));
    became(bed, &left[0], Delivered::Yes);
    assert_eq!(bed.read().channels(theirs.shop).unwrap(), []);
    let one = notice(bed, true);
    told(bed, &theirs, vec![one]);
    assert_eq!(lease(bed), []);
}

pub(in crate::store) fn a_notice_falls_with_its_outcome(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let mut verb = bed.outcome(&payment, OperationState::Done(payment.amount));
    verb.follows.notices = vec![notice(bed, true)];
    verb.version += 1;
    assert_eq!(bed.record(&verb), Recorded::Moved);
    assert_eq!(lease(bed), []);
    verb.version -= 1;
    assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    assert_eq!(lease(bed).len(), 1);
}

pub(in crate::store) fn a_notice_is_leased_tried_again_and_told_once(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let one = notice(bed, true);
    let id = one.id;
    told(bed, &ours, vec![one]);
    let due = lease(bed);
    assert_eq!(due.len(), 1);
    assert_eq!(lease(bed), [], "it is leased");
    bed.pass(LEASE);
    let again = lease(bed);
    assert_eq!((again[0].id, again[0].tries), (id, 0), "nobody said what became of it");

    let minute = Duration::from_secs(60);
    let due_at = bed.now.plus(minute);
    became(bed, &again[0], Delivered::Later { due_at });
    assert_eq!(lease(bed), []);
    bed.pass(minute);
    let third = lease(bed);
    assert_eq!(third[0].tries, 0, "what was not tried is not counted");
    let due_at = bed.now.plus(minute);
    became(bed, &third[0], Delivered::Again { due_at, cause: "status 500".into() });
    assert_eq!(lease(bed), []);
    bed.pass(minute);
    let fourth = lease(bed);
    assert_eq!(fourth[0].tries, 1);
    became(bed, &fourth[0], Delivered::Yes);
    bed.pass(LEASE);
    assert_eq!(lease(bed), []);
    assert_eq!(bed.lists().notice_counts().unwrap().waiting, 0);
}

pub(in crate::store) fn a_sole_owner_hastens_the_notices_that_the_dead_had_taken(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let [put_off, taken, held] = [0; 3].map(|_| notice(bed, true));
    let (first, second) = (put_off.id, taken.id);
    let hasten =
        |bed: &mut Bed| tell!(bed, HastenNotices, HastenNotices { sole_owner: ME, now: bed.now });
    told(bed, &ours, vec![put_off, taken]);
    let due = lease_as(bed, DEAD);
    assert_eq!(due.len(), 2);
    let waits = due.iter().find(|one| one.id == first).unwrap();
    let due_at = bed.now.plus(LEASE);
    became(bed, waits, Delivered::Again { due_at, cause: "status 500".into() });
    told(bed, &ours, vec![held]);
    assert_eq!(lease(bed).len(), 1);
    assert_eq!(hasten(bed), 1, "neither what waits for its next try nor what is held here");
    let due = lease(bed);
    assert_eq!(due.iter().map(|one| one.id).collect::<Vec<_>>(), [second]);
    assert_eq!(hasten(bed), 0);
    bed.pass(LEASE);
    assert_eq!(lease(bed).len(), 3);
}

pub(in crate::store) fn a_notice_that_is_given_up_stays_for_thirty_days(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let one = notice(bed, true);
    told(bed, &ours, vec![one]);
    let due = lease(bed);
    became(bed, &due[0], Delivered::Never { cause: "no such address".into() });
    // A late word about it changes nothing.
    let due_at = bed.now;
    became(bed, &due[0], Delivered::Again { due_at, cause: "late".into() });
    bed.pass(LEASE);
    assert_eq!(lease(bed), []);
    let counts = bed.lists().notice_counts().unwrap();
    assert_eq!((counts.waiting, counts.oldest, counts.given_up), (0, None, 1));
    let prune = |bed: &mut Bed| tell!(bed, Prune, Prune { now: bed.now, limit: 100 });
    bed.pass(Duration::from_secs(29 * 86_400));
    prune(bed);
    assert_eq!(bed.lists().notice_counts().unwrap().given_up, 1);
    bed.pass(Duration::from_secs(86_400));
    prune(bed);
    assert_eq!(bed.lists().notice_counts().unwrap().given_up, 0);
}

pub(in crate::store) fn a_webhook_that_has_gone_is_switched_off_until_it_is_set(bed: &mut Bed) {
    let ours = bed.ours.clone();
    set(bed, &ours, Some("till@example.com"), Some(URL));
    let disable = |bed: &mut Bed, tenant: &Tenant, url: &str| {
        let verb = DisableWebhook { shop: tenant.shop, url: url.into(), now: bed.now };
        tell!(bed, DisableWebhook, verb)
    };
    let theirs = bed.theirs.clone();
    assert!(!disable(bed, &ours, "https://shop.example/older"), "it has another URL by now");
    assert!(!disable(bed, &theirs, URL), "it is another shop's");
    assert!(disable(bed, &ours, URL));
    assert!(!disable(bed, &ours, URL));
    let webhook = |bed: &Bed| {
        let found = bed.read().channels(ours.shop).unwrap();
        found.into_iter().find(|one| one.channel == Channel::Webhook).unwrap()
    };
    assert_eq!(webhook(bed).disabled_at, Some(bed.now));
    let one = notice(bed, false);
    told(bed, &ours, vec![one]);
    assert_eq!(lease(bed), []);
    set(bed, &ours, Some("till@example.com"), Some(URL));
    assert_eq!(webhook(bed).disabled_at, None);
    let one = notice(bed, false);
    told(bed, &ours, vec![one]);
    assert_eq!(lease(bed).len(), 1);
}

pub(in crate::store) fn a_new_webhook_key_stands_beside_the_one_before(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let webhook = |bed: &Bed| {
        let found = bed.read().channels(ours.shop).unwrap();
        let found = found.into_iter().find(|one| one.channel == Channel::Webhook);
        found.map(|one| (one.key_generation, one.older_key_until))
    };
    set(bed, &ours, None, Some(URL));
    assert_eq!(webhook(bed), Some((0, None)));
    let mut verb = settings(bed, &ours, None, Some(URL));
    verb.webhook.as_mut().unwrap().new_key = true;
    let until = Some(verb.older_key_until);
    assert_eq!(tell!(bed, SetNotices, verb.clone()), NoticesSet::Yes);
    assert_eq!(webhook(bed), Some((1, until)));
    // A repeat of the call makes no third key.
    assert_eq!(tell!(bed, SetNotices, verb.clone()), NoticesSet::Yes);
    assert_eq!(webhook(bed), Some((1, until)));
    verb.claim.fingerprint = bed.digest();
    assert_eq!(tell!(bed, SetNotices, verb), NoticesSet::KeyReused);
    // Switched off and on again, no key comes back.
    set(bed, &ours, None, None);
    assert_eq!(webhook(bed), None);
    set(bed, &ours, None, Some(URL));
    assert_eq!(webhook(bed), Some((1, until)));
}

pub(in crate::store) fn an_address_that_is_left_is_told_so(bed: &mut Bed) {
    let ours = bed.ours.clone();
    set(bed, &ours, Some("till@example.com"), None);
    assert_eq!(lease(bed), [], "the same address is not left");
    let verb = settings(bed, &ours, Some("other@example.com"), None);
    let id = verb.told.id;
    assert_eq!(tell!(bed, SetNotices, verb), NoticesSet::Yes);
    let due = lease(bed);
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].id, due[0].address.as_deref()), (id, Some("till@example.com")));
    assert_eq!(due[0].to.as_ref().map(|to| &*to.target), Some("other@example.com"));
    became(bed, &due[0], Delivered::Yes);
    set(bed, &ours, None, None);
    let due = lease(bed);
    assert_eq!(due[0].address.as_deref(), Some("other@example.com"));
    assert_eq!(due[0].to, None);
}
