//! The check that strangers' institutions must pass: ours pass it, and faults make it fail.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod support;

use pos_institution::house::House;
use pos_server::connectors::institution_protocol::conformance::{
    NamedInstrument, Report, Target, Verdict, read_instruments, run,
};
use pos_server::env::SystemEntropy;
use serde_json::{Value, json};
use support::{Bed, CONTRACT};

async fn check(bed: &Bed, house: House) -> Report {
    let record = bed.record(house);
    let target = Target {
        url: record.url,
        ca_pem: record.ca_pem,
        verify_key: record.verify_key,
        seal_root: record.seal_root,
        contract_number: CONTRACT.parse().unwrap(),
        instruments: instruments(bed).await,
    };
    let entropy = SystemEntropy::open().unwrap();
    run(&target, &bed.call_key, bed.clock.clone(), &entropy).await.unwrap()
}

async fn instruments(bed: &Bed) -> Vec<NamedInstrument> {
    let list = bed.control("GET", "/control/instruments", &Value::Null).await;
    read_instruments(list.to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn every_house_keeps_every_rule_that_it_can() {
    let bed = Bed::start().await;
    for (house, lacks) in [(House::Card, 0), (House::Bank, 1), (House::Prepaid, 1)] {
        let report = check(&bed, house).await;
        assert!(report.passed(), "{house:?}\n{report}");
        assert_eq!(report.institution, Some(house.id()));
        let left = |verdict: &Verdict| matches!(verdict, Verdict::NotChecked(_));
        let left = report.checks.iter().filter(|check| left(&check.verdict)).count();
        assert_eq!(left, lacks, "{house:?}\n{report}");
        assert_eq!(report.checks.len(), 25);
    }
    bed.ledger_is_sound().await;
}

#[tokio::test]
async fn an_institution_that_errs_does_not_pass() {
    let bed = Bed::start().await;
    for fault in ["unsigned", "wrong_amount", "garbled_body", "bad_gateway", "error500"] {
        bed.plan_fault(json!({ "fault": fault })).await;
        let report = check(&bed, House::Prepaid).await;
        assert!(!report.passed(), "{fault}\n{report}");
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
    assert!(!report.passed());
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
