//! What a payment is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
use crate::id::OperationId;
use crate::money::{Amount, Currency};
use crate::reason::DeclineReason;
use crate::word::{Open, word};

/// One money movement of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Authorised and captured in one.
    Sale,
    /// Authorised, to be captured later.
    Authorise,
    /// Captures the authorised amount or a part of it; there may be several.
    Capture,
    /// Releases the whole authorised rest that was not captured.
    Void,
    /// Pays captured money back, whole or in part; there may be several.
    Refund,
    /// Undoes the sale or authorise whose outcome must not stand. Made by the server only: no shop can
    /// ask for it.
    Reverse,
}

/// Why a text is not an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of sale, authorise, capture, void, refund, reverse")]
pub struct InvalidOperationKind;

impl OperationKind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::Sale, Self::Authorise, Self::Capture, Self::Void, Self::Refund, Self::Reverse];

    /// The kinds that a shop can ask for, and an institution can be able to do.
    pub const ASKED: &'static [Self] =
        &[Self::Sale, Self::Authorise, Self::Capture, Self::Void, Self::Refund];

    /// The name on the wire.
    pub const fn wire(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Authorise => "authorise",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Reverse => "reverse",
        }
    }

    /// Whether it makes a new payment (and so carries an envelope and claims its order).
    pub const fn begins_payment(self) -> bool {
        matches!(self, Self::Sale | Self::Authorise)
    }
}

word!(
    OperationKind,
    "OperationKind",
    "What an operation moves; one that a client does not know is shown as it stands and never asked for."
);

/// A kind of operation as it arrived.
pub type WireOperation = Open<OperationKind>;

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire())
    }
}

impl FromStr for OperationKind {
    type Err = InvalidOperationKind;

    fn from_str(text: &str) -> Result<Self, InvalidOperationKind> {
        Self::ALL.iter().copied().find(|kind| kind.wire() == text).ok_or(InvalidOperationKind)
    }
}

/// Where an operation stands. Open is every state but the four that end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationState {
    /// Written down, waiting for something else before it is sent.
    Accepted,
    /// Handed to the connector; a byte may have left.
    Sending,
    /// The institution did it, for this much.
    Done(Amount),
    /// The institution refused it, finally.
    Declined(DeclineReason),
    /// Certainly not processed: no byte left, or the institution proved it.
    NotSent,
    /// The shopper must do something first.
    NeedsPayer,
    /// Taken by the institution; the result comes later.
    Pending,
    /// Sent, and no answer that can be believed. Only inquiry or reversal ends it.
    Unknown,
    /// A reversal of it is under way; what it was approved for, where that is known. It counts in no
    /// sum.
    Reversing(Option<Amount>),
    /// It was undone, or never took place: it counts in no sum. What it had been approved for, where
    /// that is known.
    Reversed(Option<Amount>),
    /// Cannot be settled by machines; a task stands.
    NeedsHuman,
}

impl OperationState {
    /// Whether its outcome is still to come.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Done(_) | Self::Declined(_) | Self::NotSent | Self::Reversed(_))
    }

    /// The name on the wire; `sending` and `accepted` are both `processing` to a shop.
    pub const fn wire(self) -> &'static str {
        match self {
            Self::Accepted | Self::Sending => "processing",
            Self::Done(_) => "done",
            Self::Declined(_) => "declined",
            Self::NotSent => "not_sent",
            Self::NeedsPayer => "needs_payer",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Reversing(_) => "reversing",
            Self::Reversed(_) => "reversed",
            Self::NeedsHuman => "needs_human",
        }
    }
}

/// One operation of a payment, as far as the rules of money look at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// Its id, also at the institution.
    pub id: OperationId,
    /// What it moves.
    pub kind: OperationKind,
    /// How much was asked for; for a void the rest that it releases.
    pub amount: Amount,
    /// Where it stands.
    pub state: OperationState,
    /// Whether the shop takes a smaller approval.
    pub allow_partial: bool,
    /// An approval that is learnt of later than this is reversed, where the shop said so.
    pub give_up_at: Option<Timestamp>,
    /// Whether the server made it, to undo what must not stand.
    pub by_server: bool,
}

/// The four sums of a payment, in minor units of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sums {
    /// Approved by the institution.
    pub authorised: u64,
    /// Taken of what was authorised.
    pub captured: u64,
    /// Given back of what was authorised and not captured.
    pub released: u64,
    /// Paid back of what was captured.
    pub refunded: u64,
}

impl Sums {
    /// What may still be captured or released.
    pub const fn left_to_capture(&self) -> u64 {
        self.authorised.saturating_sub(self.captured).saturating_sub(self.released)
    }

    /// What may still be refunded.
    pub const fn left_to_refund(&self) -> u64 {
        self.captured.saturating_sub(self.refunded)
    }
}

/// One shop order that is paid, as far as the rules of money look at it. Ids of shop, POS and
/// contract belong to whoever stores it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payment {
    /// How much the order comes to.
    pub amount: Amount,
    /// In which currency; every operation is in it.
    pub currency: Currency,
    /// What has moved so far.
    pub sums: Sums,
    /// Every operation so far, oldest first. Empty only before the first one.
    pub operations: Vec<Operation>,
}

impl Payment {
    /// A payment before its first operation.
    pub const fn new(amount: Amount, currency: Currency) -> Self {
        let sums = Sums { authorised: 0, captured: 0, released: 0, refunded: 0 };
        Self { amount, currency, sums, operations: Vec::new() }
    }

    /// The operation with this id.
    pub fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.id == id)
    }

    /// What people see; derived, never stored.
    pub fn state(&self) -> PaymentState {
        let Some(first) = self.operations.first() else {
            return PaymentState::Processing;
        };
        if self.operations.iter().any(|one| one.state == OperationState::NeedsHuman) {
            return PaymentState::NeedsHuman;
        }
        // A reversal without an answer leaves no doubt of what will stand: nothing.
        let doubtful = |one: &Operation| {
            one.kind != OperationKind::Reverse && one.state == OperationState::Unknown
        };
        if self.operations.iter().any(doubtful) {
            return PaymentState::Unknown;
        }
        match first.state {
            OperationState::Accepted | OperationState::Sending | OperationState::Reversing(_) => {
                PaymentState::Processing
            }
            OperationState::NeedsPayer => PaymentState::NeedsPayer,
            OperationState::Pending => PaymentState::Pending,
            OperationState::Declined(_) => PaymentState::Declined,
            OperationState::NotSent => PaymentState::NotMade,
            OperationState::Reversed(_) => PaymentState::Voided,
            OperationState::Unknown => PaymentState::Unknown,
            OperationState::NeedsHuman => PaymentState::NeedsHuman,
            OperationState::Done(_) => self.settled_state(),
        }
    }

    /// Reckons the sums from the operations. What was undone, or may yet come to nothing, counts in none.
    pub(super) fn reckon(&mut self) {
        let begun = self.operations.first().map(|first| (first.kind, first.state));
        let Some((kind, OperationState::Done(authorised))) = begun else {
            self.sums = Sums::default();
            return;
        };
        let sold = if kind == OperationKind::Sale { authorised.minor() } else { 0 };
        self.sums = Sums {
            authorised: authorised.minor(),
            captured: self.done(OperationKind::Capture).saturating_add(sold),
            released: self.done(OperationKind::Void),
            refunded: self.done(OperationKind::Refund),
        };
    }

    fn done(&self, kind: OperationKind) -> u64 {
        self.operations.iter().filter(|one| one.kind == kind).fold(0, |sum, one| match one.state {
            OperationState::Done(amount) => sum.saturating_add(amount.minor()),
            _ => sum,
        })
    }

    /// Ends the reversal of the payment's beginning, which is from now on what `becomes` makes of what
    /// it had been approved for; and with it the void that waited for it.
    pub(super) fn end_reversal(&mut self, becomes: impl FnOnce(Option<Amount>) -> OperationState) {
        let Some(first) = self.operations.first_mut() else { return };
        let OperationState::Reversing(approved) = first.state else { return };
        first.state = becomes(approved);
        let undone = matches!(first.state, OperationState::Reversed(_));
        for void in &mut self.operations {
            if void.kind == OperationKind::Void && void.state == OperationState::Accepted {
                void.state = if undone {
                    OperationState::Done(void.amount)
                } else {
                    OperationState::Declined(DeclineReason::AlreadySettled)
                };
            }
        }
    }

    fn settled_state(&self) -> PaymentState {
        let sums = &self.sums;
        if sums.refunded > 0 && sums.refunded == sums.captured {
            PaymentState::Refunded
        } else if sums.refunded > 0 {
            PaymentState::PartlyRefunded
        } else if sums.captured == 0 && sums.released > 0 {
            PaymentState::Voided
        } else if sums.captured == 0 {
            PaymentState::Authorised
        } else if sums.left_to_capture() > 0 {
            PaymentState::PartlyCaptured
        } else {
            PaymentState::Paid
        }
    }

    /// Whether the order may be paid anew: its payment was declined, not sent, voided or reversed
    /// (`payments.md` 4.5).
    pub fn frees_order(&self) -> bool {
        matches!(
            self.state(),
            PaymentState::Declined | PaymentState::NotMade | PaymentState::Voided
        )
    }
}

macro_rules! payment_states {
    ($($(#[$doc:meta])* $name:ident $wire:literal;)*) => {
        /// What people see of a payment. A client treats a state that it does not know as pending.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum PaymentState {
            $($(#[$doc])* $name,)*
            /// A state of a newer server: treat it as pending.
            Other(Box<str>),
        }

        impl PaymentState {
            /// The name on the wire.
            pub fn wire(&self) -> &str {
                match self { $(Self::$name => $wire,)* Self::Other(name) => name }
            }

            fn from_wire(name: &str) -> Self {
                match name { $($wire => Self::$name,)* other => Self::Other(other.into()) }
            }
        }

        #[cfg(feature = "openapi")]
        crate::openapi::text_schema!(
            PaymentState,
            crate::openapi::open_text(
                "What people see of a payment; a state that a client does not know is to be treated as pending.",
                [$($wire),*],
            )
        );
    };
}

payment_states! {
    /// Under way.
    Processing "processing";
    /// Waits for the shopper.
    NeedsPayer "needs_payer";
    /// Taken by the institution; the result comes later.
    Pending "pending";
    /// Approved, nothing captured.
    Authorised "authorised";
    /// A part is captured, the rest may still be.
    PartlyCaptured "partly_captured";
    /// Captured as far as it will be.
    Paid "paid";
    /// A part was paid back.
    PartlyRefunded "partly_refunded";
    /// All that was captured was paid back.
    Refunded "refunded";
    /// Released or reversed before anything was captured.
    Voided "voided";
    /// Refused by the institution.
    Declined "declined";
    /// Certainly not processed.
    NotMade "not_made";
    /// No outcome that can be believed yet; being found out.
    Unknown "unknown";
    /// A person of the operator has to decide.
    NeedsHuman "needs_human";
}

impl Serialize for PaymentState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.wire())
    }
}

impl<'de> Deserialize<'de> for PaymentState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_wire(&String::deserialize(deserializer)?))
    }
}
