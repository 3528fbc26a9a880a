//! What is good for one process alone.
//!
//! A host may fork after it has loaded this library and used it: gunicorn with preloading, Celery,
//! php-fpm, `pcntl_fork`. The child inherits the memory of a runtime, of sockets and of locks, and
//! none of the threads that would turn, read or unlock them: whoever waits for those there waits
//! for ever. So what such things are in belongs to the process that made it; a child makes its own
//! and leaves the inherited one as it is, because even its drop may wait.

use std::marker::PhantomData;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// A value for each process: a child that was forked makes its own, of what it inherited.
///
/// It is a pointer and never a lock, because a lock could be held by another thread of the parent
/// while it forks. A child that gets the id of a dead ancestor, which is possible once the system has
/// used up all numbers, takes that one's value for its own.
pub struct PerProcess<T> {
    present: AtomicPtr<Made<T>>,
    /// The process of which a thread is making the value.
    making: AtomicU32,
    /// It hands out `&T` on any thread, and drops a `T` on any.
    of: PhantomData<T>,
}

struct Made<T> {
    process: u32,
    value: T,
}

impl<T> PerProcess<T> {
    /// Nothing is made yet.
    pub const fn empty() -> Self {
        Self {
            present: AtomicPtr::new(ptr::null_mut()),
            making: AtomicU32::new(NOBODY),
            of: PhantomData,
        }
    }

    /// This process's value is made already.
    pub(crate) fn holding(value: T) -> Self {
        let made = Box::new(Made { process: process::id(), value });
        Self {
            present: AtomicPtr::new(Box::into_raw(made)),
            making: AtomicU32::new(NOBODY),
            of: PhantomData,
        }
    }
}

impl<T: Send + Sync> PerProcess<T> {
    /// This process's value; made, if there is none, of an ancestor's where there is one. That one
    /// may be read by what never waits (`try_lock`), and nothing of it may be dropped.
    ///
    /// One thread of a process makes it at a time, so that what `make` finds locked was locked by
    /// the ancestor; others of the same process wait for it.
    #[expect(unsafe_code, reason = "a lock would not survive a fork")]
    pub fn get<E>(&self, make: impl Fn(Option<&T>) -> Result<T, E>) -> Result<&T, E> {
        let process = process::id();
        loop {
            let found = self.present.load(Ordering::Acquire);
            // SAFETY: the pointer is null or came from `Box::into_raw`, here or in `holding`. What it
            // points to was written before the store released it, is only shared since, and is
            // freed by nothing but `drop`, which has `self` to itself.
            let before = unsafe { found.as_ref() };
            if let Some(present) = before.filter(|made| made.process == process) {
                return Ok(&present.value);
            }
            let Some(_turn) = Turn::take(&self.making, process) else {
                thread::sleep(PAUSE);
                continue;
            };
            // Whoever had the turn before may have made it.
            if self.present.load(Ordering::Acquire) != found {
                continue;
            }
            let value = make(before.map(|made| &made.value))?;
            // An ancestor's that is replaced is never freed: see the module.
            let made = Box::into_raw(Box::new(Made { process, value }));
            self.present.store(made, Ordering::Release);
        }
    }
}

/// How long another thread of this process is left to make the value before it is looked for again: it
/// is waited for by looking, because whatever could be waited on could be inherited and never told.
const PAUSE: Duration = Duration::from_millis(1);

/// No process has this id.
const NOBODY: u32 = 0;

/// The turn to make the value, until it is dropped. One that an ancestor's thread had at the fork is
/// nobody's.
struct Turn<'p>(&'p AtomicU32);

impl<'p> Turn<'p> {
    fn take(making: &'p AtomicU32, process: u32) -> Option<Self> {
        let taken = making.fetch_update(Ordering::AcqRel, Ordering::Acquire, |maker| {
            (maker != process).then_some(process)
        });
        taken.ok().map(|_| Self(making))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(NOBODY, Ordering::Release);
    }
}

impl<T> Drop for PerProcess<T> {
    #[expect(unsafe_code, reason = "the counterpart of `get`")]
    fn drop(&mut self) {
        let found = *self.present.get_mut();
        // SAFETY: as in `get`; `&mut self` says that nobody holds a reference any more.
        if unsafe { found.as_ref() }.is_some_and(|made| made.process == process::id()) {
            // SAFETY: it came from `Box::into_raw` and was not freed before.
            drop(unsafe { Box::from_raw(found) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Barrier, Mutex};
    use std::thread;

    use super::*;

    /// As if another process had made it, and one of its threads had been making another.
    fn inherited<T>(value: T) -> PerProcess<T> {
        let made = Box::new(Made { process: u32::MAX, value });
        PerProcess {
            present: AtomicPtr::new(Box::into_raw(made)),
            making: AtomicU32::new(u32::MAX),
            of: PhantomData,
        }
    }

    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn threads_that_begin_together_share_one_value_that_one_of_them_makes() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (slot, barrier) = (inherited(Mutex::new(None)), Barrier::new(8));
        let found = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let value = slot.get(|parent| {
                        // Nobody else is at it, however long it takes.
                        let _held = parent.unwrap().try_lock().map_err(|held| held.to_string())?;
                        (0..1_000).for_each(|_| thread::yield_now());
                        Ok::<_, String>(Mutex::new(Some(Counted(Arc::clone(&dropped)))))
                    });
                    found.lock().unwrap().push(ptr::from_ref(value.unwrap()).addr());
                });
            }
        });
        let found = found.into_inner().unwrap();
        assert!(found.iter().all(|one| *one == found[0]));
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        drop(slot);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_child_makes_its_own_of_what_it_inherited_and_drops_none_of_that() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let slot = inherited((1, Counted(Arc::clone(&dropped))));
        let make = |before: Option<&(u32, Counted)>| {
            Ok::<_, Infallible>((before.unwrap().0 + 1, Counted(Arc::clone(&dropped))))
        };
        assert_eq!(slot.get(make).unwrap().0, 2);
        assert_eq!(slot.get(make).unwrap().0, 2, "once");
        drop(slot);
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "the child's own");

        drop(inherited(Counted(Arc::clone(&dropped))));
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "what was never used");
    }

    #[test]
    fn what_cannot_be_made_leaves_the_place_as_it_was() {
        let slot = PerProcess::<u8>::empty();
        assert_eq!(slot.get(|_| Err("no")), Err("no"));
        assert_eq!(slot.get(|before| Ok::<_, &str>(before.copied().unwrap_or(7))), Ok(&7));
    }
}
