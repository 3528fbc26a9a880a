//! Rules of the protocol that an institution can be told to break: so that a test sees the check of
//! `pos-server institution check` find each of them.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// One rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// A capture or refund that comes again moves money again, as far as there is any.
    ActsTwice,
    /// More is captured than is held.
    CapturesTooMuch,
    /// An envelope is taken as often as it comes.
    ForgetsRand,
    /// An original that comes after its reversal is taken.
    ForgetsReversals,
    /// An envelope is taken for whatever it comes with.
    IgnoresBinding,
    /// A call is taken however old it is.
    IgnoresFreshness,
    /// An operation is taken however late it comes.
    IgnoresNotAfter,
    /// Every reversal is declined.
    RefusesReversals,
    /// More is refunded than was captured.
    RefundsTooMuch,
    /// Refusals carry no signature.
    UnsignedRefusals,
}

/// The quirk that an institution has at the moment; none as a rule.
#[derive(Debug, Default)]
pub struct Quirks(Mutex<Option<Quirk>>);

impl Quirks {
    /// Switches one on in place of the last, or none.
    pub fn set(&self, quirk: Option<Quirk>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = quirk;
    }

    /// The one that is on.
    pub fn get(&self) -> Option<Quirk> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this one is on.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.get() == Some(quirk)
    }
}
