//! What is left running with `--stay`, and what to try on it.

use std::fs;

use pos_tests::bed::ShopKit;
use pos_tests::process::program;
use pos_tests::testbed::Testbed;
use pos_tests::{Bed, BedError};

use crate::tell::{Failure, Teller};

/// Says where everything is and what to try, and waits for Ctrl-C.
pub(crate) async fn stay(mut bed: Bed, kit: ShopKit, teller: &mut Teller) -> Result<(), Failure> {
    bed.add_shop(kit).await?;
    let testbed = Testbed::open(bed).await?;
    let bed = testbed.bed();
    let file = bed.folder().join("testbed.json");
    let written = fs::write(&file, format!("{:#}\n", testbed.announcement()?));
    written.map_err(|source| BedError::System { action: "writing testbed.json".into(), source })?;

    teller.chapter("Running", "everything stays until Ctrl-C");
    let (address, control) = (bed.server.address(), testbed.control_url());
    let (folder, file) = (bed.folder().display(), file.display());
    for (what, place) in [
        ("server", format!("{} and {}", address.tls_url, address.url)),
        ("metrics", format!("{}/metrics", address.metrics_url)),
        ("control", control.to_owned()),
        ("for a client", format!("{file} (keys, ids, test instruments)")),
        ("logs and data", folder.to_string()),
    ] {
        teller.line(&format!("{what:<13} {place}"));
    }

    teller.chapter("Try", "in another window");
    let server = program("pos-server")?;
    let operator = format!("{} --data-folder {folder}/data", server.display());
    let silence = r#"{"fault":"no_answer","times":1,"operations":["refund"]}"#;
    for (what, command) in [
        ("is it ready", format!("curl {}/readyz", address.url)),
        ("every route of it", format!("curl {}/v1/openapi.json", address.url)),
        ("the operator's shops", format!("{operator} shop list")),
        ("what waits for a person", format!("{operator} task list")),
        ("switch an institution off", format!("{operator} institution disable sakura-card")),
        ("the institutions' books", format!("curl {control}/ledger")),
        ("silence for the next refund", format!("curl {control}/faults -d '{silence}'")),
        ("kill the server", format!("curl -X POST {control}/server/stop")),
        ("start it again", format!("curl -X POST {control}/server/restart")),
    ] {
        teller.line(&format!("{what}:"));
        teller.line(&format!("  {command}"));
    }
    tokio::signal::ctrl_c().await.map_err(Failure::Signal)
}
