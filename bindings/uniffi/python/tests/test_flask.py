"""The example shop (`examples/flask`) under gunicorn: loaded once, forked into workers, paid through all."""

import collections
import concurrent.futures
import html
import http.client
import importlib.util
import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import types
import unittest
import unittest.mock
import urllib.parse

import pos_connect as pos
from bed import PASSWORD, Bed

SHOP = pathlib.Path(__file__).parents[4] / "examples/flask"
WORKERS = 3
LIMIT_S = 60


class Gunicorn:
    """Tells by its own log where it listens, and which worker answered what."""

    def __init__(self, settings):
        words = [
            "gunicorn", "--preload", "--workers", str(WORKERS), "--worker-class", "sync",
            "--bind", "127.0.0.1:0", "--no-control-socket", "--access-logfile", "-",
            "--access-logformat", "worker=%(p)s %(U)s", "shop:app",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-m", *words], cwd=SHOP, env=settings, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.log, self._lines = [], queue.Queue()
        self._answered = collections.Counter()
        threading.Thread(target=self._read, daemon=True).start()
        self.port = int(self.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)"))

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def wait_for(self, pattern):
        """Reads the log until a line says so."""
        while line := self._lines.get(timeout=LIMIT_S):
            self.log.append(line)
            if answered := re.search(r"worker=<(\d+)>", line):
                self._answered[int(answered[1])] += 1
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError("gunicorn ended: " + "".join(self.log))

    def answered(self):
        """How often each worker did, so far."""
        counted, self._answered = self._answered, collections.Counter()
        return counted

    def call(self, method, path, **form):
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        line.request(method, path, urllib.parse.urlencode(form), kind)
        answer = line.getresponse()
        page = answer.read().decode()
        line.close()
        return answer.status, answer.headers.get("Location"), page

    def end(self):
        self._process.terminate()
        try:
            return self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise


class Outcomes(unittest.TestCase):
    def test_an_order_whose_payment_moved_nothing_in_the_end_can_be_paid_again(self):
        spec = importlib.util.spec_from_file_location("shop", SHOP / "shop.py")
        shop = importlib.util.module_from_spec(spec)
        with tempfile.TemporaryDirectory() as folder:
            settings = {"SHOP_FOLDER": folder, "POS_SERVER_URL": "https://pos.example"}
            with unittest.mock.patch.dict(os.environ, settings):
                spec.loader.exec_module(shop)
        open_states = set(pos.OperationState) - {
            pos.OperationState.DONE,
            pos.OperationState.DECLINED,
            pos.OperationState.NOT_SENT,
            pos.OperationState.REVERSED,
        }
        for state, order in [
            (pos.OperationState.DONE, "paid"),
            (pos.OperationState.NOT_SENT, "new"),
            (pos.OperationState.REVERSED, "new"),
            *((state, "asking") for state in open_states),
        ]:
            self.assertEqual(shop.outcome(types.SimpleNamespace(state=state))[0], order, state)


class Shop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bed = Bed()
        cls.folder = tempfile.TemporaryDirectory()
        server, unused = cls.bed.told["server"], cls.bed.told["unregistered"][0]
        settings = os.environ | {
            "SHOP_FOLDER": cls.folder.name,
            "SHOP_PASSWORD": PASSWORD,
            "POS_SERVER_URL": server["tls_url"],
            "POS_AUTHORITY": server["authority"],
            "POS_CA_PEM": server["ca_pem"],
        }
        words = ["flask", "--app", "shop", "register", unused["user_id"], unused["code"]]
        registered = subprocess.run(
            [sys.executable, "-B", "-m", *words], cwd=SHOP, env=settings, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        assert len(re.findall("^  ", registered.stdout, re.M)) == 10, registered.stdout
        cls.shop = Gunicorn(settings)

    @classmethod
    def tearDownClass(cls):
        code = cls.shop.end()
        cls.bed.close()
        cls.folder.cleanup()
        assert code == 0, "".join(cls.shop.log)

    def buy(self, instrument="approve"):
        """What a browser does, but that `pay.js` seals there by the same function from the npm package."""
        status, page_of_order, _ = self.shop.call("POST", "/orders", article="tea")
        self.assertEqual(status, 302)
        status, _, page = self.shop.call("GET", page_of_order)
        self.assertEqual(status, 200, page)
        to_seal = re.search(r'<script type="application/json" id="to-seal">(.*?)</script>', page)
        to_seal = json.loads(html.unescape(to_seal[1]))
        envelope = pos.seal(
            self.bed.card(instrument),
            pos.SealBinding(
                **(to_seal["binding"] | {"operation": pos.SealedOperation.SALE}),
            ),
            to_seal["seal_keys"],
            to_seal["seal_root"],
        )
        contract = re.search(r'name="contract_id" value="([^"]+)"', page)[1]
        sent = {"contract_id": contract, "envelope": envelope}
        status, shown, _ = self.shop.call("POST", page_of_order, **sent)
        self.assertEqual((status, shown), (302, page_of_order))
        # A second click changes nothing.
        self.assertEqual(self.shop.call("POST", page_of_order, **sent)[0], 302)
        _, _, page = self.shop.call("GET", page_of_order)
        number = self.bed.told["instruments"][instrument]["instrument"]["number"]
        self.assertNotIn(number, page)
        return re.search(r'data-state="(\w+)">([^<]*)<', page).groups()

    def buy_through_all(self):
        """Until every worker has answered, at most a hundred times."""
        workers = set()
        with concurrent.futures.ThreadPoolExecutor(2 * WORKERS) as shoppers:
            for turn in range(10):
                bought = [shoppers.submit(self.buy) for _ in range(10)]
                for one in bought:
                    self.assertEqual(one.result(LIMIT_S), ("paid", "Paid. Thank you!"))
                # The last of this turn in the log.
                self.shop.call("GET", f"/turn-{turn}")
                self.shop.wait_for(rf"worker=<(\d+)> /turn-{turn}$")
                workers |= set(self.shop.answered())
                if len(workers) == WORKERS:
                    break
        return workers

    def test_shoppers_pay_through_every_worker_also_through_one_that_replaces_another(self):
        before = self.buy_through_all()
        self.assertEqual(len(before), WORKERS)
        os.kill(min(before), signal.SIGKILL)
        booted = int(self.shop.wait_for(r"Booting worker with pid: (\d+)"))
        self.shop.answered()
        after = self.buy_through_all()
        self.assertEqual(after, before - {min(before)} | {booted})
        held = self.bed.control("GET", "/ledger")["sakura-card"]
        self.assertTrue(held["balanced"], held)

    def test_a_refusal_is_told_and_the_order_stays_to_be_paid(self):
        state, text = self.buy("expired_card")
        self.assertEqual(state, "new")
        self.assertTrue(text.startswith("Your bank refused."), text)


if __name__ == "__main__":
    unittest.main()
