//! Every route on one screen: who may call it, whether it moves something, what it takes and gives.
//! The router, the OpenAPI document and the tests are made from this table.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};
use pos_protocol::ErrorCode;
use pos_protocol::wire::{self, route};
use utoipa::ToSchema;

use super::handlers as on;
use super::openapi::Body;
use crate::app::App;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anybody, unsigned.
    Anybody,
    /// Whoever signs with the key in the body.
    Unproven,
    /// A registered key of a shop.
    Shop,
}

/// One route.
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The template of its path.
    pub path: &'static str,
    /// Who may call it.
    pub caller: Caller,
    /// Whether it needs an idempotency key.
    pub mutation: bool,
    /// One line for the reader of the document.
    pub summary: &'static str,
    /// Query parameters, each with its description.
    pub query: &'static [(&'static str, &'static str)],
    pub(super) takes: Option<Body>,
    pub(super) gives: Option<Body>,
    /// The codes of its own, beside those that every route like it has.
    pub refusals: &'static [ErrorCode],
    /// Whether 202 is among its answers.
    pub may_be_open: bool,
    pub(super) handler: MethodRouter<Arc<App>>,
}

impl Route {
    fn get(path: &'static str, handler: MethodRouter<Arc<App>>, summary: &'static str) -> Self {
        Self {
            method: "GET",
            path,
            caller: Caller::Shop,
            mutation: false,
            summary,
            query: &[],
            takes: None,
            gives: None,
            refusals: &[],
            may_be_open: false,
            handler,
        }
    }

    fn post(path: &'static str, handler: MethodRouter<Arc<App>>, summary: &'static str) -> Self {
        Self { method: "POST", ..Self::get(path, handler, summary) }
    }

    fn by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    fn mutation(self) -> Self {
        Self { mutation: true, ..self }
    }

    fn query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    fn takes<T: ToSchema>(self) -> Self {
        Self { takes: Some(Body::of::<T>()), ..self }
    }

    fn gives<T: ToSchema>(self) -> Self {
        Self { gives: Some(Body::of::<T>()), ..self }
    }

    fn refuses(self, refusals: &'static [ErrorCode]) -> Self {
        Self { refusals, ..self }
    }

    /// An operation: 200 once it has ended, 202 while it is open.
    fn operation(self) -> Self {
        Self { may_be_open: true, ..self.mutation().gives::<wire::OperationView>() }
    }
}

/// What a capture and a refund may be refused with beside what every signed route shares.
const OF_A_PART: &[ErrorCode] = &[
    ErrorCode::AmountExceeded,
    ErrorCode::AmountOutOfLimits,
    ErrorCode::Busy,
    ErrorCode::CurrencyMismatch,
    ErrorCode::CurrencyNotAccepted,
    ErrorCode::DeadlineTooShort,
    ErrorCode::InstitutionUnavailable,
    ErrorCode::NotFound,
    ErrorCode::NothingLeft,
    ErrorCode::OperationUnsupported,
];

/// The routes.
pub fn table() -> Vec<Route> {
    use ErrorCode as E;

    const POS: (&str, &str) = ("pos", "Only this POS.");
    vec![
        Route::post(route::REGISTRATIONS, post(on::register), "Initial registration")
            .by(Caller::Unproven)
            .takes::<wire::RegisterRequest>()
            .gives::<wire::RegistrationAnswer>()
            .refuses(&[E::CredentialRefused]),
        Route::post(route::SESSIONS, post(on::sign_in), "Sign in with a fresh session key")
            .by(Caller::Unproven)
            .takes::<wire::LoginRequest>()
            .gives::<wire::SessionAnswer>()
            .refuses(&[E::CredentialRefused, E::LoginLocked]),
        Route::post(route::SIGN_OUT, post(on::sign_out), "End the session that signs the call")
            .mutation()
            .takes::<wire::SignOutRequest>()
            .refuses(&[E::NotPermitted])
            .gives::<wire::KeyAnswer>(),
        Route::get(route::KEYS, get(on::keys), "The shop's keys").gives::<wire::KeyList>(),
        Route::post(route::KEY_ROLL, post(on::roll_key), "Register the successor of a module key")
            .mutation()
            .takes::<wire::RollKeyRequest>()
            .refuses(&[E::NotPermitted])
            .gives::<wire::KeyAnswer>(),
        Route::post(route::KEY_REVOKE, post(on::revoke_key), "End a key at once")
            .mutation()
            .takes::<wire::RevokeKeyRequest>()
            .refuses(&[E::NotFound, E::NotPermitted])
            .gives::<wire::KeyAnswer>(),
        Route::get(route::NOTICES, get(on::notices), "Where the shop is told of what happens")
            .gives::<wire::NoticeSettings>()
            .refuses(&[E::NotPermitted]),
        Route::post(route::NOTICES, post(on::set_notices), "Set where the shop is told")
            .mutation()
            .takes::<wire::SetNoticesRequest>()
            .refuses(&[E::NotPermitted])
            .gives::<wire::NoticeSettings>(),
        Route::get(route::METHODS, get(on::methods), "What the shop can be paid by")
            .query(&[POS])
            .gives::<wire::MethodsAnswer>()
            .refuses(&[E::NotFound]),
        Route::post(route::QUOTES, post(on::quote), "Which contract would be used")
            .takes::<wire::QuoteRequest>()
            .gives::<wire::QuoteAnswer>()
            .refuses(&[E::NotFound]),
        Route::post(route::CHECKS, post(on::check), "Would this instrument do")
            .mutation()
            .takes::<wire::CheckRequest>()
            .gives::<wire::CheckAnswer>()
            .refuses(&[
                E::AmountOutOfLimits,
                E::ContractDisabled,
                E::CurrencyNotAccepted,
                E::EnvelopeExpired,
                E::EnvelopeInvalid,
                E::InstitutionDisabled,
                E::InstitutionUnavailable,
                E::NotFound,
                E::OperationUnsupported,
            ]),
        Route::post(route::PAYMENTS, post(on::pay), "A sale or an authorisation")
            .operation()
            .takes::<wire::PayRequest>()
            .refuses(&[
                E::AmountOutOfLimits,
                E::ContractDisabled,
                E::CurrencyNotAccepted,
                E::DeadlineTooShort,
                E::EnvelopeExpired,
                E::EnvelopeInvalid,
                E::EnvelopeUsed,
                E::InstitutionDisabled,
                E::InstitutionUnavailable,
                E::NotFound,
                E::OperationUnsupported,
                E::OrderTaken,
            ]),
        Route::get(route::PAYMENTS, get(on::history), "Payments, newest first")
            .query(&[
                ("after", "Payments older than this one: `next` of the page before."),
                ("limit", "1 to 100 payments; 50 unless told."),
                POS,
            ])
            .gives::<wire::HistoryPage>()
            .refuses(&[E::NotFound]),
        Route::get(route::PAYMENT, get(on::payment), "One payment")
            .gives::<wire::PaymentView>()
            .refuses(&[E::NotFound]),
        Route::post(route::CAPTURES, post(on::capture), "Capture the authorised amount or a part")
            .operation()
            .takes::<wire::CaptureRequest>()
            .refuses(OF_A_PART),
        Route::post(route::VOIDS, post(on::void), "Release what was not captured")
            .operation()
            .takes::<wire::VoidRequest>()
            .refuses(&[
                E::AmountOutOfLimits,
                E::Busy,
                E::CurrencyNotAccepted,
                E::DeadlineTooShort,
                E::InstitutionUnavailable,
                E::NotFound,
                E::NothingLeft,
                E::OperationUnsupported,
            ]),
        Route::post(route::REFUNDS, post(on::refund), "Pay back what was captured or a part")
            .operation()
            .takes::<wire::RefundRequest>()
            .refuses(OF_A_PART),
        Route::get(route::ORDER, get(on::order), "The payment of an order")
            .gives::<wire::PaymentView>()
            .refuses(&[E::NotFound]),
        Route::get(route::OPERATION, get(on::operation), "What became of an idempotency key")
            .gives::<wire::KeyStatus>()
            .refuses(&[E::NotFound]),
        Route::get(route::ANSWER_KEYS, get(on::answer_keys), "The answer key and its succession")
            .by(Caller::Anybody)
            .gives::<wire::AnswerKeys>(),
        Route::get(route::OPENAPI, get(on::openapi), "This document").by(Caller::Anybody),
    ]
}
