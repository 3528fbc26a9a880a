//! The surface as one shared library: what Python, PHP and every language of UniFFI load.

pos_connect_api::uniffi_reexport_scaffolding!();

/// The release, as one number: UniFFI's checksums cover the functions and not the records, so that a
/// host whose classes were generated apart from this library compares this too.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "a host finds it by its name")]
pub extern "C" fn ffi_pos_connect_api_release() -> u32 {
    const {
        number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
            + number(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
            + number(env!("CARGO_PKG_VERSION_PATCH"))
    }
}

/// A part of a version, below 1,000.
const fn number(digits: &str) -> u32 {
    match u32::from_str_radix(digits, 10) {
        Ok(number) if number < 1_000 => number,
        _ => panic!("a part of the version has no place in the number of the release"),
    }
}
