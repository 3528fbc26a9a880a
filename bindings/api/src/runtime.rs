//! One runtime for each process.
//!
//! A host may fork after it has loaded this library and used it: gunicorn with preloading, Celery,
//! php-fpm, `pcntl_fork`. The child inherits the memory of a runtime and none of its threads, and
//! shares its epoll set with the parent; whatever it waits for there never comes. So a runtime is
//! good for the process that made it alone, and a child makes its own; the inherited one is left as
//! it is, because its drop would wait for threads that are not there.

use std::future::Future;
use std::pin::{Pin, pin};
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Handle, Runtime};

use pos_connect::ModuleCode;

use crate::error::Error;

struct PerProcess {
    process: u32,
    runtime: Runtime,
}

/// A pointer, because a lock could be held by another thread of the parent while it forks, and
/// would stay locked in the child for ever. What it points to is never freed.
static PRESENT: AtomicPtr<PerProcess> = AtomicPtr::new(ptr::null_mut());

/// The runtime of this process.
#[expect(unsafe_code, reason = "a lock would not survive a fork; see PRESENT")]
fn runtime() -> Result<&'static Runtime, Error> {
    let process = process::id();
    loop {
        let found = PRESENT.load(Ordering::Acquire);
        // SAFETY: the pointer is null, or came from the `Box::into_raw` below and is never freed;
        // what it points to was written before the exchange released it, and is only shared since.
        if let Some(present) = unsafe { found.as_ref() }
            && present.process == process
        {
            return Ok(&present.runtime);
        }
        let runtime = Builder::new_multi_thread()
            // It only turns the sockets: a verb is polled by whoever calls it.
            .worker_threads(1)
            .thread_name("pos-connect")
            .enable_all()
            .build()
            .map_err(|cause| Error::module(ModuleCode::Environment, Some(&cause)))?;
        let made = Box::into_raw(Box::new(PerProcess { process, runtime }));
        let swapped = PRESENT.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_err() {
            // SAFETY: `made` came from `Box::into_raw` just now, and nobody else has seen it.
            let lost = unsafe { Box::from_raw(made) };
            // The winner's is taken in the next round. This one may go in an async context too.
            lost.runtime.shutdown_background();
        }
    }
}

/// `verb` on this process's runtime, whoever polls it: the host's own event loop.
pub(crate) async fn entered<T>(verb: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = runtime()?;
    Entered { handle: runtime.handle(), verb: pin!(verb) }.await
}

/// Waits for `verb` on the calling thread, on which the host's callbacks run too.
pub(crate) fn wait<T>(verb: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    if Handle::try_current().is_ok() {
        return Err(Error::module(ModuleCode::Nested, None));
    }
    runtime()?.block_on(verb)
}

struct Entered<'v, F> {
    handle: &'static Handle,
    verb: Pin<&'v mut F>,
}

impl<F: Future> Future for Entered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _inside = self.handle.enter();
        self.verb.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::task::{Wake, Waker};
    use std::thread::{self, Thread};
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_that_begin_together_share_one_runtime() {
        let barrier = Arc::new(Barrier::new(8));
        let found = (0..8).map(|_| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                ptr::from_ref(runtime().unwrap()).addr()
            })
        });
        let found: Vec<_> =
            found.collect::<Vec<_>>().into_iter().map(thread::JoinHandle::join).collect();
        let first = *found[0].as_ref().unwrap();
        assert!(found.iter().all(|one| *one.as_ref().unwrap() == first));
    }

    /// Ends only where a runtime turns its clock: what a verb does when it waits for a time-out.
    async fn turned() -> Result<u8, Error> {
        tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>())
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
    fn waiting_within_a_verb_is_an_error_and_no_panic() {
        let inner = async { wait(async { Ok(()) }) };
        let error = wait(inner).unwrap_err();
        assert!(error.to_string().contains("callback"), "{error}");
    }
}
