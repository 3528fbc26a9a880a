//! The crash matrix: the real server dies at each of its named points, by itself and by a kill, and is
//! started again; then the institutions' books must agree with what the shop is told.

use std::time::Duration;

use pos_connect::wire::{
    OperationView, SetNoticesRequest, SetWebhook, WireOperationState as State,
};
use pos_connect::{Connection, IdempotencyKey, Order};
use pos_tests::pay::Pay;
use pos_tests::raw::fresh_key;
use pos_tests::receiver::Receiver;
use pos_tests::{Bed, BedOptions, wait};

/// How long a server may live that is to die.
const LIFE: Duration = Duration::from_secs(60);

/// Every point of the program, each way. The points come from the program itself, so that none is left
/// out here.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_die_at_every_point() {
    let receiver = Receiver::start().await.unwrap();
    let mut options = BedOptions { processing_limit_ms: 1_500, ..BedOptions::default() };
    options.server.lease_seconds = 12;
    options.server.more = receiver.settings();
    let bed = Bed::start(&options).await.unwrap();
    let line = bed.connection(bed.shop()).await.unwrap();
    let webhook = Some(SetWebhook { url: receiver.url(), new_key: false });
    line.set_notices(&SetNoticesRequest { mail: None, webhook }).await.unwrap();

    let listed = bed.server.run(&["crash-points"]).await.unwrap();
    let points: Vec<String> = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(points.len() >= 10, "{points:?}");
    let mut cases = 0;
    for point in &points {
        for how in ["abort", "kill"] {
            let case = Case::new(&bed, &receiver, point);
            case.run(how).await;
            cases += 1;
        }
    }
    let ledger = bed.institutions.ledger("sakura-card").await.unwrap();
    assert!(ledger.balanced, "{ledger:?}");
    assert_eq!(cases, points.len() * 2);
    println!("crashes: points={} cases={cases} ledger=equal", points.len());
}

/// One death.
struct Case<'a> {
    bed: &'a Bed,
    receiver: &'a Receiver,
    point: &'a str,
    pay: Pay,
    key: IdempotencyKey,
}

impl<'a> Case<'a> {
    fn new(bed: &'a Bed, receiver: &'a Receiver, point: &'a str) -> Self {
        let instrument = match point {
            // The approval is learnt of when the shop has given up: it is reversed.
            "reverse.answered" => "fault:no_answer",
            _ => "approve",
        };
        let mut pay = Pay::sale("sakura-card", instrument, 1_200);
        if point == "reverse.answered" {
            pay.give_up_after_s = Some(1);
        }
        Self { bed, receiver, point, pay, key: fresh_key() }
    }

    async fn run(&self, how: &str) {
        let (bed, point) = (self.bed, self.point);
        let order = self.pay.module_order(bed, bed.shop()).unwrap();
        let line = bed.connection(bed.shop()).await.unwrap();
        // In order, so that what the case before is still being told is not what this one dies of.
        bed.server.end(LIFE).await.unwrap();
        if point == "take_over.leased" {
            // Something must be open when it starts.
            bed.server.restart_to_die("send.answered:kill").await.unwrap();
            let paying = self.paying(&line, &order);
            bed.server.died(LIFE).await.unwrap();
            bed.server.restart_to_die(&format!("{point}:{how}")).await.unwrap();
            bed.server.died(LIFE).await.unwrap();
            bed.server.restart().await.unwrap();
            paying.await.unwrap();
        } else {
            bed.server.restart_to_die(&format!("{point}:{how}")).await.unwrap();
            let paying = self.paying(&line, &order);
            bed.server.died(LIFE).await.unwrap();
            bed.server.restart().await.unwrap();
            paying.await.unwrap();
        }
        self.judge(&line, how).await;
    }

    /// The shop pays while the server dies and is started again.
    fn paying(&self, line: &Connection, order: &Order) -> tokio::task::JoinHandle<()> {
        let (line, order, key) = (line.clone(), order.clone(), self.key.clone());
        tokio::spawn(async move {
            // Whatever it is told now, the key is what it asks by.
            let _ = line.pay(&order, Some(key)).await;
        })
    }

    /// What the shop hears in the end is what the institution's books say, once and not twice.
    async fn judge(&self, line: &Connection, how: &str) {
        let told = format!("{} {how}", self.point);
        let found = wait::within(wait::LIMIT, async || {
            let found = line.resume(&self.key).await.ok()?;
            found.state.is_final().then_some(found)
        })
        .await
        .unwrap_or_else(|| panic!("{told}: the outcome is not known"));
        let standing: Vec<_> =
            self.pay.effects(self.bed).await.into_iter().filter(|one| one.0 > 0).collect();
        let allowed: &[State] = match self.point {
            // Nothing had left: it is sent by the shop's next try, or never.
            "begin.before_commit" | "begin.committed" | "send.before_write" => {
                &[State::Done, State::NotSent]
            }
            "reverse.answered" => &[State::Reversed],
            // The institution has approved it, and no death undoes that.
            _ => &[State::Done],
        };
        assert!(allowed.contains(&found.state), "{told}: {found:?}");
        match found.state {
            State::Done => assert_eq!(standing, [(1_200, 1)], "{told}"),
            State::NotSent | State::Reversed => assert_eq!(standing, [], "{told}"),
            other => panic!("{told}: {other:?}"),
        }
        self.is_told(&found, &told).await;
        let payment = line.payment(found.payment_id).await.unwrap();
        let captured: u64 = standing.iter().map(|one| one.0).sum();
        assert_eq!(payment.captured, captured, "{told}");
    }

    /// The shop is told of the end, whatever died before; where it died between telling and noting that,
    /// twice under one id.
    async fn is_told(&self, end: &OperationView, told: &str) {
        let operation = format!("\"operation_id\":\"{}\"", end.operation_id);
        let state = format!("\"state\":\"{}\"", end.state.wire());
        let least = if self.point == "notice.told" { 2 } else { 1 };
        let ids = wait::within(wait::LIMIT, async || {
            let mut arrived = self.receiver.arrived();
            arrived.retain(|one| one.body.contains(&operation) && one.body.contains(&state));
            let ids = arrived.iter().map(|one| one.header("webhook-id").to_owned());
            let ids: Vec<_> = ids.collect();
            (ids.len() >= least).then_some(ids)
        });
        let ids = ids.await.unwrap_or_else(|| panic!("{told}: the end is not told"));
        assert!(ids.iter().all(|id| *id == ids[0]), "{told}: {ids:?}");
    }
}
