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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// The caller's side, on one thread.
    #[derive(Default)]
    struct Vault {
        code: c_int,
        text: Option<CString>,
        replaced: RefCell<Vec<(Option<String>, String)>>,
        releases: Cell<u32>,
        drops: Cell<u32>,
    }

    impl Vault {
        fn host(&self) -> Host {
            Host::new(PosKeyStorage {
                context: ptr::from_ref(self).cast_mut().cast(),
                load: Some(load),
                replace: Some(replace),
                release: Some(release),
                dropped: Some(dropped),
            })
            .unwrap()
        }
    }

    /// # Safety
    /// It is what `Vault::host` gave.
    unsafe fn vault<'a>(context: *mut c_void) -> &'a Vault {
        // SAFETY: the tests keep it until the host is gone.
        unsafe { &*context.cast::<Vault>() }
    }

    unsafe extern "C" fn load(context: *mut c_void, text: *mut *mut c_char) -> c_int {
        // SAFETY: the host hands over what it was given, and a place to write to.
        unsafe {
            let vault = vault(context);
            *text = vault.text.clone().map_or(ptr::null_mut(), CString::into_raw);
            vault.code
        }
    }

    unsafe extern "C" fn replace(
        context: *mut c_void,
        old: *const c_char,
        new: *const c_char,
        replaced: *mut c_int,
    ) -> c_int {
        let read = |text: *const c_char| {
            // SAFETY: it is NULL or a text.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned())
        };
        // SAFETY: the host hands over what it was given, and a place to write to.
        unsafe {
            let vault = vault(context);
            vault.replaced.borrow_mut().push((read(old), read(new).unwrap()));
            *replaced = 1;
            vault.code
        }
    }

    unsafe extern "C" fn release(context: *mut c_void, text: *mut c_char) {
        // SAFETY: the text is what `load` gave.
        unsafe {
            drop(CString::from_raw(text));
            let releases = &vault(context).releases;
            releases.set(releases.get().saturating_add(1));
        }
    }

    unsafe extern "C" fn dropped(context: *mut c_void) {
        // SAFETY: the host hands over what it was given.
        let drops = unsafe { &vault(context).drops };
        drops.set(drops.get().saturating_add(1));
    }

    fn loaded(code: c_int, text: Option<&CStr>) -> Result<Option<String>, String> {
        let vault = Vault { code, text: text.map(CStr::to_owned), ..Vault::default() };
        let loaded = vault.host().load();
        let (releases, drops) = (vault.releases.get(), vault.drops.get());
        assert_eq!((releases, drops), (u32::from(text.is_some()), 1));
        loaded.map_err(|error| error.to_string())
    }

    #[test]
    fn a_text_is_copied_and_released() {
        assert_eq!(loaded(0, None), Ok(None));
        assert_eq!(loaded(0, Some(c"kept")), Ok(Some("kept".into())));
        assert_eq!(loaded(3, None), Err("it failed with 3".into()));
        assert_eq!(loaded(3, Some(c"sealed")), Err("sealed".into()));
        assert_eq!(loaded(0, Some(c"\xff")), Err("it gave a text that is not UTF-8".into()));
    }

    #[test]
    fn what_is_replaced_by_what_is_told() {
        let mut vault = Vault::default();
        let host = vault.host();
        assert!(host.replace(None, "first".into()).unwrap());
        assert!(host.replace(Some("first".into()), "second".into()).unwrap());
        let error = host.replace(None, "a\0b".into()).unwrap_err();
        assert_eq!(error.to_string(), "a text has a NUL in it");
        drop(host);
        let told = [(None, "first".into()), (Some("first".into()), "second".into())];
        assert_eq!(vault.replaced.take(), told);
        vault.code = 3;
        let error = vault.host().replace(None, "third".into()).unwrap_err();
        assert_eq!(error.to_string(), "it failed with 3");
        assert_eq!(vault.drops.get(), 2);
    }
}
