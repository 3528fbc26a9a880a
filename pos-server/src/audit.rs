//! The audit as a whole: checkpoints outside the database, and the search for what was changed.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use pos_protocol::Timestamp;
use pos_protocol::key::{PublicKey, Signature};
use pos_protocol::text::{base64url, fixed_from_base64url};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::data_folder::keys::SigningKeyPair;
use crate::store::StoreError;
use crate::store::audit::Head;
use crate::store::audit::verify::{Verified, Verifier, Witness};
use crate::store::rows::TimeGaps;

/// The file of checkpoints in the data folder: a line each, and only ever added to.
pub const FILE: &str = "audit-checkpoints.jsonl";

/// What a checkpoint's signature begins with, so that the answer key signs nothing else by it.
const PURPOSE: &str = "pos-server audit checkpoint 1";

/// Rows that are read at a time.
const PAGE: u32 = 5_000;

/// Why the audit cannot be verified or witnessed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file of checkpoints cannot be read or written.
    #[error("{} cannot be read or written: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The shop database did not answer.
    #[error("the shop database did not answer")]
    Store(#[from] StoreError),
}

/// What a verification came to.
#[derive(Debug)]
pub struct Report {
    /// Of the rows.
    pub verified: Verified,
    /// Checkpoints that were compared.
    pub checkpoints: u64,
    /// Lines of the file that are no checkpoint of this server: damaged, or signed by another key.
    pub unsigned: u64,
    /// Times that were lost in restores.
    pub gaps: TimeGaps,
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    checkpoint: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    at_ms: Timestamp,
    heads: Vec<Seen>,
}

#[derive(Serialize, Deserialize)]
struct Seen {
    writer: String,
    count: u64,
    hash: String,
}

/// Reads the whole audit, and compares it with every checkpoint.
///
/// # Errors
/// [`AuditError`]: it was not read to its end.
pub async fn verify(app: &App) -> Result<Report, AuditError> {
    let keys: Vec<PublicKey> = known_keys(app);
    // Checkpoints first: a row that is written meanwhile must not look like one too many.
    let (witnesses, checkpoints, unsigned) = read_checkpoints(&path(app), &keys)?;
    let beginnings = app.store.read_slow(|reader| reader.audit_beginnings()).await?;
    let mut verifier = Verifier::new(&beginnings, witnesses);
    let mut after = None;
    loop {
        let page = app.store.read_slow(move |reader| reader.audit_rows(after, PAGE)).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.writer, last.seq));
        page.iter().for_each(|row| verifier.read(row));
    }
    let gaps = app.store.read(|reader| reader.time_gaps()).await?;
    Ok(Report { verified: verifier.finish(), checkpoints, unsigned, gaps })
}

/// Adds a signed line that says where every chain stands now.
///
/// # Errors
/// [`AuditError`]: there is no new checkpoint; the next one says as much.
pub async fn checkpoint(app: &App) -> Result<(), AuditError> {
    let heads = app.store.read_slow(|reader| reader.audit_heads()).await?;
    let line = line_of(app.clock.now(), &heads, &app.keys.answer);
    let path = path(app);
    let written = app
        .executor
        .apart(move || append(&path, &line).map_err(|cause| AuditError::File { path, cause }));
    written.await.unwrap_or(Err(AuditError::Store(StoreError::Stopped)))
}

fn path(app: &App) -> PathBuf {
    app.folder.path().join(FILE)
}

/// The answer key and those before it.
fn known_keys(app: &App) -> Vec<PublicKey> {
    let older = app.succession.iter().map(|statement| statement.predecessor);
    older.chain([app.keys.answer.public()]).collect()
}

fn line_of(at_ms: Timestamp, heads: &[Head], key: &SigningKeyPair) -> String {
    let seen = heads.iter().map(|head| Seen {
        writer: base64url(&head.writer),
        count: head.count,
        hash: base64url(&head.hash),
    });
    let checkpoint = Checkpoint { at_ms, heads: seen.collect() };
    let checkpoint =
        serde_json::to_string(&checkpoint).expect("texts and numbers have a JSON form");
    let signature = key.sign(signed(&checkpoint).as_bytes());
    let line = Line { checkpoint, signature: base64url(signature.octets()) };
    serde_json::to_string(&line).expect("texts have a JSON form")
}

fn signed(checkpoint: &str) -> String {
    format!("{PURPOSE}\n{checkpoint}")
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // In one write, so that a crash leaves a whole line or a part that no signature fits.
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

/// What the checkpoints in a data folder saw that these keys signed.
///
/// # Errors
/// [`AuditError::File`].
pub(crate) fn witnesses(folder: &Path, keys: &[PublicKey]) -> Result<Vec<Witness>, AuditError> {
    read_checkpoints(&folder.join(FILE), keys).map(|(witnesses, ..)| witnesses)
}

/// What the checkpoints of these keys saw, how many they are, and how many lines are none.
fn read_checkpoints(
    path: &Path,
    keys: &[PublicKey],
) -> Result<(Vec<Witness>, u64, u64), AuditError> {
    let failed = |cause| AuditError::File { path: path.into(), cause };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0, 0)),
        Err(cause) => return Err(failed(cause)),
    };
    let (mut witnesses, mut checkpoints, mut unsigned) = (Vec::new(), 0_u64, 0_u64);
    for line in BufReader::new(file).lines() {
        match read_line(&line.map_err(failed)?, keys) {
            Some(seen) => {
                checkpoints = checkpoints.saturating_add(1);
                witnesses.extend(seen);
            }
            None => unsigned = unsigned.saturating_add(1),
        }
    }
    Ok((witnesses, checkpoints, unsigned))
}

fn read_line(line: &str, keys: &[PublicKey]) -> Option<Vec<Witness>> {
    let Line { checkpoint, signature } = serde_json::from_str(line).ok()?;
    let signature = Signature::from_octets(fixed_from_base64url(&signature)?);
    let message = signed(&checkpoint);
    keys.iter().find(|key| key.verify(message.as_bytes(), &signature).is_ok())?;
    let Checkpoint { at_ms, heads } = serde_json::from_str(&checkpoint).ok()?;
    let by = format!("the checkpoint of {} ms", at_ms.as_ms());
    let seen = heads.iter().map(|seen| {
        let writer = fixed_from_base64url(&seen.writer)?;
        let hash = fixed_from_base64url(&seen.hash)?;
        Some(Witness { head: Head { writer, count: seen.count, hash }, by: by.clone() })
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    #[test]
    fn a_checkpoint_reads_back_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (key, other) =
            (SigningKeyPair::from_seed(&[1; 32]), SigningKeyPair::from_seed(&[2; 32]));
        assert_eq!(read_checkpoints(&path, &[key.public()]).unwrap(), (Vec::new(), 0, 0));
        let head = Head { writer: [7; 16], count: 12, hash: [8; 32] };
        let good = line_of(NOW, &[head], &key);
        append(&path, &good).unwrap();
        append(&path, &line_of(NOW, &[head], &other)).unwrap();
        append(&path, &good.replace("12", "11")).unwrap();
        append(&path, "torn by a crash").unwrap();
        let (witnesses, checkpoints, unsigned) = read_checkpoints(&path, &[key.public()]).unwrap();
        assert_eq!(witnesses.iter().map(|one| one.head).collect::<Vec<_>>(), [head]);
        assert_eq!((checkpoints, unsigned), (1, 3));
    }
}
