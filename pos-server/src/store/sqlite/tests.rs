//! The suite of all engines, and what only this one can show.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pos_protocol::id::NoticeId;
use pos_protocol::payment::OperationState;
use tempfile::TempDir;

use super::reader::SqliteReader;
use super::{OpenError, SqliteOptions, open, open_writer, renew_log};
use crate::store::StoreError;
use crate::store::audit::verify::{Verified, Verifier};
use crate::store::conformance::bed::{
    Bed, INSTITUTION, LEASE, ME, Opened, named, new_payment, tell,
};
use crate::store::engine::{Engine, Reader as _, Writer as _};
use crate::store::verbs::{
    Begun, LeaseDueWork, LeaseNotices, NewNotice, Recorded, SetInstitutionEnabled, Verb,
};

mod suite {
    use crate::store::conformance::conformance_suite;
    conformance_suite!(super::fresh);
}

fn fresh() -> Opened {
    let folder = TempDir::new().unwrap();
    let engine = open(&database(folder.path()), SqliteOptions::default()).unwrap();
    Opened { engine, keep: Box::new(folder) }
}

fn database(folder: &Path) -> PathBuf {
    folder.join("shop.sqlite")
}

fn opened(folder: &TempDir) -> Engine {
    open(&database(folder.path()), SqliteOptions::default()).unwrap()
}

fn limited(read_limit: Duration) -> SqliteOptions {
    SqliteOptions { read_limit, ..SqliteOptions::default() }
}

fn bed(folder: &TempDir) -> Bed {
    Bed::new(Opened { engine: opened(folder), keep: Box::new(()) })
}

/// The flags of `.cargo/config.toml` have come through; one of them, `HAVE_FDATASYNC`, is not among
/// the options that SQLite tells.
#[test]
fn sqlite_is_built_as_configured() {
    let folder = TempDir::new().unwrap();
    let writer = open_writer(&database(folder.path()), SqliteOptions::default()).unwrap();
    let mut statement = writer.connection().prepare("PRAGMA compile_options").unwrap();
    let options: Vec<String> =
        statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let built = |name: &str| options.iter().any(|option| option == name);
    assert!(built("DEFAULT_MEMSTATUS=0") && built("DQS=0"), "{options:?}");
    assert!(!built("ENABLE_FTS5") && !built("ENABLE_RTREE"), "{options:?}");
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let folder = TempDir::new().unwrap();
    let mut bed = bed(&folder);
    let ours = bed.ours.clone();
    let paid = bed.paid(&ours);
    let open = bed.begun(&ours);
    let key = bed.read().key(ours.signer.id()).unwrap();
    let institutions = bed.read().institutions().unwrap();
    let contracts = bed.read().contracts(ours.shop).unwrap();
    drop(bed);
    let again = opened(&folder).reader;
    assert_eq!(again.payment(ours.shop, paid.id).unwrap(), Some(paid));
    assert_eq!(again.payment(ours.shop, open.id).unwrap(), Some(open));
    assert_eq!(again.key(ours.signer.id()).unwrap(), key);
    assert_eq!(again.institutions().unwrap(), institutions);
    assert_eq!(again.contracts(ours.shop).unwrap(), contracts);
}

#[test]
fn a_database_of_a_newer_release_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    drop(open_writer(&path, SqliteOptions::default()).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    let known: u32 =
        raw.query_row("SELECT max(version) FROM schema_migration", (), |row| row.get(0)).unwrap();
    let newer = known + 1;
    raw.execute(
        "INSERT INTO schema_migration (version, sha256) VALUES (?1, zeroblob(32))",
        [newer],
    )
    .unwrap();
    drop(raw);
    let error = open(&path, SqliteOptions::default()).err().unwrap();
    let told = format!(
        "the database is at version {newer} and this release knows only up to {known}: start the \
         newer release again, or restore a backup from before it"
    );
    assert_eq!(error.to_string(), told);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("CREATE TABLE somebody (x)").unwrap();
    drop(raw);
    let error = open(&path, SqliteOptions::default()).err().unwrap();
    assert!(matches!(error, OpenError::NotOurs), "{error}");
    let garbage = folder.path().join("garbage");
    fs::write(&garbage, "no database at all, but rather a text ".repeat(500)).unwrap();
    let error = open(&garbage, SqliteOptions::default()).err().unwrap();
    assert!(matches!(error, OpenError::Sqlite(_)), "{error}");
    assert!(fs::read_to_string(&garbage).unwrap().starts_with("no database at all"));
    let nowhere = folder.path().join("no such folder").join("shop.sqlite");
    let error = open(&nowhere, SqliteOptions::default()).err().unwrap();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[test]
fn the_files_are_their_owners_alone() {
    let folder = TempDir::new().unwrap();
    let mut bed = bed(&folder);
    let ours = bed.ours.clone();
    bed.begun(&ours);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{entry:?}");
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["shop.sqlite", "shop.sqlite-shm", "shop.sqlite-wal"]);
}

#[test]
fn a_commit_is_synced_before_it_is_answered() {
    let folder = TempDir::new().unwrap();
    let writer = open_writer(&database(folder.path()), SqliteOptions::default()).unwrap();
    let pragma = |name: &str| -> i64 {
        let statement = format!("PRAGMA {name}");
        writer.connection().query_row(&statement, (), |row| row.get(0)).unwrap()
    };
    assert_eq!(pragma("synchronous"), 2, "FULL");
    assert_eq!(pragma("wal_autocheckpoint"), 0);
    assert_eq!(pragma("foreign_keys"), 1);
}

/// A bed, and sales to be written by a writer that a test breaks.
fn prepared(folder: &TempDir) -> (Bed, Vec<Verb>) {
    let mut bed = bed(folder);
    let ours = bed.ours.clone();
    let sales = (0..40).map(|_| Verb::BeginOperation(Box::new(bed.sale(&ours))));
    let sales = sales.collect();
    (bed, sales)
}

fn kept(folder: &TempDir, bed: &Bed) -> usize {
    let engine = opened(folder);
    let found = engine.lists.history(bed.ours.shop, None, None, 1000);
    found.unwrap().len()
}

#[test]
fn a_full_disk_refuses_and_harms_nothing() {
    let folder = TempDir::new().unwrap();
    let (bed, sales) = prepared(&folder);
    let mut writer = open_writer(&database(folder.path()), SqliteOptions::default()).unwrap();
    let limit = |writer: &super::SqliteWriter, pages: i64| {
        let statement = format!("PRAGMA max_page_count = {pages}");
        let db = writer.connection();
        db.query_row(&statement, (), |_| Ok(())).unwrap();
    };
    let pages = |writer: &super::SqliteWriter| -> i64 {
        let db = writer.connection();
        db.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap()
    };
    let now = pages(&writer);
    limit(&writer, now + 1);
    let mut acknowledged = 0;
    let mut refused = 0;
    for sale in &sales {
        match writer.commit(std::slice::from_ref(sale)) {
            Ok(replies) => match &replies[0] {
                Ok(_) => acknowledged += 1,
                Err(error) => {
                    assert!(matches!(error, StoreError::Engine { .. }), "{error}");
                    refused += 1;
                }
            },
            Err(error) => {
                assert!(matches!(error, StoreError::Engine { .. }), "{error}");
                refused += 1;
            }
        }
    }
    assert!(acknowledged > 0 && refused > 0, "{acknowledged} {refused}");
    assert_eq!(kept(&folder, &bed), acknowledged);
    // With room again the same verbs go through: those that were kept answer with what stands.
    limit(&writer, now + 1000);
    let replies = writer.commit(&sales).unwrap();
    assert!(replies.iter().all(Result::is_ok));
    assert_eq!(kept(&folder, &bed), sales.len());
}

#[test]
fn a_database_that_cannot_be_written_refuses() {
    let folder = TempDir::new().unwrap();
    let (bed, sales) = prepared(&folder);
    let mut writer = open_writer(&database(folder.path()), SqliteOptions::default()).unwrap();
    let read_only = |writer: &super::SqliteWriter, on: bool| {
        let db = writer.connection();
        db.pragma_update(None, "query_only", on).unwrap();
    };
    read_only(&writer, true);
    match writer.commit(&sales) {
        Ok(replies) => assert!(replies.iter().all(Result::is_err)),
        Err(error) => assert!(matches!(error, StoreError::Engine { .. }), "{error}"),
    }
    assert_eq!(kept(&folder, &bed), 0);
    read_only(&writer, false);
    assert!(writer.commit(&sales).unwrap().iter().all(Result::is_ok));
    assert_eq!(kept(&folder, &bed), sales.len());
}

#[test]
fn a_commit_that_fails_is_unknown_and_the_last() {
    let folder = TempDir::new().unwrap();
    let (bed, sales) = prepared(&folder);
    let mut writer = open_writer(&database(folder.path()), SqliteOptions::default()).unwrap();
    let (first, second) = sales.split_at(20);
    assert!(writer.commit(first).unwrap().iter().all(Result::is_ok));
    writer.connection_mut().commit_hook(Some(|| true)).unwrap();
    let error = writer.commit(second).unwrap_err();
    assert!(matches!(error, StoreError::Unknown { .. }), "{error}");
    assert!(error.is_final());
    writer.connection_mut().commit_hook(None::<fn() -> bool>).unwrap();
    let error = writer.commit(second).unwrap_err();
    assert!(matches!(error, StoreError::Stopped), "{error}");
    drop(writer);
    assert_eq!(kept(&folder, &bed), 20);
}

#[test]
fn a_disk_that_fails_under_the_log_ends_the_writing() {
    let folder = TempDir::new().unwrap();
    let mut writer = open_writer(&database(folder.path()), SqliteOptions::default()).unwrap();
    assert!(writer.commit(&[]).is_ok());
    writer.gate().fail();
    assert!(matches!(writer.commit(&[]), Err(StoreError::Stopped)));
}

#[test]
fn the_log_of_an_earlier_run_is_settled_before_anything_is_served() {
    let folder = TempDir::new().unwrap();
    let whole = bed(&folder);
    let log = folder.path().join("shop.sqlite-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    // The first bed lives on, as a process that was killed would leave its log.
    let _second = open_writer(&database(folder.path()), SqliteOptions::default()).unwrap();
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    drop(whole);
}

#[test]
fn the_log_of_an_earlier_run_is_written_anew_as_it_is() {
    let folder = TempDir::new().unwrap();
    let whole = bed(&folder);
    let log = folder.path().join("shop.sqlite-wal");
    fs::File::open(&log).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let (then, content) = (fs::metadata(&log).unwrap(), fs::read(&log).unwrap());
    assert!(content.len() > 1 << 16, "in several parts");
    renew_log(&database(folder.path())).unwrap();
    let now = fs::metadata(&log).unwrap();
    assert!(now.modified().unwrap() > then.modified().unwrap(), "it was written");
    assert_eq!(now.ino(), then.ino(), "whoever reads it reads on");
    assert!(fs::read(&log).unwrap() == content);
    drop(whole);
}

#[test]
fn a_damaged_row_harms_only_those_who_read_it() {
    let folder = TempDir::new().unwrap();
    let mut bed = bed(&folder);
    let ours = bed.ours.clone();
    let broken = bed.sale(&ours);
    assert_eq!(bed.begin(&broken), Begun::New { version: 1 });
    let whole = bed.begun(&ours);
    let raw = rusqlite::Connection::open(database(folder.path())).unwrap();
    raw.execute("UPDATE operation SET state = 99 WHERE key = ?1", (broken.key.as_str(),)).unwrap();
    let found = bed.read().payment(ours.shop, new_payment(&broken).id);
    let error = found.unwrap_err();
    assert_eq!(error.to_string(), "the database holds a state that this release cannot read");
    let mut again = broken.clone();
    again.operation = bed.operation_id();
    let outcome = bed.outcome(&whole, OperationState::NotSent);
    let replies =
        bed.group(&[Verb::BeginOperation(Box::new(again)), Verb::RecordOutcome(Box::new(outcome))]);
    assert!(matches!(&replies[0], Err(StoreError::Corrupt { what: "state" })));
    assert!(matches!(
        &replies[1],
        Ok(crate::store::verbs::Reply::RecordOutcome(Recorded::Done { version: 2 }))
    ));
}

#[test]
fn a_damaged_row_does_not_keep_the_others_from_being_found_out() {
    let folder = TempDir::new().unwrap();
    let mut bed = bed(&folder);
    let ours = bed.ours.clone();
    let broken = bed.sale(&ours);
    assert_eq!(bed.begin(&broken), Begun::New { version: 1 });
    let whole = bed.begun(&ours);
    let raw = rusqlite::Connection::open(database(folder.path())).unwrap();
    raw.execute("UPDATE operation SET state = 15 WHERE key = ?1", (broken.key.as_str(),)).unwrap();
    bed.pass(LEASE);
    let one = LeaseDueWork { limit: 1, ..bed.lease(ME) };
    assert_eq!(tell!(bed, LeaseDueWork, one.clone()), [], "the damaged one, whose lease is kept");
    let taken = tell!(bed, LeaseDueWork, one);
    let taken: Vec<_> = taken.iter().map(|work| work.payment.id).collect();
    assert_eq!(taken, [whole.id]);
}

#[test]
fn a_damaged_notice_does_not_keep_other_shops_from_being_told() {
    let folder = TempDir::new().unwrap();
    let mut bed = bed(&folder);
    let tenants = [bed.ours.clone(), bed.theirs.clone()];
    for tenant in &tenants {
        let payment = bed.begun(tenant);
        let mut verb = bed.outcome(&payment, OperationState::Done(payment.amount));
        let id = NoticeId::fresh(bed.now, bed.entropy());
        verb.follows.notices = vec![NewNotice { id, is_mailed: true, body: "{}".into() }];
        assert_eq!(bed.record(&verb), Recorded::Done { version: 2 });
    }
    let raw = rusqlite::Connection::open(database(folder.path())).unwrap();
    let damage = "UPDATE notice SET tries = -1 WHERE shop = ?1";
    assert_eq!(raw.execute(damage, (tenants[0].shop.octets(),)).unwrap(), 1);
    let lease =
        LeaseNotices { owner: ME, now: bed.now, expires_at: bed.now.plus(LEASE), limit: 100 };
    let due = tell!(bed, LeaseNotices, lease);
    assert_eq!(due.iter().map(|one| one.shop).collect::<Vec<_>>(), [tenants[1].shop]);
    assert_eq!(tell!(bed, LeaseNotices, lease), [], "the damaged one is looked at again later");
}

#[test]
fn a_read_that_takes_too_long_is_ended() {
    let folder = TempDir::new().unwrap();
    let bed = bed(&folder);
    let reader = SqliteReader::open(&database(folder.path()), 1, limited(Duration::ZERO)).unwrap();
    let endless = reader.with(|db| {
        let statement = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
                         SELECT count(*) FROM n";
        Ok(db.query_row(statement, (), |_| Ok(()))?)
    });
    let error = endless.unwrap_err().to_string();
    assert_eq!(error, "the database refused: interrupted");
    let found = reader.contract(bed.ours.shop, bed.ours.contract);
    assert!(found.unwrap().is_some(), "the connection serves the next one");
}

#[test]
fn readers_cannot_write_and_take_turns() {
    let folder = TempDir::new().unwrap();
    let bed = bed(&folder);
    let limit = Duration::from_secs(5);
    let reader = SqliteReader::open(&database(folder.path()), 2, limited(limit)).unwrap();
    let wrote = reader.with(|db| Ok(db.execute("DELETE FROM contract", ())?));
    assert!(wrote.is_err());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let found = reader.contract(bed.ours.shop, bed.ours.contract);
                    assert!(found.unwrap().is_some());
                }
            });
        }
    });
}

#[test]
fn a_lookup_is_planned_once() {
    let folder = TempDir::new().unwrap();
    let mut bed = bed(&folder);
    let ours = bed.ours.clone();
    let payments = [bed.begun(&ours), bed.begun(&ours), bed.begun(&ours)];
    let path = database(folder.path());
    let reader = SqliteReader::open(&path, 1, SqliteOptions::default()).unwrap();
    for payment in &payments {
        assert!(reader.payment(ours.shop, payment.id).unwrap().is_some());
    }
    let planned_anew = reader.with(|db| {
        let statement = db.prepare_cached(super::rows::PAYMENT)?;
        Ok(statement.get_status(rusqlite::StatementStatus::RePrepare))
    });
    assert_eq!(planned_anew.unwrap(), 0);
}

#[test]
fn no_statement_walks_through_the_history() {
    let folder = TempDir::new().unwrap();
    let mut bed = bed(&folder);
    let ours = bed.ours.clone();
    let sales: Vec<_> = (0..2_000).map(|_| bed.sale(&ours)).collect();
    let verbs = sales.iter().map(|sale| Verb::BeginOperation(Box::new(sale.clone())));
    bed.group(&verbs.collect::<Vec<_>>());
    let ended = sales.iter().map(|sale| {
        let payment = bed.payment(&ours, new_payment(sale).id);
        let outcome = bed.outcome(&payment, OperationState::Done(payment.amount));
        Verb::RecordOutcome(Box::new(outcome))
    });
    let ended: Vec<_> = ended.collect();
    bed.group(&ended);
    // Two thousand rows cannot be walked through in a thousand instructions.
    let path = database(folder.path());
    let reader = SqliteReader::open(&path, 1, SqliteOptions::default()).unwrap();
    reader.interrupt_after(1_000);
    let sale = &sales[1_000];
    let new = new_payment(sale);
    assert!(reader.payment(ours.shop, new.id).unwrap().is_some());
    assert!(reader.under_key(ours.shop, &sale.key).unwrap().is_some());
    let of_order = reader.payment_of_order(ours.shop, &new.order_id);
    assert!(of_order.unwrap().is_some());
    for pos in [None, Some(ours.pos)] {
        let page = reader.history(ours.shop, pos, Some(new.id), 3).unwrap();
        assert_eq!(page.len(), 3);
    }
    assert_eq!(reader.open_counts().unwrap(), []);
    assert_eq!(reader.tasks(10).unwrap(), []);
    assert_eq!(reader.open_tasks().unwrap(), 0);
    assert_eq!(reader.keys(ours.shop).unwrap().len(), 1);
    let mut writer = open_writer(&path, SqliteOptions::default()).unwrap();
    let stop = || true;
    let db = writer.connection_mut();
    db.progress_handler(1_000, Some(stop)).unwrap();
    let sale = bed.sale(&ours);
    let paid = bed.payment(&ours, new_payment(&sales[1]).id);
    let lease = bed.lease([3; 16]);
    let prune = crate::store::verbs::Prune { now: bed.now, limit: 500 };
    let verbs = [
        Verb::BeginOperation(Box::new(sale)),
        Verb::BeginOperation(Box::new(bed.refund(&ours, &paid, 100))),
        ended[7].clone(),
        Verb::LeaseDueWork(Box::new(lease)),
        Verb::Prune(Box::new(prune)),
    ];
    let replies = writer.commit(&verbs).unwrap();
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
}

/// Reads the audit as the operator's command does.
fn verified(folder: &TempDir) -> Verified {
    let reader = opened(folder).lists;
    let mut verifier = Verifier::new(&reader.audit_beginnings().unwrap(), Vec::new());
    for row in reader.audit_rows(None, 1_000).unwrap() {
        verifier.read(&row);
    }
    verifier.finish()
}

#[test]
fn each_run_writes_a_chain_that_names_the_one_before() {
    let folder = TempDir::new().unwrap();
    for chains in 1..=3 {
        if chains == 1 {
            drop(bed(&folder));
        } else {
            let switch = SetInstitutionEnabled {
                institution: named(INSTITUTION),
                enabled: chains == 2,
                now: pos_protocol::Timestamp::from_ms(chains),
            };
            let verb = Verb::SetInstitutionEnabled(Box::new(switch));
            assert!(opened(&folder).writer.commit(&[verb]).unwrap()[0].is_ok());
        }
        let seen = verified(&folder);
        assert_eq!((seen.chains, &seen.findings[..]), (chains, &[][..]));
    }
    let reader = opened(&folder).lists;
    let beginnings = reader.audit_beginnings().unwrap();
    let named = beginnings.iter().map(|row| row.body.matches("writer").count());
    assert_eq!(named.sum::<usize>(), 2, "each end is named once: {beginnings:?}");
}

#[test]
fn whatever_is_changed_in_the_audits_table_is_found() {
    for (change, found) in [
        (
            "UPDATE audit SET body = replace(body, 'begin', 'began') WHERE body LIKE '%begin%'",
            "was edited",
        ),
        ("UPDATE audit SET at = at + 1 WHERE seq = 3", "was edited"),
        ("UPDATE audit SET shop = NULL WHERE seq = 7", "was edited"),
        ("DELETE FROM audit WHERE seq = 4", "are missing"),
        (
            "UPDATE audit SET body = (SELECT body FROM audit AS other WHERE other.seq = 9) \
             WHERE seq = 7",
            "was edited",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let mut bed = bed(&folder);
        let ours = bed.ours.clone();
        bed.paid(&ours);
        bed.paid(&ours);
        drop(bed);
        assert_eq!(verified(&folder).findings, []);
        let raw = rusqlite::Connection::open(database(folder.path())).unwrap();
        assert!(raw.execute(change, ()).unwrap() > 0, "{change}");
        drop(raw);
        let findings = verified(&folder).findings;
        assert!(
            findings.iter().any(|one| one.to_string().contains(found)),
            "{change}: {findings:?}"
        );
    }
}
