//! The trait of every institution protocol.

use std::fmt;

use hyper::body::Bytes;
use hyper::{HeaderMap, Method};
use pos_protocol::key::Signature;
use pos_protocol::time::Timestamp;

use super::answer::{Answer, CheckOutcome, ConnectionTest, Fault};
use super::capabilities::{Capabilities, PrepareError};
use super::order::{CheckOrder, OperationOrder, ReversalOrder};
use super::seal_keys::SealKeys;
use super::settlement::SettlementFormat;

/// One institution's protocol, without I/O, clock or randomness: for each question one function
/// that writes it and one that reads what came back.
///
/// What a protocol lacks is a typed refusal of `prepare…`, never a pretended success. What `accept…`
/// gives is an end only where the institution proved it; a reply that is not proved, cannot be read,
/// or says that something broke, is [`Outcome::Unknown`](pos_protocol::payment::Outcome).
pub trait Connector: Send + Sync + fmt::Debug {
    /// What the institution can do.
    fn capabilities(&self) -> &Capabilities;

    /// In which form the institution's settlement files come; `None` where there are none, and days are
    /// compared by hand.
    fn settlement_format(&self) -> Option<SettlementFormat>;

    /// Writes an operation, to be sent within seconds of `now`.
    ///
    /// # Errors
    /// [`PrepareError`]: this institution cannot be asked for that.
    fn prepare(&self, order: &OperationOrder, now: Timestamp) -> Result<Request, PrepareError>;

    /// Reads the reply to an operation.
    fn accept(&self, order: &OperationOrder, request: &Request, reply: &Reply) -> Answer;

    /// Writes the question what became of an operation.
    ///
    /// # Errors
    /// [`PrepareError`], also where the protocol knows no such question.
    fn prepare_inquiry(
        &self,
        order: &OperationOrder,
        now: Timestamp,
    ) -> Result<Request, PrepareError>;

    /// Reads the reply to an inquiry. "Not found" is an end only when the institution's own signed
    /// time is past the order's `not_after` (`payments.md` 3.3).
    fn accept_inquiry(&self, order: &OperationOrder, request: &Request, reply: &Reply) -> Answer;

    /// Writes a reversal.
    ///
    /// # Errors
    /// [`PrepareError`], also where the institution undoes nothing.
    fn prepare_reversal(
        &self,
        order: &ReversalOrder,
        now: Timestamp,
    ) -> Result<Request, PrepareError>;

    /// Reads the reply to a reversal. "Original not found" is an end only when the institution's own
    /// signed time is past the original's `not_after` (`payments.md` 3.4).
    fn accept_reversal(&self, order: &ReversalOrder, request: &Request, reply: &Reply) -> Answer;

    /// Writes a check.
    ///
    /// # Errors
    /// [`PrepareError`], also where the institution answers none.
    fn prepare_check(&self, order: &CheckOrder, now: Timestamp) -> Result<Request, PrepareError>;

    /// Reads the reply to a check.
    ///
    /// # Errors
    /// [`Fault`]: there is no answer to it.
    fn accept_check(
        &self,
        order: &CheckOrder,
        request: &Request,
        reply: &Reply,
    ) -> Result<CheckOutcome, Fault>;

    /// Writes the question who the institution is and what it can do.
    ///
    /// # Errors
    /// [`PrepareError`].
    fn prepare_connection_test(&self, now: Timestamp) -> Result<Request, PrepareError>;

    /// Reads the reply to a connection test. The version of the seal keys in it is 0: the driver
    /// fetches them apart.
    ///
    /// # Errors
    /// [`Fault`]: it is not the institution of the record, or speaks otherwise.
    fn accept_connection_test(
        &self,
        request: &Request,
        reply: &Reply,
    ) -> Result<ConnectionTest, Fault>;

    /// Writes the question for the keys that instruments are sealed to.
    ///
    /// # Errors
    /// [`PrepareError`].
    fn prepare_seal_keys(&self, now: Timestamp) -> Result<Request, PrepareError>;

    /// Reads the reply, which the institution's root key must have signed.
    ///
    /// # Errors
    /// [`Fault`]: there is no key set that may be used.
    fn accept_seal_keys(
        &self,
        request: &Request,
        reply: &Reply,
        now: Timestamp,
        least_version: u64,
    ) -> Result<SealKeys, Fault>;
}

/// What goes to the institution: one HTTP request, without the `Host` that the driver adds.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query as in the request line.
    pub target: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body; empty where there is none.
    pub body: Bytes,
    /// The signature of the request, which its answer is bound to.
    pub signature: Signature,
}

/// What came back, unproved.
#[derive(Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

// Bodies carry envelopes and are not for logs.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {}, {} octets)", self.method, self.target, self.body.len())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} octets)", self.status, self.body.len())
    }
}
