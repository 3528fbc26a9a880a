//! Signals are the host's: none is handled on a thread of ours, and a broken line is an error and never
//! a signal.
//!
//! Whoever writes to a socket that the other side has closed may be sent SIGPIPE, which ends a process
//! that says nothing else. Programs in Rust, Python and PHP ignore it; a program in C does not, and
//! what it does about its signals is not ours to change. So the signal is held back on the threads
//! that write to our sockets, while they do.

use std::mem::MaybeUninit;
use std::ptr;

use libc::{SIG_BLOCK, SIG_SETMASK, SIGPIPE, sigset_t};

/// Blocks all signals on a thread of our own, for good: a host's handler is made for the threads that it
/// knows. PHP's writes a list that its own thread reads.
#[expect(unsafe_code, reason = "signals are C's")]
pub(crate) fn leave_to_the_host() {
    let mut all = MaybeUninit::uninit();
    // SAFETY: the first writes the set; with a known way and a good set the second cannot fail.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(SIG_BLOCK, all.as_ptr(), ptr::null_mut());
    }
}

/// Holds SIGPIPE back on the calling thread, until it is dropped there; one that came meanwhile is
/// taken away.
pub(crate) struct HeldBack {
    before: sigset_t,
    was_pending: bool,
}

impl HeldBack {
    pub(crate) fn new() -> Self {
        let was_pending = is_pending();
        Self { before: block(), was_pending }
    }
}

impl Drop for HeldBack {
    #[expect(unsafe_code, reason = "signals are C's")]
    fn drop(&mut self) {
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        if !self.was_pending && is_pending() {
            // SAFETY: the set and the time are good; nothing is asked to be told.
            unsafe { libc::sigtimedwait(&sigpipe(), ptr::null_mut(), &raw const now) };
        }
        // SAFETY: it is what `pthread_sigmask` gave.
        unsafe { libc::pthread_sigmask(SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

/// Blocks it on this thread, and gives what was blocked before.
#[expect(unsafe_code, reason = "signals are C's")]
fn block() -> sigset_t {
    let mut before = MaybeUninit::uninit();
    // SAFETY: with a known way and a good set it cannot fail, and writes the set before.
    unsafe {
        libc::pthread_sigmask(SIG_BLOCK, &sigpipe(), before.as_mut_ptr());
        before.assume_init()
    }
}

#[expect(unsafe_code, reason = "signals are C's")]
fn is_pending() -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: it writes the set and cannot fail.
    unsafe {
        libc::sigpending(pending.as_mut_ptr());
        libc::sigismember(pending.as_ptr(), SIGPIPE) == 1
    }
}

#[expect(unsafe_code, reason = "signals are C's")]
fn sigpipe() -> sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first writes the set, the second changes it; both cannot fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), SIGPIPE);
        set.assume_init()
    }
}

/// Whether the calling thread does not take it.
#[cfg(test)]
#[expect(unsafe_code, reason = "signals are C's")]
pub(crate) fn is_blocked(signal: i32) -> bool {
    let mut blocked = MaybeUninit::uninit();
    // SAFETY: without a set nothing is changed, and the present one is written.
    unsafe {
        libc::pthread_sigmask(SIG_SETMASK, ptr::null(), blocked.as_mut_ptr());
        libc::sigismember(blocked.as_ptr(), signal) == 1
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Writes to a pipe that nobody reads.
    #[expect(unsafe_code, reason = "the standard library hides what is tested")]
    fn break_a_pipe() {
        let mut ends = [0; 2];
        // SAFETY: two numbers are written; the ends are ours.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            libc::close(ends[0]);
            assert_eq!(libc::write(ends[1], c"x".as_ptr().cast(), 1), -1);
            libc::close(ends[1]);
        }
    }

    /// In a process of its own, because signals are a process's: this very test, by its name.
    #[test]
    #[expect(unsafe_code, reason = "the test's runner ignores the signal")]
    fn a_broken_pipe_is_no_signal() {
        const CHILD: &str = "POS_TEST_SIGPIPE";
        if let Ok(how) = std::env::var(CHILD) {
            // SAFETY: no handler is set.
            unsafe { libc::signal(SIGPIPE, libc::SIG_DFL) };
            match how.as_str() {
                "held back" => {
                    let held_back = HeldBack::new();
                    break_a_pipe();
                    drop(held_back);
                    assert!(!is_pending());
                }
                "our own thread" => {
                    let ours = std::thread::spawn(|| {
                        leave_to_the_host();
                        break_a_pipe();
                    });
                    ours.join().unwrap();
                }
                _ => break_a_pipe(),
            }
            return;
        }
        let name = "signals::tests::a_broken_pipe_is_no_signal";
        let ends_well = |how: &str| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args([name, "--exact"]).env(CHILD, how).output().unwrap().status.success()
        };
        assert!(ends_well("held back") && ends_well("our own thread"));
        assert!(!ends_well("not at all"), "the signal was not what it is");
    }
}
