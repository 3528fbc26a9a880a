//! Every decision is a row of the audit, in the transaction of what it tells.

use pos_protocol::payment::OperationState;
use serde_json::Value;

use super::bed::{Bed, amount, tell};
use crate::store::audit::AuditRow;
use crate::store::audit::verify::{Verified, Verifier};
use crate::store::verbs::{Recorded, SetContractEnabled, TouchKey, Verb};

fn rows(bed: &Bed) -> Vec<AuditRow> {
    let mut all: Vec<AuditRow> = Vec::new();
    loop {
        let after = all.last().map(|row| (row.writer, row.seq));
        // Pages of three, so that a page's end is met.
        let page = bed.lists().audit_rows(after, 3).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn body(row: &AuditRow) -> Value {
    serde_json::from_str(&row.body).unwrap()
}

fn verified(bed: &Bed) -> Verified {
    let mut verifier = Verifier::new(&bed.lists().audit_beginnings().unwrap(), Vec::new());
    rows(bed).iter().for_each(|row| verifier.read(row));
    verifier.finish()
}

pub(in crate::store) fn every_decision_is_told_in_its_order(bed: &mut Bed) {
    let before = rows(bed).len();
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let mut outcome = bed.outcome(&payment, OperationState::Done(amount(1200)));
    outcome.follows = bed.undoing(&payment);
    assert_eq!(bed.record(&outcome), Recorded::Done { version: 2 });
    let off = SetContractEnabled {
        shop: ours.shop,
        contract: ours.contract,
        enabled: false,
        now: bed.now,
    };
    assert!(tell!(bed, SetContractEnabled, off));
    let told = rows(bed);
    let new: Vec<_> = told[before..].iter().map(body).collect();
    let what: Vec<_> = new.iter().map(|body| body["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["begin", "outcome", "switch_contract"]);
    assert_eq!(new[0]["payment"], payment.id.to_string());
    assert_eq!(new[0]["key"], ours.signer.id().to_string());
    assert_eq!((&new[1]["state"], &new[1]["moved"]), (&"done".into(), &1200.into()));
    assert_eq!(new[1]["also"][0]["state"], "reversing");
    assert_eq!(new[1]["also"][1]["kind"], "reverse");
    assert_eq!(new[2]["enabled"], false);
    assert!(told[before..].iter().all(|row| row.shop == Some(ours.shop) && row.at == bed.now));
    let count = u64::try_from(told.len()).unwrap();
    assert_eq!(verified(bed), Verified { chains: 1, rows: count, findings: Vec::new() });
    let heads = bed.lists().audit_heads().unwrap();
    assert_eq!(heads.len(), 1);
    assert_eq!((heads[0].count, heads[0].hash), (count, told.last().unwrap().hash));
}

pub(in crate::store) fn what_decides_nothing_is_not_told(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let sale = bed.sale_of(&ours, "order-1");
    bed.begin(&sale);
    let before = rows(bed);
    let taken = bed.sale_of(&ours, "order-1");
    bed.begin(&taken);
    bed.begin(&sale.clone());
    let late = bed
        .outcome(&bed.payment(&ours, super::bed::new_payment(&sale).id), OperationState::NotSent);
    let mut late = late;
    late.version = 9;
    assert_eq!(bed.record(&late), Recorded::Moved);
    let touch = TouchKey { shop: ours.shop, key: ours.signer.id(), now: bed.now, idle_at: None };
    tell!(bed, TouchKey, touch);
    // A repeat whose first answer was lost is told once more: it may have been another process's.
    let told = rows(bed);
    let repeats = told.len() - before.len();
    assert!(repeats <= 1, "{:?}", &told[before.len()..]);
    assert_eq!(verified(bed).findings, []);
}

pub(in crate::store) fn a_verb_that_fails_leaves_no_row(bed: &mut Bed) {
    let ours = bed.ours.clone();
    let payment = bed.begun(&ours);
    let before = rows(bed).len();
    let good = bed.outcome(&payment, OperationState::Done(amount(1200)));
    let mut broken = good.clone();
    // A number that no engine keeps.
    broken.sums.authorised = u64::MAX;
    let sale = bed.sale(&ours);
    let verbs = [
        Verb::RecordOutcome(Box::new(broken)),
        Verb::BeginOperation(Box::new(sale)),
        Verb::RecordOutcome(Box::new(good)),
    ];
    let replies = bed.group(&verbs);
    assert!(replies[0].is_err() && replies[1].is_ok() && replies[2].is_ok(), "{replies:?}");
    let told = rows(bed);
    let what: Vec<_> = told[before..].iter().map(|row| body(row)["what"].clone()).collect();
    assert_eq!(what, ["begin", "outcome"]);
    assert_eq!(verified(bed).findings, []);
}
