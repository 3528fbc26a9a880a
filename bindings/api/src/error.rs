//! The one error that every verb gives, by what to do about it.

use std::error::Error as _;
use std::fmt;

use pos_connect::{ErrorCode, ErrorKind, IdempotencyKey, Language, ModuleCode};
use pos_connect_macros::record;

#[cfg(not(target_arch = "wasm32"))]
use crate::runtime::Unheard;

/// Whether and how the same call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[record]
pub enum Retry {
    /// The same call can never succeed. Where the kind is `AskForStatus`, ask what became of it; else
    /// change it first, under a new idempotency key.
    Never,
    /// Make the same call again with the same idempotency key.
    SameKey,
    /// As `SameKey`, after `retry_after_ms`.
    After,
    /// Ask for a quote again, then pay with a new key and a new envelope.
    NewQuote,
}

impl From<pos_connect::Retry> for Retry {
    fn from(retry: pos_connect::Retry) -> Self {
        match retry {
            pos_connect::Retry::Never => Self::Never,
            pos_connect::Retry::SameKey => Self::SameKey,
            pos_connect::Retry::After => Self::After,
            pos_connect::Retry::NewQuote => Self::NewQuote,
        }
    }
}

/// The key of the payment that a verb is about, where the host has given one.
pub(crate) struct About(Option<String>);

impl From<&String> for About {
    fn from(key: &String) -> Self {
        Self(Some(key.clone()))
    }
}

impl From<&Option<String>> for About {
    fn from(key: &Option<String>) -> Self {
        Self(key.clone())
    }
}

/// The variants, each with the kind of the module that it stands for, and one set of fields.
macro_rules! errors {
    ({ $($(#[$doc:meta])* $variant:ident = $kind:pat,)* } $fields:tt) => {
        errors!(@enum [] { $($(#[$doc])* $variant;)* } $fields);
        errors!(@build { $($variant = $kind,)* } $fields);
    };
    // One variant after the other, because two lists cannot be multiplied in one repetition.
    (@enum [$($done:tt)*] { $(#[$doc:meta])* $variant:ident; $($rest:tt)* }
        { $($(#[$about:meta])* $field:ident: $type:ty,)* }) => {
        errors!(@enum [$($done)*
            $(#[$doc])*
            #[error("{text}")]
            $variant { $($(#[$about])* $field: $type,)* },
        ] { $($rest)* } { $($(#[$about])* $field: $type,)* });
    };
    (@enum [$($variants:tt)*] {} { $($(#[$about:meta])* $field:ident: $type:ty,)* }) => {
        /// Why a verb did not do what was asked. Its kind says what to do: catch by it.
        #[derive(Debug, thiserror::Error)]
        #[cfg_attr(feature = "uniffi", derive(uniffi::Error))]
        #[cfg_attr(feature = "json", derive(serde::Serialize))]
        #[cfg_attr(feature = "json", serde(tag = "kind", rename_all = "snake_case"))]
        #[cfg_attr(
            all(feature = "wasm", target_arch = "wasm32"),
            derive(tsify::Tsify),
            tsify(missing_as_null),
            serde(rename_all_fields = "camelCase")
        )]
        pub enum Error { $($variants)* }

        /// What an error of any kind says.
        struct Said { $($field: $type,)* }
    };
    (@build { $($variant:ident = $kind:pat,)* } $fields:tt) => {
        impl Error {
            fn of(kind: ErrorKind, said: Said) -> Self {
                match kind { $($kind => errors!(@one $variant said $fields),)* }
            }

            fn said(self) -> Said {
                match self {
                    $(Self::$variant {
                        code,
                        text,
                        text_en,
                        text_ja,
                        retry,
                        retry_after_ms,
                        field,
                        request_id,
                        idempotency_key,
                        cause,
                    })|* => Said {
                        code,
                        text,
                        text_en,
                        text_ja,
                        retry,
                        retry_after_ms,
                        field,
                        request_id,
                        idempotency_key,
                        cause,
                    },
                }
            }

            fn texts(&mut self) -> (&mut String, &String, &String) {
                match self {
                    $(Self::$variant { text, text_en, text_ja, .. })|* => (text, text_en, text_ja)
                }
            }

            fn advice(&mut self) -> &mut Retry {
                match self { $(Self::$variant { retry, .. })|* => retry }
            }

            /// The key of the payment that this is about.
            pub fn idempotency_key(&self) -> Option<&str> {
                match self {
                    $(Self::$variant { idempotency_key, .. })|* => idempotency_key.as_deref()
                }
            }

            /// The exact code, from `docs/ERRORS.md`.
            pub fn code(&self) -> &str {
                match self { $(Self::$variant { code, .. })|* => code }
            }

            /// The field that was wrong, as a JSON path.
            pub fn field(&self) -> Option<&str> {
                match self { $(Self::$variant { field, .. })|* => field.as_deref() }
            }
        }
    };
    (@one $variant:ident $said:ident { $($(#[$about:meta])* $field:ident: $type:ty,)* }) => {{
        let Said { $($field),* } = $said;
        Self::$variant { $($field),* }
    }};
}

errors! {
    {
        /// The outcome of a payment is not known: it may have been made. Never pay again under another
        /// key; ask with `resume` and `idempotency_key`.
        AskForStatus = ErrorKind::AskForStatus,
        /// The call cannot succeed as it is; `field` may say where. Nothing was moved.
        FixTheRequest = ErrorKind::FixTheRequest,
        /// The key or session is not good (any more): sign in, or register anew. Nothing was moved.
        SignInAgain = ErrorKind::SignInAgain,
        /// Nothing was moved, and a later try may succeed: after `retry_after_ms` under the same key
        /// where `retry` says `SameKey` or `After`, under a new key where it says `Never` or `NewQuote`.
        Wait = ErrorKind::Wait,
        /// Neither waiting nor another call helps: tell the operator `code` and `request_id`. Nothing
        /// was moved.
        GiveUp = _,
    }
    {
        /// The exact code, from `docs/ERRORS.md`, for logs and for cases that need more than the kind.
        code: String,
        /// The sentence for people, in the language of the configuration.
        text: String,
        /// The same in English.
        text_en: String,
        /// The same in Japanese.
        text_ja: String,
        /// Whether and how the same call may be made again.
        retry: Retry,
        /// How long to wait before that, in milliseconds, where the server said so.
        retry_after_ms: Option<u64>,
        /// The field that was wrong, as a JSON path.
        field: Option<String>,
        /// Names the call in the operator's log, where the server answered.
        request_id: Option<String>,
        /// The key of the payment that this is about: what to ask by.
        idempotency_key: Option<String>,
        /// What lies below, for the log.
        cause: Option<String>,
    }
}

impl From<pos_connect::Error> for Error {
    fn from(error: pos_connect::Error) -> Self {
        let ms = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self::of(
            error.kind(),
            Said {
                code: error.code().as_str().into(),
                text: error.to_string(),
                text_en: error.message().into(),
                text_ja: error.message_ja().into(),
                retry: error.retry().into(),
                retry_after_ms: error.retry_after().map(ms),
                field: error.field().map(Into::into),
                request_id: error.request_id().map(|id| id.to_string()),
                idempotency_key: error.idempotency_key().map(|key| key.to_string()),
                cause: error.source().map(causes),
            },
        )
    }
}

impl Error {
    /// An argument that cannot be what it is for.
    pub(crate) fn argument(field: impl Into<String>, rule: &dyn fmt::Display) -> Self {
        let (code, field) = (ErrorCode::InvalidField, field.into());
        let text_ja = format!("{} ({field})", code.japanese());
        Self::about_field(code.wire(), code.retry(), field, rule, text_ja)
    }

    /// A setting that cannot be used.
    pub(crate) fn setting(field: &str, rule: &dyn fmt::Display) -> Self {
        let code = ModuleCode::Configuration;
        let text_ja = format!("{} ({field})", code.japanese());
        Self::about_field(code.as_str(), code.retry(), field.into(), rule, text_ja)
    }

    fn about_field(
        code: &str,
        retry: pos_connect::Retry,
        field: String,
        rule: &dyn fmt::Display,
        text_ja: String,
    ) -> Self {
        let text = format!("{field}: {rule}");
        Self::of(
            ErrorKind::FixTheRequest,
            Said {
                code: code.into(),
                text: text.clone(),
                text_en: text,
                text_ja,
                retry: retry.into(),
                retry_after_ms: None,
                field: Some(field),
                request_id: None,
                idempotency_key: None,
                cause: None,
            },
        )
    }

    /// With other advice than the code's.
    pub(crate) fn retried_by(mut self, advice: Retry) -> Self {
        *self.advice() = advice;
        self
    }

    pub(crate) fn in_language(mut self, language: Language) -> Self {
        let (text, text_en, text_ja) = self.texts();
        text.clone_from(match language {
            Language::English => text_en,
            Language::Japanese => text_ja,
        });
        self
    }

    /// The same about the open call of this key, which may have moved money whatever this one did: the
    /// code stays, what to do about it does not.
    pub(crate) fn in_doubt(self, key: &IdempotencyKey) -> Self {
        let unknown = ModuleCode::OutcomeUnknown;
        let said = self.said();
        let cause = said
            .cause
            .map_or_else(|| said.text_en.clone(), |cause| format!("{}: {cause}", said.text_en));
        Self::of(
            ErrorKind::AskForStatus,
            Said {
                text: unknown.english().into(),
                text_en: unknown.english().into(),
                text_ja: unknown.japanese().into(),
                retry: unknown.retry().into(),
                idempotency_key: Some(key.to_string()),
                cause: Some(cause),
                ..said
            },
        )
    }

    /// A verb was not heard to its end: one about a payment may have moved money, now or earlier
    /// under its key.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn unheard(cause: &Unheard, about: Option<About>) -> Self {
        let environment = || Self::module(ModuleCode::Environment, Some(cause));
        match (cause, about) {
            (Unheard::NoThread(_), None | Some(About(None))) => environment(),
            (_, None) => Self::module(ModuleCode::ServerSilent, Some(cause)),
            (_, Some(About(key))) => {
                let unknown = Self::module(ModuleCode::OutcomeUnknown, Some(cause));
                Self::of(ErrorKind::AskForStatus, Said { idempotency_key: key, ..unknown.said() })
            }
        }
    }

    /// What the module finds wrong on this side of the surface.
    pub(crate) fn module(
        code: ModuleCode,
        cause: Option<&(dyn std::error::Error + 'static)>,
    ) -> Self {
        Self::module_as(code.kind(), code, cause)
    }

    /// The same where it asks for something else than the code usually does.
    pub(crate) fn module_as(
        kind: ErrorKind,
        code: ModuleCode,
        cause: Option<&(dyn std::error::Error + 'static)>,
    ) -> Self {
        Self::of(
            kind,
            Said {
                code: code.as_str().into(),
                text: code.english().into(),
                text_en: code.english().into(),
                text_ja: code.japanese().into(),
                retry: code.retry().into(),
                retry_after_ms: None,
                field: None,
                request_id: None,
                idempotency_key: None,
                cause: cause.map(causes),
            },
        )
    }
}

/// An error with all that lies below it, in one line.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        line = format!("{line}: {cause}");
        below = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(error: &Error) -> &'static str {
        match error {
            Error::AskForStatus { .. } => "ask_for_status",
            Error::FixTheRequest { .. } => "fix_the_request",
            Error::SignInAgain { .. } => "sign_in_again",
            Error::Wait { .. } => "wait",
            Error::GiveUp { .. } => "give_up",
        }
    }

    #[test]
    fn each_kind_and_each_advice_has_its_own_name_here() {
        for (kind, wanted) in [
            (ErrorKind::AskForStatus, "ask_for_status"),
            (ErrorKind::FixTheRequest, "fix_the_request"),
            (ErrorKind::SignInAgain, "sign_in_again"),
            (ErrorKind::Wait, "wait"),
            (ErrorKind::GiveUp, "give_up"),
        ] {
            assert_eq!(name(&Error::module_as(kind, ModuleCode::Journal, None)), wanted);
        }
        for (advice, wanted) in [
            (pos_connect::Retry::Never, Retry::Never),
            (pos_connect::Retry::SameKey, Retry::SameKey),
            (pos_connect::Retry::After, Retry::After),
            (pos_connect::Retry::NewQuote, Retry::NewQuote),
        ] {
            assert_eq!(Retry::from(advice), wanted);
        }
    }

    #[test]
    fn every_field_is_told_and_kept_when_the_kind_changes() {
        let below = std::io::Error::other("below");
        let made = Error::module(ModuleCode::NotMade, Some(&below));
        assert_eq!(name(&made), "wait");
        let key: IdempotencyKey = "0123456789abcdef".parse().unwrap();
        let Error::AskForStatus {
            code,
            text,
            text_en,
            text_ja,
            retry,
            retry_after_ms,
            field,
            request_id,
            idempotency_key,
            cause,
        } = made.in_doubt(&key).in_language(Language::Japanese)
        else {
            panic!("the outcome of the open call is not known")
        };
        assert_eq!((code.as_str(), retry), ("not_made", Retry::SameKey));
        assert_eq!(
            text,
            "結果が不明です。処理済みの可能性があるため、同じキーで照会してください。"
        );
        assert_eq!(text_ja, text);
        assert!(text_en.starts_with("The outcome is not known"), "{text_en}");
        assert_eq!(idempotency_key.as_deref(), Some("0123456789abcdef"));
        let cause = cause.unwrap();
        assert!(cause.starts_with("Nothing was made") && cause.ends_with(": below"), "{cause}");
        assert_eq!((retry_after_ms, field, request_id), (None, None, None));
    }

    #[test]
    fn what_was_not_heard_is_in_doubt_where_it_is_about_a_payment() {
        let (key, none) = (|| Some(About(Some("key-1".into()))), || Some(About(None)));
        let no_thread = Unheard::NoThread(std::io::Error::other("no threads"));
        for (cause, about, kind, named) in [
            (&no_thread, None, "give_up", None),
            (&no_thread, none(), "give_up", None),
            (&no_thread, key(), "ask_for_status", Some("key-1")),
            (&Unheard::OfTheParent, None, "wait", None),
            (&Unheard::OfTheParent, none(), "ask_for_status", None),
            (&Unheard::Panicked, key(), "ask_for_status", Some("key-1")),
        ] {
            let error = Error::unheard(cause, about);
            assert_eq!((name(&error), error.idempotency_key()), (kind, named), "{cause}");
        }
    }

    #[test]
    fn an_argument_s_error_names_the_field_first() {
        let error = Error::argument("amount", &"must be more than 0");
        assert_eq!(name(&error), "fix_the_request");
        assert_eq!(error.to_string(), "amount: must be more than 0");
        assert_eq!((error.code(), error.field()), ("invalid_field", Some("amount")));
    }
}
