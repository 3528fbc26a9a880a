//! A key storage of the caller's.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use pos_connect_api::json::wrong_argument;
use pos_connect_api::{Error, KeyStorage, KeyStorageError};

/// A key storage of the caller's own: a secret manager, a database. It keeps one text with secrets in
/// it. Its functions are called on the thread that calls pos_call, by several threads at once where
/// several call, and must not call pos_call themselves; none of them may throw or jump out.
///
/// Calls that are under way when a connection is closed go on, and use it still. It must stay good
/// until `dropped` is called; where that is NULL, until the connection is closed and every call on it
/// has returned.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PosKeyStorage {
    /// Handed to each of the functions.
    pub context: *mut c_void,
    /// Writes the kept text to `*text`, or NULL where nothing is kept, and returns 0. Any other
    /// number says that it failed; `*text` may then say why.
    pub load: Option<unsafe extern "C" fn(context: *mut c_void, text: *mut *mut c_char) -> c_int>,
    /// Writes `new_text` if what is kept is `old_text` (NULL: nothing is kept), writes 1 or 0 to
    /// `*replaced`, and returns 0 once it has reached the lasting store. Any other number says that it
    /// failed.
    pub replace: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            old_text: *const c_char,
            new_text: *const c_char,
            replaced: *mut c_int,
        ) -> c_int,
    >,
    /// Frees a text that `load` gave.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void, text: *mut c_char)>,
    /// Says that none of the others will be called any more: once for each pos_open_with_storage,
    /// also for one that failed, on any thread. May be NULL. A child that was forked is not told of
    /// what its parent opened.
    pub dropped: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

type Load = unsafe extern "C" fn(*mut c_void, *mut *mut c_char) -> c_int;
type Replace = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, *mut c_int) -> c_int;
type Release = unsafe extern "C" fn(*mut c_void, *mut c_char);
type Dropped = unsafe extern "C" fn(*mut c_void);

/// The same with all its functions.
pub(crate) struct Host {
    context: Context,
    load: Load,
    replace: Replace,
    release: Release,
}

// SAFETY: the caller has promised that its functions may be called on any thread.
unsafe impl Send for Host {}
// SAFETY: and by several at once.
unsafe impl Sync for Host {}

impl Host {
    pub(crate) fn new(storage: PosKeyStorage) -> Result<Self, Error> {
        let PosKeyStorage { context, load, replace, release, dropped } = storage;
        let context = Context { pointer: context, dropped };
        match (load, replace, release) {
            (Some(load), Some(replace), Some(release)) => {
                Ok(Self { context, load, replace, release })
            }
            _ => Err(wrong_argument("storage", "must have all its functions")),
        }
    }
}

/// What the functions are given. Its owner hears when it goes.
struct Context {
    pointer: *mut c_void,
    dropped: Option<Dropped>,
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped {
            // SAFETY: the function keeps what `PosKeyStorage` says; nobody has the pointer any more.
            unsafe { dropped(self.pointer) };
        }
    }
}

impl KeyStorage for Host {
    fn load(&self) -> Result<Option<String>, KeyStorageError> {
        let mut text = ptr::null_mut();
        // SAFETY: the function keeps what `PosKeyStorage` says; `text` may be written.
        let code = unsafe { (self.load)(self.context.pointer, &raw mut text) };
        let kept = if text.is_null() {
            None
        } else {
            // SAFETY: it gave a text that ends with a NUL and is ours until we release it.
            let copy = unsafe { CStr::from_ptr(text) }.to_str().map(str::to_owned);
            // SAFETY: nothing refers to it any more.
            unsafe { (self.release)(self.context.pointer, text) };
            Some(copy.map_err(|_| failed("it gave a text that is not UTF-8"))?)
        };
        match (code, kept) {
            (0, kept) => Ok(kept),
            (_, Some(why)) => Err(failed(why)),
            (code, None) => Err(failed(format!("it failed with {code}"))),
        }
    }

    fn replace(&self, old: Option<String>, new: String) -> Result<bool, KeyStorageError> {
        let text = |text| CString::new(text).map_err(|_| failed("a text has a NUL in it"));
        let (old, new) = (old.map(text).transpose()?, text(new)?);
        let old = old.as_ref().map_or(ptr::null(), |old| old.as_ptr());
        let mut replaced = 0;
        // SAFETY: both texts live through the call; `replaced` may be written.
        let code =
            unsafe { (self.replace)(self.context.pointer, old, new.as_ptr(), &raw mut replaced) };
        if code == 0 { Ok(replaced != 0) } else { Err(failed(format!("it failed with {code}"))) }
    }
}

fn failed(reason: impl Into<String>) -> KeyStorageError {
    KeyStorageError::Failed { reason: reason.into() }
}
