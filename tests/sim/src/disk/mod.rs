//! A disk in memory that fails: what was written and not synced is gone, or half there, when the power
//! goes; reads, writes and syncs fail when they are told to; there may be no room left.
//!
//! Each thread has one disk, and SQLite reaches it by the name [`NAME`].

mod vfs;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rusqlite::ffi;

use crate::chance::Chance;

pub use vfs::{NAME, register};

/// What goes wrong at one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// A read fails.
    Read,
    /// A write fails, and nothing of it is written.
    Write,
    /// A sync fails: what it was to bring to the disk can be read, and gets there by a later one.
    Sync,
    /// The power goes, or the process is killed.
    End,
}

/// How a life of the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process is killed: what it wrote can be read by the next one.
    Killed,
    /// The power goes: of what was not synced some is there, some is not, some is torn.
    PowerCut,
}

type Watcher = Box<dyn Fn(Breakage)>;

/// The disk of this thread.
#[derive(Default)]
struct Disk {
    files: RefCell<BTreeMap<String, Rc<File>>>,
    /// Handles of an earlier life of the machine reach nothing any more.
    life: Cell<u64>,
    down: Cell<bool>,
    full: Cell<bool>,
    planned: RefCell<Vec<Planned>>,
    watcher: RefCell<Option<Watcher>>,
}

struct Planned {
    breakage: Breakage,
    /// After so many accesses that it could have met.
    after: u64,
}

/// What a program does to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Sync,
}

#[derive(Default)]
struct File {
    /// What can be read.
    content: RefCell<Vec<u8>>,
    /// What is there when the power comes back.
    durable: RefCell<Vec<u8>>,
    /// What was done since the last sync.
    unsynced: RefCell<Vec<Change>>,
    locks: Locks,
    shared: RefCell<Shared>,
}

enum Change {
    Write { at: usize, octets: Vec<u8> },
    Cut(usize),
}

/// The locks of the database file, by SQLite's levels.
#[derive(Default)]
struct Locks {
    readers: Cell<u32>,
    writer: Cell<bool>,
}

/// The index of the write-ahead log, which connections share.
#[derive(Default)]
struct Shared {
    regions: Vec<Region>,
    users: u32,
    /// Of each slot: how many share it; less than 0 where one has it alone.
    slots: [i32; 8],
}

/// A piece of it. Who has mapped it may read it to the end, also of an earlier life.
type Region = Rc<[Cell<u64>]>;

thread_local! {
    static DISK: Rc<Disk> = Rc::default();
}

/// An empty disk in place of the last one of this thread. `watcher` is told when something breaks.
pub fn format(watcher: impl Fn(Breakage) + 'static) {
    DISK.with(|disk| {
        disk.files.borrow_mut().clear();
        disk.life.set(disk.life.get().wrapping_add(1));
        disk.down.set(false);
        disk.full.set(false);
        disk.planned.borrow_mut().clear();
        *disk.watcher.borrow_mut() = Some(Box::new(watcher));
    });
}

/// Lets an access fail after so many others of its kind.
pub fn plan(breakage: Breakage, after: u64) {
    DISK.with(|disk| disk.planned.borrow_mut().push(Planned { breakage, after }));
}

/// Whether files can grow.
pub fn fill_up(full: bool) {
    DISK.with(|disk| disk.full.set(full));
}

/// Whether the machine is down.
pub fn is_down() -> bool {
    DISK.with(|disk| disk.down.get())
}

/// Forgets what was still to break, and makes room.
pub fn repair() {
    DISK.with(|disk| {
        disk.full.set(false);
        disk.planned.borrow_mut().clear();
    });
}

/// Ends the life of the machine. Nothing that is open reaches the disk any more.
pub fn end(end: End, chance: &Chance) {
    DISK.with(|disk| {
        disk.down.set(true);
        disk.life.set(disk.life.get().wrapping_add(1));
        for file in disk.files.borrow().values() {
            file.end(end, chance);
        }
    });
}

/// Starts the machine again.
pub fn start() {
    DISK.with(|disk| disk.down.set(false));
}

impl Disk {
    /// Lets an access through, or breaks it.
    fn access(&self, access: Access) -> Result<(), Breakage> {
        let broken = match access {
            Access::Read => Breakage::Read,
            Access::Write => Breakage::Write,
            Access::Sync => Breakage::Sync,
        };
        if self.down.get() {
            return Err(broken);
        }
        let Some(met) = self.met(access, broken) else { return Ok(()) };
        if met == Breakage::End {
            self.down.set(true);
        }
        if let Some(watcher) = &*self.watcher.borrow() {
            watcher(met);
        }
        Err(broken)
    }

    fn met(&self, access: Access, broken: Breakage) -> Option<Breakage> {
        let mut planned = self.planned.borrow_mut();
        let mut found = None;
        for (at, one) in planned.iter_mut().enumerate() {
            let meets =
                one.breakage == broken || (one.breakage == Breakage::End && access != Access::Read);
            match (meets, one.after.checked_sub(1)) {
                (false, _) => {}
                (true, Some(left)) => one.after = left,
                (true, None) => found = found.or(Some(at)),
            }
        }
        found.map(|at| planned.remove(at).breakage)
    }

    fn open(&self, name: &str) -> Rc<File> {
        Rc::clone(self.files.borrow_mut().entry(name.to_owned()).or_default())
    }
}

impl File {
    /// `false` where less is there; the rest is then zeros.
    fn read(&self, at: usize, into: &mut [u8]) -> bool {
        let content = self.content.borrow();
        let there = content.get(at..).unwrap_or_default();
        let length = there.len().min(into.len());
        let (found, missing) = into.split_at_mut(length);
        found.copy_from_slice(&there[..length]);
        missing.fill(0);
        missing.is_empty()
    }

    fn write(&self, at: usize, octets: &[u8]) {
        put(&mut self.content.borrow_mut(), at, octets);
        self.unsynced.borrow_mut().push(Change::Write { at, octets: octets.to_vec() });
    }

    fn cut(&self, length: usize) {
        self.content.borrow_mut().truncate(length);
        self.unsynced.borrow_mut().push(Change::Cut(length));
    }

    fn length(&self) -> usize {
        self.content.borrow().len()
    }

    fn sync(&self) {
        let mut durable = self.durable.borrow_mut();
        self.unsynced.borrow_mut().drain(..).for_each(|change| change.apply(&mut durable));
    }

    fn end(&self, end: End, chance: &Chance) {
        *self.shared.borrow_mut() = Shared::default();
        self.locks.readers.set(0);
        self.locks.writer.set(false);
        if end == End::Killed {
            return;
        }
        let mut durable = self.durable.borrow_mut();
        let all: Vec<_> = self.unsynced.borrow_mut().drain(..).collect();
        let how = chance.below(4);
        let kept = chance.below(u64::try_from(all.len()).unwrap_or(u64::MAX).saturating_add(1));
        for (at, mut change) in (0_u64..).zip(all) {
            let is_there = match how {
                0 => false,
                1 => true,
                2 => at < kept,
                _ => chance.happens(500),
            };
            if let (3, Change::Write { octets, .. }) = (how, &mut change)
                && chance.happens(200)
            {
                // Sectors of 512 octets are written whole.
                let sectors = u64::try_from(octets.len() / 512).unwrap_or_default();
                let torn = usize::try_from(chance.below(sectors.saturating_add(1)));
                octets.truncate(torn.unwrap_or_default().saturating_mul(512));
            }
            if is_there {
                change.apply(&mut durable);
            }
        }
        self.content.borrow_mut().clone_from(&durable);
    }
}

impl Change {
    fn apply(self, image: &mut Vec<u8>) {
        match self {
            Self::Write { at, octets } => put(image, at, &octets),
            Self::Cut(length) => image.truncate(length),
        }
    }
}

fn put(image: &mut Vec<u8>, at: usize, octets: &[u8]) {
    let end = at.saturating_add(octets.len());
    if image.len() < end {
        image.resize(end, 0);
    }
    image[at..end].copy_from_slice(octets);
}

/// What SQLite is told.
const fn code(breakage: Breakage) -> i32 {
    match breakage {
        Breakage::Read => ffi::SQLITE_IOERR_READ,
        Breakage::Write | Breakage::End => ffi::SQLITE_IOERR_WRITE,
        Breakage::Sync => ffi::SQLITE_IOERR_FSYNC,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, OpenFlags};

    use super::*;

    fn open(synchronous: &str) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let db = Connection::open_with_flags_and_vfs("/shop.sqlite", flags, NAME).unwrap();
        let mode: String = db.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        db.execute_batch(&format!(
            "PRAGMA synchronous = {synchronous}; PRAGMA wal_autocheckpoint = 0; \
             CREATE TABLE IF NOT EXISTS paid (n INTEGER)"
        ))
        .unwrap();
        db
    }

    fn paid(db: &Connection) -> i64 {
        db.query_row("SELECT count(*) FROM paid", (), |row| row.get(0)).unwrap()
    }

    /// How many of ten commits are there after the power went, in each of a hundred cases.
    fn survivors(synchronous: &str, how: End) -> Vec<i64> {
        register();
        let one = |seed| {
            format(|_| {});
            let db = open(synchronous);
            for n in 0..10 {
                db.execute("INSERT INTO paid VALUES (?1)", (n,)).unwrap();
            }
            end(how, &Chance::new(seed));
            assert!(db.execute("INSERT INTO paid VALUES (10)", ()).is_err());
            drop(db);
            start();
            paid(&open(synchronous))
        };
        (0..100).map(one).collect()
    }

    #[test]
    fn what_was_synced_survives_a_power_cut_and_what_was_not_may_be_gone() {
        assert_eq!(survivors("FULL", End::PowerCut), [10; 100]);
        assert_eq!(survivors("OFF", End::Killed), [10; 100]);
        let lost = survivors("NORMAL", End::PowerCut).into_iter().filter(|paid| *paid < 10);
        assert!(lost.count() > 20);
    }

    #[test]
    fn planned_breakages_meet_once_and_are_told() {
        register();
        let told = Rc::new(RefCell::new(Vec::new()));
        let telling = Rc::clone(&told);
        format(move |breakage| telling.borrow_mut().push(breakage));
        let db = open("FULL");
        for (breakage, code) in
            [(Breakage::Write, ffi::SQLITE_IOERR_WRITE), (Breakage::Sync, ffi::SQLITE_IOERR_FSYNC)]
        {
            plan(breakage, 0);
            let failed = db.execute("INSERT INTO paid VALUES (1)", ()).unwrap_err();
            assert_eq!(failed.sqlite_error().unwrap().extended_code, code);
        }
        fill_up(true);
        // More than the log has room for from before.
        let large = "INSERT INTO paid VALUES (zeroblob(100000))";
        let failed = db.execute(large, ()).unwrap_err();
        assert_eq!(failed.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
        repair();
        db.execute(large, ()).unwrap();
        assert_eq!(paid(&db), 1);
        assert_eq!(*told.borrow(), [Breakage::Write, Breakage::Sync]);
        drop(db);
    }
}
