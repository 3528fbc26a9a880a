//! Words that a shop branches on, as enums. Codes and reasons, which it shows or logs, are text.

use pos_connect::protocol::word::Open;
use pos_connect::protocol::{payment, reason};
use pos_connect::{config, wire};
use pos_connect_macros::record;

/// An enum of this surface.
macro_rules! words {
    ($record:meta; $(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $word:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[$record]
        pub enum $name { $($(#[$about])* $word,)* }
    };
}

/// Words of answers, in a list of the module that may grow: a word that the module gains does not
/// compile here until it has its place. `newer` stands for a newer server's, which the module gives
/// by `$pattern`.
macro_rules! answers {
    ($(#[$doc:meta])* $name:ident of $source:path { $($(#[$about:meta])* $word:ident,)* }
        newer { $(#[$newer:meta])* $unknown:ident = $pattern:pat }) => {
        words! { record; $(#[$doc])* $name { $($(#[$about])* $word,)* $(#[$newer])* $unknown, } }

        impl From<$source> for $name {
            fn from(word: $source) -> Self {
                use $source as Source;
                match word {
                    $(Source::$word => Self::$word,)*
                    $pattern => Self::$unknown,
                }
            }
        }
    };
    ($(#[$doc:meta])* $name:ident of open $source:path { $($(#[$about:meta])* $word:ident,)* }
        newer { $($newer:tt)* }) => {
        answers!(@open $(#[$doc])* $name of $source { $($(#[$about])* $word,)* } $($newer)*);
    };
    (@open $(#[$doc:meta])* $name:ident of $source:path { $($(#[$about:meta])* $word:ident,)* }
        $(#[$newer:meta])* $unknown:ident) => {
        words! { record; $(#[$doc])* $name { $($(#[$about])* $word,)* $(#[$newer])* $unknown, } }

        impl From<Open<$source>> for $name {
            fn from(word: Open<$source>) -> Self {
                use $source as Source;
                match word {
                    $(Open::Known(Source::$word) => Self::$word,)*
                    Open::Unknown(_) => Self::$unknown,
                }
            }
        }
    };
}

/// Words that a host gives: those of the module, no more and no fewer.
macro_rules! requests {
    ($(#[$doc:meta])* $name:ident for $source:path { $($(#[$about:meta])* $word:ident,)* }) => {
        words! { record(request); $(#[$doc])* $name { $($(#[$about])* $word,)* } }

        impl From<$name> for $source {
            fn from(word: $name) -> Self {
                use $source as Source;
                match word { $($name::$word => Source::$word,)* }
            }
        }
    };
}

answers! {
    /// Where an operation stands. `Done`, `Declined`, `NotSent` and `Reversed` are final: after the last three
    /// nothing was moved, and an order can be paid again. In every other state ask again later.
    OperationState of wire::WireOperationState {
        /// Under way.
        Processing,
        /// Done, for `done_amount`. Final.
        Done,
        /// Refused by the institution; `decline` says why. Final.
        Declined,
        /// Certainly not processed. Final: a new try takes a quote, a new key and a new envelope.
        NotSent,
        /// Waits for the shopper.
        NeedsPayer,
        /// Taken by the institution; the result comes later.
        Pending,
        /// No outcome that can be believed yet. Wait and ask; never charge again.
        Unknown,
        /// Being undone.
        Reversing,
        /// Undone: nothing was moved in the end. Final: a new try as after `NotSent`.
        Reversed,
        /// A person of the operator has to decide.
        NeedsHuman,
    }
    newer {
        /// A state of a newer server: treat it as `Pending`.
        Other = Source::Other(_)
    }
}

answers! {
    /// What people see of a payment.
    PaymentState of payment::PaymentState {
        /// Under way.
        Processing,
        /// Waits for the shopper.
        NeedsPayer,
        /// Taken by the institution; the result comes later.
        Pending,
        /// Approved, nothing captured.
        Authorised,
        /// A part is captured, the rest may still be.
        PartlyCaptured,
        /// Captured as far as it will be.
        Paid,
        /// A part was paid back.
        PartlyRefunded,
        /// All that was captured was paid back.
        Refunded,
        /// Released or reversed before anything was captured.
        Voided,
        /// Refused by the institution.
        Declined,
        /// Certainly not processed.
        NotMade,
        /// No outcome that can be believed yet; being found out.
        Unknown,
        /// A person of the operator has to decide.
        NeedsHuman,
    }
    newer {
        /// A state of a newer server: treat it as `Pending`.
        Other = Source::Other(_)
    }
}

answers! {
    /// What an operation moves.
    OperationKind of open payment::OperationKind {
        /// Authorised and captured in one.
        Sale,
        /// Authorised, to be captured later.
        Authorise,
        /// Takes what was authorised, or a part of it.
        Capture,
        /// Releases what was authorised and not captured.
        Void,
        /// Pays captured money back.
        Refund,
        /// Undoes a sale or an authorisation whose outcome must not stand; made by the server alone.
        Reverse,
    }
    newer {
        /// A kind of a newer server.
        Other
    }
}

answers! {
    /// What a shop may tell a shopper whose payment was declined.
    ShopperAdvice of open reason::ShopperAdvice {
        /// The same instrument may work after the shopper checked what was typed.
        CheckDetails,
        /// Later, the same may work.
        TryLater,
        /// Another card, account or prepaid number may work.
        TryAnother,
    }
    newer {
        /// Advice of a newer server: tell the shopper to try another.
        Other
    }
}

answers! {
    /// Whether a payment of the amount would pass.
    CheckState of open wire::CheckState {
        /// It would pass now.
        Sufficient,
        /// It would not; `decline` says why.
        Refused,
    }
    newer {
        /// An answer of a newer server: treat it as `Refused`.
        Other
    }
}

answers! {
    /// What a key is for.
    KeyRole of open wire::KeyRole {
        /// Unattended software of the shop.
        Module,
        /// A person's session.
        Session,
    }
    newer {
        /// A role of a newer server: leave the key alone.
        Other
    }
}

requests! {
    /// The language in which an error prints itself.
    Language for config::Language {
        /// English.
        English,
        /// 日本語.
        Japanese,
    }
}

requests! {
    /// What an instrument is sealed for.
    SealedOperation for pos_connect::SealedOperation {
        /// Authorise and capture in one.
        Sale,
        /// Hold the amount.
        Authorise,
        /// Ask whether a payment would pass, without paying.
        Check,
    }
}

requests! {
    /// The kind of a bank account.
    AccountKind for pos_connect::AccountKind {
        /// 普通預金.
        Ordinary,
        /// 当座預金.
        Current,
        /// 貯蓄預金.
        Savings,
    }
}
