//! A day is compared with the institution's settlement file.

use std::collections::BTreeMap;
use std::fs;

use pos_connect::wire::{KeyStatus, OperationView, WireOperationState as State};
use pos_protocol::id::OperationId;
use pos_protocol::money::{Currency, Money};
use pos_tests::pay::Pay;
use pos_tests::raw::{Draft, now};
use pos_tests::{Bed, BedOptions, wait};
use serde_json::{Value, json};

const CARD: &str = "sakura-card";
const HALF_A_DAY_MS: u64 = 12 * 60 * 60 * 1000;

fn yen(minor: u64) -> Money {
    Money::new(minor, Currency::JPY).unwrap()
}

/// The institution's file of a day that began half a day ago: whatever the hour, no movement of the
/// test is near its edge.
async fn file(bed: &Bed, began: u64) -> String {
    let until = began + 2 * HALF_A_DAY_MS;
    bed.institutions.settlement(CARD, "2026-11-26", began, until).await.unwrap()
}

/// With its control line made right again.
fn with_control(lines: &[String]) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for line in &lines[2..] {
        let fields: Vec<_> = line.trim().split(',').collect();
        *sums.entry(fields[6]).or_default() += fields[5].parse::<u64>().unwrap();
    }
    let mut text = format!("{}end,{}", lines.concat(), lines.len() - 2);
    for (currency, sum) in sums {
        text += &format!(",{currency},{sum}");
    }
    text + "\n"
}

/// Reconciles, and answers the exit code with what was printed.
async fn reconcile(bed: &Bed, institution: &str, text: &str) -> (i32, Value) {
    fs::write(bed.folder().join("day.csv"), text).unwrap();
    let ran =
        bed.server.run(&["reconcile", "--institution", institution, "day.csv"]).await.unwrap();
    let printed = serde_json::from_slice(&ran.stdout);
    let printed = printed.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
    (ran.status.code().unwrap(), printed)
}

/// Class, movements and their sum.
fn classes(printed: &Value) -> Vec<(String, u64, u64)> {
    let sums = printed["sums"].as_array().unwrap_or_else(|| panic!("{printed}"));
    let number = |value: &Value| value.as_u64().unwrap();
    sums.iter()
        .map(|it| {
            (it["class"].as_str().unwrap().into(), number(&it["count"]), number(&it["amount"]))
        })
        .collect()
}

fn told(class: &str, count: u64, amount: u64) -> (String, u64, u64) {
    (class.to_owned(), count, amount)
}

async fn tasks(bed: &Bed) -> Vec<Value> {
    let listed = bed.server.operate(&["task", "list"]).await.unwrap();
    listed["tasks"].as_array().unwrap().clone()
}

async fn ended(bed: &Bed, view: &OperationView, state: State) {
    let line = bed.connection(bed.shop()).await.unwrap();
    wait::until("the outcome is found", || async {
        match line.operation(&view.idempotency_key).await.unwrap() {
            KeyStatus::Operation(found) => (found.state == state).then_some(()),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

async fn unknown(bed: &Bed, pay: &Pay) -> OperationView {
    let draft = pay.draft(bed, bed.shop()).unwrap();
    let draft = Draft { life: std::time::Duration::from_secs(4), created: now(), ..draft };
    let caller = bed.caller(bed.shop());
    let answer = caller.call(&bed.server.place().unwrap(), &draft).await.unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    serde_json::from_value(answer.json()).unwrap()
}

/// A day with every kind of movement, one of them undone, and a decline: eight lines of 14,700 yen and
/// one of ten euros.
async fn a_day(bed: &Bed) -> (OperationView, OperationView) {
    let shop = bed.shop();
    let line = bed.connection(shop).await.unwrap();
    let order = |pay: &Pay| pay.module_order(bed, shop).unwrap();
    let first = line.pay(&order(&Pay::sale(CARD, "approve", 1_200)), None).await.unwrap();
    line.refund(first.payment_id, yen(200), None).await.unwrap();
    let second = line.pay(&order(&Pay::sale(CARD, "approve", 700)), None).await.unwrap();
    let held = line.authorise(&order(&Pay::authorise(CARD, "approve", 5_000)), None).await.unwrap();
    line.capture(held.payment_id, yen(3_000), None).await.unwrap();
    line.void(held.payment_id, None).await.unwrap();
    let declined = order(&Pay::sale(CARD, "insufficient_funds", 900));
    let declined = line.pay(&declined, None).await.unwrap();
    assert_eq!(declined.state, State::Declined);
    let given_up = Pay { give_up_after_s: Some(1), ..Pay::sale(CARD, "fault:no_answer", 1_300) };
    ended(bed, &unknown(bed, &given_up).await, State::Reversed).await;
    let euros = Pay { currency: Currency::EUR, ..Pay::sale(CARD, "approve", 1_000) };
    line.pay(&order(&euros), None).await.unwrap();
    (first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_compared_with_the_institutions_file() {
    let options = BedOptions { processing_limit_ms: 3_000, ..BedOptions::default() };
    let bed = Bed::start(&options).await.unwrap();
    let began = now().as_ms() - HALF_A_DAY_MS;
    let (first, second) = a_day(&bed).await;

    let whole = file(&bed, began).await;
    let both = vec![told("both", 1, 1_000), told("both", 8, 14_700)];
    for _ in 0..2 {
        let (code, printed) = reconcile(&bed, CARD, &whole).await;
        assert_eq!((code, classes(&printed)), (0, both.clone()), "{printed}\n{whole}");
        assert_eq!((&printed["tasks"], &printed["undecided"]), (&json!(0), &json!(0)), "{printed}");
    }
    assert_eq!(tasks(&bed).await, [] as [Value; 0]);

    // Another amount, a line too few, and one too many.
    let mut lines: Vec<_> = whole.split_inclusive('\n').map(str::to_owned).collect();
    lines.pop();
    let at = |lines: &[String], id: OperationId| {
        lines.iter().position(|line| line.starts_with(&format!("{id},"))).unwrap()
    };
    let found = at(&lines, first.operation_id);
    lines[found] = lines[found].replace(",1200,JPY,", ",1300,JPY,");
    let dropped = at(&lines, second.operation_id);
    lines.remove(dropped);
    let stranger = OperationId::from_octets([0xff; 16]);
    let time = now().as_ms();
    lines.push(format!("{stranger},sale,4980012345,order-x,X1,550,JPY,{time}\n"));
    let edited = with_control(&lines);
    let seen = [
        told("both", 1, 1_000),
        told("both", 6, 12_800),
        told("differs", 1, 1_300),
        told("ours_only", 1, 700),
        told("theirs_only", 1, 550),
    ];
    let (code, printed) = reconcile(&bed, CARD, &edited).await;
    assert_eq!((code, classes(&printed)), (1, seen.to_vec()), "{printed}");
    assert_eq!(printed["tasks"], 3, "{printed}");
    let (code, printed) = reconcile(&bed, CARD, &edited).await;
    assert_eq!((code, classes(&printed)), (1, seen.to_vec()), "{printed}");
    assert_eq!(printed["tasks"], 0, "the same file makes no second task: {printed}");

    let open = tasks(&bed).await;
    let of = |id: OperationId| {
        let found = open.iter().find(|task| task["operation_id"] == id.to_string());
        found.unwrap_or_else(|| panic!("{id}: {open:?}"))
    };
    assert_eq!(open.len(), 3, "{open:?}");
    let text = |task: &Value| task["text"].as_str().unwrap().to_owned();
    let differs = of(first.operation_id);
    assert!(text(differs).contains("of 1300 JPY"), "{differs}");
    assert!(text(differs).ends_with("here it was done with 1200 JPY"), "{differs}");
    assert_eq!(differs["payment_id"], first.payment_id.to_string());
    let ours = of(second.operation_id);
    assert!(text(ours).contains("is done here with 700 JPY"), "{ours}");
    let theirs = of(stranger);
    assert!(text(theirs).ends_with("is not known here"), "{theirs}");
    assert_eq!((&theirs["institution_id"], &theirs["shop_id"]), (&json!(CARD), &Value::Null));
    // Nothing was mended in silence.
    let line = bed.connection(bed.shop()).await.unwrap();
    let payment = line.payment(first.payment_id).await.unwrap();
    assert_eq!((payment.captured, payment.refunded), (1_200, 200));

    let id = theirs["task_id"].as_str().unwrap();
    let decided = ["task", "resolve", id, "--as", "declined", "--note", "a"];
    let refused = bed.server.operate(&decided).await.unwrap_err().to_string();
    assert!(refused.contains("asks for no decision"), "{refused}");
    let closing = ["task", "resolve", id, "--note", "theirs was a test"];
    let closed = bed.server.operate(&closing).await.unwrap();
    assert_eq!(closed["note"], "theirs was a test", "{closed}");
    let again = bed.server.operate(&closing).await.unwrap_err().to_string();
    assert!(again.contains("closed already"), "{again}");
    let (_, printed) = reconcile(&bed, CARD, &edited).await;
    assert_eq!((&printed["tasks"], tasks(&bed).await.len()), (&json!(0), 2), "{printed}");

    // A file that is not whole, or not this institution's, changes nothing.
    let cut = &whole[..whole.find("\nend").unwrap() + 1];
    for (institution, text, why) in [
        (CARD, cut, "without its control line"),
        (CARD, &whole[..whole.len() / 2], "without its control line"),
        (CARD, &whole.replace(",700,", ",701,"), "the control line says"),
        ("aozora-bank", &whole, "it is of sakura-card, not of aozora-bank"),
        ("nobody", &whole, "no such institution"),
    ] {
        let (code, printed) = reconcile(&bed, institution, text).await;
        let message = printed["error"]["message"].as_str().unwrap_or_default();
        assert!(code == 1 && message.contains(why), "{printed}");
    }
    assert_eq!(tasks(&bed).await.len(), 2);

    // The right file, once more, and beside no server.
    let (code, printed) = reconcile(&bed, CARD, &whole).await;
    assert_eq!((code, classes(&printed)), (0, both.clone()), "{printed}");
    bed.server.kill().await.unwrap();
    let (code, printed) = reconcile(&bed, CARD, &whole).await;
    assert_eq!((code, classes(&printed)), (0, both), "{printed}");
    let audit = bed.server.operate(&["audit", "verify"]).await.unwrap();
    assert_eq!(audit["findings"], json!([]), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_here_and_settled_there_becomes_a_task_and_is_asked_about() {
    let options = BedOptions { processing_limit_ms: 3_000, ..BedOptions::default() };
    let bed = Bed::start(&options).await.unwrap();
    let began = now().as_ms() - HALF_A_DAY_MS;
    let silent = json!({ "institution": CARD, "fault": "no_answer", "on": ["inquiries"] });
    bed.institutions.add_fault(silent).await.unwrap();
    let sale = unknown(&bed, &Pay::sale(CARD, "fault:no_answer", 1_300)).await;
    let line = bed.connection(bed.shop()).await.unwrap();
    let whole = file(&bed, began).await;
    let (code, printed) = reconcile(&bed, CARD, &whole).await;
    assert_eq!((code, classes(&printed)), (1, vec![told("differs", 1, 1_300)]), "{printed}");
    assert_eq!((&printed["open"], &printed["tasks"]), (&json!(1), &json!(1)), "{printed}");
    // The file is no proof: only the institution's own signed word ends it.
    match line.operation(&sale.idempotency_key).await.unwrap() {
        KeyStatus::Operation(found) => assert!(!found.state.is_final(), "{found:?}"),
        other => panic!("{other:?}"),
    }
    bed.institutions.clear_faults().await.unwrap();
    let (_, printed) = reconcile(&bed, CARD, &whole).await;
    assert_eq!(printed["tasks"], 0, "{printed}");
    ended(&bed, &sale, State::Done).await;
    let (code, printed) = reconcile(&bed, CARD, &whole).await;
    assert_eq!((code, classes(&printed)), (0, vec![told("both", 1, 1_300)]), "{printed}");
    assert_eq!(tasks(&bed).await.len(), 1, "a person closes what a person was told");
}
