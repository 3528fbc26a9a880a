//! What shops are told: webhooks over real TLS, mail to a real mail server.

use std::collections::HashSet;
use std::time::Duration;

use pos_connect::wire::{MailLanguage, MailSettings, SetNoticesRequest, SetWebhook};
use pos_connect::{Connection, ErrorKind};
use pos_protocol::webhook::WebhookKey;
use pos_tests::pay::Pay;
use pos_tests::receiver::{Arrived, MailServer, Protection, Receiver};
use pos_tests::{Bed, BedOptions, wait};
use serde_json::Value;

fn webhook(url: &str, new_key: bool) -> SetNoticesRequest {
    SetNoticesRequest { mail: None, webhook: Some(SetWebhook { url: url.into(), new_key }) }
}

async fn pay(bed: &Bed, instrument: &str, yen: u64) -> pos_connect::wire::OperationView {
    let order = Pay::sale("sakura-card", instrument, yen).module_order(bed, bed.shop()).unwrap();
    bed.connection(bed.shop()).await.unwrap().pay(&order, None).await.unwrap()
}

async fn verified(line: &Connection, arrived: &Arrived) -> pos_connect::wire::Notice {
    let field = |name| arrived.header(name);
    let (id, timestamp) = (field("webhook-id"), field("webhook-timestamp"));
    let signature = field("webhook-signature");
    line.verify_webhook(id, timestamp, signature, arrived.body.as_bytes()).await.unwrap()
}

async fn bed_with(receiver: &Receiver) -> Bed {
    let mut options = BedOptions::default();
    options.server.more = receiver.settings();
    Bed::start(&options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_is_told_by_webhook_and_mail_what_became_of_its_payment() {
    for (protection, language) in [
        (Protection::Implicit, MailLanguage::English),
        (Protection::Starttls, MailLanguage::Japanese),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let receiver = Receiver::start().await.unwrap();
        let mail_server = MailServer::start(folder.path(), protection).await.unwrap();
        let mut options = BedOptions::default();
        options.server.more = receiver.settings() + &mail_server.settings();
        let bed = Bed::start(&options).await.unwrap();
        let line = bed.connection(bed.shop()).await.unwrap();
        let request = SetNoticesRequest {
            mail: Some(MailSettings {
                address: "orders@shop.example".parse().unwrap(),
                language: language.into(),
            }),
            ..webhook(&receiver.url(), false)
        };
        let set = line.set_notices(&request).await.unwrap();
        assert_eq!(set, line.notices().await.unwrap());
        let settings = set.webhook.unwrap();
        assert_eq!((settings.url, settings.keys.len()), (receiver.url(), 1));

        let paid = pay(&bed, "approve", 1_200).await;
        let declined = pay(&bed, "over_limit", 1_300).await;
        let money = pos_connect::Money::new(1_200, paid.currency).unwrap();
        line.refund(paid.payment_id, money, None).await.unwrap();
        let arrived = receiver.until(3).await;
        assert_eq!(arrived.len(), 3, "{arrived:?}");
        let mut told = Vec::new();
        for one in &arrived {
            assert_eq!(one.path, "/hook?of=shop");
            assert_eq!(one.header("content-type"), "application/json");
            let notice = verified(&line, one).await;
            assert_eq!(notice.data.shop_id, bed.shop().enrolment.shop_id);
            // What it says is what the server says when it is asked.
            let asked = line.payment(notice.data.operation.payment_id).await.unwrap();
            assert!(asked.operations.contains(&notice.data.operation), "{notice:?}");
            told.push((notice.kind, notice.data.operation.payment_id, notice.data.sequence));
        }
        told.sort();
        assert_eq!(
            told,
            [
                ("refund.done".to_owned(), paid.payment_id, 4),
                ("sale.declined".to_owned(), declined.payment_id, 2),
                ("sale.done".to_owned(), paid.payment_id, 2),
            ]
        );
        let ids: HashSet<_> = arrived.iter().map(|one| one.header("webhook-id")).collect();
        assert_eq!(ids.len(), 3);

        // A decline is no completion.
        let mails = mail_server.until(2).await;
        assert_eq!(mails.len(), 2, "{mails:?}");
        for (mail, id) in mails.iter().map(|mail| (mail, header_of(mail, "Message-ID"))) {
            assert_eq!(header_of(mail, "To"), "orders@shop.example");
            let (id, domain) = id[1..id.len() - 1].split_once('@').unwrap();
            assert!(ids.contains(id), "{id} is not told by webhook too");
            assert_eq!(domain, "operator.example");
            let subject = header_of(mail, "Subject");
            match language {
                MailLanguage::English => assert!(subject.starts_with("Order order-"), "{subject}"),
                MailLanguage::Japanese => assert!(subject.starts_with("=?utf-8?b?"), "{subject}"),
            }
        }
        assert_eq!(bed.faults_in_log().unwrap(), [] as [String; 0]);
        assert!(!bed.server.tail().await.contains("orders@"), "addresses are not logged");
    }
}

fn header_of(mail: &str, name: &str) -> String {
    let prefix = format!("{name}: ");
    let line = mail.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("{name} is not in {mail}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_comes_again_under_its_id_until_it_is_taken() {
    let receiver = Receiver::start().await.unwrap();
    let bed = bed_with(&receiver).await;
    let line = bed.connection(bed.shop()).await.unwrap();
    line.set_notices(&webhook(&receiver.url(), false)).await.unwrap();
    // A redirect is not followed, and counts as no answer.
    receiver.answer(&[307]);
    pay(&bed, "approve", 1_200).await;
    let arrived = receiver.until(2).await;
    assert_eq!(arrived[0].path, arrived[1].path);
    assert_eq!(arrived[0].header("webhook-id"), arrived[1].header("webhook-id"));
    assert_eq!(arrived[0].body, arrived[1].body);
    let at = |one: &Arrived| one.header("webhook-timestamp").parse::<u64>().unwrap();
    assert!(at(&arrived[1]) >= at(&arrived[0]) + 5, "five seconds later at the earliest");
    for one in &arrived {
        verified(&line, one).await;
    }
    // What was taken does not come again.
    let metrics = waiting(&bed, "0").await;
    assert!(metrics.contains(r#"pos_notices_total{channel="webhook",outcome="failed"} 1"#));
    assert!(metrics.contains(r#"pos_notices_total{channel="webhook",outcome="told"} 1"#));
}

/// The metrics, once so many notices wait.
async fn waiting(bed: &Bed, count: &str) -> String {
    let place = pos_tests::line::Place::new(&bed.server.address().metrics_url, "").unwrap();
    wait::until(&format!("{count} notices wait"), async || {
        let read = place.send(&pos_tests::line::Request::get("/metrics")).await.unwrap();
        let text = String::from_utf8(read.body.to_vec()).unwrap();
        text.contains(&format!("pos_notices_waiting {count}\n")).then_some(text)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_outlives_the_death_of_server_and_receiver() {
    let receiver = Receiver::start().await.unwrap();
    let bed = bed_with(&receiver).await;
    let line = bed.connection(bed.shop()).await.unwrap();
    line.set_notices(&webhook(&receiver.url(), false)).await.unwrap();
    receiver.stop().await;
    let paid = pay(&bed, "approve", 1_200).await;
    bed.server.kill().await.unwrap();
    receiver.listen().await.unwrap();
    bed.server.restart().await.unwrap();
    let notice = verified(&line, &receiver.until(1).await[0]).await;
    assert_eq!(notice.data.operation.operation_id, paid.operation_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_has_gone_is_left_alone_until_it_is_set_again() {
    let receiver = Receiver::start().await.unwrap();
    let bed = bed_with(&receiver).await;
    let line = bed.connection(bed.shop()).await.unwrap();
    line.set_notices(&webhook(&receiver.url(), false)).await.unwrap();
    receiver.answer(&[410]);
    pay(&bed, "approve", 1_200).await;
    let disabled = wait::until("the webhook is switched off", async || {
        line.notices().await.unwrap().webhook.unwrap().disabled_at_ms
    });
    disabled.await;
    pay(&bed, "approve", 1_201).await;
    waiting(&bed, "0").await;
    assert_eq!(receiver.arrived().len(), 1);
    let set = line.set_notices(&webhook(&receiver.url(), false)).await.unwrap();
    assert_eq!(set.webhook.unwrap().disabled_at_ms, None);
    let paid = pay(&bed, "approve", 1_202).await;
    let notice = verified(&line, &receiver.until(2).await[1]).await;
    assert_eq!(notice.data.operation.operation_id, paid.operation_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_signs_beside_the_one_before() {
    let receiver = Receiver::start().await.unwrap();
    let bed = bed_with(&receiver).await;
    let line = bed.connection(bed.shop()).await.unwrap();
    let keys = |settings: pos_connect::wire::NoticeSettings| settings.webhook.unwrap().keys;
    let first = keys(line.set_notices(&webhook(&receiver.url(), false)).await.unwrap());
    // Another process of the shop's, which has read the keys before they were changed.
    let slow = bed.connection(bed.shop()).await.unwrap();
    assert_eq!(keys(slow.notices().await.unwrap()), first);
    let both = keys(line.set_notices(&webhook(&receiver.url(), true)).await.unwrap());
    assert_eq!((both.len(), both[1]), (2, first[0]));
    pay(&bed, "approve", 1_200).await;
    let arrived = receiver.until(1).await;
    assert_eq!(arrived[0].header("webhook-signature").split(' ').count(), 2);
    verified(&line, &arrived[0]).await;
    verified(&slow, &arrived[0]).await;

    // Another shop's keys, an altered body and a stranger's key prove nothing.
    let one = &arrived[0];
    let (id, at) = (one.header("webhook-id"), one.header("webhook-timestamp"));
    let signature = one.header("webhook-signature");
    let altered = one.body.replace("1200", "9200");
    assert_ne!(altered, one.body);
    let refused = line.verify_webhook(id, at, signature, altered.as_bytes()).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code().as_str()),
        (ErrorKind::FixTheRequest, "webhook_unverified")
    );
    let other: WebhookKey = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse().unwrap();
    assert!(!both.contains(&other));
    let body: Value = serde_json::from_str(&one.body).unwrap();
    assert_eq!(body["type"], "sale.done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_inside_is_refused_and_nothing_is_called() {
    let receiver = Receiver::start().await.unwrap();
    // This bed's server was not told that the receiver may be anywhere.
    let bed = Bed::start(&BedOptions::default()).await.unwrap();
    let line = bed.connection(bed.shop()).await.unwrap();
    for url in
        [receiver.url().as_str(), "http://shop.example/", "https://169.254.169.254/latest", ""]
    {
        let refused = line.set_notices(&webhook(url, false)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::FixTheRequest, "{url}");
        assert_eq!(
            (refused.code().as_str(), refused.field()),
            ("invalid_field", Some("webhook.url"))
        );
    }
    // A name that resolves to an address inside passes as a text and is refused before the connection:
    // `localtest.me` and its like cannot be had here, so the rule itself is tested beside the code.
    assert_eq!(line.notices().await.unwrap().webhook, None);
    pay(&bed, "approve", 1_200).await;
    tokio::time::timeout(Duration::from_secs(1), receiver.until(1)).await.unwrap_err();
}
