//! The words a shop, the operator and an institution share.
//!
//! This crate holds what both ends of a line must agree on to the byte: identifiers, money, the
//! closed list of error codes, the JSON bodies, the signing profile, sealed instruments and the
//! life of a payment. It does no I/O, reads no clock and draws no randomness: time and random
//! octets are arguments, so every result can be repeated from its inputs.
//!
//! `docs/PROTOCOL.md` is the same content for readers who write a client in another language.

// Arithmetic in a test overflows loudly; only shipped code has to say what happens.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

pub mod code;
pub mod enrolment;
pub mod id;
pub mod institution;
pub mod key;
pub mod money;
#[cfg(feature = "openapi")]
mod openapi;
pub mod payment;
pub mod reason;
pub mod seal;
pub mod secret;
pub mod sign;
pub mod succession;
pub mod text;
pub mod time;
pub mod webhook;
pub mod wire;
pub mod word;

pub use code::{ErrorCode, Retry};
pub use money::{Amount, Currency, Money};
pub use time::Timestamp;
