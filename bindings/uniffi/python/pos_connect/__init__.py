"""The connection module of the payment operator: login, signing and forwarding of payments.

``BlockingConnection`` is for programs that wait, ``Connection`` for those on ``asyncio``; both have
the same verbs. Everything here but the few lines below is generated from one definition.
"""

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
    KeyInfo,
    KeyRole,
    KeyStatus,
    KeyStorage,
    KeyStorageError,
    Language,
    Methods,
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
    "KeyInfo",
    "KeyRole",
    "KeyStatus",
    "KeyStorage",
    "KeyStorageError",
    "Language",
    "Methods",
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
    "ShopperAdvice",
    "Store",
    "UnreadableCall",
    "seal",
    "verify",
]


def _text(error):
    return error.text


def _enter(connection):
    return connection


def _leave(connection, *_):
    connection.close()


async def _enter_async(connection):
    return connection


async def _leave_async(connection, *_):
    connection.close()


# What a generator for all languages does not know of this one: how an error prints, and `with`.
for _kind in vars(Error).values():
    if isinstance(_kind, type) and issubclass(_kind, Exception):
        _kind.__str__ = _text
BlockingConnection.__enter__ = _enter
BlockingConnection.__exit__ = _leave
Connection.__aenter__ = _enter_async
Connection.__aexit__ = _leave_async
del _kind
