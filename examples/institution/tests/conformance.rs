//! The check that strangers' institutions must pass: ours pass it, and faults make it fail.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod support;

use pos_institution::house::House;
use pos_server::connectors::institution_protocol::conformance::{
    Conclusion, NamedInstrument, Report, Target, Verdict, read_instruments, run,
};
use pos_server::env::SystemEntropy;
use serde_json::{Value, json};
use support::{Bed, CONTRACT};

async fn check(bed: &Bed, house: House) -> Report {
    check_with(bed, house, instruments(bed).await).await
}

async fn check_with(bed: &Bed, house: House, instruments: Vec<NamedInstrument>) -> Report {
    let record = bed.record(house);
    let target = Target {
        url: record.url,
        ca_pem: record.ca_pem,
        verify_key: record.verify_key,
        seal_root: record.seal_root,
        contract_number: CONTRACT.parse().unwrap(),
        instruments,
    };
    let entropy = SystemEntropy::open().unwrap();
    run(&target, &bed.call_key, bed.clock.clone(), &entropy).await.unwrap()
}

async fn instruments(bed: &Bed) -> Vec<NamedInstrument> {
    let list = bed.control("GET", "/control/instruments", &Value::Null).await;
    read_instruments(list.to_string().as_bytes()).unwrap()
}

/// The rules with a verdict of this kind.
fn rules(report: &Report, wanted: fn(&Verdict) -> bool) -> Vec<&'static str> {
    report.checks.iter().filter(|one| wanted(&one.verdict)).map(|one| one.rule).collect()
}

fn broken(report: &Report) -> Vec<&'static str> {
    rules(report, |verdict| matches!(verdict, Verdict::Broken(_)))
}

const NO_HOLDS: [&str; 2] =
    ["captures no more than is held", "voids what is held, and nothing after it"];

#[tokio::test]
async fn every_house_keeps_every_rule_about_what_it_offers() {
    let bed = Bed::start().await;
    let expected: [(House, &[&str]); 3] = [
        (House::Card, &["refuses operations that it does not offer"]),
        (House::Bank, &NO_HOLDS),
        (House::Prepaid, &NO_HOLDS),
    ];
    for (house, lacks) in expected {
        let report = check(&bed, house).await;
        assert_eq!(report.conclusion(), Conclusion::Kept, "{house:?}\n{report}");
        assert_eq!(report.institution, Some(house.id()));
        let not_offered = rules(&report, |verdict| matches!(verdict, Verdict::NotOffered(_)));
        assert_eq!(not_offered, lacks, "{house:?}\n{report}");
        assert_eq!(report.checks.len(), 31);
    }
    bed.ledger_is_sound().await;
}

/// Nothing is known to be broken where nothing could be tried, and that is no pass.
#[tokio::test]
async fn without_its_instruments_a_check_is_incomplete() {
    let bed = Bed::start().await;
    let mut list = instruments(&bed).await;
    list.retain(|one| one.name != "over_limit");
    let report = check_with(&bed, House::Prepaid, list.clone()).await;
    assert_eq!(report.conclusion(), Conclusion::Incomplete, "{report}");
    let missing = report.checks.iter().find_map(|one| match &one.verdict {
        Verdict::NotChecked(why) => Some((one.rule, why.as_str())),
        _ => None,
    });
    let expected = (
        "declines each test instrument for its reason",
        "there is no test instrument `over_limit`",
    );
    assert_eq!(missing, Some(expected));
    list.retain(|one| one.name != "approve");
    let report = check_with(&bed, House::Prepaid, list).await;
    assert_eq!(report.conclusion(), Conclusion::Incomplete, "{report}");
    let missing = rules(&report, |verdict| matches!(verdict, Verdict::NotChecked(_)));
    assert!(missing.len() > 10, "{report}");
}

/// An institution that takes every payment in first and decides it later.
#[tokio::test]
async fn a_payment_that_is_pending_is_followed_to_its_end() {
    let bed = Bed::start().await;
    let mut list = instruments(&bed).await;
    list.retain(|one| one.name != "approve");
    for one in &mut list {
        if one.name == "pending" {
            one.name = "approve".into();
        }
    }
    let report = check_with(&bed, House::Bank, list).await;
    assert_eq!(report.conclusion(), Conclusion::Kept, "{report}");
}

/// For every rule that is broken on purpose, the check names the rules that show it and no other.
#[tokio::test]
async fn the_check_finds_every_broken_rule() {
    let bed = Bed::start().await;
    let expected: [(&str, &[&str]); 9] = [
        ("acts_twice", &["captures no more than is held", "refunds no more than was captured"]),
        (
            "captures_too_much",
            &["captures no more than is held", "voids what is held, and nothing after it"],
        ),
        (
            "forgets_rand",
            &[
                "takes an envelope for one operation only",
                "answers a check, or says that it does not",
            ],
        ),
        ("forgets_reversals", &["refuses an original that comes after its reversal"]),
        ("ignores_binding", &["refuses an envelope that was sealed for something else"]),
        ("ignores_freshness", &["refuses a signature that is old"]),
        (
            "ignores_not_after",
            &[
                "refuses a late arrival and remembers it",
                "does not take what it had said would not come any more",
            ],
        ),
        (
            "refuses_reversals",
            &[
                "reverses a payment once, and moves nothing of it after",
                "refuses an original that comes after its reversal",
            ],
        ),
        (
            "refunds_too_much",
            &["voids what is held, and nothing after it", "refunds no more than was captured"],
        ),
    ];
    for (quirk, found) in expected {
        switch(&bed, json!(quirk)).await;
        let report = check(&bed, House::Card).await;
        assert_eq!(broken(&report), found, "{quirk}\n{report}");
        assert_eq!(report.conclusion(), Conclusion::Broken);
    }
    switch(&bed, json!("unsigned_refusals")).await;
    let report = check(&bed, House::Card).await;
    // What is answered, a decline too, is no refusal; everything else is.
    let answered = [
        "says who it is and what it can do, signed",
        "serves seal keys that its root key signed",
        "refuses a call without signature",
        "does an operation once, however often it comes",
        "refuses a late arrival and remembers it",
        "says that it knows nothing of an operation it never got",
        "does not take what it had said would not come any more",
        "declines each test instrument for its reason",
        "captures no more than is held",
        "voids what is held, and nothing after it",
        "refunds no more than was captured",
        "declines what follows no known original",
        "reverses a payment once, and moves nothing of it after",
        "refuses an original that comes after its reversal",
    ];
    assert_eq!(rules(&report, |verdict| *verdict == Verdict::Kept), answered, "{report}");
    switch(&bed, Value::Null).await;
    assert_eq!(check(&bed, House::Card).await.conclusion(), Conclusion::Kept);
}

async fn switch(bed: &Bed, quirk: Value) {
    let told = bed.control("PUT", "/control/quirk", &json!({ "quirk": quirk })).await;
    assert_eq!(told, json!({ "quirk": quirk }));
}

#[tokio::test]
async fn an_institution_that_errs_does_not_pass() {
    let bed = Bed::start().await;
    for fault in ["unsigned", "wrong_amount", "garbled_body", "bad_gateway", "error500"] {
        bed.plan_fault(json!({ "fault": fault })).await;
        let report = check(&bed, House::Prepaid).await;
        assert_eq!(report.conclusion(), Conclusion::Broken, "{fault}\n{report}");
        bed.control("DELETE", "/control/faults", &Value::Null).await;
    }
}

#[tokio::test]
async fn a_stranger_is_not_listened_to() {
    let bed = Bed::start().await;
    let record = bed.record(House::Card);
    let target = Target {
        url: record.url,
        ca_pem: record.ca_pem,
        verify_key: bed.record(House::Bank).verify_key,
        seal_root: record.seal_root,
        contract_number: CONTRACT.parse().unwrap(),
        instruments: Vec::new(),
    };
    let entropy = SystemEntropy::open().unwrap();
    let report = run(&target, &bed.call_key, bed.clock.clone(), &entropy).await.unwrap();
    assert_eq!(report.conclusion(), Conclusion::Broken);
    assert_eq!(report.checks.len(), 1);
    assert!(matches!(&report.checks[0].verdict, Verdict::Broken(why) if why.contains("keyid")));
}

#[test]
fn a_list_of_instruments_is_read_or_told_what_is_wrong() {
    let read = |json: &str| read_instruments(json.as_bytes()).map(|list| list.len());
    let card = r#"{"type":"card","number":"4111111111111111","expiry_year":2030,"expiry_month":1}"#;
    assert_eq!(read(&format!(r#"[{{"name":"approve","instrument":{card}}}]"#)), Ok(1));
    assert_eq!(read("{}").unwrap_err().at, 0);
    assert_eq!(read(r#"[{"instrument":{}}]"#).unwrap_err().at, 1);
    let wrong = read(r#"[{"name":"approve","instrument":{"number":"4111111111111112"}}]"#);
    let told = wrong.unwrap_err().to_string();
    assert!(!told.contains("4111"), "{told}");
}
