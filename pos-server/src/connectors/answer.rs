//! What became of a request, as the core sees it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::institution::{InvalidBody, Names};
use pos_protocol::payment::Outcome;
use pos_protocol::reason::DeclineReason;
use pos_protocol::seal::InvalidKeySet;
use pos_protocol::sign::SignError;
use pos_protocol::time::Timestamp;

use super::capabilities::{Capabilities, PrepareError};

/// What is known of an operation after it was sent or asked about. Only what an institution
/// *proved* is an end; the rest is [`Outcome::Unknown`], and [`fault`](Self::fault) says why.
#[derive(Clone, Debug)]
pub struct Answer {
    /// For `step`.
    pub outcome: Outcome,
    /// The institution's own number of the operation.
    pub reference: Option<String>,
    /// A stable pseudonym of the instrument, for velocity rules.
    pub card_reference: Option<String>,
    /// The approval code, where the scheme has one.
    pub approval_code: Option<String>,
    /// The institution's own code of a decline or refusal: for the operator only.
    pub raw_code: Option<String>,
    /// The version of the shop's particulars that the institution worked with.
    pub shop_record_version: Option<u64>,
    /// The institution's time, where it signed one.
    pub institution_time: Option<Timestamp>,
    /// When asking again makes sense, for a pending operation.
    pub next_look: Option<Duration>,
    /// The page that the shopper must open, where the payer has to act.
    pub payer_url: Option<String>,
    /// Why there is no outcome, for the operator's log; none where there is one.
    pub fault: Option<Fault>,
}

impl Answer {
    /// An answer that says no more than its outcome.
    pub const fn bare(outcome: Outcome) -> Self {
        Self {
            outcome,
            reference: None,
            card_reference: None,
            approval_code: None,
            raw_code: None,
            shop_record_version: None,
            institution_time: None,
            next_look: None,
            payer_url: None,
            fault: None,
        }
    }

    /// Certainly not processed.
    pub fn not_sent(fault: impl Into<Option<Fault>>) -> Self {
        Self { fault: fault.into(), ..Self::bare(Outcome::NotSent) }
    }

    /// No answer that can be believed.
    pub fn unknown(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::bare(Outcome::Unknown) }
    }
}

/// What a sale would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It would pass.
    Sufficient,
    /// Balance or limit is lower than the amount.
    TooLow,
    /// The instrument is past its date.
    Expired,
    /// It would be declined for another reason.
    Refused(DeclineReason),
}

/// What a connection test found.
#[derive(Clone, Debug)]
pub struct ConnectionTest {
    /// The institution's name in both languages, as it says it itself.
    pub names: Names,
    /// What it says that it can do; keep it with the record.
    pub capabilities: Capabilities,
    /// Its clock.
    pub institution_time: Timestamp,
    /// The newest version of its seal key set; keep it with the record.
    pub seal_key_version: u64,
}

/// Why there is no outcome. Says nothing of whether the operation was processed: the outcome beside
/// it does.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The answer's body is not what the protocol says.
    #[error("the answer cannot be read: {0}")]
    Body(#[from] InvalidBody),
    /// No line was free in time: the bound on lines to one institution is reached.
    #[error("no line to the institution was free in time")]
    Busy,
    /// No connection, or no TLS session.
    #[error("the institution cannot be reached: {0}")]
    Connect(#[source] Arc<io::Error>),
    /// The caller's deadline passed before anything was written.
    #[error("the call's deadline passed before the first byte")]
    Expired,
    /// The institution is not who the record says.
    #[error("the institution calls itself `{found}`")]
    Foreign {
        /// The id that it gave.
        found: String,
    },
    /// The seal key set cannot be used.
    #[error("{0}")]
    KeySet(Arc<InvalidKeySet>),
    /// Another process owns the operation now.
    #[error("the lease on the operation ran out before the first byte")]
    LeaseLost,
    /// The line broke.
    #[error("the line to the institution broke: {0}")]
    Line(#[source] Arc<hyper::Error>),
    /// The answer names another amount, currency, order or operation than was sent.
    #[error("the answer has another `{field}` than the operation")]
    Mismatch {
        /// The member that differs.
        field: &'static str,
    },
    /// The institution's protocol has no question for it: a person has to ask.
    #[error("the institution cannot be asked by machine what became of the operation")]
    NoInquiry,
    /// The institution knows nothing of the operation, but may still get it: ask again.
    #[error("the institution knows nothing of the operation yet")]
    NotFoundYet,
    /// The operation cannot be asked of this institution.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The institution refused the call.
    #[error("the institution refused the call: {code} ({message})")]
    Refused {
        /// Its code.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// It was undone at the institution, and not by us.
    #[error("the institution reversed the operation by itself")]
    Reversed,
    /// The answer is not proved to be the institution's answer to this call. A proxy's error page
    /// is this.
    #[error("the answer with status {status} is not proved: {cause}")]
    Signature {
        /// The HTTP status that came with it.
        status: u16,
        /// What is wrong with its signature.
        cause: SignError,
    },
    /// No answer in time.
    #[error("the institution did not answer in time")]
    TimedOut,
    /// A reversal arrived after its own `not_after`: it is sent again.
    #[error("the reversal came too late, and has to be sent again")]
    TooLate,
    /// The answer is longer than any of the protocol.
    #[error("the answer has more than {most} octets")]
    TooLarge {
        /// Octets that were allowed.
        most: usize,
    },
}
