//! The shop database: verbs above, engines below (`payments.md` 6).
//!
//! Every write is a verb ([`verbs`]): plain data, one atomic step. [`Store`] queues verbs to a
//! thread that commits whatever has queued as one synced group. Reads ([`engine::Reader`]) run
//! beside it and see only what was committed. An engine is chosen at start-up; one conformance
//! suite holds all engines to the same behaviour.

pub mod audit;
mod cells;
mod codes;
#[cfg(test)]
mod conformance;
pub mod engine;
mod error;
mod handle;
pub mod moving;
pub mod postgres;
mod queue;
pub mod rows;
#[cfg(test)]
mod schema;
pub mod sqlite;
pub mod verbs;

pub use error::StoreError;
pub use handle::{Observer, Store, StoreOptions};
