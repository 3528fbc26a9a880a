//! The operator's look at the audit of a running server.

use pos_tests::pay::Pay;
use pos_tests::{Bed, BedOptions};
use serde_json::{Value, json};

async fn audit(bed: &Bed) -> Value {
    bed.server.operate(&["audit", "verify"]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_of_a_running_server_grows_with_each_payment_and_is_whole() {
    let bed = Bed::start(&BedOptions::default()).await.unwrap();
    let before = audit(&bed).await;
    assert_eq!((&before["findings"], &before["unsigned"]), (&json!([]), &json!(0)), "{before}");
    assert!(before["checkpoints"].as_u64() >= Some(1), "one at the start: {before}");
    let pay = Pay::sale("sakura-card", "approve", 1_200);
    let order = pay.module_order(&bed, bed.shop()).unwrap();
    bed.connection(bed.shop()).await.unwrap().pay(&order, None).await.unwrap();
    let after = audit(&bed).await;
    assert_eq!(after["findings"], json!([]), "{after}");
    let rows = |report: &Value| report["rows"].as_u64().unwrap();
    assert_eq!(rows(&after), rows(&before) + 2, "a beginning and an outcome");
    // A restart begins a chain of its own, and the one before is witnessed at its end.
    bed.server.end(std::time::Duration::from_secs(60)).await.unwrap();
    bed.server.restart().await.unwrap();
    let again = Pay::sale("sakura-card", "approve", 1_200);
    let again = again.module_order(&bed, bed.shop()).unwrap();
    bed.connection(bed.shop()).await.unwrap().pay(&again, None).await.unwrap();
    let chains = |report: &Value| report["chains"].as_u64().unwrap();
    let last = audit(&bed).await;
    assert_eq!(last["findings"], json!([]), "{last}");
    assert_eq!(chains(&last), chains(&after) + 1);
    assert!(last["checkpoints"].as_u64().unwrap() >= before["checkpoints"].as_u64().unwrap() + 2);
}
