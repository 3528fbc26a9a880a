//! The life of a payment: its sums, its operations and the one function that moves them.
//!
//! `payments.md` 1 is the law here. [`step`] is the only writer of states and sums; the server and
//! its tests run the same function. It is pure, and no rule in it looks at the time.

mod model;
mod step;

pub use model::{
    InvalidOperationKind, Operation, OperationKind, OperationState, Payment, PaymentState, Sums,
    WireOperation,
};
pub use step::{Alarm, Event, MOST_OPERATIONS, NewOperation, Outcome, Refusal, Stepped, step};
