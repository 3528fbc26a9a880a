//! The operator's server as a process, with certificates, ports and data that outlive it.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::key::PublicKey;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::disk::FaultyDisk;
use crate::error::BedError;
use crate::folder::Folder;
use crate::line::Place;
use crate::process::{self, Process, free_ports};
use crate::tls::Certificates;

const PROGRAM: &str = "pos-server";

/// The data folder.
const DATA: &str = "data";

/// What all servers of an operator share (`docs/OPERATIONS.md`, PostgreSQL).
const KEYS: [&str; 5] = [
    "answer-key.pem",
    "institution-call-key.pem",
    "pepper.key",
    "webhook-seed.key",
    "database-made",
];

/// How often another set of ports is tried when somebody else was faster.
const PORT_TRIES: u32 = 5;

/// Where the server answers and how it is recognised.
#[derive(Clone, Debug, Deserialize)]
pub struct Address {
    /// Plain HTTP on loopback.
    pub url: String,
    /// TLS with a certificate of the bed's CA.
    pub tls_url: String,
    /// Where the metrics are read.
    pub metrics_url: String,
    /// The name that calls are signed for, at either address.
    pub authority: String,
    /// Signs the answers.
    pub answer_key: PublicKey,
    /// Signs the calls to institutions.
    pub institution_call_key: PublicKey,
}

/// What a bed's server is configured with beside its addresses.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// How long a process owns an operation before another may take it over.
    pub lease_seconds: u32,
    /// Open connections at most.
    pub connections: u32,
    /// Calls worked on at once.
    pub in_flight: u32,
    /// More sections, as the file has them.
    pub more: String,
    /// The URL of the database; the embedded one unless told.
    pub database: Option<String>,
    /// The name that calls are signed for; that of the plain address unless told.
    pub authority: Option<String>,
    /// Whether its disk can be made to fail.
    pub can_lose_its_disk: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            lease_seconds: 15,
            connections: 1024,
            in_flight: 512,
            more: String::new(),
            database: None,
            authority: None,
            can_lose_its_disk: false,
        }
    }
}

/// The server: running, killed or ended, always on the same ports and the same data.
#[derive(Debug)]
pub struct Server {
    folder: Arc<Folder>,
    address: Address,
    ca_pem: String,
    disk: Option<FaultyDisk>,
    running: Mutex<Option<Process>>,
}

impl Server {
    /// Writes certificates and settings and starts the server.
    ///
    /// # Errors
    /// [`BedError::Ended`] with the log when it does not come up.
    pub async fn start(folder: Arc<Folder>, options: &ServerOptions) -> Result<Self, BedError> {
        let certificates = Certificates::new()?;
        let data = folder.path().join("data");
        let disk = options.can_lose_its_disk.then(|| FaultyDisk::new(folder.path(), &data));
        let disk = disk.transpose()?;
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).map_err(BedError::system("writing a file"))
        };
        write("server.pem", &certificates.certificate_pem)?;
        write("server.key", &certificates.key_pem)?;
        let mut tries: u32 = 0;
        let (process, address) = loop {
            tries = tries.saturating_add(1);
            write("pos.toml", &settings(options, &free_ports()?))?;
            match start_process(&folder, disk.as_ref()).await {
                Err(BedError::Ended { .. }) if tries < PORT_TRIES => {}
                other => break other?,
            }
        };
        let ca_pem = certificates.ca_pem;
        Ok(Self { folder, address, ca_pem, disk, running: Mutex::new(Some(process)) })
    }

    /// Starts another server of the same operator on the same database, in a folder of its own: it has
    /// this one's keys and answers under this one's name.
    ///
    /// # Errors
    /// [`BedError::System`]; [`BedError::Ended`] with the log when it does not come up.
    pub async fn start_beside(&self, options: &ServerOptions) -> Result<Self, BedError> {
        let folder = Arc::new(Folder::new()?);
        let data = folder.path().join(DATA);
        let copy = || -> std::io::Result<()> {
            fs::DirBuilder::new().mode(0o700).create(&data)?;
            for name in KEYS {
                fs::copy(self.folder.path().join(DATA).join(name), data.join(name))?;
            }
            Ok(())
        };
        copy().map_err(BedError::system("copying the server's keys"))?;
        let authority = Some(self.address.authority.clone());
        Self::start(folder, &ServerOptions { authority, ..options.clone() }).await
    }

    /// Where its settings and its data folder lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it answers. The same for as long as the bed lives.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The CA of its certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Its plain address.
    ///
    /// # Errors
    /// [`BedError::Line`] when it cannot be read.
    pub fn place(&self) -> Result<Place, BedError> {
        Place::new(&self.address.url, &self.ca_pem)
    }

    /// Its address that speaks TLS.
    ///
    /// # Errors
    /// [`BedError::Line`] when it cannot be read.
    pub fn tls_place(&self) -> Result<Place, BedError> {
        Place::new(&self.address.tls_url, &self.ca_pem)
    }

    /// Kills it (SIGKILL). Does nothing when it does not run.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub async fn kill(&self) -> Result<(), BedError> {
        match self.running.lock().await.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Ends it as a supervisor does (SIGTERM) and waits at most `limit`. `None` when it did not run.
    ///
    /// # Errors
    /// [`BedError::Ended`] when it takes longer.
    pub async fn end(&self, limit: Duration) -> Result<Option<ExitStatus>, BedError> {
        match self.running.lock().await.take() {
            Some(process) => process.end(limit).await.map(Some),
            None => Ok(None),
        }
    }

    /// Starts it again on the same ports and data; kills it first where it runs.
    ///
    /// # Errors
    /// [`BedError::Ended`] with the log when it does not come up.
    pub async fn restart(&self) -> Result<(), BedError> {
        self.kill().await?;
        let mut running = self.running.lock().await;
        let (process, _) = start_process(&self.folder, self.disk.as_ref()).await?;
        *running = Some(process);
        Ok(())
    }

    /// The same, but it dies at this point of its program (`pos-server crash-points`), which may be
    /// before it listens.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub async fn restart_to_die(&self, at: &str) -> Result<(), BedError> {
        self.kill().await?;
        let arguments = ["serve", "--config", "pos.toml", "--crash-at", at];
        match Process::start::<Address>(PROGRAM, &arguments, &self.folder).await {
            Ok((process, _)) => *self.running.lock().await = Some(process),
            // It has died already.
            Err(BedError::Ended { .. }) => {}
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Waits until it has died by itself.
    ///
    /// # Errors
    /// [`BedError::Ended`] when it lives longer.
    pub async fn died(&self, limit: Duration) -> Result<(), BedError> {
        match self.running.lock().await.take() {
            Some(process) => process.died(limit).await,
            None => Ok(()),
        }
    }

    /// Its disk, where that can be made to fail.
    ///
    /// # Errors
    /// [`BedError::Unknown`] where it cannot ([`ServerOptions::can_lose_its_disk`]).
    pub fn disk(&self) -> Result<&FaultyDisk, BedError> {
        self.disk.as_ref().ok_or_else(|| BedError::Unknown("disk that can fail".into()))
    }

    /// Whether it has ended by itself.
    pub async fn has_ended(&self) -> bool {
        self.running.lock().await.as_mut().is_none_or(Process::has_ended)
    }

    /// Its resident memory in octets.
    ///
    /// # Errors
    /// [`BedError::Unknown`] when it does not run.
    pub async fn resident_octets(&self) -> Result<u64, BedError> {
        let running = self.running.lock().await;
        running.as_ref().ok_or_else(not_running)?.resident_octets()
    }

    /// The most memory that was resident since it started, in octets.
    ///
    /// # Errors
    /// [`BedError::Unknown`] when it does not run.
    pub async fn most_resident_octets(&self) -> Result<u64, BedError> {
        let running = self.running.lock().await;
        running.as_ref().ok_or_else(not_running)?.most_resident_octets()
    }

    /// The id of its process, which changes with every start.
    ///
    /// # Errors
    /// [`BedError::Unknown`] when it does not run.
    pub async fn process_id(&self) -> Result<u32, BedError> {
        Ok(self.running.lock().await.as_ref().ok_or_else(not_running)?.id())
    }

    /// Asks it to end (SIGTERM) and does not wait.
    ///
    /// # Errors
    /// [`BedError::Unknown`] when it does not run.
    pub async fn ask_to_end(&self) -> Result<(), BedError> {
        let running = self.running.lock().await;
        running.as_ref().ok_or_else(not_running)?.ask_to_end().await
    }

    /// Everything that it has logged, in all its lives.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub fn log(&self) -> Result<String, BedError> {
        let log = self.folder.path().join(format!("{PROGRAM}.log"));
        fs::read_to_string(log).map_err(BedError::system("reading the server's log"))
    }

    /// What its whole log says of its own faults: panics, and calls that failed for a reason within. A
    /// panic costs its caller the line and counts as no status, so that nothing else shows it.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub fn faults_in_log(&self) -> Result<Vec<String>, BedError> {
        let is_fault = |line: &&str| {
            line.contains("a task panicked") || line.contains("\"code\":\"internal\"")
        };
        Ok(self.log()?.lines().filter(is_fault).map(str::to_owned).collect())
    }

    /// The end of its log.
    pub async fn tail(&self) -> String {
        self.running.lock().await.as_ref().map_or_else(String::new, Process::tail)
    }

    /// One of the operator's commands, by the real command line beside the running server.
    ///
    /// # Errors
    /// [`BedError::Command`] with what it printed.
    pub async fn operate(&self, words: &[&str]) -> Result<Value, BedError> {
        let ran = self.run(words).await?;
        let printed = String::from_utf8_lossy(&ran.stdout);
        if ran.status.success() {
            return serde_json::from_str(&printed).map_err(BedError::answer("a command's answer"));
        }
        let answer = format!("{printed}{}", String::from_utf8_lossy(&ran.stderr));
        Err(BedError::Command { command: words.join(" "), answer })
    }

    /// Runs one of the operator's commands, and tells how it ended.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub async fn run(&self, words: &[&str]) -> Result<Output, BedError> {
        Command::new(process::program(PROGRAM)?)
            .args(["--json", "--config", "pos.toml"])
            .args(words)
            .current_dir(self.folder.path())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(BedError::system("running pos-server"))
    }
}

fn not_running() -> BedError {
    BedError::Unknown("running server".into())
}

async fn start_process(
    folder: &Folder,
    disk: Option<&FaultyDisk>,
) -> Result<(Process, Address), BedError> {
    let environment = disk.map(FaultyDisk::environment).unwrap_or_default();
    Process::start_in(PROGRAM, &["serve", "--config", "pos.toml"], folder, &environment).await
}

fn settings(options: &ServerOptions, ports: &[u16; 3]) -> String {
    let [plain, tls, metrics] = ports.map(|port| format!("\"127.0.0.1:{port}\""));
    let authority = options.authority.as_ref().map(|name| format!("\"{name}\""));
    let authority = authority.as_ref().unwrap_or(&plain);
    let database = options.database.as_ref().map(|url| format!("database = \"{url}\"\n"));
    let database = database.unwrap_or_default();
    format!(
        "{database}data_folder = \"{DATA}\"\nlisten = {plain}\ntls_listen = {tls}\nauthority = {authority}\n\
         [tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n\
         [metrics]\nlisten = {metrics}\n\
         [limits]\nconnections = {}\nin_flight = {}\n\
         [worker]\nlease_seconds = {}\n{}",
        options.connections, options.in_flight, options.lease_seconds, options.more
    )
}
