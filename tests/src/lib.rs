//! The test bed: the real server and the example institution as processes of their own, a shop
//! registered through the real module, and what a test needs to look behind them.
//!
//! [`bed::Bed`] is for Rust; the binary `pos-testbed` offers the same to every other language as one
//! JSON line (`tests/README.md`).

pub mod bed;
pub mod canary;
pub mod disk;
pub mod error;
pub mod folder;
pub mod forge;
pub mod line;
pub mod octets;
pub mod pay;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod receiver;
pub mod shared;
pub mod testbed;
pub mod tls;
pub mod wait;

pub use bed::{Bed, BedOptions};
pub use error::BedError;
