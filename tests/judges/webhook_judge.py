"""Judges webhooks.json: which webhooks a receiver that follows Standard Webhooks 1.0 believes.

Written from the text of that specification and docs/PROTOCOL.md on the package `cryptography`; what a
message is signed over is also compared with the package `standardwebhooks`, which knows the symmetric
signature alone and so cannot verify these.

Prints `N passed, N failed`; the exit code is 1 when anything failed.
"""

import base64
import hashlib
import hmac
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def key_of(text):
    assert text.startswith("whpk_"), text
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.removeprefix("whpk_")))


def judged(webhook, keys, now):
    """Why a receiver refuses it, or None."""
    identifier, at, body = (webhook[name] for name in ("webhook-id", "webhook-timestamp", "body"))
    if "." in identifier or not at.isdigit() or str(int(at)) != at:
        return "form"
    if abs(now - int(at)) > 300:
        return "time"
    octets = f"{identifier}.{at}.{body}".encode()
    for signature in webhook["webhook-signature"].split(" "):
        version, _, text = signature.partition(",")
        if version != "v1a":
            continue
        for key in keys:
            try:
                key.verify(base64.b64decode(text), octets)
            except InvalidSignature:
                continue
            return None if "data" in json.loads(body) else "body"
    return "unsigned"


class Recorder(Webhook):
    """The other package's own way to lay out what is signed."""

    def layout(self, webhook):
        at = datetime.fromtimestamp(int(webhook["webhook-timestamp"]), tz=timezone.utc)
        return self.sign(webhook["webhook-id"], at, webhook["body"])


def main():
    vectors = json.loads((VECTORS / "webhooks.json").read_text())
    keys = [key_of(text) for text in vectors["keys"]]
    passed = failed = 0

    def check(name, is_right):
        nonlocal passed, failed
        passed, failed = passed + is_right, failed + (not is_right)
        if not is_right:
            print(f"failed: {name}")

    for case in vectors["cases"]:
        found = judged(case["webhook"], keys, vectors["now_s"])
        check(f"{case['name']}: {found} instead of {case['error']}", found == case["error"])
    # Two who lay the octets out alike make the same symmetric signature of them.
    secret = b"0123456789abcdef0123456789abcdef"
    recorder = Recorder(secret)
    for case in vectors["cases"]:
        if case["error"] is not None:
            continue
        webhook = case["webhook"]
        octets = f"{webhook['webhook-id']}.{webhook['webhook-timestamp']}.{webhook['body']}".encode()
        ours = base64.b64encode(hmac.new(secret, octets, hashlib.sha256).digest()).decode()
        check(f"{case['name']}: laid out otherwise", recorder.layout(webhook) == f"v1,{ours}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or passed < 20 else 0)


if __name__ == "__main__":
    main()
