//! What a restore must not take, and where it puts things.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::Timestamp;

use super::*;
use crate::app::{App, Environment};
use crate::config::Database;
use crate::data_folder::{DataFolder, Purpose, succession};
use crate::env::{Clock, SystemEntropy};
use crate::store::sqlite;

const THEN: Timestamp = Timestamp::from_secs(1_795_000_000);

/// A wall clock that stands still.
struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn machine(now: Timestamp) -> Environment {
    let entropy = SystemEntropy::open().unwrap();
    Environment::with(Arc::new(At(now)), Arc::new(entropy))
}

/// A server's data folder, its keys as they were copied, and a backup of then.
struct Bed {
    root: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let bed = Self { root: tempfile::tempdir().unwrap() };
        build(&bed.config("data")).await.unwrap();
        bed.copy_keys("data", "keys");
        let copy = bed.path("copy");
        sqlite::snapshot(&bed.path("data/pos.sqlite3"), &copy).unwrap();
        let draft = Draft::begin(&bed.config("data"), &bed.path("backup"), THEN).unwrap();
        let (made, octets) = draft.finish(&copy).unwrap();
        assert_eq!((made, octets), (THEN, fs::metadata(&copy).unwrap().len()));
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn config(&self, folder: &str) -> Config {
        Config { data_folder: self.path(folder), ..Config::default() }
    }

    fn copy_keys(&self, from: &str, to: &str) {
        fs::create_dir(self.path(to)).unwrap();
        let names = [
            "answer-key.pem",
            "institution-call-key.pem",
            "pepper.key",
            "webhook-seed.key",
            "succession.json",
        ];
        for name in names.map(Path::new) {
            let from = self.path(from).join(name);
            if from.exists() {
                fs::copy(from, self.path(to).join(name)).unwrap();
            }
        }
    }

    fn restore(
        &self,
        config: &Config,
        keys: &str,
        now: Timestamp,
    ) -> Result<Restored, BackupError> {
        restore(config, &machine(now), &self.path("backup"), &self.path(keys))
    }

    /// It leaves the folder as empty as it was, so that the next try may begin.
    fn is_refused(&self, keys: &str, now: Timestamp) -> BackupError {
        let refusal = self.restore(&self.config("new"), keys, now).unwrap_err();
        let names = fs::read_dir(self.path("new")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["lock"], "{refusal}");
        refusal
    }
}

async fn build(config: &Config) -> Result<(), crate::app::StartError> {
    let folder = DataFolder::open(&config.data_folder, Purpose::Command)?;
    let app = App::build(config.clone(), folder, None, machine(THEN)).await?;
    App::close(app).await;
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_leaves_the_folder_empty() {
    let bed = Bed::new().await;
    let late = THEN.plus(Duration::from_secs(60));
    let behind = bed.is_refused("keys", THEN.minus(Duration::from_millis(1)));
    assert!(matches!(behind, BackupError::Clock), "{behind}");

    build(&bed.config("stranger")).await.unwrap();
    bed.copy_keys("stranger", "foreign");
    let foreign = bed.is_refused("foreign", late);
    assert!(matches!(foreign, BackupError::WrongKey { which: "answer key" }), "{foreign}");
    fs::remove_file(bed.path("foreign/pepper.key")).unwrap();
    let missing = bed.is_refused("foreign", late);
    assert!(matches!(missing, BackupError::Key(_)), "{missing}");

    // A file that is shorter, and one whose digest the manifest does not know.
    let database = bed.path("backup/pos.sqlite3");
    let whole = fs::read(&database).unwrap();
    for bad in [&whole[..whole.len() - 4_096], &[&whole[..], b"x"].concat()] {
        fs::write(&database, bad).unwrap();
        let damaged = bed.is_refused("keys", late);
        assert!(matches!(damaged, BackupError::Damaged { .. }), "{damaged}");
    }
    fs::write(&database, &whole).unwrap();

    let manifest = bed.path("backup/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("pos-backup/1", "pos-backup/2")).unwrap();
    let newer = bed.restore(&bed.config("new"), "keys", late).unwrap_err();
    assert!(matches!(newer, BackupError::Manifest { .. }), "{newer}");
    fs::write(&manifest, text).unwrap();

    let restored = bed.restore(&bed.config("new"), "keys", late).unwrap();
    assert_eq!((restored.gap.from_ms, restored.gap.to_ms, restored.restores), (THEN, late, 1));
    build(&bed.config("new")).await.unwrap();
    let mark = fs::read_to_string(bed.path("new/time-mark")).unwrap();
    assert_eq!(mark.trim(), late.as_ms().to_string());
}

#[tokio::test]
async fn a_key_that_was_rolled_since_is_the_same_servers() {
    let bed = Bed::new().await;
    let folder = DataFolder::open(&bed.path("data"), Purpose::Command).unwrap();
    let entropy = SystemEntropy::open().unwrap();
    succession::roll(&folder, &bed.config("data").keys, &entropy, THEN).unwrap();
    drop(folder);
    bed.copy_keys("data", "rolled");
    bed.restore(&bed.config("new"), "rolled", THEN).unwrap();
    build(&bed.config("new")).await.unwrap();
    // Without its statements nobody knows that it is.
    fs::remove_file(bed.path("rolled/succession.json")).unwrap();
    let alone = bed.restore(&bed.config("other"), "rolled", THEN).unwrap_err();
    assert!(matches!(alone, BackupError::WrongKey { which: "answer key" }), "{alone}");
}

#[tokio::test]
async fn a_database_that_lies_elsewhere_is_put_there_and_never_replaced() {
    let bed = Bed::new().await;
    let elsewhere = bed.path("elsewhere.sqlite3");
    let config = Config { database: Database::Sqlite(elsewhere.clone()), ..bed.config("new") };
    bed.restore(&config, "keys", THEN).unwrap();
    build(&config).await.unwrap();
    assert!(elsewhere.exists() && !bed.path("new/pos.sqlite3").exists());
    let config = Config { data_folder: bed.path("again"), ..config };
    let taken = bed.restore(&config, "keys", THEN).unwrap_err();
    assert!(matches!(&taken, BackupError::NotEmpty { path } if *path == elsewhere), "{taken}");
}

/// What a restore does first: on what a crash leaves, nobody begins a new database with these keys.
#[tokio::test]
async fn a_restore_that_was_cut_off_begins_no_new_database() {
    let bed = Bed::new().await;
    let config = bed.config("cut");
    let folder = DataFolder::open(&config.data_folder, Purpose::Command).unwrap();
    folder.note_database().unwrap();
    drop(folder);
    bed.copy_keys("keys", "unused");
    for name in ["answer-key.pem", "institution-call-key.pem", "pepper.key", "webhook-seed.key"] {
        fs::copy(bed.path("keys").join(name), bed.path("cut").join(name)).unwrap();
    }
    let refused = build(&config).await.unwrap_err().to_string();
    assert!(refused.contains("restore it from a backup"), "{refused}");
    let again = bed.restore(&config, "keys", THEN).unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty { .. }), "{again}");
}

#[tokio::test]
async fn a_backup_has_its_name_only_when_it_is_whole() {
    let bed = Bed::new().await;
    let draft = || Draft::begin(&bed.config("data"), &bed.path("second"), THEN);
    let cut = draft().unwrap().finish(&bed.path("no-such-copy")).unwrap_err();
    assert!(matches!(cut, BackupError::File { .. }), "{cut}");
    assert!(!bed.path("second").exists() && !bed.path("second.part").exists());
    let open = draft().unwrap();
    assert!(matches!(draft().unwrap_err(), BackupError::Exists { .. }), "one at a time");
    open.abandon();
    let taken = Draft::begin(&bed.config("data"), &bed.path("backup"), THEN).unwrap_err();
    assert!(matches!(taken, BackupError::Exists { .. }), "{taken}");
}
