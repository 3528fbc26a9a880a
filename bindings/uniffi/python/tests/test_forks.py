"""What a child that was forked may do with what it inherited."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import queue
import signal
import socket
import threading
import unittest

import pos_connect as pos
from bed import PASSWORD, OnABed, Vault
from pos_connect._native import pos_connect as native


# Where the workers of a pool find it.
inherited = None


def pay_in_worker(order):
    return os.getpid(), inherited.pay(order)


def in_children(tasks, meanwhile=lambda: None):
    """Runs each task in a child of its own; a child that hangs is ended. Gives the exit codes."""
    children = []
    for task in tasks:
        child = os.fork()
        if child == 0:
            try:
                task()
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)

    def kill():
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    guard = threading.Timer(60, kill)
    guard.start()
    try:
        meanwhile()
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    finally:
        guard.cancel()


def note_calls(server, asked):
    """Reads the first line of every call, and keeps the caller waiting."""
    open_calls = []
    with contextlib.suppress(OSError):
        while True:
            call, _ = server.accept()
            open_calls.append(call)
            method, target, _ = call.recv(65536).split(b" ", 2)
            asked.put(f"{method.decode()} {target.decode()}")


class Forks(OnABed):
    def pays(self, line, order):
        return lambda: self.assertEqual(line.pay(order).state, pos.OperationState.DONE)

    def test_children_pay_on_a_connection_of_their_parent(self):
        line = pos.BlockingConnection(self.bed.config(), self.store())
        self.assertEqual(len(line.methods().contracts), 4)
        orders = [self.bed.order("approve", f"fork-{n}", 100) for n in range(5)]
        tasks = [self.pays(line, order) for order in orders[:4]]
        # The parent goes on meanwhile, on its own sockets.
        self.assertEqual(in_children(tasks, self.pays(line, orders[4])), [0] * 4)

    def test_children_pay_on_asyncio(self):
        line = pos.Connection(self.bed.config(), self.store())
        orders = [self.bed.order("approve", f"loop-{n}", 100) for n in range(9)]

        async def pay_all(mine):
            paid = await asyncio.gather(*(line.pay(order) for order in mine))
            self.assertEqual({one.state for one in paid}, {pos.OperationState.DONE})

        # Used before the fork, so that the child inherits a runtime and sockets.
        asyncio.run(pay_all(orders[:1]))
        tasks = [lambda mine=orders[n : n + 4]: asyncio.run(pay_all(mine)) for n in (1, 5)]
        self.assertEqual(in_children(tasks, lambda: asyncio.run(line.methods())), [0] * 2)

    def test_a_pool_of_forked_processes(self):
        global inherited
        inherited = pos.BlockingConnection(self.bed.config(), self.store())
        inherited.methods()
        orders = [self.bed.order("approve", f"pool-{n}", 100) for n in range(12)]
        with multiprocessing.get_context("fork").Pool(3) as pool:
            paid = pool.map_async(pay_in_worker, orders, chunksize=1).get(60)
            self.assertEqual({one.state for _, one in paid}, {pos.OperationState.DONE})
            self.assertNotIn(os.getpid(), {worker for worker, _ in paid})
            self.assertEqual([one.order_id for _, one in paid], [one.order_id for one in orders])
            # What a worker raises arrives as what it is.
            again = self.bed.order("approve", "pool-0", 100)
            with self.assertRaises(pos.Error.FixTheRequest) as caught:
                pool.apply_async(pay_in_worker, (again,)).get(60)
            told = caught.exception
            self.assertEqual((told.code, told.field), ("order_taken", "order_id"))

    def test_children_that_are_forked_while_other_threads_pay(self):
        line = pos.BlockingConnection(self.bed.config(), self.store())
        orders = [self.bed.order("approve", f"busy-{n}", 100) for n in range(60)]
        failed = []

        def pay_all(mine):
            try:
                for order in mine:
                    self.pays(line, order)()
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=pay_all, args=(orders[n:40:4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        ended = [in_children([self.pays(line, order)])[0] for order in orders[40:]]
        for thread in threads:
            thread.join()
        self.assertEqual((failed, ended), ([], [0] * 20))

    def test_a_child_does_not_wait_for_a_lock_that_a_thread_of_its_parent_holds(self):
        line = pos.Connection(self.bed.config(), self.store())
        of_futures = native._UniffiContinuationHandleMap
        of_storages = native._UniffiFfiConverterTypeKeyStorage._handle_map

        def uses_both():
            self.store()
            self.assertEqual(len(asyncio.run(line.methods()).contracts), 4)

        # As any thread of the parent holds them for a moment; who it is they do not know.
        with of_futures._lock, of_storages._lock:
            self.assertEqual(in_children([uses_both]), [0])
        uses_both()

    def test_a_child_acts_as_the_person_who_signed_in_or_as_the_store_s_key(self):
        unused = self.bed.told["unregistered"][0]
        store = pos.Store.in_memory()
        module = pos.BlockingConnection(self.bed.config(), store)
        module.register(unused["user_id"], PASSWORD, unused["code"])
        person = pos.BlockingConnection(self.bed.config(), store)
        session = person.login(unused["user_id"], PASSWORD)

        def acts_as_both():
            self.assertEqual(person.key_id(), session.key_id)
            self.assertEqual(person.list_keys()[0].role, pos.KeyRole.SESSION)
            self.assertNotEqual(module.key_id(), session.key_id)
            self.assertEqual(len(module.methods().contracts), 3)

        self.assertEqual(in_children([acts_as_both]), [0])
        acts_as_both()

    def test_a_closed_connection_is_closed_in_the_child(self):
        line = pos.BlockingConnection(self.bed.config(), self.store())
        line.methods()
        line.close()

        def is_closed():
            with self.assertRaises(pos.Error.FixTheRequest) as caught:
                line.methods()
            self.assertEqual(caught.exception.code, "closed")

        self.assertEqual(in_children([is_closed]), [0])

    def test_what_the_parent_has_under_way_is_only_asked_for_by_the_child(self):
        # A server that takes calls and never answers; it notes what each one asked.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            asked = queue.Queue()
            threading.Thread(target=note_calls, args=(silent, asked), daemon=True).start()
            config = self.bed.config(attempt_timeout_s=5, total_timeout_s=6)
            config.server_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            # The server's answer key is known, so that the payment itself is what is sent first.
            keys = json.loads(self.bed.module_keys())
            x = self.bed.told["server"]["answer_key"]
            keys["answer_key"] = {"kty": "OKP", "crv": "Ed25519", "x": x}
            store = self.store(Vault(json.dumps(keys)))
            line = pos.BlockingConnection(config, store)
            order = self.bed.order("approve", "open-1", 100)
            with self.assertRaises(pos.Error.AskForStatus) as caught:
                line.pay(order, "forked-key-000001")
            self.assertEqual(caught.exception.idempotency_key, "forked-key-000001")

            self.assertEqual(asked.get(timeout=5), "POST /v1/payments")
            while not asked.empty():
                asked.get()

            def asks():
                self.assertEqual(len(line.in_flight().open), 1)
                # It is the parent's, who alone may send it again.
                with self.assertRaises(pos.Error.AskForStatus):
                    line.pay(order, "forked-key-000001")

            self.assertEqual(in_children([asks]), [0])
            by_the_child = [asked.get(timeout=5)]
            while not asked.empty():
                by_the_child.append(asked.get())
            status = "GET /v1/operations/forked-key-000001"
            self.assertEqual(set(by_the_child), {status})


if __name__ == "__main__":
    unittest.main()
