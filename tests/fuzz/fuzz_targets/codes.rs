//! `cargo +nightly fuzz run codes`, in `tests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| pos_hostile::targets::named("codes")(octets));
