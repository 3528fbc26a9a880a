//! Drives the edge by octets, as a caller does who gets everything wrong. Shared by the property
//! tests that CI runs and by the libFuzzer target in `fuzz`.

#![expect(unsafe_code, reason = "it is called as C calls it")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pos_connect_api::BlockingConnection;
use pos_connect_c::{
    PosConnection, PosKeyStorage, pos_call, pos_close, pos_free, pos_open, pos_open_with_storage,
    pos_seal, pos_verify,
};
use serde_json::Value;

/// Nobody listens there, and nobody is registered: no call reaches the network.
const CONFIG: &CStr = c"{\"server_url\":\"http://127.0.0.1:1\"}";
const MEMORY: &CStr = c"{\"type\":\"in_memory\"}";

/// Makes the calls that these octets stand for. The first chooses the function; the rest, parted at
/// each NUL, are its texts. Gives what was answered, but for what only closes at the end.
pub(crate) fn drive(octets: &[u8]) -> Vec<String> {
    let Some((choice, rest)) = octets.split_first() else { return Vec::new() };
    let mut texts = rest.split(|octet| *octet == 0).map(|text| CString::new(text).unwrap());
    let mut next = || texts.next().unwrap_or_default();
    match choice % 7 {
        0 => {
            let (config, store) = (next(), next());
            if !is_folder(&store) {
                let (line, answer) = open(&config, &store);
                close(line);
                return vec![answer];
            }
            Vec::new()
        }
        1 => {
            let (line, _) = open(CONFIG, MEMORY);
            let line = line.expect("both are good");
            let mut verbs = BlockingConnection::VERBS.iter().copied().cycle();
            let verb = verbs.nth(usize::from(*choice)).expect("there are verbs");
            let of_the_table = call(line, &CString::new(verb).unwrap(), &next());
            let by_its_name = call(line, &next(), &next());
            close(Some(line));
            of_the_table.into_iter().chain(by_its_name).collect()
        }
        2 => vec![told(unsafe { pos_seal(next().as_ptr()) })],
        3 => vec![told(unsafe { pos_verify(next().as_ptr()) })],
        4 => {
            let number = rest.iter().fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet));
            let closed = told(pos_close(number));
            [closed].into_iter().chain(call(number, &next(), &next())).collect()
        }
        5 => with_storage(&next(), next(), &next(), &next()),
        _ => {
            nothing_at_all();
            Vec::new()
        }
    }
}

/// Each function with each pointer null.
pub(crate) fn nothing_at_all() {
    let none = ptr::null();
    let mut line: PosConnection = 7;
    unsafe {
        told(pos_open(none, MEMORY.as_ptr(), &raw mut line));
        assert_eq!(line, 0);
        told(pos_open(CONFIG.as_ptr(), none, &raw mut line));
        told(pos_open(CONFIG.as_ptr(), MEMORY.as_ptr(), ptr::null_mut()));
        let no_storage = PosKeyStorage {
            context: ptr::null_mut(),
            load: None,
            replace: None,
            release: None,
            dropped: None,
        };
        told(pos_open_with_storage(none, no_storage, none, &raw mut line));
        told(pos_open_with_storage(none, no_storage, none, ptr::null_mut()));
        told(pos_call(1, none, none));
        told(pos_seal(none));
        told(pos_verify(none));
        pos_free(ptr::null_mut());
    }
}

/// A store in a folder that somebody dreamt up would be made.
fn is_folder(store: &CStr) -> bool {
    String::from_utf8_lossy(store.to_bytes()).contains("folder")
}

fn open(config: &CStr, store: &CStr) -> (Option<PosConnection>, String) {
    let mut line = 7;
    let answer = told(unsafe { pos_open(config.as_ptr(), store.as_ptr(), &raw mut line) });
    ((line != 0).then_some(line), answer)
}

fn close(line: Option<PosConnection>) {
    line.into_iter().for_each(|line| drop(told(pos_close(line))));
}

/// None where the verb speaks to the server before it looks at the store; and under miri, which knows no
/// signals, where it would wait.
fn call(line: PosConnection, verb: &CStr, arguments: &CStr) -> Option<String> {
    let waits = |verb| verb != "close" && BlockingConnection::VERBS.contains(&verb);
    if [c"login", c"register"].contains(&verb) || (cfg!(miri) && verb.to_str().is_ok_and(waits)) {
        return None;
    }
    Some(told(unsafe { pos_call(line, verb.as_ptr(), arguments.as_ptr()) }))
}

/// A host's storage that gives a text, with what was done to it.
struct Vault {
    text: CString,
    uses: Arc<Uses>,
}

#[derive(Default)]
struct Uses {
    loads: AtomicUsize,
    releases: AtomicUsize,
    drops: AtomicUsize,
}

/// A connection whose keys are `text`, and a verb. No octets are keys: no call reaches the network.
fn with_storage(config: &CStr, text: CString, verb: &CStr, arguments: &CStr) -> Vec<String> {
    let uses = Arc::new(Uses::default());
    let vault = Box::new(Vault { text, uses: Arc::clone(&uses) });
    let storage = PosKeyStorage {
        context: Box::into_raw(vault).cast(),
        load: Some(load),
        replace: Some(replace),
        release: Some(release),
        dropped: Some(dropped),
    };
    let folder = tempfile::tempdir().unwrap();
    let journal = CString::new(folder.path().to_str().unwrap()).unwrap();
    let mut line = 7;
    let (config, journal) = (config.as_ptr(), journal.as_ptr());
    let opened = told(unsafe { pos_open_with_storage(config, storage, journal, &raw mut line) });
    let called = (line != 0).then(|| call(line, verb, arguments)).flatten();
    close((line != 0).then_some(line));
    let counted = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    assert_eq!(counted(&uses.drops), 1, "{opened} {called:?}");
    assert_eq!(counted(&uses.releases), counted(&uses.loads), "{opened} {called:?}");
    [opened].into_iter().chain(called).collect()
}

unsafe extern "C" fn load(context: *mut c_void, text: *mut *mut c_char) -> c_int {
    let vault = unsafe { &*context.cast::<Vault>() };
    vault.uses.loads.fetch_add(1, Ordering::SeqCst);
    unsafe { *text = vault.text.clone().into_raw() };
    0
}

unsafe extern "C" fn replace(
    _: *mut c_void,
    _: *const c_char,
    _: *const c_char,
    replaced: *mut c_int,
) -> c_int {
    unsafe { *replaced = 0 };
    0
}

unsafe extern "C" fn release(context: *mut c_void, text: *mut c_char) {
    let vault = unsafe { &*context.cast::<Vault>() };
    vault.uses.releases.fetch_add(1, Ordering::SeqCst);
    drop(unsafe { CString::from_raw(text) });
}

unsafe extern "C" fn dropped(context: *mut c_void) {
    let vault = unsafe { Box::from_raw(context.cast::<Vault>()) };
    vault.uses.drops.fetch_add(1, Ordering::SeqCst);
}

/// Every answer is JSON with a value or an error that says what to do, and is freed.
fn told(answer: *mut c_char) -> String {
    assert!(!answer.is_null());
    let text = unsafe { CStr::from_ptr(answer) }.to_str().unwrap().to_owned();
    unsafe { pos_free(answer) };
    let json: Value = serde_json::from_str(&text).unwrap();
    let kinds = ["ask_for_status", "fix_the_request", "sign_in_again", "wait", "give_up"];
    match (json.get("ok"), json["error"]["kind"].as_str()) {
        (Some(_), None) => {}
        (None, Some(kind)) => {
            assert!(kinds.contains(&kind), "{text}");
            // What a panic becomes.
            assert_ne!(json["error"]["code"], "outcome_unknown", "{text}");
        }
        _ => panic!("{text}"),
    }
    text
}
