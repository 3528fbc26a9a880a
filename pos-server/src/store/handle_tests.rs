use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};

use pos_protocol::id::ShopId;
use pos_protocol::{ErrorCode, Timestamp};

use super::*;
use crate::env::Begun;
use crate::store::sqlite::SqliteOptions;
use crate::store::verbs::{CountLogin, KeepRefusal, Prune};

/// A writer that shows each group and waits to be told what becomes of it.
struct Scripted {
    shown: Sender<Vec<&'static str>>,
    told: Receiver<Told>,
}

enum Told {
    Keep,
    Fail(StoreError),
    Cross,
    Panic,
}

impl Writer for Scripted {
    fn commit(&mut self, verbs: &[Verb]) -> Result<Vec<Result<Reply, StoreError>>, StoreError> {
        let names = verbs.iter().map(|verb| match verb {
            Verb::KeepRefusal(_) => "refusal",
            Verb::RecordOutcome(_) => "outcome",
            Verb::CountLogin(_) => "login",
            Verb::Prune(_) => "prune",
            other => panic!("not in the script: {other:?}"),
        });
        self.shown.send(names.collect()).unwrap();
        match self.told.recv().unwrap() {
            Told::Keep => {}
            Told::Fail(error) => return Err(error),
            Told::Cross => return Ok(vec![Ok(Reply::TouchKey(())); verbs.len()]),
            Told::Panic => panic!("a defect of the engine"),
        }
        let replies = verbs.iter().map(|verb| match verb {
            Verb::KeepRefusal(_) => Ok(Reply::KeepRefusal(None)),
            Verb::CountLogin(_) => Ok(Reply::CountLogin(None)),
            Verb::Prune(_) => Ok(Reply::Prune(7)),
            _ => Ok(Reply::RecordOutcome(crate::store::verbs::Recorded::Moved)),
        });
        Ok(replies.collect())
    }
}

#[derive(Default)]
struct Seen {
    groups: Mutex<Vec<usize>>,
    stopped: Mutex<Vec<String>>,
}

impl Observer for Seen {
    fn group(&self, verbs: usize, _: Duration) {
        self.groups.lock().unwrap().push(verbs);
    }

    fn stopped(&self, cause: &StoreError) {
        self.stopped.lock().unwrap().push(cause.to_string());
    }
}

struct Stage {
    /// Goes first, so that a test that fails does not leave the writer waiting.
    tell: Sender<Told>,
    store: Store,
    shown: Receiver<Vec<&'static str>>,
    seen: Arc<Seen>,
    _folder: tempfile::TempDir,
}

fn stage(queue: usize, group: usize) -> Stage {
    spaced_stage(queue, group, Duration::ZERO)
}

fn spaced_stage(queue: usize, group: usize, spacing: Duration) -> Stage {
    staged(queue, group, spacing, Lookups::InPlace)
}

fn staged(queue: usize, group: usize, spacing: Duration, lookups: Lookups) -> Stage {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("shop.sqlite");
    let (shown, shown_here) = channel();
    let (tell, told) = channel();
    let engine = Engine {
        writer: Box::new(Scripted { shown, told }),
        lookups,
        ..sqlite::open(&file, SqliteOptions::default()).unwrap()
    };
    let seen = Arc::new(Seen::default());
    let options = StoreOptions {
        queue,
        group,
        spacing,
        ..StoreOptions::new(Arc::clone(&seen) as Arc<dyn Observer>)
    };
    Stage {
        store: Store::open_with(engine, options).unwrap(),
        shown: shown_here,
        tell,
        seen,
        _folder: folder,
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<Reply, StoreError>>>>;

impl Stage {
    /// Puts a verb into the queue.
    fn queue(&self, verb: Verb) -> Waiting {
        let store = self.store.clone();
        let mut waiting: Waiting = Box::pin(async move { store.commit(verb).await });
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        waiting
    }

    /// What a verb is answered that does not get into the queue.
    fn refused(&self, verb: Verb) -> StoreError {
        let mut waiting = Box::pin(self.store.commit(verb));
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => error,
            other => panic!("not refused at once: {other:?}"),
        }
    }

    fn next_group(&self) -> Vec<&'static str> {
        self.shown.recv().unwrap()
    }

    fn tell(&self, told: Told) {
        self.tell.send(told).unwrap();
    }
}

fn answer(waiting: Waiting) -> Result<Reply, StoreError> {
    soon(waiting)
}

fn soon<T>(waiting: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(waiting)
}

fn prune() -> Verb {
    Verb::Prune(Box::new(Prune { now: Timestamp::from_ms(0), limit: 1 }))
}

fn login() -> Verb {
    Verb::CountLogin(Box::new(CountLogin {
        shop: Some(ShopId::from_octets([1; 16])),
        right: true,
        limit: 1,
        lock_until: Timestamp::from_ms(0),
        now: Timestamp::from_ms(0),
    }))
}

fn refusal() -> Verb {
    Verb::KeepRefusal(Box::new(KeepRefusal {
        shop: ShopId::from_octets([1; 16]),
        key: "0123456789abcdef".parse().unwrap(),
        fingerprint: [0; 32],
        code: ErrorCode::Busy,
        field: None,
        now: Timestamp::from_ms(0),
    }))
}

fn outcome() -> Verb {
    Verb::RecordOutcome(Box::new(crate::store::verbs::RecordOutcome {
        shop: ShopId::from_octets([1; 16]),
        payment: pos_protocol::id::PaymentId::from_octets([1; 16]),
        version: 1,
        sums: pos_protocol::payment::Sums::default(),
        operation: pos_protocol::id::OperationId::from_octets([1; 16]),
        lease_epoch: 1,
        state: pos_protocol::payment::OperationState::Unknown,
        evidence: crate::store::rows::Evidence::default(),
        inquiries: 0,
        ended_at: None,
        due_at: None,
        frees_order: false,
        tasks: Vec::new(),
        follows: crate::store::verbs::Follows::default(),
        now: Timestamp::from_ms(0),
    }))
}

fn unknown() -> StoreError {
    StoreError::Unknown { cause: Arc::new(StoreError::Crossed) }
}

#[test]
fn what_has_queued_goes_together_and_money_first() {
    let stage = stage(100, 100);
    let first = stage.queue(login());
    assert_eq!(stage.next_group(), ["login"]);
    let rest = [prune(), refusal(), login(), outcome()].map(|verb| stage.queue(verb));
    stage.tell(Told::Keep);
    assert!(matches!(answer(first), Ok(Reply::CountLogin(None))));
    assert_eq!(stage.next_group(), ["refusal", "outcome", "prune", "login"]);
    stage.tell(Told::Keep);
    let [pruned, refused, counted, recorded] = rest.map(|waiting| answer(waiting).unwrap());
    assert!(matches!(pruned, Reply::Prune(7)));
    assert!(matches!(refused, Reply::KeepRefusal(None)));
    assert!(matches!(counted, Reply::CountLogin(None)));
    assert!(matches!(recorded, Reply::RecordOutcome(_)));
    assert_eq!(*stage.seen.groups.lock().unwrap(), [1, 4]);
}

#[test]
fn what_comes_soon_after_a_commit_goes_together() {
    let stage = spaced_stage(100, 100, Duration::from_secs(3_600));
    let first = stage.queue(login());
    assert_eq!(stage.next_group(), ["login"], "the first waits for nothing");
    stage.tell(Told::Keep);
    assert!(answer(first).is_ok());
    let second = stage.queue(prune());
    let at_once = stage.shown.recv_timeout(Duration::from_millis(50));
    assert!(at_once.is_err(), "the writer is free, and waits for more: {at_once:?}");
    let third = stage.queue(login());
    // The end does not wait for the hour.
    stage.tell(Told::Keep);
    stage.store.close();
    assert_eq!(stage.next_group(), ["prune", "login"]);
    assert!(answer(second).is_ok() && answer(third).is_ok());
}

#[test]
fn a_rush_of_money_leaves_a_place_for_the_rest() {
    let stage = stage(100, 4);
    let mut waiting = vec![stage.queue(login())];
    assert_eq!(stage.next_group(), ["login"]);
    for _ in 0..6 {
        waiting.push(stage.queue(refusal()));
    }
    waiting.push(stage.queue(prune()));
    waiting.push(stage.queue(prune()));
    for expected in [
        &["refusal", "refusal", "refusal", "prune"][..],
        &["refusal", "refusal", "refusal", "prune"],
    ] {
        stage.tell(Told::Keep);
        assert_eq!(stage.next_group(), expected);
    }
    stage.tell(Told::Keep);
    assert!(waiting.into_iter().all(|one| answer(one).is_ok()));
}

#[test]
fn a_full_queue_turns_new_work_away_but_no_outcome() {
    let stage = stage(2, 100);
    let mut waiting = vec![stage.queue(login())];
    assert_eq!(stage.next_group(), ["login"]);
    waiting.push(stage.queue(refusal()));
    waiting.push(stage.queue(refusal()));
    assert!(matches!(stage.refused(refusal()), StoreError::Full));
    waiting.push(stage.queue(outcome()));
    waiting.push(stage.queue(prune()));
    waiting.push(stage.queue(prune()));
    assert!(matches!(stage.refused(prune()), StoreError::Full));
    stage.tell(Told::Keep);
    assert_eq!(stage.next_group().len(), 5);
    stage.tell(Told::Keep);
    assert!(waiting.into_iter().all(|one| answer(one).is_ok()));
}

#[test]
fn a_commit_that_failed_stops_the_store() {
    let stage = stage(100, 1);
    let lost = stage.queue(refusal());
    assert_eq!(stage.next_group(), ["refusal"]);
    let behind = stage.queue(outcome());
    stage.tell(Told::Fail(unknown()));
    assert!(matches!(answer(lost), Err(StoreError::Unknown { .. })));
    assert!(matches!(answer(behind), Err(StoreError::Stopped)));
    assert!(matches!(stage.refused(refusal()), StoreError::Stopped));
    stage.store.close();
    assert_eq!(
        *stage.seen.stopped.lock().unwrap(),
        ["the commit failed: whether it was kept is not known"]
    );
    assert!(stage.shown.recv().is_err(), "nothing more was tried");
    let nobody = soon(stage.store.read(|reader| reader.tasks(1)));
    assert!(nobody.is_ok(), "reads go on");
}

#[test]
fn a_group_that_was_refused_stops_nothing() {
    let stage = stage(100, 100);
    let refused = stage.queue(refusal());
    stage.next_group();
    let cause = Arc::new(StoreError::Crossed);
    stage.tell(Told::Fail(StoreError::Engine { cause }));
    assert!(matches!(answer(refused), Err(StoreError::Engine { .. })));
    let next = stage.queue(refusal());
    stage.tell(Told::Keep);
    assert!(answer(next).is_ok());
    assert_eq!(stage.seen.stopped.lock().unwrap().len(), 0);
}

#[test]
fn a_writer_that_dies_leaves_nobody_waiting() {
    let stage = stage(100, 1);
    let lost = stage.queue(refusal());
    stage.next_group();
    let behind = stage.queue(refusal());
    stage.tell(Told::Panic);
    assert!(matches!(answer(lost), Err(StoreError::Unknown { .. })));
    assert!(matches!(answer(behind), Err(StoreError::Stopped)));
    stage.store.close();
    assert_eq!(stage.seen.stopped.lock().unwrap().len(), 1);
}

#[test]
fn closing_commits_what_waits() {
    let stage = stage(100, 1);
    let waiting = [refusal(), login(), outcome()].map(|verb| stage.queue(verb));
    for _ in 0..3 {
        stage.tell(Told::Keep);
    }
    stage.store.close();
    stage.store.close();
    assert!(waiting.into_iter().all(|one| answer(one).is_ok()));
    assert!(matches!(stage.refused(login()), StoreError::Stopped));
    let shown: Vec<_> = stage.shown.try_iter().collect();
    assert_eq!(shown.len(), 3);
    assert_eq!(stage.seen.stopped.lock().unwrap().len(), 0);
}

#[test]
fn a_caller_who_leaves_changes_nothing() {
    let stage = stage(100, 100);
    drop(stage.queue(outcome()));
    assert_eq!(stage.next_group(), ["outcome"]);
    stage.tell(Told::Keep);
    let next = stage.queue(prune());
    assert_eq!(stage.next_group(), ["prune"]);
    stage.tell(Told::Keep);
    assert!(answer(next).is_ok());
}

#[test]
fn an_answer_of_another_kind_is_an_error() {
    let stage = stage(100, 100);
    let store = stage.store.clone();
    stage.tell(Told::Cross);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let verb = Prune { now: Timestamp::from_ms(0), limit: 1 };
    let crossed = runtime.block_on(store.prune(verb));
    assert!(matches!(crossed, Err(StoreError::Crossed)));
}

#[test]
fn lists_are_read_beside_the_runtime() {
    let stage = stage(100, 100);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let here = std::thread::current().id();
    let (there, tasks) = runtime
        .block_on(
            stage.store.read_slow(|reader| Ok((std::thread::current().id(), reader.tasks(10)?))),
        )
        .unwrap();
    assert_ne!(here, there);
    assert!(tasks.is_empty());
}

#[test]
fn lookups_are_made_where_the_engine_says() {
    let here = std::thread::current().id();
    let thread = |store: &Store| soon(store.read(|_| Ok(std::thread::current().id()))).unwrap();
    assert_eq!(thread(&stage(1, 1).store), here);
    let apart = staged(1, 1, Duration::ZERO, Lookups::Apart(2));
    assert_ne!(thread(&apart.store), here);
    // Two wait for each other's beginning; a third waits until one of them has ended.
    let meet = Arc::new(std::sync::Barrier::new(2));
    let running = Arc::new(AtomicUsize::new(0));
    let most = soon(async {
        let look = || {
            let (meet, running) = (Arc::clone(&meet), Arc::clone(&running));
            apart.store.read(move |_| {
                let most = running.fetch_add(1, Ordering::SeqCst) + 1;
                meet.wait();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(most)
            })
        };
        let (one, two, three, four) = tokio::join!(look(), look(), look(), look());
        [one, two, three, four].map(Result::unwrap).into_iter().max()
    });
    assert_eq!(most, Some(2));
}

/// As a simulation uses it: the writer is a task, and what comes in one spacing goes together.
#[tokio::test(start_paused = true)]
async fn without_threads_a_task_writes_and_groups() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("shop.sqlite");
    let seen = Arc::new(Seen::default());
    let options = StoreOptions {
        executor: Executor::OneThread(Begun::default()),
        ..StoreOptions::new(Arc::clone(&seen) as Arc<dyn Observer>)
    };
    let engine = SqliteOptions { moves_in_place: true, ..SqliteOptions::default() };
    let store = Store::open_with(sqlite::open(&file, engine).unwrap(), options).unwrap();
    let add = |n: u8| store.add_shop(shop_row(n));
    assert!(add(1).await.unwrap());
    let (two, three, four) = tokio::join!(add(2), add(3), add(2));
    assert_eq!([two.unwrap(), three.unwrap(), four.unwrap()], [true, true, false]);
    assert_eq!(*seen.groups.lock().unwrap(), [1, 3]);
    let shops = store.read_slow(|reader| reader.shops(None, 10)).await.unwrap();
    assert_eq!(shops.len(), 3);
    store.close();
    assert!(matches!(add(4).await.unwrap_err(), StoreError::Stopped));
}

fn shop_row(n: u8) -> crate::store::rows::ShopRow {
    crate::store::rows::ShopRow {
        id: ShopId::from_octets([n; 16]),
        name: format!("shop {n}").into(),
        email: None,
        user_id: pos_protocol::id::UserId::from_octets([n; 16]),
        created_at: Timestamp::from_ms(0),
    }
}

#[test]
fn of_callers_at_the_same_time_one_wins() {
    let folder = tempfile::TempDir::new().unwrap();
    let seen = Arc::new(Seen::default());
    let options = StoreOptions::new(Arc::clone(&seen) as Arc<dyn Observer>);
    let store = Store::open(&folder.path().join("shop.sqlite"), options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let callers = (0..96_u8).map(|caller| {
        let store = store.clone();
        runtime.spawn(async move {
            let shop = crate::store::rows::ShopRow {
                id: ShopId::from_octets([caller % 8; 16]),
                name: format!("caller {caller}").into(),
                email: None,
                user_id: pos_protocol::id::UserId::from_octets([caller; 16]),
                created_at: Timestamp::from_ms(0),
            };
            store.add_shop(shop).await.unwrap()
        })
    });
    let callers: Vec<_> = callers.collect();
    let won = callers.into_iter().map(|one| runtime.block_on(one).unwrap());
    assert_eq!(won.filter(|won| *won).count(), 8);
    let shops = soon(store.read(|reader| reader.shops(None, 100))).unwrap();
    assert_eq!(shops.len(), 8);
    let groups = seen.groups.lock().unwrap();
    assert_eq!(groups.iter().sum::<usize>(), 96, "every verb in one group: {groups:?}");
}
