//! What the module itself finds wrong: one table of name, kind, advice and sentence.

use pos_protocol::code::Retry;

use super::ErrorKind;

macro_rules! module_codes {
    ($($(#[$doc:meta])* $name:ident $text:literal $kind:ident $retry:ident $en:literal $ja:literal;)*) => {
        /// What the module itself finds wrong, beside the server's [`ErrorCode`](pos_protocol::ErrorCode)s.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ModuleCode { $($(#[$doc])* $name,)* }

        impl ModuleCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What to do about it.
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind),* }
            }

            /// Whether and how the same call may be made again.
            pub const fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry),* }
            }

            /// The sentence for people, in English.
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

module_codes! {
    /// In another language: a connection that speaks with a key already cannot speak with another.
    AlreadyOpen "already_open" FixTheRequest Never
        "This connection is in use. Register or sign in on a new one."
        "この接続は使用中です。新しい接続で登録またはログインしてください。";
    /// The key store holds a registered key already.
    AlreadyRegistered "already_registered" FixTheRequest Never
        "This key store holds a registered key. Open it, or register with an empty one."
        "このキーストアには登録済みの鍵があります。";
    /// A verified answer that this build cannot read.
    AnswerUnreadable "answer_unreadable" GiveUp Never
        "The server's answer is signed, but this version cannot read it. Update the module."
        "サーバーの応答を解釈できません。モジュールを更新してください。";
    /// The answers are not signed by the server's answer key: something on the line changes them.
    AnswerUnverified "answer_unverified" Wait SameKey
        "The answer is not signed by the server and was not believed."
        "応答の署名を確認できないため、信用しませんでした。";
    /// The connection was closed or signed out.
    Closed "closed" FixTheRequest Never
        "This connection was closed. Open another."
        "この接続は閉じられています。";
    /// A setting cannot be used.
    Configuration "configuration" FixTheRequest Never
        "A setting of the connection cannot be used."
        "接続の設定が正しくありません。";
    /// No clock or no randomness.
    Environment "environment" GiveUp Never
        "The system gives no time or no randomness. Nothing was sent."
        "システムの時刻または乱数を取得できません。";
    /// The journal's entry under this key is another shop's, or of another server.
    ForeignEntry "foreign_entry" AskForStatus Never
        "The journal's open payment under this key is another shop's or another server's. Ask as that shop, there."
        "このキーの未完了の決済は、別の加盟店またはサーバーのものです。";
    /// The journal could not be written; without it no payment is sent.
    Journal "journal" GiveUp Never
        "The journal of payments cannot be written or read. Nothing was sent."
        "決済ジャーナルを読み書きできません。送信は行われていません。";
    /// The key store could not be read or written.
    KeyStore "key_store" GiveUp Never
        "The key store cannot be written or read."
        "キーストアを読み書きできません。";
    /// The server lost its memory of the time in which this was sent.
    NeedsHuman "needs_human" AskForStatus Never
        "The server was restored from a backup that may not know this payment. Ask the operator before paying again."
        "サーバーの復旧により結果を確認できません。再度決済する前に運営者へ問い合わせてください。";
    /// In another language: a verb that waits was called within one that is waiting.
    Nested "nested" FixTheRequest Never
        "A verb was called from a callback of another. Call it once that one has returned."
        "呼び出し中の処理の中から別の処理を呼び出しました。先の処理が終わってから呼び出してください。";
    /// What only a module key does was asked of a session's connection.
    NotAModuleKey "not_a_module_key" FixTheRequest Never
        "Only a module key can do this. Open a connection with the key of the store."
        "この操作はモジュール鍵でのみ行えます。";
    /// Neither the journal nor the server knows a call under this key.
    NotInJournal "not_in_journal" FixTheRequest Never
        "Neither the journal nor the server knows a payment under this key."
        "このキーの決済は、ジャーナルにもサーバーにもありません。";
    /// Proved: no call under this key arrived, and none can any more.
    NotMade "not_made" Wait NewQuote
        "Nothing was made: the call never reached the server. Try again with a new key."
        "処理は行われていません。新しいキーで再度お試しください。";
    /// The key store holds no registered key.
    NotRegistered "not_registered" SignInAgain Never
        "This key store holds no registered key. Register first, with the operator's code."
        "登録済みの鍵がありません。登録コードで登録してください。";
    /// Another call under this key is open.
    OpenUnderKey "open_under_key" AskForStatus Never
        "Another call under this key is still open, and may have been made. Resume it first."
        "このキーの別の決済が未完了です。先にその結果を照会してください。";
    /// No believable word about the outcome in time.
    OutcomeUnknown "outcome_unknown" AskForStatus SameKey
        "The outcome is not known. It may have been made: ask by the same key, do not pay again."
        "結果が不明です。処理済みの可能性があるため、同じキーで照会してください。";
    /// The institution's seal keys are not signed by its root key, have ended, or are older than
    /// ones seen before.
    SealKeysRefused "seal_keys_refused" GiveUp Never
        "The institution's seal keys are not to be used. Nothing was sealed; tell the operator."
        "決済機関の封緘鍵を使用できません。運営者に連絡してください。";
    /// The server names another root key for the institution than before.
    SealRootChanged "seal_root_changed" GiveUp Never
        "The institution's root key is not the one known. Confirm it with the institution."
        "決済機関のルート鍵が以前と異なります。決済機関に確認してください。";
    /// The statements of succession do not lead from the pinned answer key to the one in use.
    ServerNotProved "server_not_proved" GiveUp Never
        "The server's answer key does not follow from the pinned one. Ask the operator for a new code."
        "サーバーの応答鍵を確認できません。運営者に新しい登録コードを依頼してください。";
    /// TLS does not trust the server's certificate.
    ServerNotTrusted "server_not_trusted" GiveUp Never
        "The server's certificate is not trusted. Nothing was sent."
        "サーバー証明書を信頼できません。送信は行われていません。";
    /// The server gave no answer in time.
    ServerSilent "server_silent" Wait SameKey
        "The server gave no answer in time."
        "サーバーから時間内に応答がありません。";
    /// No connection; nothing was sent.
    ServerUnreachable "server_unreachable" Wait SameKey
        "The server cannot be reached. Nothing was sent."
        "サーバーに接続できません。送信は行われていません。";
    /// A webhook is not the server's, or too old.
    WebhookUnverified "webhook_unverified" FixTheRequest Never
        "The webhook was not believed. Answer it with status 400, and do nothing else."
        "Webhookを確認できないため、信用しませんでした。ステータス400を返し、処理しないでください。";
}
