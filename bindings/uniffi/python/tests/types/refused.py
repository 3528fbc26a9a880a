"""Mistakes: each line that ends in `# refused` must be found by mypy and by pyright, and no other."""

import pos_connect as pos

line = pos.BlockingConnection(pos.Config(server_url="https://pos.example"), pos.Store.in_memory())
order = pos.Order(contract_id="c", order_id="1", amount=1, currency="JPY", envelope="{}")

pos.Config()  # refused
pos.Config("https://pos.example")  # refused
pos.Config(server_url="https://pos.example", total_timeout="6")  # refused
pos.Order(contract_id="c", order_id="1", amount="1", currency="JPY", envelope="{}")  # refused
pos.Order(contract_id="c", order_id="1", amount=1, currency="JPY", envelope=None)  # refused
pos.Store()  # refused
pos.Instrument()  # refused
pos.KeyStorage()  # refused
pos.Instrument.CARD(number="4")  # refused
pos.Instrument.CASH  # refused
pos.OperationState.FINISHED  # refused
pos.BlockingConnection(pos.Store.in_memory())  # refused
pos.BlockingConnection("https://pos.example", pos.Store.in_memory())  # refused
line.pay(order, 7)  # refused
line.pay({"amount": 1})  # refused
line.capture("p", "1", "JPY")  # refused
line.pay(order).decline.text_en  # refused
line.pay(order).amonut  # refused
line.charge(order)  # refused
order.amount = "2"  # refused
amount: str = line.pay(order).amount  # refused
pos.seal(order, order, "{}", "x")  # refused


class Half(pos.KeyStorage):
    def load(self) -> str | None:
        return None


Half()  # refused
pos.Store.of_host(order, "journal")  # refused


async def not_awaited(asynchronous: pos.Connection) -> str:
    with asynchronous:  # refused
        pass
    return asynchronous.pay(order).payment_id  # refused


try:
    line.methods()
except pos.Error.Declined:  # refused
    pass
except pos.Error.Wait as error:
    seconds: int = error.retry_after_ms  # refused
    error.reason  # refused


class MyCard(pos.Instrument.CARD):  # refused
    pass
