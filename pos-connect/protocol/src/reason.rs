//! Why an institution declined, in words that a person can act on (claim 12).
//!
//! The list is shared by all connectors. The sentence is the *safe* one: it never says that a card
//! is reported stolen or that fraud is suspected. The institution's raw code stays with the
//! operator.

use serde::{Deserialize, Serialize};

use crate::word::{Open, word, words};

/// What a shop may tell a shopper: coarse on purpose, so that a shop cannot be used to test cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShopperAdvice {
    /// Another card, account or prepaid number may work.
    TryAnother,
    /// The same instrument may work after the shopper checked what was typed.
    CheckDetails,
    /// Later, the same may work.
    TryLater,
}

words!(ShopperAdvice,
    "What a shop may tell a shopper; advice that a client does not know is `try_another`.",
    TryAnother "try_another", CheckDetails "check_details", TryLater "try_later");

/// Advice as it arrived.
pub type WireAdvice = Open<ShopperAdvice>;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $wire:literal $advice:ident $hard:literal $en:literal $ja:literal;)*) => {
        /// Why a payment was declined.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum DeclineReason {
            $($(#[$doc])* #[serde(rename = $wire)] $name,)*
        }

        impl DeclineReason {
            /// Every reason, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name on the wire.
            pub const fn wire(self) -> &'static str {
                match self { $(Self::$name => $wire),* }
            }

            /// The sentence for the signed-in person at the shop, in English.
            pub const fn english(self) -> &'static str {
                match self { $(Self::$name => $en),* }
            }

            /// The same in Japanese.
            pub const fn japanese(self) -> &'static str {
                match self { $(Self::$name => $ja),* }
            }

            /// What the shop may tell the shopper.
            pub const fn shopper_advice(self) -> ShopperAdvice {
                match self { $(Self::$name => ShopperAdvice::$advice),* }
            }

            /// Whether the same instrument must not be tried again at all (the card schemes' "hard"
            /// declines).
            pub const fn is_hard(self) -> bool {
                match self { $(Self::$name => $hard),* }
            }
        }
    };
}

reasons! {
    /// Balance or credit lower than the amount.
    InsufficientFunds "insufficient_funds" TryAnother false
        "The balance or credit limit is too low for this amount." "残高または利用枠が不足しています。";
    /// Past its date.
    ExpiredCard "expired_card" TryAnother true
        "The card has expired." "カードの有効期限が切れています。";
    /// No such number, or mistyped.
    InvalidCard "invalid_card" CheckDetails true
        "The card or account number is not valid." "カード番号または口座番号が正しくありません。";
    /// Reported lost or stolen; shown as a plain decline.
    LostOrStolen "lost_or_stolen" TryAnother true
        "The payment was declined by the institution." "決済機関により承認されませんでした。";
    /// Over an amount or count limit of the instrument.
    OverLimit "over_limit" TryAnother false
        "The payment is over the limit set for this card or account." "利用限度額または利用回数の上限を超えています。";
    /// This kind of payment is not allowed for this instrument or shop.
    NotPermitted "not_permitted" TryAnother true
        "This kind of payment is not allowed for this card or account." "このカードまたは口座ではこの取引を利用できません。";
    /// Fraud suspected; shown as a plain decline.
    SuspectedFraud "suspected_fraud" TryAnother true
        "The payment was declined by the institution." "決済機関により承認されませんでした。";
    /// PIN, security code or password wrong.
    WrongSecret "wrong_secret" CheckDetails false
        "The PIN or security code is wrong." "暗証番号またはセキュリティコードが誤っています。";
    /// The institution wants to be asked by telephone.
    CallIssuer "call_issuer" TryAnother false
        "The institution must be contacted before this payment." "金融機関への確認が必要です。";
    /// The institution behind the institution did not answer.
    IssuerUnavailable "issuer_unavailable" TryLater false
        "The institution is not reachable now. Try again later." "金融機関に接続できません。しばらくしてからもう一度お試しください。";
    /// The account was closed or never existed.
    AccountClosed "account_closed" TryAnother true
        "There is no such account, or it was closed." "口座がないか、解約されています。";
    /// The amount itself is not acceptable.
    AmountInvalid "amount_invalid" TryAnother false
        "The amount is not acceptable to the institution." "金額が受け付けられませんでした。";
    /// The shop is not, or no longer, known under this contract.
    MerchantInvalid "merchant_invalid" TryLater false
        "The institution does not accept this shop's contract. Contact the operator." "加盟店契約が無効です。運営者へお問い合わせください。";
    /// The institution takes it for a repeat.
    Duplicate "duplicate" TryLater false
        "The institution has already seen this payment." "同じ取引がすでに処理されています。";
    /// Declined without saying why.
    DoNotHonour "do_not_honour" TryAnother false
        "The payment was declined by the institution." "決済機関により承認されませんでした。";
    /// Anything else.
    Other "other" TryAnother false
        "The payment could not be made." "決済を処理できませんでした。";
    /// A void or a reversal that came too late: the payment is settled and can only be refunded.
    AlreadySettled "already_settled" TryLater false
        "The payment is settled already; it can only be refunded." "すでに精算済みのため、返金のみ可能です。";
}

word!(
    DeclineReason,
    "DeclineReason",
    "Why a payment was declined; a reason that a client does not know reads as its `message` says."
);

/// A reason as it arrived.
pub type WireReason = Open<DeclineReason>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_shared_one() {
        let names: Vec<_> = DeclineReason::ALL.iter().map(|reason| reason.wire()).collect();
        assert_eq!(
            names,
            [
                "insufficient_funds",
                "expired_card",
                "invalid_card",
                "lost_or_stolen",
                "over_limit",
                "not_permitted",
                "suspected_fraud",
                "wrong_secret",
                "call_issuer",
                "issuer_unavailable",
                "account_closed",
                "amount_invalid",
                "merchant_invalid",
                "duplicate",
                "do_not_honour",
                "other",
                "already_settled",
            ]
        );
    }

    #[test]
    fn fraud_and_theft_read_like_any_decline() {
        let plain = DeclineReason::DoNotHonour;
        assert_eq!(plain.english(), "The payment was declined by the institution.");
        for reason in [DeclineReason::LostOrStolen, DeclineReason::SuspectedFraud] {
            assert_eq!(reason.english(), plain.english());
            assert_eq!(reason.japanese(), plain.japanese());
            assert_eq!(reason.shopper_advice(), plain.shopper_advice());
        }
        assert_eq!(
            serde_json::to_string(&DeclineReason::DoNotHonour).unwrap(),
            "\"do_not_honour\""
        );
    }
}
