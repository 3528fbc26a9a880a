//! SQLite's way to the disk of this thread (sqlite.org/vfs.html).
#![expect(unsafe_code, reason = "SQLite calls C functions, and gives and takes C pointers")]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::slice;
use std::sync::Once;

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use super::{Access, DISK, Disk, File, Region, code};

/// The name that the disk has for SQLite.
pub const NAME: &str = "pos-sim";

const C_NAME: &CStr = c"pos-sim";

/// Makes the disk known to SQLite.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = sqlite3_vfs {
            iVersion: 1,
            szOsFile: c_int::try_from(size_of::<Handle>()).unwrap_or(c_int::MAX),
            mxPathname: 1_024,
            pNext: ptr::null_mut(),
            zName: C_NAME.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        // SAFETY: the structure lives as long as the process, and all of its functions are given.
        unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0) };
    });
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// What SQLite holds of an open file. It allots the memory.
#[repr(C)]
struct Handle {
    base: sqlite3_file,
    open: *mut Open,
}

struct Open {
    disk: Rc<Disk>,
    file: Rc<File>,
    /// The life of the machine in which it was opened.
    life: u64,
    delete_on_close: Option<String>,
    level: c_int,
    /// Slots of the shared index, as bits.
    shares: u32,
    alone: u32,
    maps: bool,
    mapped: Vec<Region>,
}

impl Open {
    fn is_alive(&self) -> bool {
        self.life == self.disk.life.get() && !self.disk.down.get()
    }
}

/// The open file of a handle.
///
/// # Safety
/// `file` is what [`open`] filled in and [`close`] has not taken back.
unsafe fn of<'a>(file: *mut sqlite3_file) -> &'a mut Open {
    // SAFETY: SQLite passes the memory that `open` filled in, and calls for one file one at a time.
    unsafe { &mut *(*file.cast::<Handle>()).open }
}

/// A name that SQLite gives.
///
/// # Safety
/// `name` is null or a C string.
unsafe fn text(name: *const c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let handle = file.cast::<Handle>();
    // SAFETY: SQLite gives `szOsFile` octets.
    unsafe { (*handle).base.pMethods = ptr::null() };
    let disk = DISK.with(Rc::clone);
    if disk.down.get() {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: null or a C string, by SQLite's promise.
    let name = unsafe { text(name) };
    // A file without a name is nobody else's.
    let found = name.as_ref().map_or_else(Rc::default, |name| disk.open(name));
    let delete_on_close = name.filter(|_| flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0);
    let life = disk.life.get();
    let level = ffi::SQLITE_LOCK_NONE;
    let open = Open {
        disk,
        file: found,
        life,
        delete_on_close,
        level,
        shares: 0,
        alone: 0,
        maps: false,
        mapped: Vec::new(),
    };
    // SAFETY: as above; the box is taken back by `close`.
    unsafe {
        (*handle).open = Box::into_raw(Box::new(open));
        (*handle).base.pMethods = &raw const METHODS;
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: the box of `open`, which nobody uses after this.
    let open = unsafe { Box::from_raw((*file.cast::<Handle>()).open) };
    if open.is_alive()
        && let Some(name) = &open.delete_on_close
    {
        open.disk.files.borrow_mut().remove(name);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, _: c_int) -> c_int {
    // SAFETY: a C string, by SQLite's promise.
    let Some(name) = (unsafe { text(name) }) else { return ffi::SQLITE_IOERR_DELETE };
    DISK.with(|disk| {
        if disk.access(Access::Write).is_err() {
            return ffi::SQLITE_IOERR_DELETE;
        }
        match disk.files.borrow_mut().remove(&name) {
            Some(_) => ffi::SQLITE_OK,
            None => ffi::SQLITE_IOERR_DELETE_NOENT,
        }
    })
}

unsafe extern "C" fn access(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    _: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: a C string, by SQLite's promise.
    let name = unsafe { text(name) };
    let there = name.is_some_and(|name| DISK.with(|disk| disk.files.borrow().contains_key(&name)));
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = c_int::from(there) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    most: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: a C string, by SQLite's promise.
    let octets = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if octets.len() > usize::try_from(most).unwrap_or_default() {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: `out` has room for `most` octets.
    unsafe { ptr::copy_nonoverlapping(octets.as_ptr().cast(), out, octets.len()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut sqlite3_vfs, length: c_int, out: *mut c_char) -> c_int {
    // SAFETY: `out` has room for `length` octets.
    unsafe { ptr::write_bytes(out, 7, usize::try_from(length).unwrap_or_default()) };
    length
}

/// Nobody else runs meanwhile, so that waiting changes nothing.
const unsafe extern "C" fn sleep(_: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

unsafe extern "C" fn current_time(_: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite gives a place for the answer.
    unsafe { *out = 2_461_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file, and room for `length` octets.
    let (open, into) = unsafe { (of(file), room(into, length)) };
    if !open.is_alive() {
        return ffi::SQLITE_IOERR_READ;
    }
    if let Err(broken) = open.disk.access(Access::Read) {
        return code(broken);
    }
    if open.file.read(place(at), into) { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    octets: *const c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: an open file, and `length` octets.
    let (open, octets) = unsafe {
        let length = usize::try_from(length).unwrap_or_default();
        (of(file), slice::from_raw_parts(octets.cast::<u8>(), length))
    };
    if !open.is_alive() {
        return ffi::SQLITE_IOERR_WRITE;
    }
    let at = place(at);
    if open.disk.full.get() && at.saturating_add(octets.len()) > open.file.length() {
        return ffi::SQLITE_FULL;
    }
    if let Err(broken) = open.disk.access(Access::Write) {
        // The power may go in the middle of it.
        if open.disk.down.get() {
            open.file.write(at, octets);
        }
        return code(broken);
    }
    open.file.write(at, octets);
    ffi::SQLITE_OK
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { of(file) };
    if !open.is_alive() {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    if open.disk.access(Access::Write).is_err() {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    open.file.cut(place(length));
    ffi::SQLITE_OK
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { of(file) };
    if !open.is_alive() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    match open.disk.access(Access::Sync) {
        Ok(()) => {
            open.file.sync();
            ffi::SQLITE_OK
        }
        Err(broken) => code(broken),
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    unsafe {
        let open = of(file);
        *out = ffi::sqlite3_int64::try_from(open.file.length()).unwrap_or(i64::MAX);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { of(file) };
    if !open.is_alive() {
        return ffi::SQLITE_IOERR_LOCK;
    }
    if level <= open.level {
        return ffi::SQLITE_OK;
    }
    let locks = &open.file.locks;
    match level {
        ffi::SQLITE_LOCK_SHARED if locks.writer.get() => return ffi::SQLITE_BUSY,
        ffi::SQLITE_LOCK_SHARED => locks.readers.set(locks.readers.get().saturating_add(1)),
        ffi::SQLITE_LOCK_RESERVED | ffi::SQLITE_LOCK_PENDING if locks.writer.get() => {
            return ffi::SQLITE_BUSY;
        }
        ffi::SQLITE_LOCK_RESERVED | ffi::SQLITE_LOCK_PENDING => locks.writer.set(true),
        _ if locks.readers.get() > 1 => return ffi::SQLITE_BUSY,
        _ => locks.writer.set(true),
    }
    open.level = level;
    ffi::SQLITE_OK
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { of(file) };
    // What ended with an earlier life holds nothing.
    if open.life == open.disk.life.get() && level < open.level {
        let locks = &open.file.locks;
        if open.level > ffi::SQLITE_LOCK_SHARED {
            locks.writer.set(false);
        }
        if level == ffi::SQLITE_LOCK_NONE {
            locks.readers.set(locks.readers.get().saturating_sub(1));
        }
    }
    open.level = level.min(open.level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    unsafe { *out = c_int::from(of(file).file.locks.writer.get()) };
    ffi::SQLITE_OK
}

const unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

const unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    512
}

const unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    let (open, out) = unsafe { (of(file), &mut *out) };
    *out = ptr::null_mut();
    if !open.is_alive() {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    let mut shared = open.file.shared.borrow_mut();
    if !open.maps {
        open.maps = true;
        shared.users = shared.users.saturating_add(1);
    }
    let at = usize::try_from(region).unwrap_or_default();
    let words = usize::try_from(size).unwrap_or_default().div_ceil(size_of::<u64>());
    while extend != 0 && shared.regions.len() <= at {
        shared.regions.push((0..words).map(|_| Cell::new(0)).collect());
    }
    if let Some(region) = shared.regions.get(at) {
        *out = region.as_ptr().cast_mut().cast();
        open.mapped.push(Rc::clone(region));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { of(file) };
    if open.life != open.disk.life.get() {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    let first = usize::try_from(first).unwrap_or_default();
    let slots = first..first.saturating_add(usize::try_from(count).unwrap_or_default());
    let mask = slots.clone().fold(0, |mask: u32, slot| mask | (1 << slot));
    let mut shared = open.file.shared.borrow_mut();
    let Some(states) = shared.slots.get_mut(slots) else { return ffi::SQLITE_IOERR_SHMLOCK };
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        if open.alone & mask != 0 {
            states.fill(0);
        } else if open.shares & mask != 0 {
            states.iter_mut().for_each(|state| *state = state.saturating_sub(1));
        }
        open.alone &= !mask;
        open.shares &= !mask;
    } else if flags & ffi::SQLITE_SHM_SHARED != 0 {
        if open.shares & mask == 0 {
            if states.iter().any(|state| *state < 0) {
                return ffi::SQLITE_BUSY;
            }
            states.iter_mut().for_each(|state| *state = state.saturating_add(1));
            open.shares |= mask;
        }
    } else {
        if states.iter().any(|state| *state != 0) {
            return ffi::SQLITE_BUSY;
        }
        states.fill(-1);
        open.alone |= mask;
    }
    ffi::SQLITE_OK
}

const unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { of(file) };
    open.mapped.clear();
    if std::mem::take(&mut open.maps) && open.life == open.disk.life.get() {
        let mut shared = open.file.shared.borrow_mut();
        shared.users = shared.users.saturating_sub(1);
        if shared.users == 0 {
            // As a real one, it is made anew by whoever comes first.
            shared.regions.clear();
        }
    }
    ffi::SQLITE_OK
}

/// The memory behind a pointer of SQLite's.
///
/// # Safety
/// `into` has room for `length` octets.
unsafe fn room<'a>(into: *mut c_void, length: c_int) -> &'a mut [u8] {
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts_mut(into.cast(), usize::try_from(length).unwrap_or_default()) }
}

fn place(at: ffi::sqlite3_int64) -> usize {
    usize::try_from(at).unwrap_or_default()
}
