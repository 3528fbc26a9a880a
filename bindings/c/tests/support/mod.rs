//! Drives the edge by octets, as a caller does who gets everything wrong. Shared by the property
//! tests that CI runs and by the libFuzzer target in `fuzz`.

#![expect(unsafe_code, reason = "it is called as C calls it")]

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use pos_connect_api::BlockingConnection;
use pos_connect_c::{PosConnection, pos_call, pos_close, pos_free, pos_open, pos_seal, pos_verify};
use serde_json::Value;

/// Nobody listens there, and nobody is registered: no call reaches the network.
const CONFIG: &CStr = c"{\"server_url\":\"http://127.0.0.1:1\"}";
const MEMORY: &CStr = c"{\"type\":\"in_memory\"}";

/// Makes the calls that these octets stand for. The first chooses the function; the rest, parted at
/// each NUL, are its texts.
pub(crate) fn drive(octets: &[u8]) {
    let Some((choice, rest)) = octets.split_first() else { return };
    let mut texts = rest.split(|octet| *octet == 0).map(|text| CString::new(text).unwrap());
    let mut next = || texts.next().unwrap_or_default();
    match choice % 6 {
        0 => {
            let (config, store) = (next(), next());
            if next_is_no_folder(&store) {
                close(open(&config, &store));
            }
        }
        1 => {
            let line = open(CONFIG, MEMORY).expect("both are good");
            let mut verbs = BlockingConnection::VERBS.iter().copied().cycle();
            let verb = verbs.nth(usize::from(*choice)).expect("there are verbs");
            // These two speak to the server before they look at the store.
            if !["login", "register"].contains(&verb) {
                let verb = CString::new(verb).unwrap();
                call(line, &verb, &next());
            }
            call(line, &next(), &next());
            close(Some(line));
        }
        2 => told(unsafe { pos_seal(next().as_ptr()) }),
        3 => told(unsafe { pos_verify(next().as_ptr()) }),
        4 => {
            let number = rest.iter().fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet));
            told(pos_close(number));
            call(number, &next(), &next());
        }
        _ => nothing_at_all(),
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
        told(pos_call(1, none, none));
        told(pos_seal(none));
        told(pos_verify(none));
        pos_free(ptr::null_mut());
    }
}

/// A store in a folder that somebody dreamt up would be made.
fn next_is_no_folder(store: &CStr) -> bool {
    !String::from_utf8_lossy(store.to_bytes()).contains("folder")
}

fn open(config: &CStr, store: &CStr) -> Option<PosConnection> {
    let mut line = 7;
    told(unsafe { pos_open(config.as_ptr(), store.as_ptr(), &raw mut line) });
    (line != 0).then_some(line)
}

fn close(line: Option<PosConnection>) {
    line.into_iter().for_each(|line| told(pos_close(line)));
}

fn call(line: PosConnection, verb: &CStr, arguments: &CStr) {
    // By its own name it would speak to the server; see above.
    if ![c"login", c"register"].contains(&verb) {
        told(unsafe { pos_call(line, verb.as_ptr(), arguments.as_ptr()) });
    }
}

/// Every answer is JSON with a value or an error that says what to do, and is freed.
fn told(answer: *mut c_char) {
    assert!(!answer.is_null());
    let text = unsafe { CStr::from_ptr(answer) }.to_str().unwrap();
    let json: Value = serde_json::from_str(text).unwrap();
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
    unsafe { pos_free(answer) };
}
