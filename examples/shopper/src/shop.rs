//! A shop as a process of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pos_tests::line::{Place, Request, Response};
use pos_tests::testbed::Testbed;
use pos_tests::{process, wait};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

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
    /// Starts the program and waits until it answers.
    pub(crate) async fn open(
        command: &[String],
        testbed: &Testbed,
        seal: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let [port] = process::free_ports()?;
        let mut words = command.iter().map(|word| word.replace("{port}", &port.to_string()));
        // In a group of its own, which is ended as a terminal does.
        let mut program = tokio::process::Command::new(words.next().context("a command")?);
        let child = program
            .args(words)
            .env("POS_TESTBED", already_started(testbed, &folder)?)
            .env("SEAL_FOLDER", seal_folder(&folder, seal)?)
            .env("TMPDIR", scratch(&folder)?)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| command.join(" "))?;
        let group = format!("-{}", child.id().context("a program that just started")?);
        let place = Place::new(&format!("http://127.0.0.1:{port}"), "")?;
        let mut shop = Self { place, child, group, folder };
        timeout(wait::LIMIT, shop.opened()).await.context("the shop never answered")??;
        Ok(shop)
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

    /// Ends it as Ctrl-C does; it must leave nothing behind.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        self.signal("-INT");
        timeout(END_LIMIT, self.child.wait()).await.context("the shop did not end")??;
        let mut left = fs::read_dir(self.folder.path().join("scratch"))?;
        let left = left.next().transpose()?.map(|entry| entry.path());
        ensure!(left.is_none(), "the shop left {left:?} behind");
        Ok(())
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

/// A program that tells of this bed in place of one that starts another.
fn already_started(testbed: &Testbed, folder: &TempDir) -> anyhow::Result<PathBuf> {
    let told = folder.path().join("told.json");
    fs::write(&told, format!("{}\n", testbed.announcement()?))?;
    let program = folder.path().join("testbed");
    fs::write(&program, format!("#!/bin/sh\ncat '{}'\nexec cat >/dev/null\n", told.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// What the page loads `seal` from, with a file beside it that is nobody's business.
fn seal_folder(folder: &TempDir, seal: Option<PathBuf>) -> anyhow::Result<PathBuf> {
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
    Ok(inner)
}

fn scratch(folder: &TempDir) -> anyhow::Result<PathBuf> {
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch)?;
    Ok(scratch)
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
