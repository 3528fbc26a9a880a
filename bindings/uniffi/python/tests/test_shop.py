"""A shop in Python, blocking and on asyncio, against a real server."""

import asyncio
import gc
import json
import queue
import threading
import time
import unittest
import weakref

import pos_connect as pos
from bed import PASSWORD, OnABed, Vault
from pos_connect._native import pos_connect as native


class Calling(Vault):
    """Says that a verb is under way: its key is being loaded."""

    def __init__(self, text, calling):
        super().__init__(text)
        self.calling = calling

    def load(self):
        self.calling.set()
        return super().load()


class Shop(OnABed):
    def line(self, make=pos.BlockingConnection):
        return make(self.bed.config(), self.store())

    def test_blocking_from_registration_to_refund(self):
        unused = self.bed.told["unregistered"][0]
        vault = Vault()
        with pos.BlockingConnection(self.bed.config(), self.store(vault)) as line:
            registration = line.register(unused["user_id"], PASSWORD, unused["code"])
            self.assertEqual(len(registration.recovery_codes), 10)
        self.assertIn(registration.shop_id, vault.text)
        with self.assertRaises(pos.Error.FixTheRequest) as caught:
            line.methods()
        self.assertEqual(caught.exception.code, "closed")

        with self.line() as line:
            order = self.bed.order("approve", "py-1", 1200)
            paid = line.pay(order, "python-key-000001")
            self.assertEqual(paid.state, pos.OperationState.DONE)
            self.assertEqual(line.pay(order, "python-key-000001"), paid)
            refunded = line.refund(paid.payment_id, 200, "JPY")
            self.assertEqual(refunded.operation, pos.OperationKind.REFUND)
            payment = line.payment(paid.payment_id)
            self.assertEqual(payment.state, pos.PaymentState.PARTLY_REFUNDED)
            self.assertEqual((payment.captured, payment.refunded), (1200, 200))
            declined = line.pay(self.bed.order("expired_card", "py-2", 500))
            self.assertEqual(declined.state, pos.OperationState.DECLINED)
            self.assertEqual(declined.decline.reason, "expired_card")
            self.assertEqual(declined.decline.text_ja, "カードの有効期限が切れています。")

    def test_on_asyncio_many_at_once(self):
        async def run():
            async with self.line(pos.Connection) as line:
                orders = [self.bed.order("approve", f"py-many-{n}", 100 + n) for n in range(20)]
                paid = await asyncio.gather(*(line.pay(order) for order in orders))
                self.assertEqual([one.amount for one in paid], [100 + n for n in range(20)])
                self.assertEqual({one.state for one in paid}, {pos.OperationState.DONE})
                with self.assertRaises(pos.Error.FixTheRequest) as caught:
                    await line.pay(self.bed.order("approve", "py-many-0", 100))
                error = caught.exception
                self.assertEqual((error.code, error.field), ("order_taken", "order_id"))
                self.assertEqual(str(error), error.text_en)
                self.assertTrue(error.request_id.startswith("req_"))
                self.assertGreaterEqual(len(error.idempotency_key), 16)

        asyncio.run(run())

    def test_an_outcome_that_was_not_told_is_asked_for(self):
        forged = self.bed.told["server"]["forge_url"]
        config = self.bed.config(server_url=forged, total_timeout_s=6, attempt_timeout_s=5)
        order = self.bed.order("approve", "py-ask", 700)
        with pos.BlockingConnection(config, self.store()) as line:
            line.methods()
            self.bed.control("POST", "/forge", {"forgery": "cut", "times": 1000})
            try:
                with self.assertRaises(pos.Error.AskForStatus) as caught:
                    line.pay(order, "python-ask-000001")
            finally:
                self.bed.control("DELETE", "/forge")
            self.assertEqual(caught.exception.idempotency_key, "python-ask-000001")
            self.assertEqual(line.in_flight().open[0].order_id, "py-ask")
            found = line.resume("python-ask-000001")
            self.assertEqual((found.state, found.done_amount), (pos.OperationState.DONE, 700))
            self.assertEqual(line.in_flight().open, [])
            self.assertEqual(line.payment(found.payment_id).captured, 700)

    def test_other_threads_run_while_one_waits(self):
        turns = queue.Queue()
        calling = threading.Event()

        def turn():
            calling.wait()
            for _ in range(20):
                turns.put(time.monotonic())

        config = self.bed.config(
            server_url="http://127.0.0.1:1", total_timeout_s=6, connect_timeout_s=1
        )
        line = pos.BlockingConnection(config, self.store(Calling(self.bed.module_keys(), calling)))
        thread = threading.Thread(target=turn)
        thread.start()
        with self.assertRaises(pos.Error.Wait) as caught:
            line.methods()
        ended = time.monotonic()
        thread.join()
        self.assertEqual(caught.exception.code, "server_unreachable")
        self.assertEqual(caught.exception.retry, pos.Retry.SAME_KEY)
        # The thread was let go inside the verb, which then tried for seconds; with the
        # interpreter's lock held it would have had its turns only after it.
        self.assertLess(max(turns.get_nowait() for _ in range(20)), ended)

    def test_arguments_of_a_wrong_type_or_value(self):
        line = self.line()
        order = self.bed.order("approve", "py-3", 100)
        for change in [
            {"amount": "100"},
            {"amount": None},
            {"amount": float("nan")},
            {"currency": 392},
            {"envelope": None},
            {"order_id": b"py-3"},
        ]:
            wrong = pos.Order(**{**vars(order), **change})
            with self.assertRaises((TypeError, AttributeError), msg=str(change)):
                line.pay(wrong)
        for change in [{"amount": -1}, {"amount": 2**64}]:
            with self.assertRaises(ValueError, msg=str(change)):
                line.pay(pos.Order(**{**vars(order), **change}))
        with self.assertRaises(UnicodeEncodeError):
            line.pay(pos.Order(**{**vars(order), "order_id": "\ud800"}))
        for change, field in [
            ({"amount": 2**63}, "amount"),
            ({"amount": 0}, "amount"),
            ({"order_id": "x" * 2**20}, "order_id"),
            ({"currency": "YEN"}, "currency"),
        ]:
            with self.assertRaises(pos.Error.FixTheRequest) as caught:
                line.pay(pos.Order(**{**vars(order), **change}))
            self.assertEqual(caught.exception.field, field)

    def test_a_storage_that_raises_is_told(self):
        class Locked(Vault):
            def load(self):
                raise pos.KeyStorageError.Failed("the vault is sealed")

        class Buggy(Vault):
            def load(self):
                return {}["missing"]

        for vault, reason in [(Locked(), "the vault is sealed"), (Buggy(), "KeyError")]:
            line = pos.BlockingConnection(self.bed.config(), self.store(vault))
            with self.assertRaises(pos.Error.GiveUp) as caught:
                line.methods()
            self.assertEqual(caught.exception.code, "key_store")
            self.assertIn(reason, caught.exception.cause)

    def test_a_storage_that_quotes_in_its_error_what_it_was_given(self):
        class Quoting(Vault):
            def replace(self, old, new):
                self.given = new
                raise self.error(f"INSERT INTO keys VALUES ({new!r})")

        unused = self.bed.told["unregistered"][1]
        for error in [RuntimeError, pos.KeyStorageError.Failed]:
            vault = Quoting()
            vault.error = error
            line = pos.BlockingConnection(self.bed.config(), self.store(vault))
            with self.assertRaises(pos.Error.GiveUp) as caught:
                line.register(unused["user_id"], PASSWORD, unused["code"])
            self.assertEqual(caught.exception.code, "key_store")
            self.assertNotIn("INSERT", caught.exception.cause)
            self.assertNotIn(json.loads(vault.given)["module_key"], repr(caught.exception))

    def test_a_storage_is_let_go_in_the_middle_of_a_change_of_the_map_it_is_in(self):
        handles = native._UniffiFfiConverterTypeKeyStorage._handle_map
        kept = weakref.ref(vault := Vault())
        store = self.store(vault)
        # As a collector of garbage does, which may come at any time.
        with handles._lock:
            del store, vault
            gc.collect()
        self.assertIsNone(kept())
        other = handles.insert(Vault())
        self.assertNotEqual(handles.insert(Vault()), other)

    def test_a_storage_that_is_stopped_has_failed_and_the_program_stops_after_the_verb(self):
        asked = []

        class Stopped(Vault):
            def replace(self, old, new):
                asked.append(old)
                raise KeyboardInterrupt

        unused = self.bed.told["unregistered"][1]
        line = pos.BlockingConnection(self.bed.config(), self.store(Stopped()))
        with self.assertRaises(KeyboardInterrupt) as caught:
            line.register(unused["user_id"], PASSWORD, unused["code"])
        failed = caught.exception.__context__
        self.assertIsInstance(failed, pos.Error.GiveUp)
        self.assertEqual(failed.code, "key_store")
        self.assertIn("KeyboardInterrupt", failed.cause)
        self.assertEqual(asked, [None])
        # It stops the program once.
        with self.assertRaises(pos.Error.SignInAgain):
            line.methods()

        class Ended(Vault):
            def load(self):
                raise SystemExit(7)

        async def ask():
            async with pos.Connection(self.bed.config(), self.store(Ended())) as line:
                await line.methods()

        with self.assertRaises(SystemExit) as caught:
            asyncio.run(ask())
        self.assertEqual(caught.exception.code, 7)

    def test_a_storage_that_calls_back_into_a_verb(self):
        outer = []

        class Nested(Vault):
            def load(self):
                outer[0].methods()
                return self.text

        line = pos.BlockingConnection(self.bed.config(), self.store(Nested()))
        outer.append(line)
        with self.assertRaises(pos.Error.GiveUp) as caught:
            line.methods()
        self.assertIn("FixTheRequest", caught.exception.cause)

    def test_what_python_takes_for_another_type_is_none_here(self):
        with self.line() as line:
            for n, (field, value) in enumerate(
                [
                    ("allow_partial", "no"),
                    ("allow_partial", None),
                    ("allow_partial", []),
                    ("allow_partial", 0),
                    ("allow_partial", 2),
                    ("allow_partial", 1.5),
                    ("amount", True),
                    ("amount", "1200"),
                    ("currency", b"JPY"),
                ]
            ):
                order = self.bed.order("approve", f"py-type-{n}", 100)
                setattr(order, field, value)
                with self.subTest(field=field, value=value), self.assertRaises(TypeError) as caught:
                    line.pay(order)
                self.assertTrue(str(caught.exception).startswith(f"{field}: "), caught.exception)
            with self.assertRaises(TypeError):
                line.refund("pay_014d2pf2dbzzzzzzzzzzzzzzzz", True, "JPY")
            with self.assertRaisesRegex(ValueError, "^expiry_month: "):
                pos.seal(pos.Instrument.CARD("4", 2039, 256, None, None), None, "", "")
            order = self.bed.order("approve", "py-type", 100)
            order.allow_partial = True
            self.assertEqual(line.pay(order).state, pos.OperationState.DONE)

    def test_a_verb_that_is_cancelled_leaves_the_connection_good(self):
        async def run():
            async with self.line(pos.Connection) as line:
                for n in range(5):
                    # The institution does not answer, so that the payment is under way for long.
                    order = self.bed.order("fault:no_answer", f"py-cancel-{n}", 100)
                    key = f"cancelled-key-{n:04}"
                    paying = asyncio.create_task(line.pay(order, key))
                    while key not in [call.idempotency_key for call in (await line.in_flight()).open]:
                        await asyncio.sleep(0)
                    paying.cancel()
                    with self.assertRaises(asyncio.CancelledError):
                        await paying
                    # It may have been made: the journal keeps it to be asked for.
                    open_calls = (await line.in_flight()).open
                    self.assertIn(key, [call.idempotency_key for call in open_calls])
                    paid = await line.pay(self.bed.order("approve", f"py-after-{n}", 100))
                    self.assertEqual(paid.state, pos.OperationState.DONE)

        asyncio.run(run())


if __name__ == "__main__":
    unittest.main()
