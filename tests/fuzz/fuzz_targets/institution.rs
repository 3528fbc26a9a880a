//! `cargo +nightly fuzz run institution`, in `tests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pos_hostile::targets::named("institution")(octets));
