//! Payments: the use cases, and the only place that orders store and connectors.
//!
//! A mutation runs down [`begin`]: known key, guards, one commit, a detached task ([`conduct`])
//! that sends and records, an answer. What is left open comes back through [`recovery`]. Reads are
//! in [`view`] and [`history`], contract choice is in [`routing`]. [`reconcile`] compares a day with what
//! its institution says of it.

pub mod begin;
pub mod check;
pub mod conduct;
mod conductor;
pub mod fingerprint;
pub mod history;
pub mod movement;
mod next_look;
pub mod pay;
pub mod reconcile;
pub mod recovery;
pub mod routing;
pub mod tasks;
mod transition;
pub mod view;

pub use conductor::Conductor;
