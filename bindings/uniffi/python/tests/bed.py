"""The test bed as a process of its own: a server, three institutions, a shop."""

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import unittest
import urllib.request

import pos_connect as pos

PASSWORD = "a password of my own choice"


class Bed:
    def __init__(self):
        program = os.environ["POS_TESTBED"]
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.told = json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        rest = self._process.stdout.read()
        self._process.stdout.close()
        if self._process.wait(60) != 0 or rest:
            raise AssertionError(f"the bed did not end in order, or said more than a line: {rest}")

    def config(self, **changed):
        server = self.told["server"]
        usual = {
            "server_url": server["tls_url"],
            "authority": server["authority"],
            "ca_pem": server["ca_pem"],
        }
        return pos.Config(**(usual | changed))

    def control(self, method, path, body=None):
        """What `tests/README.md` says of the control address."""
        request = urllib.request.Request(
            self.told["control_url"] + path, json.dumps(body or {}).encode(), method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def module_keys(self):
        """What a key storage holds after the bed's shop was registered."""
        shop, server = self.told["shop"], self.told["server"]
        jwk = '{"crv":"Ed25519","kty":"OKP","x":"%s"}' % server["answer_key"]
        thumbprint = hashlib.sha256(jwk.encode()).digest()[:16]
        pin = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
        return json.dumps(
            {"module_key": shop["module_key"]["seed"], "shop_id": shop["id"], "pin": pin}
        )

    def card(self, name):
        """One that is refused or approved, as its name says."""
        told = self.told["instruments"][name]["instrument"]
        fields = ("number", "expiry_year", "expiry_month", "security_code")
        return pos.Instrument.CARD(holder=None, **{field: told[field] for field in fields})

    def order(self, name, order_id, amount, line=None):
        """Sealed as in a shopper's page, by what the bed tells of the institution: under the contract of
        the bed's own shop, or of the one that `line` speaks for."""
        one = self.told["instruments"][name]
        place = next(p for p in self.told["institutions"] if p["id"] == one["institution"])
        if line is not None:
            contracts = line.methods().contracts
            contract = next(c for c in contracts if c.institution == place["id"])
            one = vars(contract)
        envelope = pos.seal(
            self.card(name),
            pos.SealBinding(
                institution=place["id"],
                contract_number=one["contract_number"],
                operation=pos.SealedOperation.SALE,
                order_id=order_id,
                amount=amount,
                currency="JPY",
            ),
            json.dumps(place["seal_keys"]),
            place["seal_root"],
        )
        return pos.Order(
            contract_id=one["contract_id"],
            order_id=order_id,
            amount=amount,
            currency="JPY",
            envelope=envelope,
        )


class OnABed(unittest.TestCase):
    """Tests that share a bed."""

    @classmethod
    def setUpClass(cls):
        cls.bed = Bed()
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.bed.close()
        cls.folder.cleanup()

    def store(self, vault=None):
        """Of the bed's shop, with a journal for this test."""
        vault = vault or Vault(self.bed.module_keys())
        return pos.Store.of_host(vault, os.path.join(self.folder.name, self.id()))


class Vault(pos.KeyStorage):
    """A shop's own key storage."""

    def __init__(self, text=None):
        self.text = text

    def load(self):
        return self.text

    def replace(self, old, new):
        if self.text != old:
            return False
        self.text = new
        return True
