# Made by `pos-bindgen python-stubs` from the library's own metadata. Do not edit.
"""The connection module of the payment operator: login, signing and forwarding of payments.

``BlockingConnection`` is for programs that wait, ``Connection`` for those on ``asyncio``; both have
the same verbs.
"""

import abc
import enum
from types import TracebackType
from typing import ClassVar, NoReturn, final

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

class InternalError(Exception):
    """A fault of the module itself: tell whoever maintains it."""

class Error(Exception):
    """Why a verb did not do what was asked. Its kind says what to do: catch by it."""
    AskForStatus: ClassVar[type[_ErrorAskForStatus]]
    """The outcome of a payment is not known: it may have been made. Never pay again under another
    key; ask with `resume` and `idempotency_key`.
    """
    FixTheRequest: ClassVar[type[_ErrorFixTheRequest]]
    """The call cannot succeed as it is; `field` may say where. Nothing was moved."""
    SignInAgain: ClassVar[type[_ErrorSignInAgain]]
    """The key or session is not good (any more): sign in, or register anew. Nothing was moved."""
    Wait: ClassVar[type[_ErrorWait]]
    """Nothing was moved, and a later try may succeed: after `retry_after_ms` under the same key
    where `retry` says `SAME_KEY` or `AFTER`, under a new key where it says `NEVER` or `NEW_QUOTE`.
    """
    GiveUp: ClassVar[type[_ErrorGiveUp]]
    """Neither waiting nor another call helps: tell the operator `code` and `request_id`. Nothing
    was moved.
    """
    code: str
    """The exact code, from `docs/ERRORS.md`, for logs and for cases that need more than the kind."""
    text: str
    """The sentence for people, in the language of the configuration."""
    text_en: str
    """The same in English."""
    text_ja: str
    """The same in Japanese."""
    retry: Retry
    """Whether and how the same call may be made again."""
    retry_after_ms: int | None
    """How long to wait before that, in milliseconds, where the server said so."""
    field: str | None
    """The field that was wrong, as a JSON path."""
    request_id: str | None
    """Names the call in the operator's log, where the server answered."""
    idempotency_key: str | None
    """The key of the payment that this is about: what to ask by."""
    cause: str | None
    """What lies below, for the log."""

@final
class _ErrorAskForStatus(Error):
    """The outcome of a payment is not known: it may have been made. Never pay again under another
    key; ask with `resume` and `idempotency_key`.
    """
    def __init__(
        self,
        code: str,
        text: str,
        text_en: str,
        text_ja: str,
        retry: Retry,
        retry_after_ms: int | None,
        field: str | None,
        request_id: str | None,
        idempotency_key: str | None,
        cause: str | None,
    ) -> None: ...

@final
class _ErrorFixTheRequest(Error):
    """The call cannot succeed as it is; `field` may say where. Nothing was moved."""
    def __init__(
        self,
        code: str,
        text: str,
        text_en: str,
        text_ja: str,
        retry: Retry,
        retry_after_ms: int | None,
        field: str | None,
        request_id: str | None,
        idempotency_key: str | None,
        cause: str | None,
    ) -> None: ...

@final
class _ErrorSignInAgain(Error):
    """The key or session is not good (any more): sign in, or register anew. Nothing was moved."""
    def __init__(
        self,
        code: str,
        text: str,
        text_en: str,
        text_ja: str,
        retry: Retry,
        retry_after_ms: int | None,
        field: str | None,
        request_id: str | None,
        idempotency_key: str | None,
        cause: str | None,
    ) -> None: ...

@final
class _ErrorWait(Error):
    """Nothing was moved, and a later try may succeed: after `retry_after_ms` under the same key
    where `retry` says `SAME_KEY` or `AFTER`, under a new key where it says `NEVER` or `NEW_QUOTE`.
    """
    def __init__(
        self,
        code: str,
        text: str,
        text_en: str,
        text_ja: str,
        retry: Retry,
        retry_after_ms: int | None,
        field: str | None,
        request_id: str | None,
        idempotency_key: str | None,
        cause: str | None,
    ) -> None: ...

@final
class _ErrorGiveUp(Error):
    """Neither waiting nor another call helps: tell the operator `code` and `request_id`. Nothing
    was moved.
    """
    def __init__(
        self,
        code: str,
        text: str,
        text_en: str,
        text_ja: str,
        retry: Retry,
        retry_after_ms: int | None,
        field: str | None,
        request_id: str | None,
        idempotency_key: str | None,
        cause: str | None,
    ) -> None: ...

@final
class Retry(enum.Enum):
    """Whether and how the same call may be made again."""
    NEVER = 0
    """The same call can never succeed. Where the kind is `AskForStatus`, ask what became of it; else
    change it first, under a new idempotency key.
    """
    SAME_KEY = 1
    """Make the same call again with the same idempotency key."""
    AFTER = 2
    """As `SAME_KEY`, after `retry_after_ms`."""
    NEW_QUOTE = 3
    """Ask for a quote again, then pay with a new key and a new envelope."""

class Instrument:
    """What a shopper pays with: for the shopper's page, wallets and tests. Only the institution that it
    is sealed to ever sees it again; it must not reach a shop's server.
    """
    def __init__(self, *, made_in_another_way: NoReturn) -> None: ...
    CARD: ClassVar[type[_InstrumentCard]]
    """A payment card."""
    ACCOUNT: ClassVar[type[_InstrumentAccount]]
    """A bank account in the form of the Japanese banks' network (Zengin)."""
    PREPAID: ClassVar[type[_InstrumentPrepaid]]
    """A prepaid card or code."""
    def is_CARD(self) -> bool: ...
    def is_card(self) -> bool: ...
    def is_ACCOUNT(self) -> bool: ...
    def is_account(self) -> bool: ...
    def is_PREPAID(self) -> bool: ...
    def is_prepaid(self) -> bool: ...

@final
class _InstrumentCard(Instrument):
    """A payment card."""
    number: str
    """12 to 19 digits with a right check digit."""
    expiry_year: int
    """The year of the last good month, four digits."""
    expiry_month: int
    """The last good month, 1 to 12."""
    security_code: str | None
    """3 or 4 digits, where the card's rules ask for it."""
    holder: str | None
    """As it stands on the card."""
    def __init__(
        self,
        number: str,
        expiry_year: int,
        expiry_month: int,
        security_code: str | None,
        holder: str | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class _InstrumentAccount(Instrument):
    """A bank account in the form of the Japanese banks' network (Zengin)."""
    bank: str
    """4 digits."""
    branch: str
    """3 digits."""
    kind: AccountKind
    """The kind of account."""
    number: str
    """7 digits."""
    holder_kana: str | None
    """The holder's name in katakana."""
    secret: str | None
    """The secret by which the holder approves a payment at this bank."""
    def __init__(
        self,
        bank: str,
        branch: str,
        kind: AccountKind,
        number: str,
        holder_kana: str | None,
        secret: str | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class _InstrumentPrepaid(Instrument):
    """A prepaid card or code."""
    number: str
    """The number."""
    pin: str | None
    """Its PIN."""
    def __init__(
        self,
        number: str,
        pin: str | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

class KeyStatus:
    """What the server has under an idempotency key."""
    def __init__(self, *, made_in_another_way: NoReturn) -> None: ...
    FOUND: ClassVar[type[_KeyStatusFound]]
    """The key belongs to this operation."""
    REFUSED: ClassVar[type[_KeyStatusRefused]]
    """The key was answered with this refusal, and stays so."""
    NOTHING: ClassVar[type[_KeyStatusNothing]]
    """No call with this key has arrived so far, which is no proof that none will: `resume` knows."""
    def is_FOUND(self) -> bool: ...
    def is_found(self) -> bool: ...
    def is_REFUSED(self) -> bool: ...
    def is_refused(self) -> bool: ...
    def is_NOTHING(self) -> bool: ...
    def is_nothing(self) -> bool: ...

@final
class _KeyStatusFound(KeyStatus):
    """The key belongs to this operation."""
    operation: Operation
    """It."""
    def __init__(
        self,
        operation: Operation,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class _KeyStatusRefused(KeyStatus):
    """The key was answered with this refusal, and stays so."""
    rejection: Rejection
    """Why."""
    request_id: str
    """Names the call in the operator's log."""
    field: str | None
    """The field that was wrong, as a JSON path."""
    def __init__(
        self,
        rejection: Rejection,
        request_id: str,
        field: str | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class _KeyStatusNothing(KeyStatus):
    """No call with this key has arrived so far, which is no proof that none will: `resume` knows."""
    server_time_ms: int
    """The server's time, in milliseconds since 1970."""
    def __init__(
        self,
        server_time_ms: int,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class AccountKind(enum.Enum):
    """The kind of a bank account."""
    ORDINARY = 0
    """普通預金."""
    CURRENT = 1
    """当座預金."""
    SAVINGS = 2
    """貯蓄預金."""

@final
class CheckState(enum.Enum):
    """Whether a payment of the amount would pass."""
    SUFFICIENT = 0
    """It would pass now."""
    REFUSED = 1
    """It would not; `decline` says why."""
    OTHER = 2
    """An answer of a newer server: treat it as `REFUSED`."""

@final
class KeyRole(enum.Enum):
    """What a key is for."""
    MODULE = 0
    """Unattended software of the shop."""
    SESSION = 1
    """A person's session."""
    OTHER = 2
    """A role of a newer server: leave the key alone."""

@final
class Language(enum.Enum):
    """The language in which an error prints itself."""
    ENGLISH = 0
    """English."""
    JAPANESE = 1
    """日本語."""

@final
class OperationKind(enum.Enum):
    """What an operation moves."""
    SALE = 0
    """Authorised and captured in one."""
    AUTHORISE = 1
    """Authorised, to be captured later."""
    CAPTURE = 2
    """Takes what was authorised, or a part of it."""
    VOID = 3
    """Releases what was authorised and not captured."""
    REFUND = 4
    """Pays captured money back."""
    REVERSE = 5
    """Undoes a sale or an authorisation whose outcome must not stand; made by the server alone."""
    OTHER = 6
    """A kind of a newer server."""

@final
class OperationState(enum.Enum):
    """Where an operation stands. `DONE`, `DECLINED`, `NOT_SENT` and `REVERSED` are final: after the last three
    nothing was moved, and an order can be paid again. In every other state ask again later.
    """
    PROCESSING = 0
    """Under way."""
    DONE = 1
    """Done, for `done_amount`. Final."""
    DECLINED = 2
    """Refused by the institution; `decline` says why. Final."""
    NOT_SENT = 3
    """Certainly not processed. Final: a new try takes a quote, a new key and a new envelope."""
    NEEDS_PAYER = 4
    """Waits for the shopper."""
    PENDING = 5
    """Taken by the institution; the result comes later."""
    UNKNOWN = 6
    """No outcome that can be believed yet. Wait and ask; never charge again."""
    REVERSING = 7
    """Being undone."""
    REVERSED = 8
    """Undone: nothing was moved in the end. Final: a new try as after `NOT_SENT`."""
    NEEDS_HUMAN = 9
    """A person of the operator has to decide."""
    OTHER = 10
    """A state of a newer server: treat it as `PENDING`."""

@final
class PaymentState(enum.Enum):
    """What people see of a payment."""
    PROCESSING = 0
    """Under way."""
    NEEDS_PAYER = 1
    """Waits for the shopper."""
    PENDING = 2
    """Taken by the institution; the result comes later."""
    AUTHORISED = 3
    """Approved, nothing captured."""
    PARTLY_CAPTURED = 4
    """A part is captured, the rest may still be."""
    PAID = 5
    """Captured as far as it will be."""
    PARTLY_REFUNDED = 6
    """A part was paid back."""
    REFUNDED = 7
    """All that was captured was paid back."""
    VOIDED = 8
    """Released or reversed before anything was captured."""
    DECLINED = 9
    """Refused by the institution."""
    NOT_MADE = 10
    """Certainly not processed."""
    UNKNOWN = 11
    """No outcome that can be believed yet; being found out."""
    NEEDS_HUMAN = 12
    """A person of the operator has to decide."""
    OTHER = 13
    """A state of a newer server: treat it as `PENDING`."""

@final
class SealedOperation(enum.Enum):
    """What an instrument is sealed for."""
    SALE = 0
    """Authorise and capture in one."""
    AUTHORISE = 1
    """Hold the amount."""
    CHECK = 2
    """Ask whether a payment would pass, without paying."""

@final
class ShopperAdvice(enum.Enum):
    """What a shop may tell a shopper whose payment was declined."""
    CHECK_DETAILS = 0
    """The same instrument may work after the shopper checked what was typed."""
    TRY_LATER = 1
    """Later, the same may work."""
    TRY_ANOTHER = 2
    """Another card, account or prepaid number may work."""
    OTHER = 3
    """Advice of a newer server: tell the shopper to try another."""

class KeyStorageError(Exception):
    """A host's key storage failed."""
    Failed: ClassVar[type[_KeyStorageErrorFailed]]
    """It could not read or write."""
    reason: str
    """Why, for the log: without the texts."""

@final
class _KeyStorageErrorFailed(KeyStorageError):
    """It could not read or write."""
    def __init__(
        self,
        reason: str,
    ) -> None: ...

@final
class KeyInfo:
    """One registered key."""
    key_id: str
    """The key."""
    role: KeyRole
    """What it may do."""
    created_at_ms: int
    """When it was registered, in milliseconds since 1970."""
    ends_at_ms: int | None
    """When it ends, if that is known."""
    ended_at_ms: int | None
    """When it was revoked or signed out, if it was."""
    def __init__(
        self,
        *,
        key_id: str,
        role: KeyRole,
        created_at_ms: int,
        ends_at_ms: int | None,
        ended_at_ms: int | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Registration:
    """What a registration gave. It holds secrets: show the codes once to the person in charge, and
    keep this out of logs.
    """
    shop_id: str
    """The shop that the key now belongs to."""
    key_id: str
    """The registered key."""
    pos_ids: list[str]
    """The shop's POSes."""
    recovery_codes: list[str]
    """Ten one-time codes for a forgotten password."""
    panic_code: str
    """A code that can stop all payments of the shop, and nothing else."""
    def __init__(
        self,
        *,
        shop_id: str,
        key_id: str,
        pos_ids: list[str],
        recovery_codes: list[str],
        panic_code: str,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Session:
    """A person's session."""
    shop_id: str
    """The shop."""
    key_id: str
    """The session key's id."""
    pos_ids: list[str]
    """The shop's POSes."""
    ends_at_ms: int
    """The session ends here at the latest, in milliseconds since 1970."""
    idle_ms: int
    """And earlier after this much silence, in milliseconds."""
    def __init__(
        self,
        *,
        shop_id: str,
        key_id: str,
        pos_ids: list[str],
        ends_at_ms: int,
        idle_ms: int,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class SealBinding:
    """What an envelope is good for, and nothing else."""
    institution: str
    """The institution of the contract."""
    contract_number: str
    """The number under which the institution keeps the shop, from the contract."""
    operation: SealedOperation
    """What is to be done."""
    order_id: str
    """The shop's number of the order."""
    amount: int
    """The amount, in minor units."""
    currency: str
    """The currency, by its ISO 4217 code."""
    def __init__(
        self,
        *,
        institution: str,
        contract_number: str,
        operation: SealedOperation,
        order_id: str,
        amount: int,
        currency: str,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Notice:
    """What the shop was told."""
    kind: str
    """What happened: the operation and the state that it came to, as `sale.done`. There will be
    others: leave those alone.
    """
    timestamp: str
    """When, in RFC 3339."""
    shop_id: str
    """The shop."""
    sequence: int
    """Grows with every change of the payment: a notice whose number is not larger than the last one
    seen of this operation is old news.
    """
    operation: Operation
    """The operation as it then stood."""
    def __init__(
        self,
        *,
        kind: str,
        timestamp: str,
        shop_id: str,
        sequence: int,
        operation: Operation,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class NoticeSettings:
    """Where the shop is told."""
    mail_address: str | None
    """Whom mail goes to, if to anybody."""
    mail_language: str | None
    """In which language (`en`, `ja`)."""
    webhook_url: str | None
    """Where webhooks go, if anywhere."""
    webhook_keys: list[str]
    """The keys that sign them now, the newest first, as Standard Webhooks write them (`whpk_…`)."""
    webhook_disabled_at_ms: int | None
    """Since when nothing is posted any more because the URL answered with status 410, in milliseconds
    since 1970. Setting the URL again ends that.
    """
    def __init__(
        self,
        *,
        mail_address: str | None,
        mail_language: str | None,
        webhook_url: str | None,
        webhook_keys: list[str],
        webhook_disabled_at_ms: int | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class SetNotices:
    """Where the shop is told from now on. What is left out is told there no more."""
    mail_address: str | None
    """Whom mail goes to when a movement of money is complete."""
    mail_language: Language | None
    """The language of mail; English unless told."""
    webhook_url: str | None
    """Where every change of an operation is posted: `https`, port 443, a public address."""
    new_webhook_key: bool
    """Signs webhooks by a new key from now on, and by the one before beside it for 24 hours."""
    def __init__(
        self,
        *,
        mail_address: str | None = ...,
        mail_language: Language | None = ...,
        webhook_url: str | None = ...,
        new_webhook_key: bool = False,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Candidate:
    """One contract that routing looked at."""
    contract_id: str
    """The contract."""
    pos_id: str
    """Its POS."""
    institution: str
    """Its institution."""
    rejection: Rejection | None
    """Why it cannot be used; none for those that can."""
    def __init__(
        self,
        *,
        contract_id: str,
        pos_id: str,
        institution: str,
        rejection: Rejection | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Check:
    """What an institution says of an instrument, never the balance itself."""
    state: CheckState
    """Whether a payment of the amount would pass."""
    decline: Decline | None
    """Why not."""
    def __init__(
        self,
        *,
        state: CheckState,
        decline: Decline | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class CheckRequest:
    """Would this instrument do?"""
    contract_id: str
    """The contract to ask through."""
    order_id: str
    """The order that would be paid."""
    amount: int
    """In minor units."""
    currency: str
    """The currency, by its ISO 4217 code."""
    envelope: str
    """The instrument, sealed for a check: JSON text."""
    def __init__(
        self,
        *,
        contract_id: str,
        order_id: str,
        amount: int,
        currency: str,
        envelope: str,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Contract:
    """One contract that can be used."""
    contract_id: str
    """Names the contract in an order."""
    pos_id: str
    """The POS that it is registered on."""
    institution: str
    """Who settles."""
    institution_name: str
    """The institution's name for people."""
    institution_name_ja: str
    """The same in Japanese."""
    seal_root: str
    """The institution's root key (the `x` of a JWK), which signs its seal keys: for `seal`."""
    contract_number: str
    """The shop's number there, which an envelope is bound to: for `seal`."""
    methods: list[str]
    """By what shoppers pay, such as `card:visa`."""
    currencies: list[CurrencyLimits]
    """In which currencies, and how much of each."""
    operations: list[OperationKind]
    """What the institution offers."""
    can_check: bool
    """Whether `check` can be asked before paying."""
    def __init__(
        self,
        *,
        contract_id: str,
        pos_id: str,
        institution: str,
        institution_name: str,
        institution_name_ja: str,
        seal_root: str,
        contract_number: str,
        methods: list[str],
        currencies: list[CurrencyLimits],
        operations: list[OperationKind],
        can_check: bool,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class CurrencyLimits:
    """What a contract takes in one currency."""
    currency: str
    """The currency, by its ISO 4217 code."""
    least: int
    """The least amount of a payment, in minor units."""
    most: int
    """The largest amount, in minor units."""
    def __init__(
        self,
        *,
        currency: str,
        least: int,
        most: int,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Methods:
    """Everything that can be used now."""
    contracts: list[Contract]
    """Every usable contract."""
    seal_keys: list[str]
    """The seal keys of every institution among them, each as JSON text: for `seal`."""
    keep_ms: int
    """How long the answer may be kept, in milliseconds."""
    def __init__(
        self,
        *,
        contracts: list[Contract],
        seal_keys: list[str],
        keep_ms: int,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Quote:
    """The contract that a payment would use, or why none can be used."""
    contract: Contract | None
    """The contract to name in the order; none when none can be used."""
    seal_keys: str | None
    """The seal keys of its institution, as JSON text: for `seal`."""
    considered: list[Candidate]
    """Every contract that was looked at, in order of preference."""
    def __init__(
        self,
        *,
        contract: Contract | None,
        seal_keys: str | None,
        considered: list[Candidate],
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class QuoteRequest:
    """Which contract would a payment use?"""
    order_id: str
    """The shop's order, so that an order that was paid already is told before paying."""
    method: str
    """What the shopper chose, such as `card:visa`."""
    amount: int
    """In minor units."""
    currency: str
    """The currency, by its ISO 4217 code."""
    pos_id: str | None
    """Only contracts of this POS."""
    contract_id: str | None
    """Only this contract."""
    def __init__(
        self,
        *,
        order_id: str,
        method: str,
        amount: int,
        currency: str,
        pos_id: str | None = ...,
        contract_id: str | None = ...,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Decline:
    """Why the institution declined, in words."""
    reason: str
    """From the list in `docs/ERRORS.md`. For the shop alone; shoppers get `shopper_advice`."""
    text_en: str
    """A sentence for the person at the shop."""
    text_ja: str
    """The same in Japanese."""
    shopper_advice: ShopperAdvice
    """What the shopper may be told."""
    def __init__(
        self,
        *,
        reason: str,
        text_en: str,
        text_ja: str,
        shopper_advice: ShopperAdvice,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class HistoryPage:
    """One page of the history, newest payments first."""
    payments: list[Payment]
    """The payments."""
    next: str | None
    """Pass it as `after` for the next page; none on the last."""
    def __init__(
        self,
        *,
        payments: list[Payment],
        next: str | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class HistoryQuery:
    """Which part of the history is wanted."""
    after: str | None
    """Only payments older than this one: `next` of the page before."""
    limit: int | None
    """How many at most, 1 to 100; 50 unless told."""
    pos_id: str | None
    """Only payments of this POS."""
    def __init__(
        self,
        *,
        after: str | None = ...,
        limit: int | None = ...,
        pos_id: str | None = ...,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class InFlight:
    """What the journal holds of this shop at this server: payments under way, or under way when an
    earlier process ended.
    """
    open: list[OpenCall]
    """The payment calls under way, in no order: settle each with `resume`."""
    unreadable: list[UnreadableCall]
    """The entries that cannot be read, whosever they are."""
    def __init__(
        self,
        *,
        open: list[OpenCall],
        unreadable: list[UnreadableCall],
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class OpenCall:
    """One payment call under way."""
    idempotency_key: str
    """Names the call: give it to `resume`."""
    operation: str
    """What it moves, by its name on the wire."""
    order_id: str | None
    """The order, for a sale or authorisation."""
    payment_id: str | None
    """The payment, for a capture, void or refund."""
    amount: int | None
    """How much in minor units, but for a void."""
    currency: str | None
    """Of what, but for a void."""
    def __init__(
        self,
        *,
        idempotency_key: str,
        operation: str,
        order_id: str | None,
        payment_id: str | None,
        amount: int | None,
        currency: str | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Operation:
    """One operation: the answer to every verb that moves money, and a part of a payment."""
    operation_id: str
    """Its id; the institution knows it by the same."""
    payment_id: str
    """The payment it belongs to."""
    order_id: str
    """The shop's order."""
    idempotency_key: str
    """The key it was made with."""
    operation: OperationKind
    """What it moves."""
    state: OperationState
    """Where it stands."""
    amount: int
    """What was asked for, in minor units; of a void, what it releases."""
    currency: str
    """The currency."""
    done_amount: int | None
    """What was done; less than `amount` only for an allowed partial approval."""
    decline: Decline | None
    """Why the institution refused, with `DECLINED`."""
    contract_id: str
    """The contract it runs under."""
    institution: str
    """The institution that settles it."""
    institution_reference: str | None
    """The institution's own reference, once it gave one."""
    created_at_ms: int
    """When it was begun, in milliseconds since 1970."""
    ended_at_ms: int | None
    """When it ended, if it has."""
    refusal: Rejection | None
    """With `NOT_SENT`, where the shop's own envelope is the reason."""
    ask_after_ms: int | None
    """While it is open: after how many milliseconds asking again is worth it."""
    def __init__(
        self,
        *,
        operation_id: str,
        payment_id: str,
        order_id: str,
        idempotency_key: str,
        operation: OperationKind,
        state: OperationState,
        amount: int,
        currency: str,
        done_amount: int | None,
        decline: Decline | None,
        contract_id: str,
        institution: str,
        institution_reference: str | None,
        created_at_ms: int,
        ended_at_ms: int | None,
        refusal: Rejection | None,
        ask_after_ms: int | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Order:
    """An order to be paid."""
    contract_id: str
    """The contract to pay by, from a quote or from the methods."""
    order_id: str
    """The shop's number of the order; it is paid once."""
    amount: int
    """What it comes to, in minor units: 1200 is ¥1,200 in JPY and €12.00 in EUR."""
    currency: str
    """The currency, by its ISO 4217 code."""
    envelope: str
    """The shopper's instrument, sealed for this order, operation, contract and amount: the JSON text
    that `seal` made in the shopper's page.
    """
    allow_partial: bool
    """Whether an approval of a smaller amount is welcome."""
    give_up_after_s: int | None
    """After so many seconds, from 1 to 604,800, the shop gives up: an approval that becomes known later
    is reversed. Without it a late approval is kept.
    """
    def __init__(
        self,
        *,
        contract_id: str,
        order_id: str,
        amount: int,
        currency: str,
        envelope: str,
        allow_partial: bool = False,
        give_up_after_s: int | None = ...,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Payment:
    """One payment with all its operations."""
    payment_id: str
    """Its id."""
    order_id: str
    """The shop's order."""
    pos_id: str
    """The POS whose contract pays."""
    contract_id: str
    """The contract."""
    institution: str
    """The institution."""
    state: PaymentState
    """What people see."""
    amount: int
    """What the order comes to, in minor units."""
    currency: str
    """The currency."""
    authorised: int
    """Approved so far, in minor units."""
    captured: int
    """Captured so far."""
    released: int
    """Released so far."""
    refunded: int
    """Refunded so far."""
    created_at_ms: int
    """When it was begun, in milliseconds since 1970."""
    operations: list[Operation]
    """Its operations, oldest first."""
    def __init__(
        self,
        *,
        payment_id: str,
        order_id: str,
        pos_id: str,
        contract_id: str,
        institution: str,
        state: PaymentState,
        amount: int,
        currency: str,
        authorised: int,
        captured: int,
        released: int,
        refunded: int,
        created_at_ms: int,
        operations: list[Operation],
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Rejection:
    """Why something cannot be used for what was asked."""
    code: str
    """The code that `pay` would answer."""
    text_en: str
    """The sentence for the person at the shop."""
    text_ja: str
    """The same in Japanese."""
    def __init__(
        self,
        *,
        code: str,
        text_en: str,
        text_ja: str,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class UnreadableCall:
    """A payment call whose entry cannot be read. Where its key is known, `operation` tells what the
    server has under it; once a person has seen to it, `dismiss` takes it out.
    """
    idempotency_key: str | None
    """Its key, where at least that is known."""
    cause: str | None
    """What was wrong, for the log."""
    def __init__(
        self,
        *,
        idempotency_key: str | None,
        cause: str | None,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class Config:
    """Where the server is and how long to wait for it."""
    server_url: str
    """`https://host` or `https://host:port`; plain `http` for this machine's own addresses only."""
    language: Language | None
    """The language in which errors print themselves; English unless told."""
    ca_pem: str | None
    """The root certificates (PEM) to believe, and no others; the operating system's unless told."""
    proxy: str | None
    """A proxy, `http://[user:password@]host:port`; none unless told, whatever the environment says."""
    authority: str | None
    """The name that calls are signed for, where it is not the one in `server_url`."""
    connect_timeout_s: int | None
    """How long TCP and TLS may take: 1 to 60 s, 5 unless told."""
    attempt_timeout_s: int | None
    """How long one attempt may take: 5 to 60 s, 20 unless told."""
    total_timeout_s: int | None
    """How long a verb may take, all attempts, waits and questions together: 6 to 600 s, 40 unless
    told.
    """
    user_agent: str | None
    """How the shop's software names itself in the operator's log."""
    answer_key: str | None
    """The fingerprint of the server's answer key, for a `login` where the store has none: only the
    operator can tell it, by another way than this line.
    """
    seal_roots: dict[str, str]
    """Root keys of institutions (the `x` of a JWK), by institution, where the shop has them from the
    institution itself. Else the first one that the server names is remembered.
    """
    def __init__(
        self,
        *,
        server_url: str,
        language: Language | None = ...,
        ca_pem: str | None = ...,
        proxy: str | None = ...,
        authority: str | None = ...,
        connect_timeout_s: int | None = ...,
        attempt_timeout_s: int | None = ...,
        total_timeout_s: int | None = ...,
        user_agent: str | None = ...,
        answer_key: str | None = ...,
        seal_roots: dict[str, str] = ...,
    ) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class BlockingConnection:
    """The same line for programs that wait: every verb blocks the calling thread until it is done."""
    def __init__(self, config: Config, store: Store) -> None:
        """A line by these settings, with the keys and open payments of this store. Nothing is sent and
        no file read yet.
        """
    def authorise(self, order: Order, idempotency_key: str | None = ...) -> Operation:
        """Holds the amount, to be captured later; else as `pay`.

        # Errors
        As for `pay`.
        """
    def capture(self, payment_id: str, amount: int, currency: str, idempotency_key: str | None = ...) -> Operation:
        """Takes what was authorised, or a part of it; there may be several captures.

        # Errors
        As for `pay`.
        """
    def check(self, request: CheckRequest, idempotency_key: str | None = ...) -> Check:
        """Asks the institution whether the instrument would do, where the contract can tell. Nothing is
        paid or held; paying takes a new envelope.
        """
    def close(self) -> None:
        """Closes this connection: verbs begun from now on are refused, those under way go on. Neither
        key nor session ends by it.
        """
    def dismiss(self, idempotency_key: str) -> None:
        """Takes a payment call out of the journal without knowing what became of it, once a person has
        cleared it up with the operator.
        """
    def history(self, query: HistoryQuery) -> HistoryPage:
        """One page of the history, newest payments first."""
    def in_flight(self) -> InFlight:
        """The payment calls that this shop's software has under way at this server, or had when it was
        ended: settle each with `resume` after a start. Nothing is asked of the server.
        """
    def key_id(self) -> str:
        """The id of the key that signs."""
    def list_keys(self) -> list[KeyInfo]:
        """The shop's keys that have not ended, newest first."""
    def login(self, user_id: str, password: str) -> Session:
        """Signs a person in: this connection, which no other verb has used before, acts with a fresh
        key, held in memory only, until `sign_out`, 15 minutes of silence, or 12 hours.

        # Errors
        `SignInAgain` (`credential_refused`) for a wrong user id or password; `Wait` (`login_locked`)
        after too many wrong ones; `FixTheRequest` (`already_open`) on a connection that is in use.
        """
    def methods(self, pos_id: str | None = ...) -> Methods:
        """Everything that the shop can be paid by now, on one POS or on all."""
    def notices(self) -> NoticeSettings:
        """Where the shop is told of what happens, by mail and by webhook."""
    def operation(self, idempotency_key: str) -> KeyStatus:
        """What the server has under an idempotency key."""
    def pay(self, order: Order, idempotency_key: str | None = ...) -> Operation:
        """Takes the whole amount at once. A decline is an operation too: its state says what became of
        it, also that it is not known yet.

        The same idempotency key never acts twice. Store it with the order before the call: whoever
        crashes between the order and the answer then repeats the call under the same key. Without
        one a fresh key is made.

        # Errors
        `AskForStatus`: it may have been made; never pay again under another key, but ask with `resume`.
        Every other error says that nothing was moved; see `Error` for what to do on each.
        """
    def payment(self, payment_id: str) -> Payment:
        """One payment with all its operations."""
    def payment_of_order(self, order_id: str) -> Payment:
        """The payment of an order: the one that stands or may stand, else the latest."""
    def quote(self, request: QuoteRequest) -> Quote:
        """Which contract a payment would use, or why none can be used. Ask when the shopper has chosen
        how to pay; nothing is stored.
        """
    def refund(self, payment_id: str, amount: int, currency: str, idempotency_key: str | None = ...) -> Operation:
        """Pays back what was captured, or a part of it; there may be several refunds.

        # Errors
        As for `pay`.
        """
    def register(self, user_id: str, password: str, code: str) -> Registration:
        """Registers the shop's software with the code that the operator gave: makes a module key, stores
        it, then sends it with the password that `user_id` signs in by from now on (15 to 128
        characters). This connection speaks with the new key from then on.

        After a crash or an error that says `Wait`, register again with the same code.

        # Errors
        `SignInAgain` (`credential_refused`) for a code or user id that is not right or has ended;
        `FixTheRequest` for a password that is too simple (`invalid_field`), a store that holds a registered
        key (`already_registered`) or a connection that is in use (`already_open`).
        """
    def resume(self, idempotency_key: str) -> Operation:
        """Finds out what became of a payment call of this or an earlier process. Only asks: should no
        call have arrived, none is made.

        # Errors
        `AskForStatus` while it is not known: ask again later; `FixTheRequest` (`not_in_journal`) for a
        key that neither the journal nor the server knows; `Wait` (`not_made`) when it is proved that nothing was made.
        """
    def revoke_key(self, key_id: str) -> KeyInfo:
        """Ends a key of the shop at once, for good."""
    def roll_key(self) -> KeyInfo:
        """Replaces the module key by a fresh one. The old one stays good for 24 hours, for other
        processes that still hold it.
        """
    def server_time_ms(self) -> int:
        """The server's time in milliseconds since 1970, as far as its signed answers have told it;
        before the first one, this machine's.
        """
    def set_notices(self, settings: SetNotices) -> NoticeSettings:
        """Sets where the shop is told from now on; what is left out is told there no more. Gives what
        stands then.
        """
    def sign_out(self) -> None:
        """Ends the session that this connection acts with."""
    def verify_webhook(self, webhook_id: str, webhook_timestamp: str, webhook_signature: str, body: str) -> Notice:
        """Reads a webhook that arrived at the shop's URL: the values of its header fields `webhook-id`,
        `webhook-timestamp` and `webhook-signature`, and its body as received. Answer it with status 200
        once the notice is stored; with 400 after the error `webhook_unverified`; with 500 after any other
        error, so that it comes again.

        A notice may come twice (the same `webhook_id`), and later than one that arose after it
        (`sequence`): before shipping, ask the server.

        # Errors
        `FixTheRequest` (`webhook_unverified`) where it is not the server's, or more than five minutes old.
        """
    def void(self, payment_id: str, idempotency_key: str | None = ...) -> Operation:
        """Releases all that was authorised and not captured.

        # Errors
        As for `pay`.
        """
    def __enter__(self) -> BlockingConnection: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

@final
class Connection:
    """A shop's line to the operator's server. All verbs may run at the same time, on any thread, and in
    a process that was forked after this was made.

    It speaks as one: with the key of its store from the first verb on, or as the person who signed in
    with `login` before any other verb.

    Every verb may give an `Error` of any kind, which says what to do: `FixTheRequest` for an argument
    that cannot be, with its `field`; `Wait` where the server is not reached; `SignInAgain` where there
    is no key or it has ended. Only about a payment can the outcome be unknown (`AskForStatus`).

    A payment whose awaiting is cancelled, by a time limit of the program's own or with the request that it
    belongs to, may have been made all the same. Give `pay` and its like a key of your own, so that you can
    ask: `resume` that key, or those that `in_flight` names.
    """
    def __init__(self, config: Config, store: Store) -> None:
        """A line by these settings, with the keys and open payments of this store. Nothing is sent and
        no file read yet.
        """
    async def authorise(self, order: Order, idempotency_key: str | None = ...) -> Operation:
        """Holds the amount, to be captured later; else as `pay`.

        # Errors
        As for `pay`.
        """
    async def capture(self, payment_id: str, amount: int, currency: str, idempotency_key: str | None = ...) -> Operation:
        """Takes what was authorised, or a part of it; there may be several captures.

        # Errors
        As for `pay`.
        """
    async def check(self, request: CheckRequest, idempotency_key: str | None = ...) -> Check:
        """Asks the institution whether the instrument would do, where the contract can tell. Nothing is
        paid or held; paying takes a new envelope.
        """
    def close(self) -> None:
        """Closes this connection: verbs begun from now on are refused, those under way go on. Neither
        key nor session ends by it.
        """
    async def dismiss(self, idempotency_key: str) -> None:
        """Takes a payment call out of the journal without knowing what became of it, once a person has
        cleared it up with the operator.
        """
    async def history(self, query: HistoryQuery) -> HistoryPage:
        """One page of the history, newest payments first."""
    async def in_flight(self) -> InFlight:
        """The payment calls that this shop's software has under way at this server, or had when it was
        ended: settle each with `resume` after a start. Nothing is asked of the server.
        """
    async def key_id(self) -> str:
        """The id of the key that signs."""
    async def list_keys(self) -> list[KeyInfo]:
        """The shop's keys that have not ended, newest first."""
    async def login(self, user_id: str, password: str) -> Session:
        """Signs a person in: this connection, which no other verb has used before, acts with a fresh
        key, held in memory only, until `sign_out`, 15 minutes of silence, or 12 hours.

        # Errors
        `SignInAgain` (`credential_refused`) for a wrong user id or password; `Wait` (`login_locked`)
        after too many wrong ones; `FixTheRequest` (`already_open`) on a connection that is in use.
        """
    async def methods(self, pos_id: str | None = ...) -> Methods:
        """Everything that the shop can be paid by now, on one POS or on all."""
    async def notices(self) -> NoticeSettings:
        """Where the shop is told of what happens, by mail and by webhook."""
    async def operation(self, idempotency_key: str) -> KeyStatus:
        """What the server has under an idempotency key."""
    async def pay(self, order: Order, idempotency_key: str | None = ...) -> Operation:
        """Takes the whole amount at once. A decline is an operation too: its state says what became of
        it, also that it is not known yet.

        The same idempotency key never acts twice. Store it with the order before the call: whoever
        crashes between the order and the answer then repeats the call under the same key. Without
        one a fresh key is made.

        # Errors
        `AskForStatus`: it may have been made; never pay again under another key, but ask with `resume`.
        Every other error says that nothing was moved; see `Error` for what to do on each.
        """
    async def payment(self, payment_id: str) -> Payment:
        """One payment with all its operations."""
    async def payment_of_order(self, order_id: str) -> Payment:
        """The payment of an order: the one that stands or may stand, else the latest."""
    async def quote(self, request: QuoteRequest) -> Quote:
        """Which contract a payment would use, or why none can be used. Ask when the shopper has chosen
        how to pay; nothing is stored.
        """
    async def refund(self, payment_id: str, amount: int, currency: str, idempotency_key: str | None = ...) -> Operation:
        """Pays back what was captured, or a part of it; there may be several refunds.

        # Errors
        As for `pay`.
        """
    async def register(self, user_id: str, password: str, code: str) -> Registration:
        """Registers the shop's software with the code that the operator gave: makes a module key, stores
        it, then sends it with the password that `user_id` signs in by from now on (15 to 128
        characters). This connection speaks with the new key from then on.

        After a crash or an error that says `Wait`, register again with the same code.

        # Errors
        `SignInAgain` (`credential_refused`) for a code or user id that is not right or has ended;
        `FixTheRequest` for a password that is too simple (`invalid_field`), a store that holds a registered
        key (`already_registered`) or a connection that is in use (`already_open`).
        """
    async def resume(self, idempotency_key: str) -> Operation:
        """Finds out what became of a payment call of this or an earlier process. Only asks: should no
        call have arrived, none is made.

        # Errors
        `AskForStatus` while it is not known: ask again later; `FixTheRequest` (`not_in_journal`) for a
        key that neither the journal nor the server knows; `Wait` (`not_made`) when it is proved that nothing was made.
        """
    async def revoke_key(self, key_id: str) -> KeyInfo:
        """Ends a key of the shop at once, for good."""
    async def roll_key(self) -> KeyInfo:
        """Replaces the module key by a fresh one. The old one stays good for 24 hours, for other
        processes that still hold it.
        """
    async def server_time_ms(self) -> int:
        """The server's time in milliseconds since 1970, as far as its signed answers have told it;
        before the first one, this machine's.
        """
    async def set_notices(self, settings: SetNotices) -> NoticeSettings:
        """Sets where the shop is told from now on; what is left out is told there no more. Gives what
        stands then.
        """
    async def sign_out(self) -> None:
        """Ends the session that this connection acts with."""
    async def verify_webhook(self, webhook_id: str, webhook_timestamp: str, webhook_signature: str, body: str) -> Notice:
        """Reads a webhook that arrived at the shop's URL: the values of its header fields `webhook-id`,
        `webhook-timestamp` and `webhook-signature`, and its body as received. Answer it with status 200
        once the notice is stored; with 400 after the error `webhook_unverified`; with 500 after any other
        error, so that it comes again.

        A notice may come twice (the same `webhook_id`), and later than one that arose after it
        (`sequence`): before shipping, ask the server.

        # Errors
        `FixTheRequest` (`webhook_unverified`) where it is not the server's, or more than five minutes old.
        """
    async def void(self, payment_id: str, idempotency_key: str | None = ...) -> Operation:
        """Releases all that was authorised and not captured.

        # Errors
        As for `pay`.
        """
    async def __aenter__(self) -> Connection: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

class KeyStorage(abc.ABC):
    """A key storage of the host's own: a secret manager, a database. What it keeps is one text with
    secrets in it; keep it where only the shop's software can read it.

    It is called on the thread that called the verb; it must not call a blocking verb itself, nor fork. Each
    method has reached the lasting store when it returns, and looking and writing are one step
    among all processes that share it.

    What fails by any other error than `KeyStorageError` is told by the name of its class alone, because
    its text may quote what was to be written: log it where it happens.
    """
    @abc.abstractmethod
    def load(self) -> str | None:
        """The text; none before the first `replace`."""
    @abc.abstractmethod
    def replace(self, old: str | None, new: str) -> bool:
        """Writes `new` if what is kept is `old` (none: nothing is kept), and says whether it was."""

@final
class Store:
    """Where a shop's keys and open payments are kept. One store is one shop's; processes may share a
    folder, and several connections a store. In a process that was forked after it was made it has
    the same keys, and what the parent has under way is the parent's.
    """
    def __init__(self, *, made_in_another_way: NoReturn) -> None: ...
    @classmethod
    def in_folder(cls, folder: str) -> Store:
        """Files in a folder, which is made (0700) if need be: keep it out of everybody's reach, and in
        the backup.
        """
    @classmethod
    def in_memory(cls) -> Store:
        """Nothing that lasts: for tests, and for a person's session (`login`), whose key lives in memory
        anyway. Payments that are under way when the process ends are not remembered.
        """
    @classmethod
    def of_host(cls, storage: KeyStorage, journal_folder: str) -> Store:
        """Keys in a storage of the host's own, open payments in files of `journal_folder`."""

def seal(instrument: Instrument, binding: SealBinding, seal_keys: str, seal_root: str) -> str:
    """Seals what the shopper pays with to the institution of the binding, and gives the envelope as the
    JSON text that an order takes. It belongs into the shopper's page, a wallet or a test: a shop's
    server never sees an instrument.

    `seal_keys` and `seal_root` come with a quote or with the methods; whoever has the root from the
    institution itself takes that one.

    # Errors
    `FixTheRequest` naming the field of the instrument or binding; `Wait` (`seal_keys_refused`, with
    the advice `NEW_QUOTE`) when the keys have ended: fetch them again by a quote; `GiveUp`
    (`seal_keys_refused`) when they are not the institution's: tell the operator.
    """

def verify(answer_key: str, call_signature: bytes, status: int, headers: dict[str, list[str]], body: bytes) -> int:
    """Proves that the server gave this answer to the call with this signature, and gives the server's
    time in milliseconds since 1970: for those who bring their own sender. `headers` holds the values
    of each header field under its lower-case name; `status` and `body` are as received.

    # Errors
    `FixTheRequest` for a key or signature that is none; `AskForStatus` (`answer_unverified`) when
    the answer is not to be believed: the outcome of a payment is then unknown.
    """
