//! The suite of all engines, and what only this one can show.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use pos_protocol::payment::OperationState;
use pos_protocol::reason::DeclineReason;
use tempfile::TempDir;

use self::cluster::{Cluster, Durability};
use super::{OpenError, PostgresOptions, is_begun, migrate, open};
use crate::store::StoreError;
use crate::store::audit::verify::Verifier;
use crate::store::conformance::bed::{Bed, Opened, amount, new_payment, tell};
use crate::store::engine::Engine;
use crate::store::moving::{self, MoveError, Table};
use crate::store::rows::{StoredPayment, UnderKey};
use crate::store::sqlite::{self, SqliteOptions};
use crate::store::verbs::{
    BeginOperation, Begun, CountLogin, Prune, RecordOutcome, Recorded, Reply, Target, Verb,
};

#[path = "../../../../tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "the test bed uses the rest")]
mod cluster;

mod suite {
    use crate::store::conformance::conformance_suite;
    conformance_suite!(super::fresh);
}

/// One cluster for the whole test program; every test has a schema of its own.
fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Durability::Fast).unwrap())
}

fn fresh() -> Opened {
    Opened { engine: opened(&shared().schema().unwrap()), keep: Box::new(()) }
}

fn options(url: &str) -> PostgresOptions {
    let mut incarnation = [0; 16];
    getrandom::fill(&mut incarnation).unwrap();
    PostgresOptions {
        readers: 2,
        list_readers: 1,
        ..PostgresOptions::new(url.parse().unwrap(), incarnation)
    }
}

fn opened(url: &str) -> Engine {
    open(&options(url)).unwrap()
}

fn bed(url: &str) -> Bed {
    Bed::new(Opened { engine: opened(url), keep: Box::new(()) })
}

/// The schema that a URL of the shared cluster names.
fn schema_of(url: &str) -> &str {
    url.rsplit_once("%3D").unwrap().1
}

fn sql(url: &str, statement: &str) -> String {
    let statement = format!("SET search_path = {}; {statement}", schema_of(url));
    shared().sql("postgres", &statement).unwrap()
}

#[test]
fn several_servers_begin_one_database() {
    let url = shared().schema().unwrap();
    assert!(!is_begun(&options(&url)).unwrap());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| opened(&url));
        }
    });
    assert!(is_begun(&options(&url)).unwrap());
    let rows = (migrate::MIGRATIONS.len() + 1).to_string();
    assert_eq!(sql(&url, "SELECT count(*) FROM schema_migration"), rows, "and the mark");
}

#[test]
fn a_database_that_is_not_ours_newer_altered_or_gone_is_refused() {
    let refused =
        |url: &str, begun| open(&PostgresOptions { begun, ..options(url) }).err().unwrap();
    let url = shared().schema().unwrap();
    assert!(matches!(refused(&url, true), OpenError::Gone));
    sql(&url, "CREATE TABLE somebody (x bigint)");
    assert!(matches!(refused(&url, false), OpenError::NotOurs));
    sql(&url, "CREATE TABLE schema_migration (version bigint, sha256 bytea)");
    assert!(matches!(refused(&url, false), OpenError::NotOurs));
    let url = shared().schema().unwrap();
    drop(opened(&url));
    drop(open(&PostgresOptions { begun: true, ..options(&url) }).unwrap());
    let next = migrate::MIGRATIONS.len() + 1;
    sql(&url, &format!("INSERT INTO schema_migration VALUES ({next}, '\\x00')"));
    assert!(matches!(refused(&url, false), OpenError::Newer { known, .. } if known + 1 == next));
    sql(&url, &format!("DELETE FROM schema_migration WHERE version = {next}"));
    sql(&url, "UPDATE schema_migration SET sha256 = '\\x00' WHERE version = 1");
    assert!(matches!(refused(&url, false), OpenError::Altered { version: 1 }));
}

#[test]
fn an_unreachable_database_says_what_to_do() {
    let error = open(&options("postgres://pos@%2Fnowhere/shop")).err().unwrap().to_string();
    assert!(error.contains("see that the database runs"), "{error}");
}

/// Two writers on one database, both at the same verbs at the same moment.
fn both(
    url: &str,
    verbs: &(dyn Fn(usize) -> Vec<Verb> + Sync),
) -> Vec<Vec<Result<Reply, StoreError>>> {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let running: Vec<_> = (0..2)
            .map(|at| {
                let start = &start;
                scope.spawn(move || {
                    let mut engine = opened(url);
                    let verbs = verbs(at);
                    start.wait();
                    engine.writer.commit(&verbs).unwrap()
                })
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn begun(replies: &[Result<Reply, StoreError>]) -> Vec<Begun> {
    let one = |reply: &Result<Reply, StoreError>| match reply {
        Ok(Reply::BeginOperation(begun)) => begun.clone(),
        other => panic!("{other:?}"),
    };
    replies.iter().map(one).collect()
}

#[test]
fn an_order_an_envelope_and_a_key_are_taken_once_by_all_servers() {
    let url = shared().schema().unwrap();
    let mut bed = bed(&url);
    let ours = bed.ours.clone();
    for round in 0..8 {
        // Sixty sales each; the two servers share every order, every envelope or every key in turn.
        let mut pairs = Vec::new();
        for number in 0..60 {
            let order = format!("order-{round}-{number}");
            let one = bed.sale_of(&ours, &order);
            let mut other = bed.sale_of(&ours, &order);
            if let Target::New(new) = &mut other.target {
                if number % 3 > 0 {
                    new.order_id = format!("other-{round}-{number}").parse().unwrap();
                }
                if number % 3 == 1 {
                    new.envelope = new_payment(&one).envelope;
                }
            }
            if number % 3 == 2 {
                other.key = one.key.clone();
            }
            pairs.push([one, other]);
        }
        let verbs = |at: usize| -> Vec<Verb> {
            // In opposite directions, so that they get in each other's way.
            let begin =
                |pair: &[BeginOperation; 2]| Verb::BeginOperation(Box::new(pair[at].clone()));
            let mut verbs: Vec<_> = pairs.iter().map(begin).collect();
            if at == 1 {
                verbs.reverse();
            }
            verbs
        };
        let mut replies = both(&url, &verbs);
        replies[1].reverse();
        let (one, other) = (begun(&replies[0]), begun(&replies[1]));
        for (number, (one, other)) in one.iter().zip(&other).enumerate() {
            let news = [one, other].iter().filter(|one| matches!(one, Begun::New { .. })).count();
            assert_eq!(news, 1, "{number}: {one:?} {other:?}");
            let loser = if matches!(one, Begun::New { .. }) { other } else { one };
            let right = match number % 3 {
                0 => matches!(loser, Begun::OrderTaken(_)),
                1 => matches!(loser, Begun::EnvelopeUsed),
                _ => matches!(loser, Begun::Known(_)),
            };
            assert!(right, "{number}: {loser:?}");
        }
    }
    assert_eq!(sql(&url, "SELECT count(*) FROM payment"), "480");
    verify(&url);
}

#[test]
fn a_payment_moves_once_a_version_whoever_moves_it() {
    let url = shared().schema().unwrap();
    let mut bed = bed(&url);
    let ours = bed.ours.clone();
    let paid: Vec<_> = (0..40).map(|_| bed.paid(&ours)).collect();
    let refunds: Vec<[_; 2]> = paid
        .iter()
        .map(|paid| [bed.refund(&ours, paid, 700), bed.refund(&ours, paid, 700)])
        .collect();
    let verbs = |at: usize| -> Vec<Verb> {
        let begin = |pair: &[BeginOperation; 2]| Verb::BeginOperation(Box::new(pair[at].clone()));
        let mut verbs: Vec<_> = refunds.iter().map(begin).collect();
        if at == 1 {
            verbs.reverse();
        }
        verbs
    };
    let mut replies = both(&url, &verbs);
    replies[1].reverse();
    for (one, other) in begun(&replies[0]).iter().zip(&begun(&replies[1])) {
        let right = matches!(
            (one, other),
            (Begun::New { version: 3 }, Begun::Moved) | (Begun::Moved, Begun::New { version: 3 })
        );
        assert!(right, "{one:?} {other:?}");
    }
    verify(&url);
}

#[test]
fn increments_of_two_servers_are_all_counted() {
    let url = shared().schema().unwrap();
    let bed = bed(&url);
    let wrong = CountLogin {
        shop: Some(bed.ours.shop),
        right: false,
        limit: 1000,
        lock_until: bed.now.plus(Duration::from_secs(60)),
        now: bed.now,
    };
    let verbs = |_: usize| (0..50).map(|_| Verb::CountLogin(Box::new(wrong))).collect();
    both(&url, &verbs);
    let login = bed.read().login(bed.ours.user).unwrap().unwrap();
    assert_eq!(login.failures, 100);
}

#[test]
fn one_of_two_servers_takes_a_lease() {
    let url = shared().schema().unwrap();
    let mut bed = bed(&url);
    let ours = bed.ours.clone();
    for _ in 0..100 {
        bed.begun(&ours);
    }
    bed.pass(crate::store::conformance::bed::LEASE);
    let lease = bed.lease([0; 16]);
    let verbs = |at: usize| {
        let owner = [u8::try_from(at).unwrap(); 16];
        let verb = crate::store::verbs::LeaseDueWork { limit: 70, owner, ..lease.clone() };
        vec![Verb::LeaseDueWork(Box::new(verb))]
    };
    let taken: Vec<_> = both(&url, &verbs)
        .into_iter()
        .flatten()
        .flat_map(|reply| match reply {
            Ok(Reply::LeaseDueWork(work)) => work,
            other => panic!("{other:?}"),
        })
        .collect();
    let mut ids: Vec<_> = taken.iter().map(|work| work.operation).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), taken.len(), "none was taken twice");
    let rest = tell!(bed, LeaseDueWork, bed.lease([9; 16]));
    assert_eq!(taken.len() + rest.len(), 100);
}

/// Every chain of all writers, as the operator's command reads them.
fn verify(url: &str) {
    let reader = opened(url).reader;
    let mut verifier = Verifier::new(&reader.audit_beginnings().unwrap(), Vec::new());
    let mut after = None;
    loop {
        let page = reader.audit_rows(after, 1000).unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.writer, last.seq));
        page.iter().for_each(|row| verifier.read(row));
    }
    assert_eq!(verifier.finish().findings, []);
}

/// A line to the database that is cut at a commit.
struct Cutter {
    _folder: TempDir,
    url: String,
    cuts: Arc<AtomicUsize>,
}

/// Where a line is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The commit arrives, and its answer does not.
    BehindCommit,
    /// The commit does not arrive.
    BeforeCommit,
}

impl Cutter {
    /// A socket before that of the shared cluster; the next `cuts` commits are cut.
    fn start(url: &str, cut: Cut) -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        let armed = Arc::clone(&cuts);
        thread::spawn(move || {
            for client in listener.incoming() {
                let armed = Arc::clone(&armed);
                let (client, server) =
                    (client.unwrap(), UnixStream::connect(shared().socket()).unwrap());
                thread::spawn(move || carry(&client, &server, cut, &armed));
            }
        });
        let (_, database) = url.rsplit_once("/postgres").unwrap();
        let host = folder.path().display().to_string().replace('/', "%2F");
        let url = format!("postgres://pos@{host}/postgres{database}");
        Self { _folder: folder, url, cuts }
    }
}

fn carry(client: &UnixStream, server: &UnixStream, cut: Cut, armed: &AtomicUsize) {
    let (mut up, mut down) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let mut answers = server.try_clone().unwrap();
    let back = thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut down);
        let _ = down.shutdown(Shutdown::Both);
    });
    let mut calls = client.try_clone().unwrap();
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = calls.read(&mut buffer) {
        let octets = &buffer[..count];
        let is_commit = octets.windows(7).any(|word| word == b"COMMIT\0");
        let hit = is_commit
            && armed
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        if hit {
            // Nothing that is said from here on reaches the client.
            client.shutdown(Shutdown::Both).unwrap();
            if cut == Cut::BehindCommit {
                up.write_all(octets).unwrap();
                // Its answer, or its end: either way the commit has arrived.
                up.shutdown(Shutdown::Write).unwrap();
            }
            break;
        }
        if up.write_all(octets).is_err() {
            break;
        }
    }
    if cut == Cut::BeforeCommit {
        let _ = server.shutdown(Shutdown::Both);
    }
    back.join().unwrap();
}

#[test]
fn a_commit_whose_answer_was_lost_is_found_and_not_done_twice() {
    for cut in [Cut::BehindCommit, Cut::BeforeCommit] {
        let url = shared().schema().unwrap();
        let cutter = Cutter::start(&url, cut);
        let mut bed = bed(&cutter.url);
        let ours = bed.ours.clone();
        let paid = bed.paid(&ours);
        for round in 0..3 {
            cutter.cuts.store(1, Ordering::SeqCst);
            let sale = bed.sale(&ours);
            assert_eq!(bed.begin(&sale), Begun::New { version: 1 }, "{round}");
            assert_eq!(cutter.cuts.load(Ordering::SeqCst), 0, "the line was cut");
            let payment = bed.payment(&ours, new_payment(&sale).id);
            cutter.cuts.store(1, Ordering::SeqCst);
            let outcome = bed.outcome(&payment, OperationState::Done(payment.amount));
            assert_eq!(bed.record(&outcome), Recorded::Done { version: 2 }, "{round}");
            // What no row of its own recognises is not done twice either.
            cutter.cuts.store(1, Ordering::SeqCst);
            let wrong = CountLogin {
                shop: Some(ours.shop),
                right: false,
                limit: 1000,
                lock_until: bed.now,
                now: bed.now,
            };
            tell!(bed, CountLogin, wrong);
            assert_eq!(cutter.cuts.load(Ordering::SeqCst), 0);
        }
        let login = bed.read().login(ours.user).unwrap().unwrap();
        assert_eq!(login.failures, 3);
        assert_eq!(bed.payment(&ours, paid.id), paid);
        verify(&url);
    }
}

/// A trigger that comes at the end of every transaction which writes.
fn at_every_commit(url: &str, does: &str) {
    sql(
        url,
        &format!(
            "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does} \
               RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER meddle AFTER UPDATE ON writer \
               DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION meddle()"
        ),
    );
}

#[test]
fn a_commit_that_is_refused_for_ever_is_told_as_not_kept() {
    let refuses = "RAISE EXCEPTION 'not today';";
    let conflicts = "RAISE EXCEPTION 'not today' USING ERRCODE = 'serialization_failure';";
    let breaks_the_line = "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60);";
    for does in [refuses, conflicts, breaks_the_line] {
        let url = shared().schema().unwrap();
        let mut bed = bed(&url);
        let ours = bed.ours.clone();
        let paid = bed.paid(&ours);
        let sales = [bed.sale(&ours), bed.sale(&ours)];
        let group = sales.clone().map(|sale| Verb::BeginOperation(Box::new(sale)));
        at_every_commit(&url, does);
        let error = bed.try_group(&group).unwrap_err();
        let told = if does == breaks_the_line {
            matches!(error, StoreError::Away { .. })
        } else {
            matches!(error, StoreError::Engine { .. })
        };
        assert!(told, "{does} {error:?}");
        assert!(!error.is_final(), "nobody is told that it may have been kept");
        assert_eq!(sql(&url, "SELECT count(*) FROM payment"), "1", "{does}");
        // Nothing was kept, so the same calls begin anew once the database takes commits again.
        sql(&url, "DROP TRIGGER meddle ON writer");
        for sale in &sales {
            assert_eq!(bed.begin(sale), Begun::New { version: 1 }, "{does}");
        }
        assert_eq!(bed.payment(&ours, paid.id), paid);
        verify(&url);
    }
}

#[test]
fn a_payment_that_moved_under_its_lock_is_not_written_over() {
    let url = shared().schema().unwrap();
    let mut bed = bed(&url);
    let ours = bed.ours.clone();
    let paid = bed.paid(&ours);
    // A payment that is made moves the other one, between what the wave read of it and what it writes.
    sql(
        &url,
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           UPDATE payment SET version = version + 1 WHERE id <> new.id; RETURN NULL; END $$; \
         CREATE TRIGGER meddle AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION meddle()",
    );
    let group = [bed.sale(&ours), bed.refund(&ours, &paid, 700)];
    let replies = bed.try_group(&group.map(|verb| Verb::BeginOperation(Box::new(verb)))).unwrap();
    assert_eq!(begun(&replies), [Begun::New { version: 1 }, Begun::Moved]);
    let now = bed.payment(&ours, paid.id);
    assert_eq!((now.version, now.operations.len()), (paid.version + 1, paid.operations.len()));
    verify(&url);
}

#[test]
fn a_database_that_forgot_commits_is_written_no_more() {
    let url = shared().schema().unwrap();
    let cutter = Cutter::start(&url, Cut::BeforeCommit);
    let mut engine = opened(&cutter.url);
    let nothing = || {
        vec![Verb::Prune(Box::new(Prune { now: pos_protocol::Timestamp::from_secs(1), limit: 0 }))]
    };
    engine.writer.commit(&nothing()).unwrap();
    engine.writer.commit(&nothing()).unwrap();
    // As if it had been restored from a backup of before the last group.
    sql(&url, "UPDATE writer SET committed = committed - 1");
    let error = engine.writer.commit(&nothing()).unwrap_err();
    assert!(matches!(error, StoreError::Behind), "{error:?}");
    assert!(engine.writer.is_over(&error));
    assert!(!engine.writer.is_over(&StoreError::Unknown { cause: Arc::new(std::fmt::Error) }));
}

/// A payment in each of the states that differ in what the engines keep of it, on a file of the embedded
/// engine that nobody has open any more.
fn embedded(folder: &TempDir) -> (PathBuf, Vec<StoredPayment>) {
    let path = folder.path().join("pos.sqlite3");
    let engine = sqlite::open(&path, SqliteOptions::default()).unwrap();
    let mut bed = Bed::new(Opened { engine, keep: Box::new(()) });
    let ours = bed.ours.clone();
    let paid = bed.paid(&ours);
    let refund = bed.refund(&ours, &paid, 700);
    assert_eq!(bed.begin(&refund), Begun::New { version: 3 });
    let open = bed.begun(&ours);
    let declined = bed.begun(&ours);
    let outcome = bed.outcome(&declined, OperationState::Declined(DeclineReason::ExpiredCard));
    bed.record(&outcome);
    let undone = bed.begun(&ours);
    let follows = bed.undoing(&undone);
    let mut outcome = bed.outcome(&undone, OperationState::Unknown);
    outcome.follows = follows;
    bed.record(&outcome);
    let ids = [paid.id, open.id, declined.id, undone.id];
    let all = ids.map(|id| bed.payment(&ours, id)).to_vec();
    (path, all)
}

fn moved(path: &Path, url: &str) -> Result<Vec<Table>, MoveError> {
    moving::move_over(path, &options(url), Vec::new(), || Ok(()))
}

#[test]
fn a_database_of_the_embedded_engine_is_the_same_here() {
    let folder = TempDir::new().unwrap();
    let (path, payments) = embedded(&folder);
    let url = shared().schema().unwrap();
    let tables = moved(&path, &url).unwrap();
    let check = || moving::check(&path, &options(&url), Vec::new());
    let rows =
        |tables: &[Table]| -> Vec<_> { tables.iter().map(|one| (one.name, one.tally)).collect() };
    assert_eq!(rows(&check().unwrap()), rows(&tables));
    let reader = opened(&url).reader;
    for payment in &payments {
        assert_eq!(reader.payment(payment.shop, payment.id).unwrap().as_ref(), Some(payment));
        for operation in &payment.operations {
            let under = reader.under_key(payment.shop, &operation.key).unwrap();
            assert!(matches!(under, Some(UnderKey::Operation(found, id))
                    if *found == *payment && id == operation.id));
        }
    }
    let open: u64 = reader.open_counts().unwrap().iter().map(|one| one.count).sum();
    assert_eq!(open, 4, "the refund, the sale, the one that is undone and what undoes it");
    assert_eq!(sql(&url, "SELECT count(*) FROM open_operation"), "4");
    verify(&url);
    // It is full now.
    assert!(matches!(moved(&path, &url), Err(MoveError::Occupied)));
    // The check sees one row that is another one.
    sql(
        &url,
        "UPDATE shop_order SET claimed = NOT claimed WHERE order_id = \
               (SELECT min(order_id) FROM shop_order)",
    );
    assert!(matches!(check(), Err(MoveError::Differs { table: "shop_order", .. })));
}

#[test]
fn nothing_is_left_behind_and_what_was_bent_on_the_way_is_not_kept() {
    let folder = TempDir::new().unwrap();
    let (path, _) = embedded(&folder);
    let url = shared().database().unwrap();
    let (_, database) = url.rsplit_once('/').unwrap();
    let there = |statement: &str| shared().sql(database, statement).unwrap();
    let here = |statement: &str| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(statement).unwrap();
    };
    for (add, drop, left) in [
        ("CREATE TABLE more (x INTEGER)", "DROP TABLE more", "more"),
        (
            "ALTER TABLE payment ADD COLUMN more INTEGER",
            "ALTER TABLE payment DROP COLUMN more",
            "payment.more",
        ),
    ] {
        here(add);
        let refused = moved(&path, &url).unwrap_err();
        assert!(matches!(&refused, MoveError::LeftBehind { what } if what == left), "{refused}");
        here(drop);
    }
    // What a table gets on its way in is one yen more.
    there(
        "CREATE FUNCTION bend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           new.amount = new.amount + 1; RETURN new; END $$; \
         CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF to_regclass('payment') IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM pg_trigger WHERE tgname = 'bend') THEN \
             CREATE TRIGGER bend BEFORE INSERT ON payment FOR EACH ROW EXECUTE FUNCTION bend(); \
           END IF; END $$; \
         CREATE EVENT TRIGGER meddle ON ddl_command_end WHEN tag IN ('CREATE TABLE') \
           EXECUTE FUNCTION meddle()",
    );
    let refused = moved(&path, &url).unwrap_err();
    assert!(matches!(refused, MoveError::Differs { table: "payment", .. }), "{refused}");
    // One that cannot be noted is not kept either.
    there("DROP EVENT TRIGGER meddle");
    let note = || Err(std::io::ErrorKind::StorageFull.into());
    let refused = moving::move_over(&path, &options(&url), Vec::new(), note).unwrap_err();
    assert!(matches!(refused, MoveError::Note(_)), "{refused}");
    assert!(!is_begun(&options(&url)).unwrap(), "after all of them there is nothing");
    moved(&path, &url).unwrap();
}

#[test]
fn what_was_acknowledged_is_there_after_a_cut() {
    let cluster = Cluster::start(Durability::Synced).unwrap();
    let url = cluster.database().unwrap();
    let mut bed = bed(&url);
    let ours = bed.ours.clone();
    let paid = bed.paid(&ours);
    let open = bed.begun(&ours);
    cluster.cut().unwrap();
    let away = bed.read().payment(ours.shop, paid.id);
    assert!(matches!(away, Err(StoreError::Away { .. })), "{away:?}");
    let sale = Verb::BeginOperation(Box::new(bed.sale(&ours)));
    let refused = bed.try_group(&[sale]);
    assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
    cluster.resume().unwrap();
    assert_eq!(bed.payment(&ours, paid.id), paid);
    let outcome: RecordOutcome = bed.outcome(&open, OperationState::Done(amount(1200)));
    assert_eq!(
        bed.record(&outcome),
        Recorded::Done { version: 2 },
        "the writer comes back by itself"
    );
}
