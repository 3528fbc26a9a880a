//! How the server speaks to institutions.
//!
//! A [`Connector`] is a pure pair: it writes the request for an operation and reads the reply, and
//! says as data what its institution can do. The [`Driver`] owns everything that is not pure:
//! sockets, TLS, time-outs, kept-alive lines, and the one rule that decides over double charging:
//! what was certainly never written is *not sent*, everything else without a proof is *unknown*.
//! The [`Registry`] holds the institutions that the operator serves. `docs/CONNECTORS.md` tells how
//! to add a protocol.

pub mod answer;
pub mod capabilities;
pub mod connector;
pub mod driver;
pub mod health;
pub mod institution_protocol;
pub mod order;
pub mod record;
pub mod registry;
pub mod seal_keys;
pub mod settlement;

pub use answer::{Answer, CheckOutcome, ConnectionTest, Fault};
pub use capabilities::{Capabilities, CurrencyTerms, PrepareError, WayOut};
pub use connector::{Connector, Reply, Request};
pub use driver::{Driver, DriverSettings, Failure, SendPermit};
pub use health::{Health, News};
pub use order::{CheckOrder, OperationOrder, ReversalOrder};
pub use record::{InstitutionRecord, RecordError};
pub use registry::{CallKey, Institution, Registry};
pub use seal_keys::SealKeys;
pub use settlement::{SettlementError, SettlementFormat, SettlementHead, SettlementLine};
