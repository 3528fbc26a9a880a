//! Texts in and out, and no panic.

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pos_connect_api::Error;
use pos_connect_api::json::{panicked, told, wrong_argument};

/// A text of C's.
///
/// # Safety
/// It is null, or ends with a NUL and lives as long as the result.
pub(crate) unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<&'a str, Error> {
    if text.is_null() {
        return Err(wrong_argument(name, "must not be NULL"));
    }
    // SAFETY: as the caller has promised.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| wrong_argument(name, "must be UTF-8"))
}

/// The answer as a text that `pos_free` takes. A panic becomes an error too: unwinding into C is no
/// behaviour at all.
pub(crate) fn answered(call: impl FnOnce() -> Result<String, Error>) -> *mut c_char {
    // What a panic leaves behind is locked by nobody: all state here is behind locks whose every
    // change is one assignment.
    let came = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(panicked()));
    let text = match came {
        Ok(value) => format!(r#"{{"ok":{value}}}"#),
        Err(error) => format!(r#"{{"error":{}}}"#, told(&error).unwrap_or_default()),
    };
    // JSON escapes a NUL.
    CString::new(text).map_or(ptr::null_mut(), CString::into_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(call: impl FnOnce() -> Result<String, Error>) -> String {
        let answer = answered(call);
        // SAFETY: `answered` made it just now.
        let text = unsafe { CString::from_raw(answer) };
        text.into_string().unwrap()
    }

    #[test]
    fn a_panic_is_an_error_that_tells_to_ask() {
        assert_eq!(told_of(|| Ok("7".into())), r#"{"ok":7}"#);
        let answer = told_of(|| panic!("on purpose"));
        assert!(answer.starts_with(r#"{"error":{"kind":"ask_for_status","#), "{answer}");
        assert!(answer.contains(r#""code":"outcome_unknown""#), "{answer}");
    }

    #[test]
    fn a_text_is_neither_null_nor_any_octets() {
        // SAFETY: null, and a literal with a NUL.
        let (null, octets) =
            unsafe { (text("verb", ptr::null()), text("verb", c"\xff\xfe".as_ptr())) };
        assert_eq!(null.unwrap_err().to_string(), "verb: must not be NULL");
        assert_eq!(octets.unwrap_err().to_string(), "verb: must be UTF-8");
    }
}
