//! What happened, in order: a digest of every event, and the count of what went wrong.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $word:literal;)*) => {
        /// What the simulation does to shops, server, disk, institutions, and the lines between them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in the figures.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

faults! {
    /// An answer comes that is no HTTP or no JSON.
    AnswerGarbled "answer_garbled";
    /// A message was taken in; its answer never comes.
    AnswerLost "answer_lost";
    /// A proxy's unsigned 502 comes in place of the answer.
    BadGateway "bad_gateway";
    /// The server's clock is set forward or back.
    ClockStep "clock_step";
    /// No file can grow for a while.
    DiskFull "disk_full";
    /// A message comes twice.
    Doubled "doubled";
    /// An institution takes no connection for a while.
    InstitutionAway "institution_away";
    /// A line is cut under a message.
    LineCut "line_cut";
    /// A message comes after a second or many.
    Late "late";
    /// The power of the server goes: what was not synced is lost.
    PowerCut "power_cut";
    /// A read of the database fails.
    ReadFailed "read_failed";
    /// A message waits until others that were sent later are there.
    Reordered "reordered";
    /// A message never comes.
    RequestLost "request_lost";
    /// The server is killed.
    ServerKilled "server_killed";
    /// A shop's process ends with payments under way.
    ShopKilled "shop_killed";
    /// A sync of the database fails.
    SyncFailed "sync_failed";
    /// A write of the database fails.
    WriteFailed "write_failed";
}

/// How many kinds there are.
const KINDS: usize = Fault::ALL.len();

/// The record of one world.
pub struct Trace {
    begun: Instant,
    told: Mutex<Told>,
    prints: bool,
}

struct Told {
    digest: Sha256,
    line: String,
    faults: [u64; KINDS],
}

impl Trace {
    /// An empty record that begins now; it prints what it is told where that is wanted.
    pub fn begin(prints: bool) -> Self {
        let begun = Instant::now();
        let told = Told { digest: Sha256::new(), line: String::new(), faults: [0; KINDS] };
        Self { begun, told: Mutex::new(told), prints }
    }

    /// Notes that something happened.
    pub fn tell(&self, what: fmt::Arguments<'_>) {
        let ms = self.begun.elapsed().as_millis();
        let Told { digest, line, .. } = &mut *self.lock();
        line.clear();
        // Writing to a string does not fail.
        let _ = writeln!(line, "{ms} {what}");
        digest.update(line.as_bytes());
        if self.prints {
            eprint!("{line}");
        }
    }

    /// Notes that something went wrong.
    pub fn fault(&self, fault: Fault, where_: &str) {
        self.tell(format_args!("! {} {where_}", fault.word()));
        let told = &mut *self.lock();
        told.faults[fault as usize] = told.faults[fault as usize].saturating_add(1);
    }

    /// How often each kind went wrong.
    pub fn faults(&self) -> [u64; KINDS] {
        self.lock().faults
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> [u8; 32] {
        self.lock().digest.clone().finalize().into()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
