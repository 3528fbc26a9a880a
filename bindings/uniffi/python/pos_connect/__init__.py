# Made by `pos-bindgen python-stubs` from the library's own metadata. Do not edit.
"""The connection module of the payment operator: login, signing and forwarding of payments.

``BlockingConnection`` is for programs that wait, ``Connection`` for those on ``asyncio``; both have
the same verbs.
"""

from . import _manners
from ._native import pos_connect as _made
from ._native.pos_connect import (
    AccountKind,
    BlockingConnection,
    Candidate,
    Check,
    CheckRequest,
    CheckState,
    Config,
    Connection,
    Contract,
    CurrencyLimits,
    Decline,
    Error,
    HistoryPage,
    HistoryQuery,
    InFlight,
    Instrument,
    InternalError,
    KeyInfo,
    KeyRole,
    KeyStatus,
    KeyStorage,
    KeyStorageError,
    Language,
    Methods,
    Notice,
    NoticeSettings,
    OpenCall,
    Operation,
    OperationKind,
    OperationState,
    Order,
    Payment,
    PaymentState,
    Quote,
    QuoteRequest,
    Registration,
    Rejection,
    Retry,
    SealBinding,
    SealedOperation,
    Session,
    SetNotices,
    ShopperAdvice,
    Store,
    UnreadableCall,
    seal,
    verify,
)

__all__ = [
    "AccountKind",
    "BlockingConnection",
    "Candidate",
    "Check",
    "CheckRequest",
    "CheckState",
    "Config",
    "Connection",
    "Contract",
    "CurrencyLimits",
    "Decline",
    "Error",
    "HistoryPage",
    "HistoryQuery",
    "InFlight",
    "Instrument",
    "InternalError",
    "KeyInfo",
    "KeyRole",
    "KeyStatus",
    "KeyStorage",
    "KeyStorageError",
    "Language",
    "Methods",
    "Notice",
    "NoticeSettings",
    "OpenCall",
    "Operation",
    "OperationKind",
    "OperationState",
    "Order",
    "Payment",
    "PaymentState",
    "Quote",
    "QuoteRequest",
    "Registration",
    "Rejection",
    "Retry",
    "SealBinding",
    "SealedOperation",
    "Session",
    "SetNotices",
    "ShopperAdvice",
    "Store",
    "UnreadableCall",
    "seal",
    "verify",
]

_manners.shows(KeyInfo)
_manners.shows(Registration, masked=("recovery_codes", "panic_code",))
_manners.shows(Session)
_manners.shows(SealBinding)
_manners.shows(Notice)
_manners.shows(NoticeSettings)
_manners.shows(SetNotices)
_manners.shows(Candidate)
_manners.shows(Check)
_manners.shows(CheckRequest)
_manners.shows(Contract)
_manners.shows(CurrencyLimits)
_manners.shows(Methods)
_manners.shows(Quote)
_manners.shows(QuoteRequest)
_manners.shows(Decline)
_manners.shows(HistoryPage)
_manners.shows(HistoryQuery)
_manners.shows(InFlight)
_manners.shows(OpenCall)
_manners.shows(Operation)
_manners.shows(Order)
_manners.shows(Payment)
_manners.shows(Rejection)
_manners.shows(UnreadableCall)
_manners.shows(Config, masked=("proxy",))
_manners.raises(Error.AskForStatus, "text", ("code", "text", "text_en", "text_ja", "retry", "retry_after_ms", "field", "request_id", "idempotency_key", "cause",))
_manners.raises(Error.FixTheRequest, "text", ("code", "text", "text_en", "text_ja", "retry", "retry_after_ms", "field", "request_id", "idempotency_key", "cause",))
_manners.raises(Error.SignInAgain, "text", ("code", "text", "text_en", "text_ja", "retry", "retry_after_ms", "field", "request_id", "idempotency_key", "cause",))
_manners.raises(Error.Wait, "text", ("code", "text", "text_en", "text_ja", "retry", "retry_after_ms", "field", "request_id", "idempotency_key", "cause",))
_manners.raises(Error.GiveUp, "text", ("code", "text", "text_en", "text_ja", "retry", "retry_after_ms", "field", "request_id", "idempotency_key", "cause",))
_manners.shows(Instrument.CARD, masked=("number", "expiry_year", "expiry_month", "security_code", "holder",))
_manners.shows(Instrument.ACCOUNT, masked=("bank", "branch", "kind", "number", "holder_kana", "secret",))
_manners.shows(Instrument.PREPAID, masked=("number", "pin",))
_manners.shows(KeyStatus.FOUND)
_manners.shows(KeyStatus.REFUSED)
_manners.shows(KeyStatus.NOTHING)
_manners.raises(KeyStorageError.Failed, "reason", ("reason",))
_manners.closes(BlockingConnection)
_manners.closes_async(Connection)
KeyStorage = _manners.abstract(KeyStorage, ("load", "replace",))
_manners.checks(_made)
_manners.forks(_made)
_manners.stops(_made)
_manners.at_home(__name__, [globals()[name] for name in __all__])
