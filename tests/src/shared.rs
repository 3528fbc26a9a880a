//! One bed for many tests: starting one takes longer than most tests do.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::bed::{Bed, BedOptions};
use crate::process;

/// A bed that the first test starts and the end of the process ends. It has a runtime of its own,
/// because the one of a single test would take the bed's connections with it.
pub struct Shared {
    options: fn() -> BedOptions,
    started: OnceLock<(Runtime, Bed)>,
}

impl Shared {
    /// A bed to be made like this.
    pub const fn new(options: fn() -> BedOptions) -> Self {
        Self { options, started: OnceLock::new() }
    }

    /// Runs a test on the bed. When it fails, the ends of the logs are printed.
    ///
    /// # Panics
    /// When the bed does not start, as the test does, and when the server's log tells of a fault of its
    /// own so far, whichever test brought it about.
    pub fn run(&'static self, test: impl AsyncFnOnce(&'static Bed)) {
        let (runtime, bed) = self.started.get_or_init(|| {
            let runtime = Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.expect("a test process can start threads");
            match runtime.block_on(Bed::start(&(self.options)())) {
                Ok(bed) => (runtime, bed),
                Err(error) => panic!("the bed does not start: {error}"),
            }
        });
        let _logs = LogsOnPanic(bed);
        runtime.block_on(test(bed));
        let faults = bed.faults_in_log().expect("the server has a log");
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// Prints the logs of a bed when its scope is left by a panic.
#[derive(Debug)]
pub struct LogsOnPanic<'a>(pub &'a Bed);

impl Drop for LogsOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["pos-server", "pos-institution"] {
                let log = process::tail_of(&self.0.folder().join(format!("{name}.log")));
                eprintln!("--- the end of {name}'s log\n{log}");
            }
        }
    }
}
