//! The runtime that a verb runs on, whoever polls it.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::process;
use std::task::{Context, Poll};
use std::{io, mem, thread};

use tokio::runtime::{Builder, Handle, Runtime};

use pos_connect::{ModuleCode, Sockets};

use crate::error::Error;
use crate::process::PerProcess;

static PRESENT: PerProcess<Runtime> = PerProcess::empty();

static SOCKETS: PerProcess<Sockets> = PerProcess::empty();

/// This process's sockets, for all its connections: under php-fpm each page opens one.
pub(crate) fn sockets() -> &'static Sockets {
    let Ok(sockets) = SOCKETS.get(|_| Ok::<_, Infallible>(Sockets::default()));
    sockets
}

/// Why a verb was not heard to its end, by nothing that it did itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unheard {
    /// It never began.
    #[error("no runtime or thread could be made: {0}")]
    NoThread(#[from] io::Error),
    /// The parent of this process began it and goes on with it; here its sockets are nobody's.
    #[error("the verb was begun by the parent of this process")]
    OfTheParent,
    /// It panicked.
    #[error("the verb ended by a panic")]
    Panicked,
}

/// The runtime of this process.
fn runtime() -> Result<&'static Runtime, Unheard> {
    Ok(PRESENT.get(|_| {
        Builder::new_multi_thread()
            // It only turns the sockets: a verb is polled by whoever calls it.
            .worker_threads(1)
            .thread_name(NAME)
            .on_thread_start(leave_signals)
            .enable_all()
            .build()
    })?)
}

/// What a thread of ours is called.
const NAME: &str = "pos-connect";

/// Signals are the host's: see `signals.rs`.
fn leave_signals() {
    #[cfg(target_os = "linux")]
    crate::signals::leave_to_the_host();
}

thread_local! {
    /// Whether this thread waits in the place of one that cannot: see [`wait`].
    static IS_NESTED: Cell<bool> = const { Cell::new(false) };
}

/// Refuses a blocking verb that was called from a callback of another.
pub(crate) fn refuse_nested() -> Result<(), Error> {
    if IS_NESTED.get() { Err(Error::module(ModuleCode::Nested, None)) } else { Ok(()) }
}

/// `verb` on this process's runtime, polled by the host's own event loop.
pub(crate) async fn entered<T>(verb: Verb<'_, T>) -> Result<T, Unheard> {
    Entered { process: process::id(), handle: runtime()?.handle(), verb: Some(verb) }.await
}

/// Waits for `verb` on the calling thread, on which the host's callbacks run too.
///
/// A callback cannot wait within the verb that called it. Its own verb then runs on a thread of its
/// own, where it is refused before anything of the host is called ([`refuse_nested`]), but has
/// looked up in the journal what to say of its key.
pub(crate) fn wait<T: Send>(verb: impl Future<Output = T> + Send) -> Result<T, Unheard> {
    let mut told = None;
    wait_for(pin!(async { told = Some(verb.await) }))?;
    told.ok_or(Unheard::Panicked)
}

/// Once for all verbs: what turns them would be a third of a blocking verb's code.
fn wait_for(verb: Pin<&mut (dyn Future<Output = ()> + Send)>) -> Result<(), Unheard> {
    let runtime = runtime()?;
    #[cfg(target_os = "linux")]
    let _held_back = crate::signals::HeldBack::new();
    if Handle::try_current().is_err() {
        return unwound(|| runtime.block_on(verb));
    }
    thread::scope(|scope| {
        let refusing = thread::Builder::new().name(NAME.into()).spawn_scoped(scope, || {
            leave_signals();
            IS_NESTED.set(true);
            runtime.block_on(verb);
        })?;
        refusing.join().map_err(|_| Unheard::Panicked)
    })
}

/// What turns a verb, or that it panicked. A host has another error for a panic, or none: whoever catches
/// the surface's errors would not be told to ask for the status of a payment that may have been made.
fn unwound<T>(turn: impl FnOnce() -> T) -> Result<T, Unheard> {
    // A verb that panicked is dropped and never turned again, and what it shares with others is behind locks
    // whose every change is one assignment.
    catch_unwind(AssertUnwindSafe(turn)).map_err(|_| Unheard::Panicked)
}

/// A verb under way, whichever it is: what turns each would be code of its own.
pub(crate) type Verb<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

struct Entered<'a, T> {
    process: u32,
    handle: &'static Handle,
    verb: Option<Verb<'a, T>>,
}

impl<T> Future for Entered<'_, T> {
    type Output = Result<T, Unheard>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (process, handle) = (self.process, self.handle);
        match &mut self.verb {
            Some(verb) if process == process::id() => {
                let _inside = handle.enter();
                match unwound(|| verb.as_mut().poll(context)) {
                    Ok(polled) => polled.map(Ok),
                    Err(panicked) => Poll::Ready(Err(panicked)),
                }
            }
            _ => Poll::Ready(Err(Unheard::OfTheParent)),
        }
    }
}

impl<T> Drop for Entered<'_, T> {
    /// A verb that is cancelled gives its sockets back, and that asks for the runtime. In a child
    /// it is forgotten.
    fn drop(&mut self) {
        let verb = self.verb.take();
        if self.process == process::id() {
            let _inside = self.handle.enter();
            drop(verb);
        } else {
            mem::forget(verb);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::thread::Thread;
    use std::time::Duration;

    use super::*;

    /// Ends only where a runtime turns its clock: what a verb does when it waits for a time-out.
    async fn turned() -> u8 {
        tokio::time::timeout(Duration::from_millis(1), future::pending::<()>())
            .await
            .map_or(7, |()| 0)
    }

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn a_verb_has_the_runtime_whoever_polls_it() {
        assert_eq!(wait(turned()).unwrap(), 7);
        // An executor that knows nothing of tokio, as a host's event loop does not.
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut verb = pin!(entered(Box::pin(turned())));
        let answer = loop {
            if let Poll::Ready(answer) = verb.as_mut().poll(&mut Context::from_waker(&waker)) {
                break answer;
            }
            thread::park();
        };
        assert_eq!(answer.unwrap(), 7);
    }

    #[test]
    fn a_panic_is_told_whoever_polls_the_verb() {
        let panics = || async { assert_eq!(1, 2, "as the test wants") };
        assert!(matches!(wait(panics()), Err(Unheard::Panicked)));
        let mut verb = pin!(entered(Box::pin(panics())));
        let polled = verb.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Err(Unheard::Panicked))));
        assert_eq!(wait(turned()).unwrap(), 7, "the next one is well");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_signal_is_never_handled_on_a_thread_of_ours() {
        use crate::signals::is_blocked;
        let blocked = wait(async {
            let both = || is_blocked(libc::SIGTERM) && is_blocked(libc::SIGPIPE);
            let turning = tokio::spawn(async move { both() }).await.unwrap();
            [turning, tokio::task::spawn_blocking(both).await.unwrap()]
        });
        assert_eq!(blocked.unwrap(), [true, true]);
        let within = wait(async { wait(async { is_blocked(libc::SIGTERM) }) });
        assert!(within.unwrap().unwrap(), "the thread of a verb within a verb is ours, too");
        assert!(!is_blocked(libc::SIGTERM), "this thread is the host's");
    }

    #[test]
    fn waiting_within_a_verb_is_refused_by_the_verb_itself() {
        let inner = async { wait(async { refuse_nested() }) };
        let error = wait(inner).unwrap().unwrap().unwrap_err();
        assert!(error.to_string().contains("callback"), "{error}");
        assert!(wait(async { refuse_nested() }).unwrap().is_ok(), "the next one is not");
        let panicking = async { wait(async { assert_eq!(1, 2, "as the test wants") }) };
        assert!(matches!(wait(panicking).unwrap(), Err(Unheard::Panicked)));
    }

    /// In a process of its own, because limits are a process's: this very test, by its name.
    #[cfg(target_os = "linux")]
    #[test]
    #[expect(unsafe_code, reason = "limits are C's")]
    fn where_no_thread_can_be_made_it_is_told_and_no_panic() {
        const CHILD: &str = "POS_TEST_NO_THREAD";
        if std::env::var_os(CHILD).is_none() {
            let mut child = process::Command::new(std::env::current_exe().unwrap());
            let name = "runtime::tests::where_no_thread_can_be_made_it_is_told_and_no_panic";
            let ended = child.args([name, "--exact"]).env(CHILD, "1").output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
            return;
        }
        let told = wait(async {
            // What the process has already stays its own; the stack of a thread would be new.
            let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: the limit is good.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const none) }, 0);
            let told = wait(async { refuse_nested() });
            let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, ..none };
            // SAFETY: the limit is good.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const all) }, 0);
            told
        });
        assert!(matches!(told, Ok(Err(Unheard::NoThread(_)))));
    }

    /// Tells of its drop whether the runtime was there.
    struct Sockets(Arc<AtomicUsize>);

    impl Drop for Sockets {
        fn drop(&mut self) {
            let here = if Handle::try_current().is_ok() { 1 } else { 100 };
            self.0.fetch_add(here, Ordering::SeqCst);
        }
    }

    fn begun(told: &Arc<AtomicUsize>, process: u32) -> Entered<'static, ()> {
        let sockets = Sockets(Arc::clone(told));
        let verb = async move {
            let _sockets = sockets;
            future::pending().await
        };
        let handle = runtime().unwrap().handle();
        let mut entered = Entered { process: process::id(), handle, verb: Some(Box::pin(verb)) };
        assert!(Pin::new(&mut entered).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        entered.process = process;
        entered
    }

    #[test]
    fn a_verb_that_is_cancelled_is_dropped_on_the_runtime_and_forgotten_in_a_child() {
        let told = Arc::new(AtomicUsize::new(0));
        drop(begun(&told, process::id()));
        assert_eq!(told.load(Ordering::SeqCst), 1);
        drop(begun(&told, 0));
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_verb_that_the_parent_began_ends_in_the_child() {
        let told = Arc::new(AtomicUsize::new(0));
        let mut entered = begun(&told, 0);
        let polled = Pin::new(&mut entered).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Err(Unheard::OfTheParent))), "it waits for nobody");
    }
}
