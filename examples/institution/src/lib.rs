//! An institution to talk to: a card acquirer, a bank and a prepaid issuer that speak the
//! institution protocol, each with a ledger of its own that survives a restart and is the judge of
//! money in tests. The README lists the test instruments and what the control address can do.

// Arithmetic in a test overflows loudly; only shipped code has to say what happens.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

pub mod args;
mod clock;
mod control;
pub mod fault;
pub mod house;
mod in_process;
pub mod instrument;
pub mod keys;
pub mod ledger;
mod line;
pub mod quirk;
pub mod running;
mod service;
pub mod tls;

pub use in_process::InProcess;
pub use running::{Announcement, Options, Running, StartError, start};
