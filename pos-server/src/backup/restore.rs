//! From a backup to a data folder that a server may start on.

use std::fs;
use std::path::{Path, PathBuf};

use pos_protocol::Timestamp;
use pos_protocol::id::{InstitutionId, TaskId};
use pos_protocol::wire::TimeGap;

use super::files::{self, failed, sync_folder};
use super::{BackupError, DATABASE, Manifest, digest_of};
use crate::admin::date;
use crate::app::Environment;
use crate::config::{Config, KeyFiles};
use crate::data_folder::keys::{KeyFileError, ServerKeys};
use crate::data_folder::{DataFolder, Purpose, private_file, succession};
use crate::store::StoreError;
use crate::store::rows::InstitutionTask;
use crate::store::sqlite::{self, OpenError, SqliteOptions};
use crate::store::verbs::{RecordRestore, Reply, Verb};
use crate::{audit, clocks};

/// What a restore came to.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What was written in between is lost.
    pub gap: TimeGap,
    /// How often the database has been restored.
    pub restores: u64,
    /// Who gets nothing new until the task about it is closed.
    pub held: Vec<InstitutionId>,
}

/// Puts a backup into a new data folder, with keys from where they are kept.
///
/// Before the database has its name, it says what was lost: no server can start on it that does not
/// know.
///
/// # Errors
/// [`BackupError`]; the folder is as empty as before.
pub fn restore(
    config: &Config,
    environment: &Environment,
    backup: &Path,
    keys: &Path,
) -> Result<Restored, BackupError> {
    let manifest = Manifest::read(backup)?;
    let folder = DataFolder::open(&config.data_folder, Purpose::Command)?;
    let database = config.database_file().ok_or(BackupError::Elsewhere)?;
    for entry in fs::read_dir(folder.path()).map_err(failed(folder.path()))? {
        if entry.map_err(failed(folder.path()))?.file_name() != "lock" {
            return Err(BackupError::NotEmpty { path: folder.path().into() });
        }
    }
    if database.exists() {
        return Err(BackupError::NotEmpty { path: database });
    }
    let mut draft = database.as_os_str().to_owned();
    draft.push(".restoring");
    let draft = PathBuf::from(draft);
    let work = Work { config, environment, backup, keys, manifest, folder, database, draft };
    let restored = work.run();
    if restored.is_err() {
        work.clear();
    }
    restored
}

struct Work<'a> {
    config: &'a Config,
    environment: &'a Environment,
    backup: &'a Path,
    keys: &'a Path,
    manifest: Manifest,
    folder: DataFolder,
    database: PathBuf,
    /// The database until all is well.
    draft: PathBuf,
}

impl Work<'_> {
    fn run(&self) -> Result<Restored, BackupError> {
        // The first thing there is: on what a crash leaves, no server begins a new database.
        self.folder.note_database()?;
        let _lock = self.lock_database()?;
        self.take_keys()?;
        self.compare_keys()?;
        let path = self.backup.join(super::MANIFEST);
        let missing = || BackupError::Manifest { path: path.clone() };
        let listed = self.manifest.file(DATABASE).ok_or_else(missing)?;
        files::copy_listed(&self.backup.join(DATABASE), &self.draft, listed)?;
        sqlite::check(&self.draft)?;
        if let Some(listed) = self.manifest.file(audit::FILE) {
            let (from, to) = (self.backup.join(audit::FILE), self.folder.path().join(audit::FILE));
            files::copy_listed(&from, &to, listed)?;
        }
        let restored = self.note_restore()?;
        clocks::lower_mark(&self.folder, restored.gap.to_ms)
            .map_err(|cause| failed(self.folder.path())(std::io::Error::other(cause)))?;
        fs::rename(&self.draft, &self.database).map_err(failed(&self.database))?;
        sync_folder(files::parent(&self.database))?;
        sync_folder(self.folder.path())?;
        Ok(restored)
    }

    /// The lock beside the database, which may lie elsewhere. There is no database yet, and a note that
    /// there has been one would refuse to take it.
    fn lock_database(&self) -> Result<fs::File, BackupError> {
        let mut path = self.database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let lock = private_file::options().create(true).truncate(false).open(&path);
        let lock = lock.map_err(failed(&path))?;
        lock.try_lock().map_err(|cause| failed(&path)(cause.into()))?;
        Ok(lock)
    }

    /// Copies the keys that lie in the data folder; those that the settings name elsewhere are there.
    fn take_keys(&self) -> Result<(), BackupError> {
        let (files, own) = (&self.config.keys, KeyFiles::default());
        for (file, own) in [
            (&files.answer_key, &own.answer_key),
            (&files.institution_call_key, &own.institution_call_key),
            (&files.pepper, &own.pepper),
            (&files.webhook_seed, &own.webhook_seed),
        ] {
            if file == own {
                let octets = private_file::read(&self.keys.join(file));
                let octets = octets.map_err(KeyFileError::from)?;
                files::write(&self.folder.path().join(file), &octets)?;
            }
        }
        let statements = self.keys.join(succession::FILE);
        if statements.exists() {
            let octets = fs::read(&statements).map_err(failed(&statements))?;
            files::write(&self.folder.path().join(succession::FILE), &octets)?;
        }
        Ok(())
    }

    /// The answer key may have been rolled since; its statements lead back to the one of then.
    fn compare_keys(&self) -> Result<(), BackupError> {
        let keys = ServerKeys::read(self.folder.path(), &self.config.keys)?;
        let statements = succession::read(self.folder.path(), &keys.answer.public())?;
        let mut known = statements.iter().map(|statement| statement.predecessor.id());
        let answer = self.manifest.answer_key;
        let wrong = |which| Err(BackupError::WrongKey { which });
        if keys.answer.id() != answer && !known.any(|id| id == answer) {
            return wrong("answer key");
        }
        if keys.institution_call.id() != self.manifest.institution_call_key {
            return wrong("institution call key");
        }
        if digest_of("pepper", keys.pepper.expose()) != self.manifest.pepper {
            return wrong("pepper");
        }
        if digest_of("webhook seed", keys.webhook_seed.expose()) != self.manifest.webhook_seed {
            return wrong("webhook seed");
        }
        Ok(())
    }

    /// Notes the gap in the database, with a task for each institution.
    fn note_restore(&self) -> Result<Restored, BackupError> {
        let now = self.environment.clock.now();
        let gap = TimeGap { from_ms: self.manifest.made_at_ms, to_ms: now };
        if now < gap.from_ms {
            return Err(BackupError::Clock);
        }
        let options = SqliteOptions::for_threads(1, self.environment.entropy.array());
        let mut engine = sqlite::open(&self.draft, options)?;
        let institutions = engine.reader.institutions()?;
        let tasks: Vec<_> = institutions.iter().map(|row| self.task(&row.id, gap, now)).collect();
        let held = tasks.iter().map(|task| task.institution.clone()).collect();
        let verb = Verb::RecordRestore(Box::new(RecordRestore { gap, tasks, now }));
        let reply = engine.writer.commit(&[verb])?.pop().ok_or(StoreError::Crossed)??;
        let Reply::RecordRestore(restores) = reply else {
            return Err(StoreError::Crossed.into());
        };
        // Closing the last connection moves the log into the database.
        drop(engine);
        let mut log = self.draft.as_os_str().to_owned();
        log.push("-wal");
        if Path::new(&log).exists() {
            return Err(OpenError::LogInUse.into());
        }
        let file = fs::File::open(&self.draft).and_then(|file| file.sync_all());
        file.map_err(failed(&self.draft))?;
        Ok(Restored { gap, restores, held })
    }

    /// No protocol that the server speaks lists what an institution did, so a person asks.
    fn task(&self, institution: &InstitutionId, gap: TimeGap, now: Timestamp) -> InstitutionTask {
        let text = format!(
            "the database was restored: what {institution} did from {} to {} is not known here, and it \
             gets nothing new; have it say what it did (pos-server reconcile reads its settlement \
             files), see to what is theirs only, then close this task",
            date(gap.from_ms),
            date(gap.to_ms)
        );
        InstitutionTask {
            id: TaskId::fresh(now, self.environment.entropy.array()),
            created_at: now,
            institution: institution.clone(),
            shop: None,
            payment: None,
            operation: None,
            text: text.into(),
            holds: true,
            resolved_at: None,
            note: None,
        }
    }

    /// Removes what was made; the folder was empty.
    fn clear(&self) {
        let mut made = vec![self.draft.clone()];
        for end in ["-wal", "-shm"] {
            let mut path = self.draft.as_os_str().to_owned();
            path.push(end);
            made.push(path.into());
        }
        let inside = fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        made.extend(inside.filter(|it| it.file_name() != "lock").map(|it| it.path()));
        for path in made {
            // What stays keeps the next try from beginning, and is named by it.
            let _ = fs::remove_file(path);
        }
    }
}
