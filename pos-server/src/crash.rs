//! Named points at which this process dies when it was started for that: the crash matrix
//! (`tests/tests/e2e/crashes.rs`) lets the real program die at each of them and asks the institutions'
//! ledgers what became of the money.
//!
//! To die is the whole process's affair, so the plan is too. Without one a point costs a look at a
//! variable that never changes.

use std::process;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// Every point, in the order in which a payment comes by.
pub const POINTS: &[&str] = &[
    "begin.before_commit",
    "begin.committed",
    "send.before_write",
    "send.answered",
    "outcome.before_commit",
    "outcome.committed",
    "answer.before_write",
    "take_over.leased",
    "reverse.answered",
    "notice.leased",
    "notice.told",
];

static PLAN: OnceLock<Plan> = OnceLock::new();

/// Where this process dies, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    point: &'static str,
    how: How,
    /// How often it comes by before it dies.
    left: Arc<AtomicU32>,
}

/// How a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// By itself, at once: nothing is dropped or flushed.
    Abort,
    /// As `kill -9` from outside.
    Kill,
}

impl FromStr for Plan {
    type Err = String;

    /// `POINT:abort` or `POINT:kill`, and with `:N` only at the N-th time.
    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || format!("must be POINT:abort or POINT:kill, of {}", POINTS.join(", "));
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let point = POINTS.iter().find(|point| **point == name).ok_or_else(rule)?;
        let how = match parts.next() {
            Some("abort") => How::Abort,
            Some("kill") => How::Kill,
            _ => return Err(rule()),
        };
        let left = parts.next().map_or(Ok(1), str::parse).map_err(|_| rule())?;
        match parts.next() {
            None => Ok(Self { point, how, left: Arc::new(AtomicU32::new(left)) }),
            Some(_) => Err(rule()),
        }
    }
}

/// Plans this process's death. The first plan holds.
pub fn plan(plan: Plan) {
    // A second one would be a second command line.
    let _ = PLAN.set(plan);
}

/// Comes by a point.
pub fn point(name: &'static str) {
    debug_assert!(POINTS.contains(&name), "{name} is not in the list of points");
    if let Some(plan) = PLAN.get() {
        plan.reached(name);
    }
}

impl Plan {
    #[cold]
    fn reached(&self, name: &str) {
        if self.point != name || self.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        match self.how {
            How::Abort => process::abort(),
            How::Kill => {
                // Nobody survives that signal, so there is nothing to be done about an error but the same.
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
                process::abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_a_point_a_way_and_a_time() {
        let plan: Plan = "begin.committed:kill:3".parse().unwrap();
        assert_eq!((plan.point, plan.how), ("begin.committed", How::Kill));
        assert_eq!(plan.left.load(Ordering::Relaxed), 3);
        assert_eq!("notice.told:abort".parse::<Plan>().unwrap().how, How::Abort);
        for wrong in [
            "",
            "begin",
            "begin.committed",
            "begin.committed:stop",
            "begin.committed:kill:x",
            "begin.committed:kill:1:2",
        ] {
            assert!(wrong.parse::<Plan>().unwrap_err().contains("begin.committed"), "{wrong}");
        }
        // Neither another point nor a time that has not come is deadly.
        plan.reached("send.before_write");
        plan.reached("begin.committed");
        plan.reached("begin.committed");
    }
}
