//! The one surface of the connection module that every language but Rust sees.
//!
//! Records, enums and errors with fields; the verbs of `pos_connect::Connection`, each as an async
//! method and as a blocking one; key storage that the host may bring. All bindings are generated from
//! it, so that none can drift.
#![cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::result_large_err, reason = "a host takes an error by value, one for each call")
)]
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "one type for both, and one thread there")
)]

// A browser has no processes and no threads, and its storage is the host's.
#[cfg(any(not(target_arch = "wasm32"), feature = "wasm-connection"))]
mod connection;
#[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "each file has some of the errors"))]
mod error;
#[cfg(any(not(target_arch = "wasm32"), feature = "wasm-seal"))]
mod functions;
pub mod given;
#[cfg(all(feature = "json", not(target_arch = "wasm32")))]
pub mod json;
#[cfg(not(target_arch = "wasm32"))]
mod process;
#[cfg(all(feature = "wasm-connection", target_arch = "wasm32"))]
#[path = "wasm/process.rs"]
mod process;
#[cfg_attr(
    all(feature = "wasm-seal", target_arch = "wasm32"),
    expect(dead_code, reason = "sealing takes few records")
)]
mod records;
#[cfg(not(target_arch = "wasm32"))]
mod runtime;
#[cfg(all(feature = "wasm-connection", target_arch = "wasm32"))]
#[path = "wasm/runtime.rs"]
mod runtime;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(not(target_arch = "wasm32"))]
mod store;
#[cfg(all(feature = "wasm-connection", target_arch = "wasm32"))]
#[path = "wasm/store.rs"]
mod store;
#[cfg(all(feature = "wasm", target_arch = "wasm32"))]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub use connection::BlockingConnection;
#[cfg(any(not(target_arch = "wasm32"), feature = "wasm-connection"))]
pub use connection::Connection;
pub use error::{Error, Retry};
#[cfg(any(not(target_arch = "wasm32"), feature = "wasm-seal"))]
pub use functions::seal;
#[cfg(not(target_arch = "wasm32"))]
pub use functions::verify;
pub use records::{
    AccountKind, Candidate, Check, CheckRequest, CheckState, Config, Contract, CurrencyLimits,
    Decline, HistoryPage, HistoryQuery, InFlight, KeyInfo, KeyRole, KeyStatus, Language, Methods,
    Notice, NoticeSettings, OpenCall, Operation, OperationKind, OperationState, Order, Payment,
    PaymentState, Quote, QuoteRequest, Registration, Rejection, SealedOperation, Session,
    SetNotices, ShopperAdvice, UnreadableCall,
};
#[cfg(any(not(target_arch = "wasm32"), feature = "wasm-seal"))]
pub use records::{Instrument, SealBinding};
#[cfg(all(feature = "wasm-connection", target_arch = "wasm32"))]
pub use store::Store;
#[cfg(not(target_arch = "wasm32"))]
pub use store::{KeyStorage, KeyStorageError, Store};

#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub use process::PerProcess;

#[cfg(feature = "uniffi")]
uniffi::setup_scaffolding!("pos_connect");
