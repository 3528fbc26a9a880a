#![doc = include_str!("../README.md")]
// Arithmetic in a test overflows loudly; only shipped code has to say what happens.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]
#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "one type for both, and one thread there")
)]

mod client;
pub mod config;
mod crypto;
pub mod env;
pub mod error;
mod exchange;
#[cfg(not(target_arch = "wasm32"))]
mod files;
pub mod journal;
pub mod keys;
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
mod seal;
mod transport;
mod verify;

pub use pos_protocol as protocol;
pub use pos_protocol::enrolment::EnrolmentCode;
pub use pos_protocol::id::{
    ContractId, IdempotencyKey, InstitutionId, Method, OrderId, PaymentId, PosId, ShopId, UserId,
};
pub use pos_protocol::money::{Amount, Currency, Money};
pub use pos_protocol::seal::{
    Account, AccountKind, Binding, Card, Envelope, Expiry, Instrument, Prepaid, SealedOperation,
    SignedSealKeySet,
};
pub use pos_protocol::secret::SecretText;
pub use pos_protocol::{ErrorCode, Retry, Timestamp, wire};

pub use client::{Connection, HistoryQuery, InFlight, Order, Pages, Setup, Stores};
pub use config::{Config, ConfigError, Language};
#[cfg(target_arch = "wasm32")]
pub use crypto::Crypto;
pub use error::{Code, Error, ErrorKind, ModuleCode};
#[cfg(not(target_arch = "wasm32"))]
pub use files::FileError;
#[cfg(any(not(target_arch = "wasm32"), feature = "dalek"))]
pub use seal::{ENVELOPE_LIFE, SealError, seal, seal_at};
#[cfg(not(target_arch = "wasm32"))]
pub use transport::{Carrier, Sockets};
#[cfg(not(target_arch = "wasm32"))]
pub use verify::verify;
#[cfg(target_arch = "wasm32")]
pub use verify::verify_by;
