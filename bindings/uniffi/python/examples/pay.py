"""A shop that registers, seals and pays. It reads the test bed's one line from standard input."""

import json
import sys

import pos_connect as pos

bed = json.loads(sys.stdin.readline())
server = bed["server"]
config = pos.Config(
    server_url=server["tls_url"], authority=server["authority"], ca_pem=server["ca_pem"]
)
with pos.BlockingConnection(config, pos.Store.in_memory()) as line:
    unused = bed["unregistered"][0]
    line.register(unused["user_id"], "a password of my own choice", unused["code"])

    bought = {"order_id": "order-1", "amount": 1200, "currency": "JPY"}
    quote = line.quote(pos.QuoteRequest(method="card:visa", **bought))
    contract = quote.contract

    # What the shopper's page does: it seals the card to the institution of the quote.
    card = bed["instruments"]["approve"]["instrument"]
    envelope = pos.seal(
        pos.Instrument.CARD(
            number=card["number"],
            expiry_year=card["expiry_year"],
            expiry_month=card["expiry_month"],
            security_code=card["security_code"],
            holder=None,
        ),
        pos.SealBinding(
            institution=contract.institution,
            contract_number=contract.contract_number,
            operation=pos.SealedOperation.SALE,
            **bought,
        ),
        quote.seal_keys,
        contract.seal_root,
    )

    order = pos.Order(contract_id=contract.contract_id, envelope=envelope, **bought)
    operation = line.pay(order, "order-1-sale-0001")
print(f"order-1: {operation.state.name.lower()}, {operation.done_amount} JPY")
sys.exit(0 if operation.state == pos.OperationState.DONE else 1)
