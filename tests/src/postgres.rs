//! A real PostgreSQL for tests, in a folder of its own and on a Unix socket there.
//!
//! This file uses the standard library and `tempfile` alone: the server's own tests take it in by its path,
//! so that they need no package that sees everything.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// Where Debian and its kin put the programs of each version, besides `PATH`.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The database refuses to run as root; the tests of a container do.
const ACCOUNT: &str = "postgres";

/// Ends the database and removes its folder once the test program is gone, however it ended.
const GUARD: &str = r#"read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
rm -rf "$1""#;

/// Whether commits reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// They do, as in earnest: for tests that kill.
    Synced,
    /// They do not: for tests of what statements do.
    Fast,
}

/// A running database cluster. It ends with its last user, or with this process.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    as_root: bool,
    durability: Durability,
    names: AtomicU32,
    /// Where it speaks TLS; 0 where it has no certificate.
    tls_port: AtomicU16,
    guard: Child,
    held: Option<ChildStdin>,
}

impl Cluster {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// A sentence that says what is missing or went wrong: tests fail then, they do not skip.
    pub fn start(durability: Durability) -> Result<Self, String> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("pos-postgres-").tempdir();
        let folder = folder.map_err(|cause| format!("a folder for PostgreSQL: {cause}"))?.keep();
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|cause| format!("the guard of PostgreSQL: {cause}"))?;
        let held = guard.stdin.take();
        let as_root = output(Command::new("id").arg("-u"))?.trim() == "0";
        let (names, tls_port) = (AtomicU32::new(0), AtomicU16::new(0));
        let cluster = Self { folder, programs, as_root, durability, names, tls_port, guard, held };
        if as_root {
            output(Command::new("chown").arg(ACCOUNT).arg(&cluster.folder))?;
        }
        let data = cluster.data();
        cluster.run(
            "initdb",
            &[
                OsStr::new("-D"),
                data.as_os_str(),
                OsStr::new("-U"),
                OsStr::new("pos"),
                OsStr::new("--auth=trust"),
                OsStr::new("-E"),
                OsStr::new("UTF8"),
                OsStr::new("--no-sync"),
            ],
        )?;
        cluster.resume()?;
        Ok(cluster)
    }

    /// A database that was not there before.
    ///
    /// # Errors
    /// What the database said.
    pub fn database(&self) -> Result<String, String> {
        let name = format!("shop_{}", self.names.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// An empty schema that was not there before, as a URL: sooner made than a database.
    ///
    /// # Errors
    /// What the database said.
    pub fn schema(&self) -> Result<String, String> {
        let name = format!("shop_{}", self.names.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE SCHEMA {name}"))?;
        Ok(format!("{}?options=-c%20search_path%3D{name}", self.url("postgres")))
    }

    /// The URL of a database of this cluster.
    pub fn url(&self, database: &str) -> String {
        let socket = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://pos@{socket}/{database}")
    }

    /// The file of the socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Runs a statement and answers its columns, one row a line.
    ///
    /// # Errors
    /// What the database said.
    pub fn sql(&self, database: &str, statement: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "pos", "-h"]);
        // The socket is named after the port.
        let port = match self.tls_port.load(Ordering::Relaxed) {
            0 => 5432,
            port => port,
        };
        psql.arg(&self.folder).args(["-p", &port.to_string()]);
        psql.args(["-d", database, "-c", statement]);
        output(&mut psql)
    }

    /// Lets it speak TLS on a port of loopback, with this certificate, and starts it anew. Gives the URL of
    /// a database there, which names the host so.
    ///
    /// # Errors
    /// What its program said.
    pub fn speak_tls(
        &self,
        certificate_pem: &str,
        key_pem: &str,
        database: &str,
        host: &str,
    ) -> Result<String, String> {
        for (name, text) in [("server.crt", certificate_pem), ("server.key", key_pem)] {
            let path = self.folder.join(name);
            let private = fs::Permissions::from_mode(0o600);
            fs::write(&path, text)
                .and_then(|()| fs::set_permissions(&path, private))
                .map_err(|cause| format!("{}: {cause}", path.display()))?;
            if self.as_root {
                output(Command::new("chown").arg(ACCOUNT).arg(&path))?;
            }
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|one| one.local_addr());
        let port = free.map_err(|cause| format!("a free port: {cause}"))?.port();
        self.tls_port.store(port, Ordering::Relaxed);
        self.end()?;
        self.resume()?;
        Ok(format!("postgres://pos@{host}:{port}/{database}?sslmode=verify-full"))
    }

    /// Ends the database in order: lines are cut, what runs is rolled back, and its memory is written.
    ///
    /// # Errors
    /// What its program said.
    pub fn end(&self) -> Result<(), String> {
        self.control(&["-m", "fast", "stop"])
    }

    /// Ends the database as a power cut would: what was not synced may be gone.
    ///
    /// # Errors
    /// What its program said.
    pub fn cut(&self) -> Result<(), String> {
        self.control(&["-m", "immediate", "stop"])
    }

    /// Starts it again after [`Self::cut`] or [`Self::end`].
    ///
    /// # Errors
    /// What its program said.
    pub fn resume(&self) -> Result<(), String> {
        let synced = match self.durability {
            Durability::Synced => "",
            Durability::Fast => " -c fsync=off -c synchronous_commit=off -c full_page_writes=off",
        };
        let folder = self.folder.display();
        let addresses = match self.tls_port.load(Ordering::Relaxed) {
            0 => " -c listen_addresses=".to_owned(),
            port => format!(
                " -c listen_addresses=127.0.0.1 -p {port} -c ssl=on \
                 -c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key"
            ),
        };
        let settings =
            format!("-k {folder}{addresses} -c max_connections=200 -c shared_buffers=64MB{synced}");
        let log = self.folder.join("log").display().to_string();
        self.control(&["-l", &log, "-o", &settings, "start"])
    }

    fn control(&self, words: &[&str]) -> Result<(), String> {
        let data = self.data();
        let head = [OsStr::new("-D"), data.as_os_str(), OsStr::new("-w"), OsStr::new("-s")];
        let all: Vec<&OsStr> = head.into_iter().chain(words.iter().map(OsStr::new)).collect();
        self.run("pg_ctl", &all)
    }

    fn run(&self, program: &str, words: &[&OsStr]) -> Result<(), String> {
        let program = self.programs.join(program);
        let mut command = if self.as_root {
            let mut command = Command::new("runuser");
            command.args(["-u", ACCOUNT, "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        // What it starts keeps its output open: a file, so that nobody waits for its end.
        let said = self.folder.with_extension("said");
        let file =
            fs::File::create(&said).map_err(|cause| format!("{}: {cause}", said.display()))?;
        let also = file.try_clone().map_err(|cause| cause.to_string())?;
        let status = command
            .args(words)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(also)
            .status()
            .map_err(|cause| format!("{}: {cause}", program.display()))?;
        let text = fs::read_to_string(&said).unwrap_or_default();
        let _ = fs::remove_file(&said);
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("{}: {status}\n{text}\n{log}", program.display()))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.held.take());
        let _ = self.guard.wait();
    }
}

/// The folder of the newest version's programs.
fn programs() -> Result<PathBuf, String> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    let mut versions: Vec<PathBuf> = fs::read_dir(DEBIAN)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    versions.sort_by_key(|path| version(path));
    folders.extend(versions.iter().rev().map(|path| path.join("bin")));
    let whole =
        |folder: &PathBuf| ["initdb", "pg_ctl", "psql"].iter().all(|one| folder.join(one).exists());
    let found = folders.into_iter().find(whole);
    found.ok_or_else(|| {
        format!("PostgreSQL is not installed: initdb is neither on PATH nor below {DEBIAN}")
    })
}

fn version(path: &Path) -> u32 {
    path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse().ok()).unwrap_or_default()
}

fn output(command: &mut Command) -> Result<String, String> {
    let done =
        command.stdin(Stdio::null()).output().map_err(|cause| format!("{command:?}: {cause}"))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)))
    }
}
