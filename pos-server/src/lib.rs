//! The operator's server: virtual POSes, routing to institutions, the shop database.
//!
//! [`app::App`] is the server without its sockets, [`app::serve`] the whole of it. The binary adds
//! arguments, signals and exit codes. `docs/ARCHITECTURE.md` tells the flows.

pub mod admin;
pub mod app;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod clocks;
pub mod config;
pub mod connectors;
pub mod crash;
pub mod data_folder;
pub mod env;
pub mod http;
pub mod notices;
pub mod payments;
pub mod pos;
pub mod readiness;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod worker;
