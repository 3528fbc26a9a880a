//! Payments: the use cases, and the only place that orders store and connectors.
//!
//! A mutation runs down [`begin`]: known key, guards, one commit, a detached task ([`conduct`])
//! that sends and records, an answer. What is left open comes back through [`recovery`]. Reads are
//! in [`view`] and [`history`], contract choice is in [`routing`].

pub mod begin;
pub mod check;
pub mod conduct;
pub mod fingerprint;
pub mod history;
pub mod recovery;
pub mod routing;
pub mod view;

pub use conduct::Conductor;
