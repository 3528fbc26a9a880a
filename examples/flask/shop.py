"""One small complete web shop: a shelf, an order, the page that seals the card, and the payment.

The card never comes here. The shopper's page seals it to the institution, and this shop passes the
envelope on.
"""

import os
import pathlib
import secrets
import sqlite3
import time

import click
import pos_connect as pos
from flask import Flask, abort, redirect, render_template, request, send_from_directory, url_for

FOLDER = pathlib.Path(os.environ.get("SHOP_FOLDER", "instance")).absolute()
EXAMPLES = pathlib.Path(__file__).absolute().parent.parent
# What the npm package `pos-connect` has for a browser.
SEAL = os.environ.get("SEAL_FOLDER", EXAMPLES / "node_modules/pos-connect")
SHELF = {"tea": ("Green tea, 100 g", 1200), "cup": ("A cup for it", 3400)}

app = Flask(__name__)


def configured():
    """From the environment, because every installation differs in it. `POS_CA_PEM` and
    `POS_AUTHORITY` are for a server that has no public name."""
    return pos.Config(
        server_url=os.environ["POS_SERVER_URL"],
        ca_pem=os.environ.get("POS_CA_PEM"),
        authority=os.environ.get("POS_AUTHORITY"),
    )


# One line for the whole program. It is made before gunicorn forks, and every worker may use it.
line = pos.BlockingConnection(configured(), pos.Store.in_folder(str(FOLDER / "pos")))


def pay(order):
    """The payment itself. The key is stored with the order, so that whatever happens in between, the
    same order is never paid twice."""
    try:
        operation = line.pay(
            pos.Order(
                contract_id=order["contract_id"],
                order_id=order["id"],
                amount=order["amount"],
                currency="JPY",
                envelope=order["envelope"],
            ),
            order["idempotency_key"],
        )
    except pos.Error.AskForStatus:
        return "asking", "We are asking the bank what became of your payment."
    except pos.Error as error:
        app.logger.warning("%s: %s (%s)", order["id"], error, error.request_id)
        return "new", "The payment could not be made. Nothing was charged."
    return outcome(operation)


def outcome(operation):
    """What the shop makes of an operation: the state of the order, and a sentence for the shopper."""
    if operation.state == pos.OperationState.DONE:
        return "paid", "Paid. Thank you!"
    if operation.state == pos.OperationState.DECLINED:
        return "new", ADVICE[operation.decline.shopper_advice]
    if operation.state in (pos.OperationState.NOT_SENT, pos.OperationState.REVERSED):
        return NOT_MADE
    return "asking", "Your bank is still working on the payment."


NOT_MADE = "new", "The payment was not made. Nothing was charged."

ADVICE = {
    pos.ShopperAdvice.CHECK_DETAILS: "Your bank refused. Please check the number and try again.",
    pos.ShopperAdvice.TRY_LATER: "Your bank refused. Please try again later.",
    pos.ShopperAdvice.TRY_ANOTHER: "Your bank refused. Please take another card.",
    pos.ShopperAdvice.OTHER: "Your bank refused. Please take another card.",
}


@app.get("/")
def shelf():
    return render_template("shelf.html", shelf=SHELF)


@app.post("/orders")
def begin():
    article, amount = SHELF.get(request.form.get("article"), (None, None))
    if article is None:
        abort(404)
    order_id = f"web-{int(time.time())}-{secrets.token_hex(4)}"
    with database() as orders:
        orders.execute(
            "INSERT INTO orders (id, article, amount, state) VALUES (?, ?, ?, 'new')",
            (order_id, article, amount),
        )
    return redirect(url_for("checkout", order_id=order_id))


@app.get("/orders/<order_id>")
def checkout(order_id):
    """The page that the shopper pays on, or that says how it went."""
    order = find(order_id)
    if order["state"] == "asking":
        order = ask(order)
    if order["state"] != "new":
        return render_template("order.html", order=order)
    quote = line.quote(
        pos.QuoteRequest(
            order_id=order_id, method="card:visa", amount=order["amount"], currency="JPY"
        )
    )
    if quote.contract is None:
        abort(503)
    # All that `seal` takes but the card.
    to_seal = {
        "binding": {
            "institution": quote.contract.institution,
            "contract_number": quote.contract.contract_number,
            "operation": "sale",
            "order_id": order_id,
            "amount": order["amount"],
            "currency": "JPY",
        },
        "seal_keys": quote.seal_keys,
        "seal_root": quote.contract.seal_root,
    }
    contract_id = quote.contract.contract_id
    return render_template("pay.html", order=order, to_seal=to_seal, contract_id=contract_id)


@app.post("/orders/<order_id>")
def paid(order_id):
    find(order_id)
    contract_id, envelope = request.form["contract_id"], request.form["envelope"]
    key = f"{order_id}-{secrets.token_hex(4)}"
    # Written down before the call: after a crash the same key asks what became of it. Only where the
    # order is new, so that of two clicks one pays; and a second click brings the same envelope again,
    # which is good for one payment.
    is_mine = change(
        "UPDATE orders SET state = 'asking', contract_id = ?, envelope = ?, idempotency_key = ?,"
        " claimed_at = ? WHERE id = ? AND state = 'new' AND envelope IS NOT ?",
        (contract_id, envelope, key, int(time.time()), order_id, envelope),
    )
    if is_mine:
        settle(key, pay(find(order_id)))
    return redirect(url_for("checkout", order_id=order_id))


@app.get("/pay.js")
def script():
    return send_from_directory(EXAMPLES / "page", "pay.js")


@app.get("/pos-connect/<path:file>")
def seal(file):
    return send_from_directory(SEAL, file)


def ask(order):
    """Finds out what became of a payment that was open. A shopper may look as often as they like."""
    key = order["idempotency_key"]
    try:
        settle(key, outcome(line.resume(key)))
    except pos.Error.AskForStatus:
        pass
    except pos.Error as error:
        app.logger.warning("%s: %s (%s)", order["id"], error, error.request_id)
        # Only two errors are the end of the payment: the proof that it was not made, and the server's
        # refusal of it, which has a request id. Others are about this question.
        if error.code == "not_made" or error.request_id:
            settle(key, NOT_MADE)
        elif error.code == "not_in_journal" and claim_again(key):
            settle(key, pay(order))
    return find(order["id"])


def settle(key, outcome):
    """Writes down what became of the payment under this key, unless that is known already."""
    change(
        "UPDATE orders SET state = ?, text = ? WHERE idempotency_key = ? AND state = 'asking'",
        (*outcome, key),
    )


def claim_again(key):
    """Whether a payment that never began is the caller's to make: the shop was killed when it had
    written the payment down and not yet sent it. Not while whoever wrote it may be at it: no call
    takes a minute."""
    now = int(time.time())
    return change(
        "UPDATE orders SET claimed_at = ? WHERE idempotency_key = ? AND state = 'asking'"
        " AND claimed_at < ?",
        (now, key, now - 60),
    )


def database():
    FOLDER.mkdir(parents=True, exist_ok=True)
    orders = sqlite3.connect(FOLDER / "orders.db")
    orders.row_factory = sqlite3.Row
    orders.execute(
        "CREATE TABLE IF NOT EXISTS orders (id PRIMARY KEY, article, amount, state, text,"
        " contract_id, envelope, idempotency_key, claimed_at)"
    )
    return orders


def find(order_id):
    with database() as orders:
        order = orders.execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()
    return order or abort(404)


def change(statement, values):
    """Whether the statement has changed an order."""
    with database() as orders:
        return orders.execute(statement, values).rowcount == 1


@app.cli.command("settle")
def settle_open():
    """Finds out what became of every payment that is open, whether or not its shopper comes back."""
    with database() as orders:
        asking = orders.execute("SELECT * FROM orders WHERE state = 'asking'").fetchall()
    for order in asking:
        ask(order)


@app.cli.command()
@click.argument("user_id")
@click.argument("code")
@click.password_option(envvar="SHOP_PASSWORD")
def register(user_id, code, password):
    """Registers this shop's software with the code that the operator gave."""
    registration = line.register(user_id, password, code)
    print(f"registered as {registration.shop_id}. Write these down, they are shown once:")
    for recovery_code in registration.recovery_codes:
        print(f"  {recovery_code}")
    print(f"and to stop all payments: {registration.panic_code}")
