//! `cargo +nightly fuzz run settlement`, in `tests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pos_hostile::targets::named("settlement")(octets));
