//! `uniffi` as the surface sees it, by that name: its macros write paths that begin with it. The crate of
//! UniFFI's own does the same and brings, for its generators, nine crates more into every shop's library.

pub use uniffi_core::*;
pub use uniffi_macros::*;
