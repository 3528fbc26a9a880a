//! `cargo +nightly fuzz run signature`, in `tests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pos_hostile::targets::named("signature")(octets));
