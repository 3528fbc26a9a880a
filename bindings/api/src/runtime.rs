//! The runtime that a verb runs on, whoever polls it.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::process;
use std::task::{Context, Poll};
use std::{mem, thread};

use tokio::runtime::{Builder, Handle, Runtime};

use pos_connect::{ErrorKind, ModuleCode};

use crate::error::Error;
use crate::process::PerProcess;

/// One that several threads made at once may be dropped within a verb, where waiting for its
/// threads would be a panic.
struct Turning(Option<Runtime>);

impl Drop for Turning {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

static PRESENT: PerProcess<Turning> = PerProcess::empty();

/// The runtime of this process.
fn runtime() -> Result<&'static Runtime, Error> {
    let made = PRESENT.get(|_| {
        Builder::new_multi_thread()
            // It only turns the sockets: a verb is polled by whoever calls it.
            .worker_threads(1)
            .thread_name("pos-connect")
            .enable_all()
            .build()
            .map(|runtime| Turning(Some(runtime)))
            .map_err(|cause| Error::module(ModuleCode::Environment, Some(&cause)))
    })?;
    Ok(made.0.as_ref().expect("it is taken by the drop alone"))
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
pub(crate) async fn entered<T>(
    verb: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    Entered { process: process::id(), handle: runtime()?.handle(), verb: Some(Box::pin(verb)) }
        .await
}

/// Waits for `verb` on the calling thread, on which the host's callbacks run too.
///
/// A callback cannot wait within the verb that called it. Its own verb then runs on a thread of its
/// own, where it is refused before anything of the host is called ([`refuse_nested`]), but has
/// looked up in the journal what to say of its key.
pub(crate) fn wait<T: Send>(
    verb: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Error> {
    // What is told where the thread of a refused verb panicked.
    let mut told = Err(Error::module(ModuleCode::Nested, None));
    wait_for(pin!(async { told = verb.await }))?;
    told
}

/// Once for all verbs: what turns them would be a third of a blocking verb's code.
fn wait_for(verb: Pin<&mut (dyn Future<Output = ()> + Send)>) -> Result<(), Error> {
    let runtime = runtime()?;
    if Handle::try_current().is_err() {
        runtime.block_on(verb);
        return Ok(());
    }
    thread::scope(|scope| {
        let refusing = scope.spawn(|| {
            IS_NESTED.set(true);
            runtime.block_on(verb);
        });
        // A panic has told nothing.
        let _ = refusing.join();
    });
    Ok(())
}

struct Entered<F> {
    process: u32,
    handle: &'static Handle,
    verb: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = Result<T, Error>>, T> Future for Entered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let (process, handle) = (self.process, self.handle);
        match &mut self.verb {
            Some(verb) if process == process::id() => {
                let _inside = handle.enter();
                verb.as_mut().poll(context)
            }
            // Begun by the parent, which goes on with it; here its sockets are nobody's.
            _ => Poll::Ready(Err(Error::module_as(
                ErrorKind::AskForStatus,
                ModuleCode::OutcomeUnknown,
                None,
            ))),
        }
    }
}

impl<F> Drop for Entered<F> {
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
    async fn turned() -> Result<u8, Error> {
        tokio::time::timeout(Duration::from_millis(1), future::pending::<()>())
            .await
            .map_or(Ok(7), |()| Ok(0))
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
        let mut verb = pin!(entered(turned()));
        let answer = loop {
            if let Poll::Ready(answer) = verb.as_mut().poll(&mut Context::from_waker(&waker)) {
                break answer;
            }
            thread::park();
        };
        assert_eq!(answer.unwrap(), 7);
    }

    #[test]
    fn waiting_within_a_verb_is_refused_by_the_verb_itself() {
        let inner = async { wait(async { refuse_nested() }) };
        let error = wait(inner).unwrap_err();
        assert!(error.to_string().contains("callback"), "{error}");
        assert!(wait(async { refuse_nested() }).is_ok(), "the next one is not");
    }

    /// Tells of its drop whether the runtime was there.
    struct Sockets(Arc<AtomicUsize>);

    impl Drop for Sockets {
        fn drop(&mut self) {
            let here = if Handle::try_current().is_ok() { 1 } else { 100 };
            self.0.fetch_add(here, Ordering::SeqCst);
        }
    }

    fn begun(
        told: &Arc<AtomicUsize>,
        process: u32,
    ) -> Entered<impl Future<Output = Result<(), Error>>> {
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
    fn a_verb_that_the_parent_began_ends_in_the_child_as_unknown() {
        let told = Arc::new(AtomicUsize::new(0));
        let mut entered = begun(&told, 0);
        let polled = Pin::new(&mut entered).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Err(error)) = polled else { panic!("it waits for nobody") };
        assert!(matches!(&error, Error::AskForStatus { .. }), "{error:?}");
        assert_eq!(error.code(), "outcome_unknown");
    }
}
