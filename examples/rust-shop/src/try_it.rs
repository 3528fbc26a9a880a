//! Opens the shop on a test bed: a server, three institutions, and this shop registered with them.

use std::env;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::{Settings, register, say, serve};

/// What the test bed tells and is used here.
#[derive(Deserialize)]
struct Told {
    server: Server,
    unregistered: Vec<Unregistered>,
    instruments: Instruments,
}

#[derive(Deserialize)]
struct Server {
    tls_url: String,
    authority: String,
    ca_pem: String,
}

#[derive(Deserialize)]
struct Unregistered {
    user_id: String,
    code: String,
}

#[derive(Deserialize)]
struct Instruments {
    approve: Approve,
}

#[derive(Deserialize)]
struct Approve {
    instrument: Card,
}

#[derive(Deserialize)]
struct Card {
    number: String,
    expiry_month: u8,
    expiry_year: u16,
    security_code: String,
}

pub(crate) async fn run(port: u16) -> anyhow::Result<()> {
    let (program, words): (OsString, &[&str]) = match env::var_os("POS_TESTBED") {
        Some(program) => (program, &[]),
        None => ("cargo".into(), &["xtask", "testbed"]),
    };
    let mut bed = Command::new(&program)
        .args(words)
        // It ends when its standard input closes, so with this program, however that ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let mut line = String::new();
    let stdout = bed.stdout.take().context("the bed's standard output")?;
    BufReader::new(stdout).read_line(&mut line).await?;
    let told: Told = serde_json::from_str(&line).context("what the test bed told")?;
    let unused = told.unregistered.first().context("a code that is unused")?;
    let folder = tempfile::tempdir()?;
    let settings = Settings {
        server_url: told.server.tls_url,
        ca_pem: Some(told.server.ca_pem),
        authority: Some(told.server.authority),
        folder: folder.path().to_owned(),
    };
    register(&settings, &unused.user_id, &unused.code, "a password of my own choice").await?;
    let Card { number, expiry_month, expiry_year, security_code } =
        told.instruments.approve.instrument;
    let year = expiry_year % 100;
    say(&format!(
        "\nA card that is approved: {number}, {expiry_month:02}/{year}, security code {security_code}\n"
    ))?;
    serve(&settings, (Ipv4Addr::LOCALHOST, port).into()).await?;
    drop(bed.stdin.take());
    bed.wait().await?;
    Ok(())
}
