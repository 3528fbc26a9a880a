"""A shop that uses everything: mypy and pyright, both strict, find nothing in it."""

import asyncio
from typing import assert_type

import pos_connect as pos
from pos_connect import BlockingConnection, Connection, KeyStorage


class Vault(KeyStorage):
    def __init__(self) -> None:
        self.text: str | None = None

    def load(self) -> str | None:
        return self.text

    def replace(self, old: str | None, new: str) -> bool:
        if new == "":
            raise pos.KeyStorageError.Failed("nothing to keep")
        if self.text != old:
            return False
        self.text = new
        return True


config = pos.Config(
    server_url="https://pos.example",
    language=pos.Language.JAPANESE,
    ca_pem=None,
    proxy="http://proxy:3128",
    authority="pos.example",
    connect_timeout_s=5,
    attempt_timeout_s=20,
    total_timeout_s=40,
    user_agent="shop/1",
    answer_key=None,
    seal_roots={"sakura-card": "x"},
)
config.server_url = "https://pos.example:8443"
least = pos.Config(server_url="https://pos.example")
store = pos.Store.of_host(Vault(), "journal")
stores: list[pos.Store] = [store, pos.Store.in_folder("pos"), pos.Store.in_memory()]


def instruments() -> list[pos.Instrument]:
    card = pos.Instrument.CARD(
        number="4", expiry_year=2031, expiry_month=12, security_code=None, holder=None
    )
    assert_type(card.expiry_year, int)
    account = pos.Instrument.ACCOUNT(
        bank="0001",
        branch="001",
        kind=pos.AccountKind.ORDINARY,
        number="1",
        holder_kana=None,
        secret=None,
    )
    return [card, account, pos.Instrument.PREPAID("1", pin=None)]


def sealed(contract: pos.Contract, keys: str) -> str:
    binding = pos.SealBinding(
        institution=contract.institution,
        contract_number=contract.contract_number,
        operation=pos.SealedOperation.SALE,
        order_id="1",
        amount=1200,
        currency="JPY",
    )
    return pos.seal(instruments()[0], binding, keys, contract.seal_root)


def sell(line: BlockingConnection, idempotency_key: str) -> str:
    quote = line.quote(
        pos.QuoteRequest(order_id="1", method="card:visa", amount=1200, currency="JPY")
    )
    assert_type(quote.considered, list[pos.Candidate])
    contract, keys = quote.contract, quote.seal_keys
    if contract is None or keys is None:
        why = [one.rejection.text_en for one in quote.considered if one.rejection]
        return ", ".join(why)
    order = pos.Order(
        contract_id=contract.contract_id,
        order_id="1",
        amount=1200,
        currency="JPY",
        envelope=sealed(contract, keys),
        allow_partial=True,
    )
    try:
        operation = line.pay(order, idempotency_key)
    except pos.Error.AskForStatus as error:
        assert_type(error.idempotency_key, str | None)
        operation = line.resume(idempotency_key)
    except (pos.Error.Wait, pos.Error.SignInAgain) as error:
        assert_type(error.retry, pos.Retry)
        assert_type(error.retry_after_ms, int | None)
        return error.text
    except pos.Error.FixTheRequest as error:
        return error.field or error.code
    except pos.Error as error:
        return f"{error.request_id} {error.cause} {error.text_en} {error.text_ja}"
    except pos.InternalError as error:
        return str(error)
    return told(operation)


def told(operation: pos.Operation) -> str:
    if operation.state is pos.OperationState.DECLINED and operation.decline is not None:
        assert_type(operation.decline.shopper_advice, pos.ShopperAdvice)
        return operation.decline.text_en
    if operation.operation == pos.OperationKind.REFUND:
        return str(operation.done_amount)
    return operation.payment_id


def what_is_there(status: pos.KeyStatus) -> str:
    match status:
        case pos.KeyStatus.FOUND(operation=operation):
            return told(operation)
        case pos.KeyStatus.REFUSED():
            return status.rejection.code
        case _:
            pass
    if isinstance(status, pos.KeyStatus.NOTHING):
        return str(status.server_time_ms)
    return "newer" if status.is_nothing() else "other"


def manage(line: BlockingConnection) -> None:
    registration = line.register("user", "password", "code")
    assert_type(registration.recovery_codes, list[str])
    session = line.login("user", "password")
    assert_type(session.ends_at_ms, int)
    held = line.authorise(instrument_order(), "a-key-of-16-octets")
    line.capture(held.payment_id, 100, "JPY", idempotency_key=None)
    line.void(held.payment_id)
    line.refund(held.payment_id, 100, "JPY")
    check = line.check(
        pos.CheckRequest(
            contract_id="c", order_id="1", amount=1, currency="JPY", envelope="{}"
        )
    )
    assert_type(check.state, pos.CheckState)
    flight = line.in_flight()
    for call in flight.open:
        line.dismiss(call.idempotency_key)
    assert_type(flight.unreadable, list[pos.UnreadableCall])
    assert_type(line.payment("p").operations, list[pos.Operation])
    assert_type(line.payment_of_order("1").state, pos.PaymentState)
    page: pos.HistoryPage = line.history(pos.HistoryQuery(limit=10))
    assert_type(page.payments, list[pos.Payment])
    key: pos.KeyInfo = line.roll_key()
    assert_type(key.role, pos.KeyRole)
    assert_type(line.list_keys(), list[pos.KeyInfo])
    line.revoke_key(line.key_id())
    assert_type(line.server_time_ms(), int)
    what_is_there(line.operation("a-key-of-16-octets"))
    methods: pos.Methods = line.methods(pos_id="pos_1")
    limits: pos.CurrencyLimits = methods.contracts[0].currencies[0]
    assert_type(limits.most, int)
    line.sign_out()
    line.close()


def instrument_order() -> pos.Order:
    return pos.Order(contract_id="c", order_id="1", amount=1, currency="JPY", envelope="{}")


async def on_asyncio() -> list[pos.Operation]:
    async with Connection(config, store) as line:
        paid = await asyncio.gather(*(line.pay(instrument_order()) for _ in range(3)))
        assert_type(await line.payment(paid[0].payment_id), pos.Payment)
        return list(paid)


with BlockingConnection(config, store) as opened:
    sell(opened, "a-key-of-16-octets")
    manage(opened)
asyncio.run(on_asyncio())
assert_type(pos.verify("key", b"signature", 200, {"date": ["now"]}, b"{}"), int)
