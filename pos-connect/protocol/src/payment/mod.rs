//! The life of a payment: its sums, its operations and the one function that moves them.
//!
//! `payments.md` 1 is the law here. [`step`] is the only writer of states and sums; the server and
//! its tests run the same function. It is pure: the time is an argument.

mod learn;
mod model;
mod step;

pub use model::{
    InvalidOperationKind, Operation, OperationKind, OperationState, Payment, PaymentState, Sums,
    WireOperation,
};
pub use step::{
    Alarm, Decision, Event, MOST_OPERATIONS, Means, NewOperation, Outcome, Refusal, Stepped, step,
    undoing,
};
