//! The closed list of error codes: one table of name, HTTP status, advice and sentence.

use crate::word::{Open, word, words};

/// What a caller whose call was refused may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same call can never succeed: change it first, under a new idempotency key.
    Never,
    /// Send the same call again with the same idempotency key, signed afresh.
    SameKey,
    /// As `same_key`, after the milliseconds given in `retry_after_ms`.
    After,
    /// Ask for a quote again, then pay with a new key and a new envelope.
    NewQuote,
}

words!(Retry,
    "What a caller whose call was refused may do next; advice that a client does not know is `never`.",
    Never "never", SameKey "same_key", After "after", NewQuote "new_quote");

/// Advice as it arrived: one that this build does not know is taken for [`Retry::Never`].
pub type WireRetry = Open<Retry>;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $wire:literal $status:literal $retry:ident $kept:literal $verified:literal $en:literal $ja:literal;)*) => {
        /// Every refusal that the server can give.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code, in the order of `docs/ERRORS.md`.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name on the wire.
            pub const fn wire(self) -> &'static str {
                match self { $(Self::$name => $wire),* }
            }

            /// The HTTP status that carries it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// What the caller may do next, unless the answer says otherwise.
            pub const fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry),* }
            }

            /// Whether the refusal is kept under the idempotency key. A refusal that time could
            /// undo is: a held copy of the call may still arrive. One that no time can change
            /// leaves the key unused (`payments.md` 4.3).
            pub const fn is_kept(self) -> bool {
                match self { $(Self::$name => $kept),* }
            }

            /// Whether the refusal is only ever given after the call's signature was verified, and
            /// so proves that the server read this very call. The others can be drawn by a copy
            /// that somebody bent on the way and that kept the signature: they prove nothing about
            /// the call itself. For a mutation they mean *ask by the key*.
            pub const fn comes_after_verification(self) -> bool {
                match self { $(Self::$name => $verified),* }
            }

            /// The general sentence in English; an answer may carry a more exact one.
            pub const fn english(self) -> &'static str {
                match self { $(Self::$name => $en),* }
            }

            /// The same in Japanese.
            pub const fn japanese(self) -> &'static str {
                match self { $(Self::$name => $ja),* }
            }
        }
    };
}

codes! {
    /// The body is not the JSON that the route takes.
    InvalidJson "invalid_json" 400 Never false true
        "The body is not valid JSON for this call."
        "リクエスト本文のJSONが正しくありません。";
    /// One field is missing, unknown, doubled or out of its range; `field` names it.
    InvalidField "invalid_field" 400 Never false true
        "A field is missing, unknown or out of range."
        "項目の値が正しくありません。";
    /// A mutation came without `Idempotency-Key`.
    IdempotencyKeyMissing "idempotency_key_missing" 400 Never false true
        "This call needs an Idempotency-Key header."
        "Idempotency-Keyヘッダーが必要です。";
    /// The key is not 16 to 64 of A-Z, a-z, 0-9, hyphen and underscore.
    IdempotencyKeyInvalid "idempotency_key_invalid" 400 Never false true
        "The Idempotency-Key must be 16 to 64 letters, digits, hyphens or underscores."
        "Idempotency-Keyは英数字・ハイフン・アンダースコア16〜64文字で指定してください。";
    /// The same key was used for another call.
    IdempotencyKeyReused "idempotency_key_reused" 422 Never false true
        "This Idempotency-Key was used for a different call. Use a new key for a new call."
        "このIdempotency-Keyは別の内容で使用済みです。新しいキーを使用してください。";
    /// Less than two seconds were left when the call arrived; nothing was begun.
    DeadlineTooShort "deadline_too_short" 400 SameKey false true
        "Too little time was left to begin. Nothing was done; sign again with a later expires."
        "有効期限までの時間が不足しています。処理は行われていません。";
    /// The body is larger than the server reads.
    BodyTooLarge "body_too_large" 413 Never false false
        "The body is too large."
        "リクエスト本文が大きすぎます。";
    /// The body did not arrive in time; nothing was begun.
    BodyTooSlow "body_too_slow" 408 SameKey false false
        "The body did not arrive in time. Nothing was done; send the call again."
        "リクエスト本文の受信が時間内に完了しませんでした。処理は行われていません。";
    /// The body is not `application/json`, or is compressed.
    UnsupportedMediaType "unsupported_media_type" 415 Never false false
        "The body must be application/json without content encoding."
        "本文はapplication/json（圧縮なし）で送信してください。";
    /// No such route, or nothing under this id that the caller may see.
    NotFound "not_found" 404 Never false true
        "There is nothing here that this key may see."
        "該当するデータがありません。";
    /// The route exists with another method.
    MethodNotAllowed "method_not_allowed" 405 Never false true
        "This address does not take this HTTP method."
        "このHTTPメソッドは使用できません。";

    /// A call without the signature headers of the profile.
    SignatureMissing "signature_missing" 401 Never false false
        "The call must be signed by profile pos-connect/1."
        "リクエストに署名がありません。";
    /// The signature or its parameters are not those of the profile, or it does not verify.
    SignatureInvalid "signature_invalid" 401 Never false false
        "The signature is not valid for this call."
        "署名が正しくありません。";
    /// Signed too long ago, too far ahead, or past its `expires`: check the clock and sign again.
    SignatureStale "signature_stale" 401 SameKey false false
        "The signature is too old or from the future. Check the clock and sign again."
        "署名の時刻が有効範囲外です。時計を確認し、署名し直してください。";
    /// `Content-Digest` is not the digest of the body.
    DigestMismatch "digest_mismatch" 401 Never false false
        "Content-Digest does not match the body."
        "Content-Digestが本文と一致しません。";
    /// No such key.
    KeyUnknown "key_unknown" 401 Never false false
        "This key is not registered."
        "この鍵は登録されていません。";
    /// The key was revoked, or its shop's access ended.
    KeyRevoked "key_revoked" 401 Never false false
        "This key was revoked. Use another registered key, or ask the operator for a new code."
        "この鍵は失効しています。";
    /// The session is over: sign in again.
    SessionEnded "session_ended" 401 Never false false
        "The session has ended. Sign in again."
        "セッションが終了しました。再度ログインしてください。";
    /// User id, password or enrolment code is wrong; which of them is not said.
    CredentialRefused "credential_refused" 401 Never false true
        "The user id, password or enrolment code is not right, or the code has ended."
        "ユーザーID、パスワードまたは登録コードが正しくありません。";
    /// Too many wrong passwords; signed calls by module keys go on.
    LoginLocked "login_locked" 429 After false true
        "Too many failed attempts. Sign-in is locked for a while; payments are not."
        "ログインが一時的にロックされています。決済は継続できます。";
    /// The key may not do this: its role or its POS scope is narrower.
    NotPermitted "not_permitted" 403 Never false true
        "This key may not do that."
        "この鍵にはこの操作の権限がありません。";

    /// The order has a payment already that stands or may stand.
    OrderTaken "order_taken" 409 Never true true
        "This order already has a payment. Ask for it by the order id."
        "この注文にはすでに決済があります。";
    /// Another operation of the payment is open and excludes this one; `field` names it.
    Busy "busy" 409 Never true true
        "Another operation of this payment is still open. Ask for its outcome, then try with a new key."
        "この決済の別の処理が完了していません。";
    /// More than may still be captured or refunded.
    AmountExceeded "amount_exceeded" 409 Never true true
        "The amount is more than what is left of this payment."
        "金額が残額を超えています。";
    /// Nothing is left that could be captured, voided or refunded.
    NothingLeft "nothing_left" 409 Never true true
        "Nothing is left of this payment for this operation."
        "この処理の対象となる残額がありません。";
    /// The currency is not the payment's.
    CurrencyMismatch "currency_mismatch" 400 Never false true
        "The currency is not that of the payment."
        "通貨が決済の通貨と一致しません。";
    /// The contract's institution does not offer this operation.
    OperationUnsupported "operation_unsupported" 409 Never true true
        "The institution does not offer this operation."
        "この決済機関ではこの操作を利用できません。";
    /// The contract or its institution does not take this currency.
    CurrencyNotAccepted "currency_not_accepted" 409 NewQuote true true
        "This contract does not take this currency."
        "この契約では利用できない通貨です。";
    /// Below the least or above the most that the contract allows.
    AmountOutOfLimits "amount_out_of_limits" 409 NewQuote true true
        "The amount is outside the limits of this contract."
        "金額が契約の限度範囲外です。";
    /// The contract or the POS is switched off.
    ContractDisabled "contract_disabled" 409 NewQuote true true
        "This contract is switched off. Ask for a quote."
        "この契約は現在利用できません。";
    /// The operator has switched the institution off.
    InstitutionDisabled "institution_disabled" 409 NewQuote true true
        "The institution is switched off. Ask for a quote."
        "この決済機関は現在利用できません。";
    /// The envelope is missing, not well formed, or sealed to a key that is not in the key set.
    EnvelopeInvalid "envelope_invalid" 400 Never false true
        "The sealed instrument is not valid for this contract. Seal it again."
        "封緘データが正しくありません。";
    /// The envelope's `not_after` has passed or lies too far ahead.
    EnvelopeExpired "envelope_expired" 409 NewQuote true true
        "The sealed instrument has expired, or ends more than 15 minutes ahead. Seal it again."
        "封緘データの有効期限が切れているか、15分より先です。封緘し直してください。";
    /// The envelope was used before: each pays once.
    EnvelopeUsed "envelope_used" 409 NewQuote true true
        "This sealed instrument was used before. Seal it again."
        "封緘データは使用済みです。";

    /// The institution could not be asked, or did not answer as it should; nothing moved.
    InstitutionUnavailable "institution_unavailable" 503 After false true
        "The institution cannot be reached now. Nothing was moved."
        "決済機関に接続できません。";
    /// Too many calls from this shop or source.
    TooManyRequests "too_many_requests" 429 After false false
        "Too many calls. Wait, then ask for the outcome by the same key."
        "リクエストが多すぎます。";
    /// The server is at its limit; nothing was begun by this answer.
    Overloaded "overloaded" 503 After false false
        "The server is busy. Wait, then ask for the outcome by the same key."
        "サーバーが混み合っています。";
    /// The server is starting, stopping, or its database is not writable.
    NotReady "not_ready" 503 After false false
        "The server is not ready. Wait, then ask for the outcome by the same key."
        "サーバーの準備ができていません。";
    /// A fault of the server. For a mutation it says nothing about what happened: ask by key.
    Internal "internal" 500 After false false
        "The server failed. Ask for the outcome by the same key; the request id helps the operator."
        "サーバー内部エラーが発生しました。";
}

impl ErrorCode {
    /// The code of this name, if this build knows it.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.wire() == name)
    }
}

/// A code as it arrived: one this build knows, or a newer one kept as text (to be treated as not
/// retryable).
pub type WireCode = Open<ErrorCode>;

word!(ErrorCode, "WireCode", "An error code; one that a client does not know is not retryable.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for (at, code) in ErrorCode::ALL.iter().enumerate() {
            let first = ErrorCode::ALL.iter().position(|other| other.wire() == code.wire());
            assert_eq!(first, Some(at), "{}", code.wire());
            assert_eq!(ErrorCode::from_wire(code.wire()), Some(*code));
            assert!(code.wire().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!((400..=599).contains(&code.status()));
        }
    }

    #[test]
    fn only_what_time_could_undo_is_kept_under_the_key() {
        assert!(ErrorCode::Busy.is_kept());
        assert!(ErrorCode::OrderTaken.is_kept());
        assert!(!ErrorCode::InvalidField.is_kept());
        assert!(!ErrorCode::Internal.is_kept());
    }

    #[test]
    fn what_a_bent_copy_can_draw_proves_nothing_about_the_call() {
        let early = ErrorCode::ALL.iter().filter(|code| !code.comes_after_verification());
        let early: Vec<_> = early.map(|code| code.wire()).collect();
        assert_eq!(
            early,
            [
                "body_too_large",
                "body_too_slow",
                "unsupported_media_type",
                "signature_missing",
                "signature_invalid",
                "signature_stale",
                "digest_mismatch",
                "key_unknown",
                "key_revoked",
                "session_ended",
                "too_many_requests",
                "overloaded",
                "not_ready",
                "internal",
            ]
        );
        assert!(
            ErrorCode::ALL.iter().all(|code| !code.is_kept() || code.comes_after_verification())
        );
    }

    /// The sentence is kept without a more exact one, so it must be true of both.
    #[test]
    fn an_envelope_that_ends_too_soon_and_one_that_ends_too_late_are_told_alike() {
        let code = ErrorCode::EnvelopeExpired;
        assert!(code.english().contains("has expired, or ends more than 15 minutes ahead"));
        assert!(code.japanese().contains("切れているか、15分より先です"));
    }

    #[test]
    fn a_kept_refusal_never_advises_the_same_key() {
        for code in ErrorCode::ALL.iter().filter(|code| code.is_kept()) {
            assert!(matches!(code.retry(), Retry::Never | Retry::NewQuote), "{}", code.wire());
        }
    }

    #[test]
    fn a_code_of_a_newer_server_is_kept_as_text() {
        let code: WireCode = serde_json::from_str("\"from_the_future\"").unwrap();
        assert_eq!(code, WireCode::Unknown("from_the_future".into()));
        assert_eq!(serde_json::to_string(&code).unwrap(), "\"from_the_future\"");
    }
}
