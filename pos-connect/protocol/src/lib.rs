//! The words a shop, the operator and an institution share.
//!
//! This crate holds what both ends of a line must agree on to the byte: identifiers, money, the
//! closed list of error codes, the JSON bodies, the signing profile, sealed instruments and the
//! life of a payment. It does no I/O, reads no clock and draws no randomness: time and random
//! octets are arguments, so every result can be repeated from its inputs.
//!
//! `docs/PROTOCOL.md` is the same content for readers who write a client in another language.

pub mod id;
pub mod key;
pub mod secret;
pub mod text;
pub mod time;

pub use time::Timestamp;
