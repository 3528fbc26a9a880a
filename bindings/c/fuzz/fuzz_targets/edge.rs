//! `cargo +nightly fuzz run edge`, in `bindings/c`.
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| drop(support::drive(octets)));
