//! A shop's program that is driven over its pipes. It reads one line of JSON ([`Start`]), opens a
//! connection, and then answers each line that it is given by one:
//!
//! - `pay N`: makes the next N payments, one after the other; answers the nanoseconds that each took,
//!   as a list of JSON. A payment that is not `done` ends the program.
//! - `trivial N`: asks the connection for its key's id N times; answers a list of one, all of them
//!   together.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pos_protocol::succession::Fingerprint;
use pos_protocol::text::base64url;
use pos_protocol::wire::PayRequest;
use pos_tests::Bed;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::error::BenchError;

/// How long the longest answer may take on a busy machine: that of a pool with all its payments.
const LIMIT: Duration = Duration::from_secs(240);

/// What a shop is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) server_url: String,
    pub(crate) authority: String,
    pub(crate) ca_pem: String,
    /// With the shop's keys.
    pub(crate) folder: String,
    /// To be paid in this order.
    pub(crate) orders: Vec<Order>,
}

/// As the surface's record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) contract_id: String,
    pub(crate) order_id: String,
    pub(crate) amount: u64,
    pub(crate) currency: String,
    pub(crate) envelope: String,
}

impl Start {
    pub(crate) fn new(bed: &Bed, folder: &Path, sealed: &[PayRequest]) -> Self {
        let address = bed.server.address();
        let orders = sealed.iter().map(|one| Order {
            contract_id: one.contract_id.to_string(),
            order_id: one.order_id.to_string(),
            amount: one.amount.minor(),
            currency: one.currency.to_string(),
            envelope: json!(one.envelope).to_string(),
        });
        Self {
            server_url: address.tls_url.clone(),
            authority: address.authority.clone(),
            ca_pem: bed.server.ca_pem().to_owned(),
            folder: folder.display().to_string(),
            orders: orders.collect(),
        }
    }
}

/// Writes what a shop's folder holds after its registration.
pub(crate) fn write_keys(bed: &Bed, folder: &Path) -> Result<(), BenchError> {
    let shop = bed.shop();
    let keys = json!({
        "module_key": base64url(&*shop.key.seed()),
        "shop_id": shop.enrolment.shop_id,
        "pin": Fingerprint::of(&bed.server.address().answer_key),
    });
    let path = folder.join("keys.json");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, keys.to_string()))
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)))
        .map_err(BenchError::system("writing a shop's keys"))
}

/// A running shop. It is killed when it is dropped.
pub(crate) struct Shop {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shop {
    pub(crate) async fn start(command: &[OsString], start: &Start) -> Result<Self, BenchError> {
        let (program, arguments) =
            command.split_first().ok_or(BenchError::TooFew("the command"))?;
        let name = program.to_string_lossy().into_owned();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(BenchError::system(format!("starting {name}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Shop { name, said: "it has no pipes".into() });
        };
        let mut shop = Self { name, child, input, output: BufReader::new(output) };
        shop.say(&json!(start).to_string()).await?;
        Ok(shop)
    }

    /// The process, which runs until it is told to end.
    pub(crate) fn id(&self) -> Result<u32, BenchError> {
        let ended = || BenchError::Shop { name: self.name.clone(), said: "it has ended".into() };
        self.child.id().ok_or_else(ended)
    }

    /// The nanoseconds of each of so many payments.
    pub(crate) async fn pay(&mut self, count: usize) -> Result<Vec<u64>, BenchError> {
        self.ask("pay", count, count).await
    }

    /// The nanoseconds of so many trivial calls together.
    pub(crate) async fn trivial(&mut self, count: usize) -> Result<u64, BenchError> {
        Ok(self.ask("trivial", count, 1).await?.iter().sum())
    }

    /// Lets it end by itself.
    pub(crate) async fn end(self) -> Result<(), BenchError> {
        let Self { name, mut child, input, .. } = self;
        drop(input);
        match timeout(LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            ended => Err(BenchError::Shop { name, said: format!("it ended by {ended:?}") }),
        }
    }

    async fn ask(
        &mut self,
        what: &str,
        count: usize,
        answers: usize,
    ) -> Result<Vec<u64>, BenchError> {
        self.say(&format!("{what} {count}")).await?;
        let took: Vec<u64> = self.hear().await?;
        if took.len() == answers {
            return Ok(took);
        }
        Err(BenchError::Shop { name: self.name.clone(), said: format!("{} times", took.len()) })
    }

    /// The next line that it prints.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, BenchError> {
        let mut line = String::new();
        let read = timeout(LIMIT, self.output.read_line(&mut line)).await;
        let told = serde_json::from_str(&line).ok().filter(|_| matches!(read, Ok(Ok(1..))));
        told.ok_or_else(|| BenchError::Shop { name: self.name.clone(), said: format!("`{line}`") })
    }

    async fn say(&mut self, line: &str) -> Result<(), BenchError> {
        let line = format!("{line}\n");
        let said = self.input.write_all(line.as_bytes()).await;
        said.map_err(BenchError::system(format!("telling {}", self.name)))
    }
}
