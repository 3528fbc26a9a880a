//! A shop as a process of its own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pos_tests::line::{Place, Request, Response};
use pos_tests::testbed::Testbed;
use pos_tests::{process, wait};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::Commands;
use crate::record::Record;

/// How long a shop that was asked to end may take.
const END_LIMIT: Duration = Duration::from_secs(20);

/// How often is asked whether it answers.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Shop {
    place: Place,
    child: Child,
    group: String,
    folder: TempDir,
}

impl Shop {
    /// Starts the `try_it` program, with the unused code at this place, and waits until the shop
    /// answers.
    pub(crate) async fn try_it(
        commands: &Commands,
        testbed: &Testbed,
        nth: usize,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("scratch"))?;
        seal_folder(&folder, commands.seal.as_deref())?;
        let testbed = already_started(testbed, &folder, nth)?;
        let (place, child) =
            start(&commands.try_it, &folder, &[("POS_TESTBED", testbed.as_os_str())])?;
        let group = format!("-{}", child.id().context("a program that just started")?);
        let mut shop = Self { place, child, group, folder };
        timeout(wait::LIMIT, shop.opened()).await.context("the shop never answered")??;
        Ok(shop)
    }

    /// Ends it at once, in the middle of whatever it does.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.signal("-KILL");
        self.child.wait().await?;
        Ok(())
    }

    /// Starts it again, on what it has left behind, with what is to be run beside it every minute.
    pub(crate) async fn reopen(
        &mut self,
        commands: &Commands,
        testbed: &Testbed,
    ) -> anyhow::Result<()> {
        let left = self.data()?;
        let told = testbed.announcement()?;
        let server = |name: &str| told["server"][name].as_str().unwrap_or_default();
        let ca_pem = self.folder.path().join("ca.pem");
        fs::write(&ca_pem, server("ca_pem"))?;
        let settings = [
            ("SHOP_FOLDER", left.as_os_str()),
            ("POS_SERVER_URL", server("tls_url").as_ref()),
            ("POS_AUTHORITY", server("authority").as_ref()),
            ("POS_CA_PEM", server("ca_pem").as_ref()),
            ("NODE_EXTRA_CA_CERTS", ca_pem.as_os_str()),
        ];
        (self.place, self.child) = start(&commands.serve, &self.folder, &settings)?;
        self.group = format!("-{}", self.child.id().context("a program that just started")?);
        timeout(wait::LIMIT, self.opened()).await.context("the shop never answered again")??;
        if let Some(settle) = &commands.settle {
            let (_, mut settling) = start(settle, &self.folder, &settings)?;
            let ended =
                timeout(wait::LIMIT, settling.wait()).await.context("asking for ever")??;
            ensure!(ended.success(), "{}: {ended}", settle.join(" "));
        }
        Ok(())
    }

    async fn opened(&mut self) -> anyhow::Result<()> {
        while self.place.send(&Request::get("/")).await.is_err() {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none(), "the shop ended: {ended:?}");
            sleep(PAUSE).await;
        }
        Ok(())
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.place.send(&Request::get(path)).await?)
    }

    /// What a form sends.
    pub(crate) async fn post(
        &self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Response> {
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let kind = ("content-type".into(), "application/x-www-form-urlencoded".into());
        let request = Request {
            method: "POST".into(),
            target: path.into(),
            headers: vec![kind],
            body: pairs.join("&").into_bytes(),
        };
        Ok(self.place.send(&request).await?)
    }

    /// Ends it as Ctrl-C does.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        self.signal("-INT");
        timeout(END_LIMIT, self.child.wait()).await.context("the shop did not end")??;
        Ok(())
    }

    /// What it has written down of an order.
    pub(crate) fn record(&self, order: &str) -> anyhow::Result<Record> {
        let order_id = order.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Record { folder: self.data()?, order_id })
    }

    fn data(&self) -> anyhow::Result<PathBuf> {
        self.left_behind()?.context("the shop has no folder")
    }

    pub(crate) fn has_left_nothing(&self) -> anyhow::Result<()> {
        let left = self.left_behind()?;
        ensure!(left.is_none(), "the shop left {left:?} behind");
        Ok(())
    }

    fn left_behind(&self) -> anyhow::Result<Option<PathBuf>> {
        let mut left = fs::read_dir(self.folder.path().join("scratch"))?;
        Ok(left.next().transpose()?.map(|entry| entry.path()))
    }

    fn signal(&self, signal: &str) {
        // That it has ended by itself shows elsewhere.
        let _ =
            Command::new("kill").args([signal, "--", &self.group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

fn start(
    command: &[String],
    folder: &TempDir,
    settings: &[(&str, &OsStr)],
) -> anyhow::Result<(Place, Child)> {
    let [port] = process::free_ports()?;
    let words = command.iter().map(|word| word.replace("{port}", &port.to_string()));
    // Whatever runs in the background of a script has Ctrl-C ignored, and hands that on.
    let child = tokio::process::Command::new("env")
        .arg("--default-signal=INT")
        .args(words)
        .envs(settings.iter().copied())
        .env("PORT", port.to_string())
        .env("SEAL_FOLDER", folder.path().join("outer/pos-connect"))
        .env("TMPDIR", folder.path().join("scratch"))
        .stdin(Stdio::null())
        // In a group of its own, which is ended as a terminal does.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| command.join(" "))?;
    Ok((Place::new(&format!("http://127.0.0.1:{port}"), "")?, child))
}

/// A program that tells of this bed in place of one that starts another.
fn already_started(testbed: &Testbed, folder: &TempDir, nth: usize) -> anyhow::Result<PathBuf> {
    let mut announced = testbed.announcement()?;
    announced["unregistered"] = json!([announced["unregistered"][nth]]);
    let told = folder.path().join("told.json");
    fs::write(&told, format!("{announced}\n"))?;
    let program = folder.path().join("testbed");
    fs::write(&program, format!("#!/bin/sh\ncat '{}'\nexec cat >/dev/null\n", told.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// What the page loads `seal` from, with a file beside it that is nobody's business.
fn seal_folder(folder: &TempDir, seal: Option<&Path>) -> anyhow::Result<()> {
    let outer = folder.path().join("outer");
    fs::create_dir(&outer)?;
    fs::write(outer.join("secret.js"), "no page may have this")?;
    let inner = outer.join("pos-connect");
    if let Some(seal) = seal {
        symlink(fs::canonicalize(seal)?, &inner)?;
    } else {
        fs::create_dir(&inner)?;
        fs::write(inner.join("seal.js"), "export const seal = () => {};\n")?;
    }
    Ok(())
}

fn encoded(value: &str) -> String {
    let octets = value.bytes().map(|octet| {
        if octet.is_ascii_alphanumeric() {
            char::from(octet).into()
        } else {
            format!("%{octet:02X}")
        }
    });
    octets.collect()
}
