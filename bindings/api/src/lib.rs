//! The one surface of the connection module that every language but Rust sees.
//!
//! Records, enums and errors with fields; the verbs of `pos_connect::Connection`, each as an async
//! method and as a blocking one; key storage that the host may bring. All bindings are generated from
//! it, so that none can drift.
#![expect(clippy::result_large_err, reason = "a host takes an error by value, one for each call")]

mod connection;
mod error;
mod functions;
#[cfg(all(feature = "json", not(target_arch = "wasm32")))]
pub mod json;
mod process;
mod records;
mod runtime;
#[cfg(target_os = "linux")]
mod signals;
mod store;

pub use connection::{BlockingConnection, Connection};
pub use error::{Error, Retry};
pub use functions::{seal, verify};
pub use records::{
    AccountKind, Candidate, Check, CheckRequest, CheckState, Config, Contract, CurrencyLimits,
    Decline, HistoryPage, HistoryQuery, InFlight, Instrument, KeyInfo, KeyRole, KeyStatus,
    Language, Methods, OpenCall, Operation, OperationKind, OperationState, Order, Payment,
    PaymentState, Quote, QuoteRequest, Registration, Rejection, SealBinding, SealedOperation,
    Session, ShopperAdvice, UnreadableCall,
};
pub use store::{KeyStorage, KeyStorageError, Store};

#[doc(hidden)]
pub use process::PerProcess;

#[cfg(feature = "uniffi")]
uniffi::setup_scaffolding!("pos_connect");
